// What all stores of records have in common: what a field may be, how numbers in fields are added to, and how a record
// that may be large is read a page at a time. Where records are kept is each store's own matter.

import { randomUUID } from 'node:crypto'
import { UnreadableEntry } from './encoding.ts'

/** Longest name of a record and of its longest field together, in bytes of UTF-8: LMDB takes keys of 1978 bytes. */
const MAX_NAME_BYTES = 1800

/** Longest text of a field, in UTF-16 units. */
const MAX_TEXT = 65_536

/** Number of fields that a store is asked for at once, so that mail does not wait for a large record. */
export const FIELDS_PER_PAGE = 1000

/** Largest record that is read, in UTF-16 units of fields and texts: no caller keeps so much. */
const MAX_RECORD = 16 * 1024 * 1024

/** Number of times that a record is read by pages, if it changes in the middle of it. */
const MAX_TRIES = 5

const UNSAFE = /[\p{Cc}\p{Cs}]/u
const WHOLE_NUMBER = /^-?\d{1,15}$/

/** Fields of a record, with their texts. */
export type RecordFields = ReadonlyArray<readonly [field: string, text: string]>

/** A page of a record. */
export interface RecordPage {
  /** The revisions that the record had while the page was read: one, or two when it has changed. */
  readonly revisions: readonly string[]
  readonly fields: RecordFields
  /** From where the next page goes on; absent on the last one. */
  readonly next?: string
}

/**
 * A revision that no record has had before, also after a restart, and after the record has expired or was lost. A
 * number would come again then.
 */
export function newRevision(): string {
  return randomUUID()
}

/** Throws when a name, a field or a text is not one that all stores can keep. */
export function requireKeepable(
  name: string,
  fields: Iterable<readonly [field: string, text: string | number | undefined]> = [],
): void {
  requireName('name of a record', name, 0)
  for (const [field, text] of fields) {
    requireName(`field of the record ${JSON.stringify(name)}`, field, Buffer.byteLength(name))
    if (typeof text === 'string' && text.length > MAX_TEXT)
      throw new Error(
        `Cannot keep ${JSON.stringify(field.slice(0, 60))} of the record ${JSON.stringify(name)}: ` +
          `expected ${MAX_TEXT} characters at most, found ${text.length}`,
      )
    if (typeof text === 'number' && !Number.isSafeInteger(text))
      throw new Error(
        `Cannot add ${text} to ${JSON.stringify(field)} of the record ${JSON.stringify(name)}: expected a whole number`,
      )
  }
}

function requireName(what: string, name: string, besides: number): void {
  const size = Buffer.byteLength(name) + besides
  if (name !== '' && size <= MAX_NAME_BYTES && !UNSAFE.test(name)) return
  throw new Error(
    `Cannot use ${JSON.stringify(name.slice(0, 60))} as ${what}: expected 1 to ${MAX_NAME_BYTES} bytes ` +
      `with the record's name, found ${size}, and no control characters`,
  )
}

/** `by` added to the number in `text`, or to 0 where there is none. Throws `UnreadableEntry` where there is no number. */
export function addedTo(name: string, field: string, text: string | undefined, by: number): string {
  if (text !== undefined && !WHOLE_NUMBER.test(text)) {
    throw new UnreadableEntry(
      `Cannot add to ${JSON.stringify(field)} of the record ${JSON.stringify(name)}: ` +
        `expected a whole number, found ${JSON.stringify(text.slice(0, 60))}`,
    )
  }
  return String(Number(text ?? 0) + by)
}

/**
 * All fields of a record as they were at one moment. `readPage` is given '' for the first page, and then the `next` of
 * the one before; a field may come twice. A record that changes again and again meanwhile is read by `readWhole`, at
 * once. Rejects when the record is larger than any that greymx keeps.
 */
export async function readInPages(
  name: string,
  readPage: (from: string) => Promise<RecordPage>,
  readWhole: () => Promise<RecordFields>,
): Promise<Map<string, string>> {
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    const fields = await tryToRead(name, readPage)
    if (fields) return fields
  }
  return asRecord(name, await readWhole())
}

/** The fields as a map. Throws when they are larger than any that greymx keeps. */
export function asRecord(name: string, fields: RecordFields): Map<string, string> {
  const record = new Map<string, string>()
  addFields(name, record, fields, 0)
  return record
}

/** The fields; `undefined` when the record has changed meanwhile. */
async function tryToRead(
  name: string,
  readPage: (from: string) => Promise<RecordPage>,
): Promise<Map<string, string> | undefined> {
  const fields = new Map<string, string>()
  let revision: string | undefined
  let size = 0
  for (let from: string | undefined = ''; from !== undefined; ) {
    const page: RecordPage = await readPage(from)
    revision ??= page.revisions[0]
    if (page.revisions.some((other) => other !== revision)) return undefined
    size = addFields(name, fields, page.fields, size)
    from = page.next
  }
  return fields
}

/** Adds fields to a record of which `size` is there already, and returns the new size. */
function addFields(name: string, record: Map<string, string>, fields: RecordFields, size: number): number {
  let sum = size
  for (const [field, text] of fields) {
    sum += field.length + text.length
    record.set(field, text)
  }
  if (sum <= MAX_RECORD) return sum
  throw new UnreadableEntry(
    `Cannot read the record ${JSON.stringify(name)}: expected ${MAX_RECORD} characters at most, found more`,
  )
}
