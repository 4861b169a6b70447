// The configuration file, and the environment that overrides it → Config, or every fault in them.

import { readFileSync } from 'node:fs'
import { messageOf } from '../message.ts'
import type { Environment } from './environment.ts'
import { ConfigReader, type Setting } from './reader.ts'
import { type Config, readConfig } from './schema.ts'

export type Loaded = LoadedConfig | { readonly kind: 'faults'; readonly faults: readonly string[] }

export interface LoadedConfig {
  readonly kind: 'config'
  readonly config: Config
  /** All settings as they were written. */
  readonly settings: readonly Setting[]
  /** As it stands in faults. */
  readonly fileName: string
}

/** Where a configuration is looked for when none is named. */
export const DEFAULT_FILES = ['./milter.yaml', '/etc/greymx/milter.yaml'] as const

/** Reads `file`, or without one the first of `DEFAULT_FILES` that exists. */
export function loadConfig(file: string | undefined, environment: Environment = process.env): Loaded {
  for (const candidate of file === undefined ? DEFAULT_FILES : [file]) {
    try {
      return parseConfig(candidate.replace(/^\.\//, ''), readFileSync(candidate, 'utf8'), environment)
    } catch (error) {
      if (file === undefined && isMissing(error)) continue
      const reason = messageOf(error)
      return { kind: 'faults', faults: [`${candidate}: cannot be read: ${reason}`] }
    }
  }
  return {
    kind: 'faults',
    faults: [`no configuration: expected ${DEFAULT_FILES.join(' or ')}, or --config FILE`],
  }
}

/** `fileName` only stands in faults. */
export function parseConfig(fileName: string, text: string, environment: Environment = {}): Loaded {
  const reader = new ConfigReader(fileName, text, environment)
  const config = readConfig(reader)
  const { faults, settings } = reader
  return faults.length > 0 ? { kind: 'faults', faults } : { kind: 'config', config, settings, fileName }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}
