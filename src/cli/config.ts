// Loads the configuration for a command, and prints the faults of one that cannot be used.

import { type LoadedConfig, loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'
import { complain } from './output.ts'

/** Returns the configuration, or `undefined` after its faults were printed on standard error. */
export function loadOrComplain(file: string | undefined): Config | undefined {
  return loadFileOrComplain(file)?.config
}

/** Returns the configuration with its file name and settings, or `undefined` after its faults were printed. */
export function loadFileOrComplain(file: string | undefined): LoadedConfig | undefined {
  const loaded = loadConfig(file)
  if (loaded.kind === 'config') return loaded
  complain(loaded.faults.map((fault) => `${fault}\n`).join(''))
  return undefined
}
