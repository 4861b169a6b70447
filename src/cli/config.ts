// What every command does with a configuration that cannot be read.

import { type LoadedConfig, loadConfig } from '../config/load.ts'
import type { Config } from '../config/schema.ts'

/** The configuration, or `undefined` after its faults were printed on standard error. */
export function loadOrComplain(file: string | undefined): Config | undefined {
  return loadFileOrComplain(file)?.config
}

/** Likewise, with the name of the file. */
export function loadFileOrComplain(file: string | undefined): LoadedConfig | undefined {
  const loaded = loadConfig(file)
  if (loaded.kind === 'config') return loaded
  process.stderr.write(loaded.faults.map((fault) => `${fault}\n`).join(''))
  return undefined
}
