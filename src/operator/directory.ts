// The record that tells which MXs have statistics, and of which day their last ones are, so that readers know which
// records to read.

import type { RecordStore } from '../store/records.ts'
import { labelOf, UNITS } from './periods.ts'
import { ANSWER_TIMEOUT, within } from './within.ts'

const DIRECTORY = 'stats:mxs'
const FIELD = 'mx:'
const DAY = 86_400_000

/** Most MXs that are known; beyond it, those without statistics for the longest time leave. */
const MAX_MXS = 256

/** Enters one MX. */
export class Directory {
  readonly #mx: string
  /** The hour in which it was entered last. */
  #entered: string | undefined

  constructor(mx: string) {
    this.#mx = mx
  }

  /**
   * Enters the MX for the day that `now` is in. It does so once an hour, as the store may be another one by then, or
   * have lost its records. Rejects when the store fails.
   */
  async enter(store: RecordStore, now: number): Promise<void> {
    const hour = labelOf('hour', now)
    if (this.#entered === hour) return
    const today = labelOf('day', now)
    const days = await read(store)
    const known = days.get(this.#mx)
    if (known === undefined || known < today) days.set(this.#mx, today)
    const expired = labelOf('day', now - UNITS.day.kept - DAY)
    const byAge = [...days].sort(([, one], [, other]) => (one < other ? 1 : -1))
    const leaving = byAge.filter(([, day], index) => day < expired || index >= MAX_MXS)
    const changes = new Map<string, string | undefined>(leaving.map(([mx]) => [fieldOf(mx), undefined]))
    changes.set(fieldOf(this.#mx), days.get(this.#mx))
    await within(ANSWER_TIMEOUT, store.changeRecord(DIRECTORY, changes, UNITS.day.kept + DAY))
    this.#entered = hour
  }
}

/** The MXs that have statistics of the day that `since` is in, or of a later one, in their order. */
export async function mxsSince(store: RecordStore, since: number): Promise<string[]> {
  const first = labelOf('day', since)
  return [...(await read(store))]
    .filter(([, day]) => day >= first)
    .map(([mx]) => mx)
    .sort()
}

/** The last day of each MX. */
async function read(store: RecordStore): Promise<Map<string, string>> {
  const days = new Map<string, string>()
  for (const [field, day] of await within(ANSWER_TIMEOUT, store.readRecord(DIRECTORY))) {
    const mx = field.startsWith(FIELD) ? decoded(field.slice(FIELD.length)) : undefined
    if (mx !== undefined && /^\d{4}-\d{2}-\d{2}$/.test(day)) days.set(mx, day)
  }
  return days
}

function fieldOf(mx: string): string {
  return FIELD + encodeURIComponent(mx)
}

/** The name in a field; `undefined` for one that greymx has not written. */
function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
