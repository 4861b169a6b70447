// What is remembered of a triplet.

export interface Entry {
  /** Whether it completed the greylisting. */
  readonly passed: boolean
  /** Milliseconds since the first attempt or, once passed, since the pass was last extended; by the store's clock. */
  readonly age: number
}

/** An entry as it was found: `added` when there was none, so that its age is 0. */
export interface FoundEntry extends Entry {
  readonly added: boolean
}
