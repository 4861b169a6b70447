// What is counted within an hour or a day at one MX: the fields of a record of statistics, and their sums.

import type { Reason, Verdict } from '../outcome.ts'

/** The lists of names that come most often: of all attempts, and of those that were deferred. */
export const NAME_LISTS = ['networks', 'deferredNetworks', 'domains', 'deferredDomains'] as const
export type NameList = (typeof NAME_LISTS)[number]

/** What the fields of each list begin with. */
const NAME_FIELDS: { readonly [list in NameList]: string } = {
  networks: 'an:',
  deferredNetworks: 'tn:',
  domains: 'ad:',
  deferredDomains: 'td:',
}

/** Most names of a list that are kept in a record after it was looked at, and the number at which it is. */
const KEPT_NAMES = 30
const MAX_NAMES = 60

/** Sums of one or more records. */
export interface Counts {
  /** Outcomes by verdict and reason, as `pass known`. */
  readonly verdicts: Map<string, number>
  /** Outcomes with the reason `observe` or `off`, by the reason that they would have had. */
  readonly observed: Map<string, number>
  /** How long first passes had waited. */
  readonly delays: Map<number, number>
  /** First attempts of this time that have come back since, at whichever MX. */
  returned: number
  readonly names: { readonly [list in NameList]: Map<string, number> }
}

export function verdictField(verdict: Verdict, reason: Reason): string {
  return `v:${verdict}:${reason}`
}

export function observedField(reason: Reason): string {
  return `w:${reason}`
}

export function delayField(bucket: number): string {
  return `d:${bucket}`
}

export const RETURNED_FIELD = 'r'

export function nameField(list: NameList, name: string): string {
  return `${NAME_FIELDS[list]}${name}`
}

export function noCounts(): Counts {
  return {
    verdicts: new Map(),
    observed: new Map(),
    delays: new Map(),
    returned: 0,
    names: {
      networks: new Map(),
      deferredNetworks: new Map(),
      domains: new Map(),
      deferredDomains: new Map(),
    },
  }
}

/** Adds the fields of a record. A field of another version, or one without a number, is left out. */
export function addRecord(counts: Counts, fields: ReadonlyMap<string, string>): void {
  for (const [field, text] of fields) {
    const count = Number(text)
    if (!Number.isSafeInteger(count) || count <= 0) continue
    if (field === RETURNED_FIELD) counts.returned += count
    else addField(counts, field, count)
  }
}

function addField(counts: Counts, field: string, count: number): void {
  const [, verdict, reason] = /^v:(pass|tempfail):([a-z-]+)$/.exec(field) ?? []
  const [, would] = /^w:([a-z-]+)$/.exec(field) ?? []
  const [, bucket] = /^d:(-?\d{1,3})$/.exec(field) ?? []
  const list = listOf(field)
  if (verdict !== undefined) add(counts.verdicts, `${verdict} ${reason}`, count)
  else if (would !== undefined) add(counts.observed, would, count)
  else if (bucket !== undefined) add(counts.delays, Number(bucket), count)
  else if (list) add(counts.names[list], field.slice(NAME_FIELDS[list].length), count)
}

/** Adds the sums of `other`. */
export function addCounts(counts: Counts, other: Counts): void {
  for (const [name, count] of other.verdicts) add(counts.verdicts, name, count)
  for (const [name, count] of other.observed) add(counts.observed, name, count)
  for (const [bucket, count] of other.delays) add(counts.delays, bucket, count)
  counts.returned += other.returned
  for (const list of NAME_LISTS)
    for (const [name, count] of other.names[list]) add(counts.names[list], name, count)
}

function add<K>(sums: Map<K, number>, key: K, count: number): void {
  sums.set(key, (sums.get(key) ?? 0) + count)
}

/** The fields of the rarest names, where a list has more than its most. */
export function superfluousNames(fields: ReadonlyMap<string, string>): string[] {
  return NAME_LISTS.flatMap((list) => {
    const names = [...fields].filter(([field]) => listOf(field) === list)
    if (names.length <= MAX_NAMES) return []
    return names
      .sort(([, one], [, other]) => Number(other) - Number(one))
      .slice(KEPT_NAMES)
      .map(([field]) => field)
  })
}

function listOf(field: string): NameList | undefined {
  return NAME_LISTS.find((list) => field.startsWith(NAME_FIELDS[list]))
}

/** The number of first attempts that were deferred. */
export function deferredIn({ verdicts }: Counts): number {
  return verdicts.get('tempfail new') ?? 0
}

/** The number of outcomes. */
export function attemptsIn({ verdicts }: Counts): number {
  let sum = 0
  for (const count of verdicts.values()) sum += count
  return sum
}
