// Loads the configuration for a command, and prints the faults of one that cannot be used.

import { loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { complain } from './output.ts'

/** Returns the configuration, or `undefined` after its faults were printed on standard error. */
export function loadOrComplain(file: string | undefined): Config | undefined {
  const loaded = loadConfig(file)
  if (loaded.kind === 'config') return loaded.config
  complain(loaded.faults.map((fault) => `${fault}\n`).join(''))
  return undefined
}
