// The text form of entries and counts, for the stores that keep them outside of this process. An entry is a version, a
// state, and the milliseconds that it was set to be kept: `1:pending:172800000`, `1:passed:3110400000`. Its age is that
// TTL less what is left of it, so that a changed setting rewrites no history. A count is its digits: `3`. Where the
// expiry itself is kept is each store's own matter.
//
// A pending entry with a holder ends in it: `1:pending:5000:1234567890123456`. Its usual text is one number of 19 digits,
// `1234567890123456220`, which Redis keeps in 16 bytes: the holder, a unit of time, and 1 to 99 of these.

import type { Entry } from './entry.ts'

/** An entry as it is written; `ttl` is the time that it was set to be kept, in milliseconds. */
export interface StoredEntry {
  readonly passed: boolean
  readonly ttl: number
  /** Of a pending entry, who made the first attempt: 16 digits that begin with 1 to 8. */
  readonly holder?: string
}

/** Difference that rounding and the clocks of two readers may cause, in milliseconds. */
const CLOCK_TOLERANCE = 50

/** The units of the TTL in a number, in milliseconds; the digit for a unit is its index. */
const TTL_UNITS = [1000, 60_000, 3_600_000, 86_400_000] as const
const MAX_UNITS = 99

const STORED = /^1:(pending|passed):(\d{1,15})(?::([1-8]\d{15}))?$/
const NUMBER = /^([1-8]\d{15})([0-3])(\d\d)$/
const NUMBER_DIGITS = 19
const COUNT = /^\d{1,15}$/

/** The text of an entry. */
export function encodeEntry({ passed, ttl, holder }: StoredEntry): string {
  if (passed) return `1:passed:${ttl}`
  if (holder === undefined) return `1:pending:${ttl}`
  const unit = TTL_UNITS.findIndex((each) => ttl % each === 0 && ttl / each <= MAX_UNITS)
  const length = TTL_UNITS[unit]
  if (length === undefined) return `1:pending:${ttl}:${holder}`
  return `${holder}${unit}${String(ttl / length).padStart(2, '0')}`
}

/** The value of one key was not written by greymx, or by a later version of it; the store itself works. */
export class UnreadableEntry extends Error {}

/**
 * The entry in `text`. Throws `UnreadableEntry` when `text` is no entry of a known version; the caller then leaves the
 * value untouched and fails the operation.
 */
export function decodeEntry(key: string, text: string): StoredEntry {
  const entry = readEntry(text)
  if (!entry) throw unreadable(key, text, '1:pending:MS or 1:passed:MS')
  return entry
}

function readEntry(text: string): StoredEntry | undefined {
  if (text.startsWith('1:')) {
    const [, state, digits, holder] = STORED.exec(text) ?? []
    if (digits === undefined) return undefined
    const entry = { passed: state === 'passed', ttl: Number(digits) }
    return holder === undefined ? entry : { ...entry, holder }
  }
  if (text.length !== NUMBER_DIGITS) return undefined
  const [, heldBy, unit, length] = NUMBER.exec(text) ?? []
  if (heldBy === undefined) return undefined
  return { passed: false, ttl: (TTL_UNITS[Number(unit)] ?? 0) * Number(length), holder: heldBy }
}

/** The TTL that an entry was set with, in milliseconds; `undefined` for a count and for any other text. */
export function ttlOf(text: string): number | undefined {
  return readEntry(text)?.ttl
}

/**
 * Whether more time is left of an entry than it was set with, both in milliseconds. This happens when a clock was set
 * back, or when a Redis replica whose clock is behind was promoted. The store restarts the window of such an entry now,
 * as otherwise it would not age until the clock has caught up.
 */
export function hasTooMuchLeft(remaining: number, ttl: number): boolean {
  return remaining > ttl + CLOCK_TOLERANCE
}

/** The text of a count. */
export function encodeCount(sum: number): string {
  return String(sum)
}

/** The count in `text`. Throws `UnreadableEntry` when `text` is no count. */
export function decodeCount(key: string, text: string): number {
  if (!COUNT.test(text)) throw unreadable(key, text, 'a count')
  return Number(text)
}

/** Whether `text` has the form of an entry or a count. */
export function isStored(text: string): boolean {
  return readEntry(text) !== undefined || COUNT.test(text)
}

/** The entry of which `remaining` milliseconds are left; its age is 0 when more is left than it was set with. */
export function ageEntry({ passed, ttl, holder }: StoredEntry, remaining: number): Entry {
  const age = Math.max(0, ttl - remaining)
  return holder === undefined ? { passed, age } : { passed, age, holder }
}

/** What is under a key of mail. */
export type Kept = Entry | number

/**
 * The entry of which `remaining` milliseconds are left, or the count, in `text`, and what is left of it. No more is left
 * of an entry than it was set with. `undefined` when the text has another form.
 */
export function readKept(
  text: string,
  remaining: number,
): { readonly value: Kept; readonly left: number } | undefined {
  const entry = readEntry(text)
  if (entry) return { value: ageEntry(entry, remaining), left: Math.min(remaining, entry.ttl) }
  return COUNT.test(text) ? { value: Number(text), left: remaining } : undefined
}

function unreadable(key: string, text: string, expected: string): UnreadableEntry {
  const found = JSON.stringify(text.slice(0, 60))
  return new UnreadableEntry(
    `Cannot read the entry of ${JSON.stringify(key)}: expected ${expected}, found ${found}`,
  )
}
