// The version, as greymx --version prints it. Source: package.json.

import { readFileSync } from 'node:fs'

/** Returns name and version: `greymx 0.1.0`. */
export function version(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return `greymx ${version}`
}
