// The decision: takes an entry and the configured times, returns the verdict and whether a pass has to be written.
// Pure; the greylister asks the store and writes to it.
// Source: John Rudd's greylisting algorithm, steps 1a to 1d and 2; RFC 6647 section 3. A triplet that stayed away
// longer than the retry window (pending) or the lifetime (passed) has no entry any more, so that 1c and 2 are 1a.

import type { Entry, FoundEntry } from '../store/entry.ts'

/** The times of greylisting, in milliseconds. */
export interface Times {
  /** X: the shortest wait before a retry passes. */
  readonly delay: number
  /** The longest time from the first attempt to its retry. */
  readonly retryWindow: number
  /** Y: how long a pass is kept after its last use. */
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
      /** Whether the store has to write the pass, for the whole lifetime from now. */
      readonly keep: boolean
    }

/**
 * A pass in use is extended after this time, in milliseconds, or after a part of its lifetime, whichever is less; a
 * write for each message would gain nothing.
 */
const MAX_EXTENSION_INTERVAL = 3_600_000
const EXTENSIONS_PER_LIFETIME = 64

/** The decision on an attempt whose triplet has this entry; a new triplet has one of age 0. */
export function decide(entry: FoundEntry, times: Times): Decision {
  if (entry.passed) {
    return { verdict: 'pass', reason: 'known', waited: 0, keep: isExtensionDue(entry.age, times.lifetime) }
  }
  if (entry.age < times.delay) {
    const reason = entry.added ? 'new' : 'early'
    return { verdict: 'tempfail', reason, waited: entry.age, retryIn: times.delay - entry.age }
  }
  return { verdict: 'pass', reason: 'retry', waited: entry.age, keep: true }
}

/** Whether a pass that was written `age` milliseconds ago has to be extended to its whole lifetime. */
export function isExtensionDue(age: number, lifetime: number): boolean {
  return age >= Math.min(lifetime / EXTENSIONS_PER_LIFETIME, MAX_EXTENSION_INTERVAL)
}

/** The entry that speaks most for a triplet with several keys: a pass, else the longest wait, else a new entry. */
export function strongest(entries: ReadonlyArray<Entry | undefined>): FoundEntry {
  let best: Entry | undefined
  for (const entry of entries) if (entry && (!best || isStronger(entry, best))) best = entry
  return best ? { ...best, added: false } : { passed: false, age: 0, added: true }
}

function isStronger(one: Entry, other: Entry): boolean {
  return one.passed === other.passed ? one.age > other.age : one.passed
}
