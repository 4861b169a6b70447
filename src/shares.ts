// A capacity that strangers share. A key may hold at most an eighth of what is free, so that the bound of every key
// shrinks while the capacity fills up; and the last eighth of it all is for keys that hold nothing yet. Whoever holds much
// is refused first, and a newcomer finds room until there are nearly as many keys as there is capacity.
// Source: A. K. Choudhury and E. L. Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches",
// IEEE/ACM Transactions on Networking 6 (2), 1998.

import { LRUCache } from 'lru-cache'

/** The share of what is free that one key may hold, and the share of all that is kept for newcomers. */
const SHARE_OF_FREE = 1 / 8
const SHARE_OF_NEWCOMERS = 1 / 8

export interface Capacity {
  /** What all keys together may hold. */
  readonly all: number
  /** What one key may hold, even while nobody else needs anything. */
  readonly each: number
}

/** Shares of what is held for a while and then given back, such as open questions. */
export class OpenShares {
  readonly #capacity: Capacity
  readonly #held = new Map<string, number>()
  #all = 0

  constructor(capacity: Capacity) {
    this.#capacity = capacity
  }

  /** Takes one under all of `keys`, or none at all where one of them holds its share already. */
  take(keys: readonly string[]): boolean {
    if (!keys.every((key) => mayHoldMore(this.#held.get(key) ?? 0, this.#all, this.#capacity))) return false
    for (const key of keys) this.#held.set(key, (this.#held.get(key) ?? 0) + 1)
    this.#all += 1
    return true
  }

  /** Gives back what one `take` of the same keys took. */
  giveBack(keys: readonly string[]): void {
    for (const key of keys) {
      const held = (this.#held.get(key) ?? 0) - 1
      if (held > 0) this.#held.set(key, held)
      else this.#held.delete(key)
    }
    this.#all -= 1
  }
}

/** How much comes back by itself in a second. */
export interface Refill {
  readonly all: number
  readonly each: number
}

interface Level {
  used: number
  /** When `used` was true, by the clock of `RateShares`. */
  at: number
}

/** How often the share of a key its debt may be at most: some time, it is paid back. */
const MAX_DEBT = 10

/** Keys whose use is remembered; one that was forgotten has used nothing. */
const MAX_KEYS = 20_000

/** Shares of what is used up and comes back with time, such as questions asked: a token bucket for each key. */
export class RateShares {
  readonly #capacity: Capacity
  readonly #refill: Refill
  readonly #now: () => number
  readonly #levels = new LRUCache<string, Level>({ max: MAX_KEYS })
  readonly #all: Level

  /** `now` gives milliseconds from any origin that never go back. */
  constructor(capacity: Capacity, refill: Refill, now: () => number) {
    this.#capacity = capacity
    this.#refill = refill
    this.#now = now
    this.#all = { used: 0, at: now() }
  }

  /** Uses one under all of `keys`, or nothing at all where one of them has used its share up. */
  take(keys: readonly string[]): boolean {
    const { used } = this.#current(this.#all, this.#refill.all)
    if (!keys.every((key) => mayHoldMore(this.#level(key).used, used, this.#capacity))) return false
    this.#all.used += 1
    for (const key of keys) this.#level(key).used += 1
    return true
  }

  /** Whether one of `keys` has used more than one key may use, which `charge` can bring about. */
  isInDebt(keys: readonly string[]): boolean {
    return keys.some((key) => this.#level(key).used > this.#capacity.each)
  }

  /** Counts what was used already under all of `keys`, also beyond their share; all together pay for none of it. */
  charge(keys: readonly string[], amount: number): void {
    for (const key of keys) {
      const level = this.#level(key)
      level.used = Math.min(level.used + amount, MAX_DEBT * this.#capacity.each)
    }
  }

  #level(key: string): Level {
    let level = this.#levels.get(key)
    if (!level) {
      level = { used: 0, at: this.#now() }
      this.#levels.set(key, level)
    }
    return this.#current(level, this.#refill.each)
  }

  #current(level: Level, refillPerSecond: number): Level {
    const now = this.#now()
    level.used = Math.max(0, level.used - ((now - level.at) / 1000) * refillPerSecond)
    level.at = now
    return level
  }
}

/** Whether a key that holds `held` may hold one more where all keys hold `used` together. */
function mayHoldMore(held: number, used: number, { all, each }: Capacity): boolean {
  const free = all - used
  if (held < 1) return free >= 1
  return held + 1 <= Math.min(each, (free - all * SHARE_OF_NEWCOMERS) * SHARE_OF_FREE)
}
