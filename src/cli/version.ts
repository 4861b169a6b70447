// The version, as greymx --version prints it.

import { greymxVersion } from '../version.ts'

/** Returns name and version: `greymx 0.1.0`. */
export function version(): string {
  return `greymx ${greymxVersion()}`
}
