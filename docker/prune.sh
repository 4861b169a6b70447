# Removes two thirds of node_modules that are not needed at run time: sources in other languages, type declarations,
# source maps, documentation, lmdb's native code for musl, and what packages have twice, for browsers or as the other
# kind of module.
set -eu
find node_modules -type f \( \
  -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.map' -o -name '*.md' -o -name '*.html' \
  -o -name '*.tsbuildinfo' -o -name '*.c' -o -name '*.h' -o -name '*.cpp' -o -name '*.musl.node' \) -delete
find node_modules/zod node_modules/@hono -name '*.cjs' -delete
rm -rf node_modules/yaml/browser node_modules/hono/dist/cjs node_modules/lmdb/dependencies node_modules/lmdb/src node_modules/bintrees/test node_modules/.bin
find node_modules -type d -empty -delete
