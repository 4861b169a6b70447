// The decision: an entry and the configured times → verdict, and whether to keep something. Pure.
// Source: John Rudd's greylisting algorithm, steps 1a to 1d and 2; RFC 6647 section 3. A triplet that stayed away
// longer than the retry window (pending) or the lifetime (passed) has no entry any more, so that 1c and 2 are 1a.

import type { Entry, FoundEntry } from '../store/entry.ts'

/** All in milliseconds. */
export interface Times {
  /** X: the least wait before a retry passes. */
  readonly delay: number
  /** A first retry must come within this time of the first attempt. */
  readonly retryWindow: number
  /** Y: a pass is kept this long after its last use. */
  readonly lifetime: number
}

export type Decision =
  | {
      readonly verdict: 'tempfail'
      readonly reason: 'new' | 'early'
      readonly waited: number
      readonly retryIn: number
    }
  | {
      readonly verdict: 'pass'
      readonly reason: 'retry' | 'known'
      readonly waited: number
      /** Whether the pass has to be written, for the whole lifetime from now. */
      readonly keep: boolean
    }

/** A pass in constant use is extended once an hour at most: a write per message would buy nothing more. */
const LONGEST_UNEXTENDED = 3_600_000
const UNEXTENDED_SHARE = 64

export function decide(entry: FoundEntry, times: Times): Decision {
  if (entry.passed) {
    return { verdict: 'pass', reason: 'known', waited: 0, keep: isDue(entry.age, times.lifetime) }
  }
  if (entry.age < times.delay) {
    const reason = entry.added ? 'new' : 'early'
    return { verdict: 'tempfail', reason, waited: entry.age, retryIn: times.delay - entry.age }
  }
  return { verdict: 'pass', reason: 'retry', waited: entry.age, keep: true }
}

/** Whether a pass that was last extended `age` milliseconds ago has to be written again for its lifetime. */
export function isDue(age: number, lifetime: number): boolean {
  return age >= Math.min(lifetime / UNEXTENDED_SHARE, LONGEST_UNEXTENDED)
}

/** Of what several keys say about one triplet, what speaks most for it: a pass, else the longest wait, else a new one. */
export function strongest(entries: ReadonlyArray<Entry | undefined>): FoundEntry {
  let best: Entry | undefined
  for (const entry of entries) if (entry && (!best || isStronger(entry, best))) best = entry
  return best ? { ...best, added: false } : { passed: false, age: 0, added: true }
}

function isStronger(one: Entry, other: Entry): boolean {
  return one.passed === other.passed ? one.age > other.age : one.passed
}
