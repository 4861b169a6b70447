// The version, as greymx --version prints it and as the daemon names itself.

import { greymxCommit, greymxVersion } from '../version.ts'

/** Returns name and version: `greymx 0.2.0`. */
export function version(): string {
  return `greymx ${greymxVersion()}`
}

/** Returns name, version and commit: `greymx 0.2.0 (commit 1ec4843b5c2d)`; without the commit if the build knew none. */
export function versionAndCommit(): string {
  const commit = greymxCommit()
  return commit === '' ? version() : `${version()} (commit ${commit})`
}
