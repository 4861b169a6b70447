# Prints the commit that is built, for `greymx --version`: what SOURCE_COMMIT says, else the commit of this clone. Prints
# nothing where neither is known: in a folder without git, or in one that only lies within another repository.
if [ -n "${SOURCE_COMMIT:-}" ]; then
  printf '%s\n' "$SOURCE_COMMIT"
elif git ls-files --error-unmatch package.json > /dev/null 2>&1; then
  git describe --always --dirty --abbrev=12 --exclude='*'
fi
