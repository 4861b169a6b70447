// The version of greymx, and the commit that it was built from. Sources: package.json, and the file commit beside this
// one, which the build writes.

import { readFileSync } from 'node:fs'

/** Returns the version: `0.2.0`. */
export function greymxVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  return version
}

/** Returns the commit in short: `1ec4843b5c2d`, with `-dirty` behind it if files were changed; '' if the build knew none. */
export function greymxCommit(): string {
  return readFileSync(new URL('commit', import.meta.url), 'utf8').trim()
}
