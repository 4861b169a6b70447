// An entry ⇄ text, shared by the stores that keep it outside of this process: a version, its state, and for how many
// milliseconds it was set to be kept. Its age is that time less what is left of it, so that a changed setting
// rewrites no history: `1:pending:172800000`, `1:passed:3110400000`. A count is its digits: `3`.

import type { Entry } from './entry.ts'

/** What was written; `ttl` in milliseconds is the time that it was to be kept. */
export interface StoredEntry {
  readonly passed: boolean
  readonly ttl: number
}

/** How far the clocks of two readers, and rounding, may be apart, in milliseconds. */
const TOLERANCE = 50

const STORED = /^1:(pending|passed):(\d{1,15})$/
const COUNT = /^\d{1,15}$/

export function encodeEntry({ passed, ttl }: StoredEntry): string {
  return `1:${passed ? 'passed' : 'pending'}:${ttl}`
}

/** What stands under one key is none of ours, or of a later version's; the store itself is well. */
export class UnreadableEntry extends Error {}

/** Throws `UnreadableEntry` on what is no entry of a version known here: the caller leaves it untouched and fails that operation. */
export function decodeEntry(key: string, text: string): StoredEntry {
  const [, state, digits] = STORED.exec(text) ?? []
  if (digits === undefined) {
    throw unreadable(key, text, '1:pending:MS or 1:passed:MS')
  }
  return { passed: state === 'passed', ttl: Number(digits) }
}

/** For how many milliseconds an entry was set to be kept; `undefined` for a count, and for what is none of ours. */
export function ttlOf(text: string): number | undefined {
  const digits = STORED.exec(text)?.[2]
  return digits === undefined ? undefined : Number(digits)
}

/**
 * Whether more is left of an entry than it was set with. No time that goes by leads there: a clock was set back, or a
 * replica of Redis whose clock is behind was promoted. Such an entry begins anew now; else it would not grow older until
 * the clock has caught up.
 */
export function hasTooMuchLeft(remaining: number, ttl: number): boolean {
  return remaining > ttl + TOLERANCE
}

export function encodeCount(sum: number): string {
  return String(sum)
}

/** Throws `UnreadableEntry` on what is no count. */
export function decodeCount(key: string, text: string): number {
  if (!COUNT.test(text)) throw unreadable(key, text, 'a count')
  return Number(text)
}

/** Whether it looks like an entry or a count. */
export function isStored(text: string): boolean {
  return STORED.test(text) || COUNT.test(text)
}

/** `remaining` milliseconds are left; an age is never negative, as an entry with too much left begins anew. */
export function ageEntry({ passed, ttl }: StoredEntry, remaining: number): Entry {
  return { passed, age: Math.max(0, ttl - remaining) }
}

function unreadable(key: string, text: string, expected: string): UnreadableEntry {
  const found = JSON.stringify(text.slice(0, 60))
  return new UnreadableEntry(
    `Cannot read the entry of ${JSON.stringify(key)}: expected ${expected}, found ${found}`,
  )
}
