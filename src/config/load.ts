// Loads the configuration: finds its file and reads it, with the environment, which overrides it. The result is a
// Config, or every fault in both.

import { fileProblemOf } from '../errors.ts'
import { type Environment, overrides, VARIABLE_PREFIX } from './environment.ts'
import { readConfigFile } from './file.ts'
import { ConfigReader, type Setting } from './reader.ts'
import { type Config, readAdminSocket, readConfig } from './schema.ts'

/** A configuration without faults, or all faults, each as a line for the operator. */
export type Loaded = LoadedConfig | Faults

export interface Faults {
  readonly kind: 'faults'
  readonly faults: readonly string[]
}

export interface LoadedConfig {
  readonly kind: 'config'
  readonly config: Config
  /** All settings in their text, defaults included. */
  readonly settings: readonly Setting[]
  /** Name of the file as messages show it. */
  readonly fileName: string
}

/** Files that are tried in turn when the operator names none. */
export const DEFAULT_FILES = ['./milter.yaml', '/etc/greymx/milter.yaml'] as const

/**
 * Returns what `file` says, or without one the first of `DEFAULT_FILES` that exists. If none exists, the variables are
 * enough, if there are any. A file that cannot be read is a fault.
 */
export function loadConfig(file: string | undefined, environment: Environment = process.env): Loaded {
  return load(file, environment, parseConfig)
}

/**
 * Returns the setting `admin_socket` alone, as `loadConfig` finds it. Who may open that socket need not be able to read
 * the files of passwords and keys that other settings name.
 */
export function loadAdminSocket(
  file: string | undefined,
  environment: Environment = process.env,
): { readonly kind: 'path'; readonly path: string | undefined } | Faults {
  return load(file, environment, (fileName, text, variables) => {
    const reader = new ConfigReader(fileName, text, variables)
    const path = readAdminSocket(reader)
    const { faults } = reader
    return faults.length > 0 ? { kind: 'faults', faults } : { kind: 'path', path }
  })
}

/** What `parse` returns of the file and the variables that count. */
function load<T>(
  file: string | undefined,
  environment: Environment,
  parse: (fileName: string, text: string, environment: Environment) => T | Faults,
): T | Faults {
  for (const candidate of file === undefined ? DEFAULT_FILES : [file]) {
    try {
      return parse(candidate.replace(/^\.\//, ''), readConfigFile(candidate), environment)
    } catch (error) {
      if (file === undefined && isMissing(error)) continue
      return { kind: 'faults', faults: [`${candidate}: ${fileProblemOf(error)}`] }
    }
  }
  if (overrides(environment).size > 0) return parse('the environment', '', environment)
  const expected = `${DEFAULT_FILES.join(' or ')}, --config FILE, or variables such as ${VARIABLE_PREFIX}STORE`
  return {
    kind: 'faults',
    faults: [`found no configuration file: expected ${expected}`],
  }
}

/** Returns what `text` says, the content of a file; `fileName` is only shown in faults. */
export function parseConfig(fileName: string, text: string, environment: Environment = {}): Loaded {
  const reader = new ConfigReader(fileName, text, environment)
  const config = readConfig(reader)
  const { faults, settings } = reader
  return faults.length > 0 ? { kind: 'faults', faults } : { kind: 'config', config, settings, fileName }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
