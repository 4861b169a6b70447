// The text form of entries and counts, for the stores that keep them outside of this process. An entry is a version, a
// state, and the milliseconds that it was set to be kept: `1:pending:172800000`, `1:passed:3110400000`. Its age is that
// TTL less what is left of it, so that a changed setting rewrites no history. A count is its digits: `3`. Where the
// expiry itself is kept is each store's own matter.

import type { Entry } from './entry.ts'

/** An entry as it is written; `ttl` is the time that it was set to be kept, in milliseconds. */
export interface StoredEntry {
  readonly passed: boolean
  readonly ttl: number
}

/** Difference that rounding and the clocks of two readers may cause, in milliseconds. */
const CLOCK_TOLERANCE = 50

const STORED = /^1:(pending|passed):(\d{1,15})$/
const COUNT = /^\d{1,15}$/

/** The text of an entry. */
export function encodeEntry({ passed, ttl }: StoredEntry): string {
  return `1:${passed ? 'passed' : 'pending'}:${ttl}`
}

/** The value of one key was not written by greymx, or by a later version of it; the store itself works. */
export class UnreadableEntry extends Error {}

/**
 * The entry in `text`. Throws `UnreadableEntry` when `text` is no entry of a known version; the caller then leaves the
 * value untouched and fails the operation.
 */
export function decodeEntry(key: string, text: string): StoredEntry {
  const [, state, digits] = STORED.exec(text) ?? []
  if (digits === undefined) {
    throw unreadable(key, text, '1:pending:MS or 1:passed:MS')
  }
  return { passed: state === 'passed', ttl: Number(digits) }
}

/** The TTL that an entry was set with, in milliseconds; `undefined` for a count and for any other text. */
export function ttlOf(text: string): number | undefined {
  const digits = STORED.exec(text)?.[2]
  return digits === undefined ? undefined : Number(digits)
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
  return STORED.test(text) || COUNT.test(text)
}

/** The entry of which `remaining` milliseconds are left; its age is 0 when more is left than it was set with. */
export function ageEntry({ passed, ttl }: StoredEntry, remaining: number): Entry {
  return { passed, age: Math.max(0, ttl - remaining) }
}

function unreadable(key: string, text: string, expected: string): UnreadableEntry {
  const found = JSON.stringify(text.slice(0, 60))
  return new UnreadableEntry(
    `Cannot read the entry of ${JSON.stringify(key)}: expected ${expected}, found ${found}`,
  )
}
