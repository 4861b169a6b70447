// Records in an LMDB environment. Each field has a key of its own, which begins with that of its record:
//
// | key | value |
// | --- | --- |
// | `r:5:rules:` | when the record expires, by the same clock as entries, or `-`; a space; its revision |
// | `r:5:rules:FIELD` | `=` and the text of the field |
//
// The number is the length of the name, so that no two records share a key. A value that begins with `=` or `-` has no
// expiry, and so versions of greymx that know no records leave it. They sweep a record that has expired, and not its
// fields: fields whose record is gone count for nothing, and the sweep of this version removes them.

import { UnreadableEntry } from '../encoding.ts'
import { addedTo, FIELDS_PER_PAGE, type RecordFields, type RecordPage } from '../fields.ts'
import { RECORD_KIND } from '../records.ts'

/** What to set and, where the text is `null`, to remove. */
export type RecordChanges = ReadonlyArray<readonly [field: string, text: string | null]>

/** A key after those of all records, and before any other that follows them. */
export const AFTER_RECORDS = `${RECORD_KIND};` // ; follows : in ASCII

/** Number of records that are counted in one operation. */
const TALLY_BATCH = 500

/** A page ends once its texts have so many UTF-16 units, so that mail does not wait for long ones. */
const PAGE_SIZE = 1024 * 1024

/** Keys from `start` up to `end`, at most `limit` of them. */
interface Range {
  readonly start: string
  readonly end: string
  readonly limit?: number
}

/** An environment, as far as records use it. */
export interface Environment {
  get(key: string): string | undefined
  getKeys(range: Range): Iterable<string>
  getRange(range: Range): Iterable<{ readonly key: string; readonly value: string }>
  remove(key: string): unknown
}

/** Writes a value; `now` is in milliseconds since the epoch. */
type Put = (key: string, value: string, now: number) => void

/** The records of one environment. Call what changes any within a transaction only. */
export class LmdbRecords {
  readonly #environment: Environment
  readonly #put: Put

  constructor(environment: Environment, put: Put) {
    this.#environment = environment
    this.#put = put
  }

  /** Fields of the record from `from` on, as many as fit into a page. */
  page(name: string, from: string, now: number): RecordPage {
    const revision = this.#revision(name, now)
    if (revision === undefined) return { revisions: [''], fields: [] }
    const fields: Array<readonly [field: string, text: string]> = []
    let size = 0
    for (const [field, text] of this.#fields(name, from)) {
      fields.push([field, text])
      size += text.length
      if (fields.length < FIELDS_PER_PAGE && size < PAGE_SIZE) continue
      return { revisions: [revision], fields, next: afterText(field) }
    }
    return { revisions: [revision], fields }
  }

  /** All fields of the record. */
  whole(name: string, now: number): RecordFields {
    return this.#revision(name, now) === undefined ? [] : [...this.#fields(name, '')]
  }

  revisionOf(name: string, now: number): string {
    return this.#revision(name, now) ?? ''
  }

  /** Sets and removes fields; with `null` for `lifetime`, the record is kept. */
  change(name: string, changes: RecordChanges, revision: string, lifetime: number | null, now: number): void {
    this.#renew(name, revision, lifetime, now)
    for (const [field, text] of changes) {
      if (text === null) void this.#environment.remove(keyOf(name, field))
      else this.#put(keyOf(name, field), `=${text}`, now)
    }
  }

  /** Adds to the numbers in fields. Throws `UnreadableEntry` where there is no number, and adds to none then. */
  add(name: string, by: ReadonlyArray<readonly [string, number]>, lifetime: number, now: number): void {
    const revision = this.#revision(name, now)
    const sums = by.map(([field, added]) => {
      const value = revision === undefined ? undefined : this.#environment.get(keyOf(name, field))
      const text = value === undefined ? undefined : textIn(name, field, value)
      return [field, addedTo(name, field, text, added)] as const
    })
    this.#renew(name, revision ?? '', lifetime, now)
    for (const [field, sum] of sums) this.#put(keyOf(name, field), `=${sum}`, now)
  }

  /** Number of records from the key `first` on, some at a time, and the key from which to go on. */
  tally(first: string): { readonly records: number; readonly next: string } {
    let from = first
    let records = 0
    for (let looked = 0; looked < TALLY_BATCH; looked += 1) {
      const [key] = this.#environment.getKeys({ start: from, end: AFTER_RECORDS, limit: 1 })
      if (key === undefined) return { records, next: AFTER_RECORDS }
      const head = headOf(key)
      if (key === head) records += 1
      from = head === undefined ? afterText(key) : endOf(head)
    }
    return { records, next: from }
  }

  /** Whether `key` is that of a field whose record has expired or is gone. */
  isOrphan(key: string, now: number): boolean {
    const head = headOf(key)
    return head !== undefined && head !== key && this.#revisionUnder(head, now) === undefined
  }

  /** Writes down when the record expires, before its fields, as the sweep removes fields without a record. */
  #renew(name: string, revision: string, lifetime: number | null, now: number): void {
    const head = keyOf(name, '')
    if (this.#revisionUnder(head, now) === undefined) {
      const left = [...this.#environment.getKeys({ start: head, end: endOf(head) })]
      for (const key of left) void this.#environment.remove(key)
    }
    this.#put(head, `${lifetime === null ? '-' : Math.ceil(now + lifetime)} ${revision}`, now)
  }

  *#fields(name: string, from: string): Generator<readonly [field: string, text: string]> {
    const head = keyOf(name, '')
    const start = from === '' ? afterText(head) : keyOf(name, from)
    for (const { key, value } of this.#environment.getRange({ start, end: endOf(head) })) {
      const field = key.slice(head.length)
      yield [field, textIn(name, field, value)]
    }
  }

  /** The revision of the record; `undefined` where there is none. */
  #revision(name: string, now: number): string | undefined {
    return this.#revisionUnder(keyOf(name, ''), now)
  }

  #revisionUnder(head: string, now: number): string | undefined {
    const value = this.#environment.get(head)
    if (value === undefined || Number.parseInt(value, 10) <= now) return undefined
    return value.slice(value.indexOf(' ') + 1)
  }
}

/** The key of a field, or with '' that of the record itself. */
function keyOf(name: string, field: string): string {
  return `${RECORD_KIND}:${name.length}:${name}:${field}`
}

/** The key of the record to which `key` belongs; `undefined` when it is that of no field. */
function headOf(key: string): string | undefined {
  const [start, length] = /^r:(\d{1,4}):/.exec(key) ?? []
  if (start === undefined) return undefined
  const end = start.length + Number(length)
  return key[end] === ':' ? key.slice(0, end + 1) : undefined
}

/** The end of the keys that begin with `head`, which ends in a colon. */
function endOf(head: string): string {
  return `${head.slice(0, -1)};`
}

/** A text between `text` and all that begin with it, as no key has control characters. */
function afterText(text: string): string {
  return `${text}\u0001`
}

function textIn(name: string, field: string, value: string): string {
  if (value.startsWith('=')) return value.slice(1)
  throw new UnreadableEntry(
    `Cannot read ${JSON.stringify(field)} of the record ${JSON.stringify(name)}: ` +
      `expected = and a text, found ${JSON.stringify(value.slice(0, 60))}`,
  )
}
