// What a store promises. It keeps entries under keys and knows no rule of greylisting.
//
// - Each operation is one atomic round trip: of many `getOrAdd` of one key at once, whichever host asks, one adds.
// - How old an entry is, the store says by its own clock; no two hosts' clocks are ever compared.
// - An entry past its end is absent, swept or not.
// - What the outside does (Redis gone, disk full, contents that are not ours) rejects with a message that names it.

import type { Entry, FoundEntry } from '../greylist/entry.ts'

export interface Store {
  /** What is remembered under `key`; where that is nothing, it is now pending for `retryWindow` milliseconds. */
  getOrAdd(key: string, retryWindow: number): Promise<FoundEntry>
  /** Remembers `key` as passed for `lifetime` milliseconds from now, whatever it was before. */
  pass(key: string, lifetime: number): Promise<void>
  /** Looks without adding. */
  get(key: string): Promise<Entry | undefined>
  forget(key: string): Promise<void>
  /** Resolves when the store can be reached and written to. */
  check(): Promise<void>
  close(): Promise<void>
}
