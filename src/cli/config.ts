// What every command does with a configuration that cannot be read.

import { loadConfig } from '../config/load.ts'
import type { Setting } from '../config/reader.ts'
import type { Config } from '../config/schema.ts'

/** The configuration, or `undefined` after its faults were printed on standard error. */
export function loadOrComplain(file: string | undefined): Config | undefined {
  return loadSettingsOrComplain(file)?.config
}

/** Likewise, with its settings as they were written. */
export function loadSettingsOrComplain(
  file: string | undefined,
): { readonly config: Config; readonly settings: readonly Setting[] } | undefined {
  const loaded = loadConfig(file)
  if (loaded.kind === 'config') return loaded
  process.stderr.write(loaded.faults.map((fault) => `${fault}\n`).join(''))
  return undefined
}
