// What becomes of a key that two stores have learnt something of, each by itself, such as Redis and the host that had
// to do without it for a while: the earlier first sight, the later pass, all that was counted. Pure; redis/redis.ts has the
// same rules in a script, as there they have to hold against other hosts.

import type { StoredEntry } from './encoding.ts'

/** An entry with the milliseconds that are left of it: how old it is follows from that, by whichever clock. */
export interface LearntEntry extends StoredEntry {
  readonly left: number
}

/** So many were counted, to be added to the count of who takes it in. */
export interface LearntCount {
  readonly counted: number
  readonly left: number
}

export type Learnt = LearntEntry | LearntCount

/** What takes the place of `found`; `undefined` when it stays as it is. */
export function mergeEntry(found: LearntEntry | undefined, given: LearntEntry): LearntEntry | undefined {
  // By a clock that was set back, more may be left of it than it was set with: it begins now then.
  const learnt = { ...given, left: Math.min(given.left, given.ttl) }
  if (!found) return learnt
  if (found.passed) return learnt.passed && learnt.left > found.left ? learnt : undefined
  if (learnt.passed) return learnt
  const age = learnt.ttl - learnt.left
  if (age <= found.ttl - found.left) return undefined
  const ttl = Math.max(found.ttl, learnt.ttl)
  return { passed: false, ttl, left: ttl - age }
}
