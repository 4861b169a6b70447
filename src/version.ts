// The version of greymx. Source: package.json.

import { readFileSync } from 'node:fs'

/** Returns the version: `0.1.0`. */
export function greymxVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  return version
}
