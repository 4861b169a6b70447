// What a store promises. It keeps entries under keys and knows no rule of greylisting.
//
// - Each operation is one round trip, and atomic for each key: of many `add` of one key at once, whichever host asks,
//   one adds; of many `count`, each gets a sum of its own.
// - How old an entry is, the store says by its own clock; no two hosts' clocks are ever compared.
// - An entry past its end is absent, swept or not.
// - An entry of which more is left than it was set with, as after its clock was set back, begins anew now. So does the
//   window of a count when it is counted again.
// - What the outside does (Redis gone, disk full, contents that are not ours) rejects with a message that names it.

import type { Entry } from './entry.ts'
import type { Learnt } from './merge.ts'

export interface Store {
  /** What is remembered under each of `keys` (one at least), in their order; looks without adding. */
  find(keys: readonly string[]): Promise<Array<Entry | undefined>>
  /**
   * Whether there was nothing under `key`: then it is now pending for `retryWindow` milliseconds, of which `age` have
   * gone by already (less than all of them; none by default).
   */
  add(key: string, retryWindow: number, age?: number): Promise<boolean>
  /** Remembers `key` as passed for `lifetime` milliseconds from now, whatever it was before. */
  pass(key: string, lifetime: number): Promise<void>
  /** Adds one to the count under `key`, and gives the sum. A count ends `window` milliseconds after its first. */
  count(key: string, window: number): Promise<number>
  /** Of an entry or a count. */
  forget(key: string): Promise<void>
  /** Resolves when the store can be reached and written to. */
  check(): Promise<void>
  close(): Promise<void>
}

/** A store that can take in what another has learnt while this one was away. */
export interface SharedStore extends Store {
  /**
   * Of an entry, the earlier first sight and the later pass remain (a pass outweighs any wait); counts add up. Taken in
   * twice, an entry is what it was after the first time.
   */
  merge(key: string, learnt: Learnt): Promise<void>
}
