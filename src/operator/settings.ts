// The settings of a host as other hosts see them: those that differ from their defaults, as short texts without
// passwords, so that a difference between hosts can be found and shown.

import { createHash } from 'node:crypto'
import { parseConfig } from '../config/load.ts'
import type { SettingTexts } from '../config/schema.ts'

/** Settings by name, those that are left at their default not among them. */
export type Settings = Readonly<Record<string, string>>

/** Longest value that is shown, in characters; of a longer one it is shown how it begins, and a digest. */
const MAX_VALUE = 60
/** Most settings of a host that are shown. */
const MAX_SETTINGS = 100
const DIGEST_LENGTH = 12

/**
 * Settings that belong to one host: where it listens, where its own files are, how much it may use. They may differ,
 * as no verdict follows from them.
 */
const OF_ONE_HOST =
  /^(?:listen|socket_mode|store|store_timeout|local_store|local_entries|dns_servers|admin\w*|limits\..*|log\..*)$/

/** Whether the setting may differ between hosts that share a state. */
export function isOfOneHost(name: string): boolean {
  return OF_ONE_HOST.test(name)
}

/** The settings that differ from their defaults, and a digest of them all. */
export function ownSettings(texts: SettingTexts): { readonly differing: Settings; readonly digest: string } {
  const defaults = defaultTexts()
  const differing = [...texts]
    .map(([name, value]) => [name, textOf(value)] as const)
    .filter(([name, value]) => value !== textOf(defaults.get(name) ?? ''))
    .sort(([one], [other]) => (one < other ? -1 : 1))
  return {
    differing: Object.fromEntries(
      differing.slice(0, MAX_SETTINGS).map(([name, value]) => [name, shortened(value)]),
    ),
    digest: digestOf(JSON.stringify(differing)),
  }
}

function defaultTexts(): SettingTexts {
  const loaded = parseConfig('', '')
  return loaded.kind === 'config' ? loaded.config.texts : new Map()
}

/** The value as one text. The order of a list says nothing. */
function textOf(value: string | readonly string[]): string {
  return typeof value === 'string' ? value : `[${value.toSorted().join(', ')}]`
}

function shortened(value: string): string {
  if (value.length <= MAX_VALUE) return value
  return `${value.slice(0, MAX_VALUE - DIGEST_LENGTH - 2)}… ${digestOf(value)}`
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, DIGEST_LENGTH)
}
