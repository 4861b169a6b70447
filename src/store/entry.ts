// Entries, as stores return them. How they are written down is in encoding.ts.

/** What a store remembers of one triplet. */
export interface Entry {
  /** Whether the triplet has passed greylisting. */
  readonly passed: boolean
  /** Milliseconds since the first attempt or, once passed, since the pass was last extended, by the store's clock. */
  readonly age: number
  /** Who made the first attempt, as `add` was given it; absent if it was given nobody. */
  readonly holder?: string
}

/** The entry on which an attempt is judged; `added` tells that there was none before, so that its age is 0. */
export interface FoundEntry extends Entry {
  readonly added: boolean
}
