// A capacity that strangers share. A key may hold at most an eighth of what is free, so that the bound of every key
// shrinks while the capacity fills up; and the last eighth of it all is for newcomers. Whoever holds much is refused first,
// and a newcomer finds room as long as there are not too many newcomers.
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

/** How much a key may use in a burst, and how much comes back to it in a second. */
export interface Limit {
  readonly most: number
  readonly perSecond: number
}

/** A key with its limit. */
export interface Share {
  readonly key: string
  readonly limit: Limit
}

interface Level {
  used: number
  /** When `used` was true, and since when the key has been in use, by the clock of `RateShares`. */
  at: number
  since: number
}

/** Keys whose use is remembered; one that was forgotten has used nothing. */
const MAX_KEYS = 20_000

/**
 * A newcomer is a key that has been in use for no longer than NEWCOMER_TIME, after a rest of REST at least, in milliseconds.
 * It may use so much of what is kept for newcomers: an honest one needs a few questions, and then no more for a while.
 */
const NEWCOMER_TIME = 10_000
const REST = 60_000
const NEWCOMER_ALLOWANCE = 20

/** How often its limit a key's debt may be at most: some time, it is paid back. */
const MAX_DEBT = 10

/** Shares of what is used up and comes back with time, such as questions asked: a token bucket for each key. */
export class RateShares {
  readonly #all: Limit
  readonly #now: () => number
  readonly #levels = new LRUCache<string, Level>({ max: MAX_KEYS })
  readonly #used: Level

  /** `all` is the limit of all keys together. `now` gives milliseconds from any origin that never go back. */
  constructor(all: Limit, now: () => number) {
    this.#all = all
    this.#now = now
    this.#used = { used: 0, at: now(), since: now() }
  }

  /** Uses one of all `shares`, or nothing at all where one of them is used up. */
  take(shares: readonly Share[]): boolean {
    const { used } = this.#current(this.#used, this.#all)
    const free = this.#all.most - used
    const levels = shares.map((share) => this.#level(share))
    if (!shares.every(({ limit }, index) => this.#mayUse(levels[index], limit, free))) return false
    this.#used.used += 1
    for (const level of levels) level.used += 1
    return true
  }

  /** Whether one of `shares` has used more than its limit, which `charge` can bring about. */
  isInDebt(shares: readonly Share[]): boolean {
    return shares.some((share) => this.#level(share).used > share.limit.most)
  }

  /** Counts what was used already for all `shares`, also beyond their limits; all keys together pay for none of it. */
  charge(shares: readonly Share[], amount: number): void {
    for (const share of shares) {
      const level = this.#level(share)
      level.used = Math.min(level.used + amount, MAX_DEBT * share.limit.most)
    }
  }

  /** Gives back to one share what it used, as that turned out to be well used. */
  forgive(share: Share, amount: number): void {
    const level = this.#level(share)
    level.used = Math.max(0, level.used - amount)
  }

  #mayUse(level: Level | undefined, { most }: Limit, free: number): boolean {
    if (!level) return false
    if (level.used + 1 <= Math.min(most, shareOf(free, this.#all.most))) return true
    const isNewcomer = level.at - level.since < NEWCOMER_TIME
    return isNewcomer && free >= 1 && level.used + 1 <= Math.min(most, NEWCOMER_ALLOWANCE)
  }

  #level({ key, limit }: Share): Level {
    let level = this.#levels.get(key)
    if (!level) {
      const now = this.#now()
      level = { used: 0, at: now, since: now }
      this.#levels.set(key, level)
    }
    return this.#current(level, limit)
  }

  #current(level: Level, { perSecond }: Limit): Level {
    const now = this.#now()
    if (now - level.at > REST) level.since = now
    level.used = Math.max(0, level.used - ((now - level.at) / 1000) * perSecond)
    level.at = now
    return level
  }
}

/** What one key may hold where so much is free of all. */
function shareOf(free: number, all: number): number {
  return (free - all * SHARE_OF_NEWCOMERS) * SHARE_OF_FREE
}

/** Whether a key that holds `held` may hold one more where all keys hold `used` together. */
function mayHoldMore(held: number, used: number, { all, each }: Capacity): boolean {
  const free = all - used
  return held < 1 ? free >= 1 : held + 1 <= Math.min(each, shareOf(free, all))
}
