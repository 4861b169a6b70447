// The rule by which two stores that learnt something of one key independently are merged, such as Redis and a host that
// could not reach it for a while, or one store and the export of another: the earlier first attempt and the later pass
// win. Pure. How the result is written beside other hosts that write is each store's own matter.

import type { StoredEntry } from './encoding.ts'

/** An entry and the milliseconds that are left of it, from which any store can compute its age by its own clock. */
export interface LearntEntry extends StoredEntry {
  readonly left: number
}

/** A sum to be added to the other store's count, and the milliseconds that are left of its window. */
export interface LearntCount {
  readonly counted: number
  readonly left: number
}

/**
 * The count that another store has, and the milliseconds that are left of its window. The larger of both counts remains,
 * so that merging it twice has the effect of merging it once.
 */
export interface SeenCount {
  readonly seen: number
  readonly left: number
}

/** What one store has learnt of a key, for another to merge. */
export type Learnt = LearntEntry | LearntCount | SeenCount

/** What is to be added to the count `found` so that `learnt` is merged into it; 0 leaves it as it is. */
export function addedBy(learnt: LearntCount | SeenCount, found: number): number {
  return 'counted' in learnt ? learnt.counted : Math.max(0, learnt.seen - found)
}

/** Whether what was learnt is a count, and not an entry. */
export function isCount(learnt: Learnt): learnt is LearntCount | SeenCount {
  return !('passed' in learnt)
}

/** Difference of two instants that is not worth a write, in milliseconds: what is merged takes about as long. */
const TOLERANCE = 50

/** The entry to write in place of `found`; `undefined` when `found` stays as it is. */
export function mergeEntry(found: LearntEntry | undefined, given: LearntEntry): LearntEntry | undefined {
  // After a clock was set back, more may be left than the entry was set with; its window restarts now.
  const learnt = { ...given, left: Math.min(given.left, given.ttl) }
  if (!found) return learnt
  if (found.passed) return learnt.passed && learnt.left > found.left + TOLERANCE ? learnt : undefined
  if (learnt.passed) return learnt
  if (found.holder !== learnt.holder) return undefined
  const age = learnt.ttl - learnt.left
  if (age <= found.ttl - found.left + TOLERANCE) return undefined
  const ttl = Math.max(found.ttl, learnt.ttl)
  return { ...learnt, ttl, left: ttl - age }
}
