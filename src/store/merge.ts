// The rule by which two stores that learnt something of one key independently are merged, such as Redis and a host that
// could not reach it for a while: the earlier first attempt and the later pass win. Pure. How the result is written
// beside other hosts that write, and how counts add up, is each store's own matter.

import type { StoredEntry } from './encoding.ts'

/**
 * An entry and the milliseconds that are left of it, from which any store can compute its age by its own clock. It has
 * no holder, as the fallback of a shared store keeps none.
 */
export interface LearntEntry extends Omit<StoredEntry, 'holder'> {
  readonly left: number
}

/** A sum to be added to the other store's count, and the milliseconds that are left of its window. */
export interface LearntCount {
  readonly counted: number
  readonly left: number
}

/** What one store has learnt of a key, for another to merge. */
export type Learnt = LearntEntry | LearntCount

/** The entry to write in place of `found`; `undefined` when `found` stays as it is. */
export function mergeEntry(
  found: (LearntEntry & StoredEntry) | undefined,
  given: LearntEntry,
): LearntEntry | undefined {
  // After a clock was set back, more may be left than the entry was set with; its window restarts now.
  const learnt = { ...given, left: Math.min(given.left, given.ttl) }
  if (!found) return learnt
  if (found.passed) return learnt.passed && learnt.left > found.left ? learnt : undefined
  if (learnt.passed) return learnt
  if (found.holder !== undefined) return undefined
  const age = learnt.ttl - learnt.left
  if (age <= found.ttl - found.left) return undefined
  const ttl = Math.max(found.ttl, learnt.ttl)
  return { passed: false, ttl, left: ttl - age }
}
