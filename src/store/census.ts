// Keeps the number of keys by kind for monitoring. Keys are counted in the background, at most once a minute and only
// when somebody asks, who gets the figures of the last count. How a store counts is left to the store.

import { setTimeout as sleep } from 'node:timers/promises'
import type { CountedStore, KeyCounts } from './store.ts'

/** Shortest time from one count to the next, in milliseconds. */
const COUNT_INTERVAL = 60_000

/** The same after the store has refused to be counted, as each refusal may leave a line in its log. */
const REFUSED_INTERVAL = 3_600_000

/** Longest wait for a count that is under way, in milliseconds: that of a small store is complete by then. */
const ANSWER_TIMEOUT = 5

/** The figures of one store. */
export class Census {
  readonly #store: CountedStore
  readonly #now: () => number
  readonly #end = new AbortController()
  #counts: KeyCounts | undefined
  #counting: Promise<void> | undefined
  #nextAt = Number.NEGATIVE_INFINITY

  /** `now` returns milliseconds from any origin and never goes back. */
  constructor(store: CountedStore, now: () => number) {
    this.#store = store
    this.#now = now
  }

  /**
   * The figures of the last count, and begins another one if that was more than a minute ago. `undefined` before the
   * first count has ended, and after one that has failed. Takes 5 ms at most, and never rejects.
   */
  async counts(): Promise<KeyCounts | undefined> {
    if (!this.#counting && this.#now() >= this.#nextAt) {
      this.#nextAt = this.#now() + COUNT_INTERVAL
      this.#counting = this.#count()
    }
    if (this.#counting) await Promise.race([this.#counting, sleep(ANSWER_TIMEOUT)])
    return this.#counts
  }

  /** Ends a count that is under way. */
  close(): void {
    this.#end.abort()
  }

  async #count(): Promise<void> {
    const { signal } = this.#end
    try {
      this.#counts = await this.#store.countKeys(signal)
      if (!this.#counts) this.#nextAt = this.#now() + REFUSED_INTERVAL
    } catch {
      // The circuit breaker reports why a store cannot be used. Old figures would look like those of now.
      this.#counts = undefined
    } finally {
      this.#counting = undefined
    }
  }
}
