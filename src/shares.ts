// Fair shares of a capacity that strangers compete for; callers choose the keys. A key may hold at most an eighth of
// what is free, so the limit of every key shrinks as the capacity fills up, and the last eighth of the capacity is for
// newcomers. Keys that hold much are refused first; a newcomer finds room as long as there are not too many newcomers.
// Source: A. K. Choudhury and E. L. Hahne, "Dynamic Queue Length Thresholds for Shared-Memory Packet Switches",
// IEEE/ACM Transactions on Networking 6 (2), 1998.

import { LRUCache } from 'lru-cache'

/** Part of the free capacity that one key may hold. */
const SHARE_OF_FREE = 1 / 8
/** Part of the whole capacity that is kept for newcomers. */
const NEWCOMER_RESERVE = 1 / 8

export interface Capacity {
  /** Limit of all keys together. */
  readonly all: number
  /** Limit of one key, also while no other key holds anything. */
  readonly each: number
}

/** Shares of something that is held for a while and then given back, such as open questions. */
export class OpenShares {
  readonly #capacity: Capacity
  readonly #held = new Map<string, number>()
  #all = 0

  constructor(capacity: Capacity) {
    this.#capacity = capacity
  }

  /** Whether `take` would take one unit for all of `keys`. */
  hasRoomFor(keys: readonly string[]): boolean {
    return keys.every((key) => mayHoldMore(this.#held.get(key) ?? 0, this.#all, this.#capacity))
  }

  /** Takes one unit for all of `keys`; returns false and takes nothing if one of them holds its share already. */
  take(keys: readonly string[]): boolean {
    if (!this.hasRoomFor(keys)) return false
    for (const key of keys) this.#held.set(key, (this.#held.get(key) ?? 0) + 1)
    this.#all += 1
    return true
  }

  /** Gives back the unit that one `take` of the same keys took. */
  giveBack(keys: readonly string[]): void {
    for (const key of keys) {
      const held = (this.#held.get(key) ?? 0) - 1
      if (held > 0) this.#held.set(key, held)
      else this.#held.delete(key)
    }
    this.#all -= 1
  }
}

/** The size of a token bucket and the tokens that come back to it in a second. */
export interface Limit {
  readonly burst: number
  readonly perSecond: number
}

/** A key with its limit. */
export interface Share {
  readonly key: string
  readonly limit: Limit
}

interface Bucket {
  used: number
  /** Time of the last update of `used`, by the clock of `RateShares`. */
  updatedAt: number
  /** Time of the first use since the last rest, by the same clock. */
  activeSince: number
}

/** Limit of buckets that are kept; a key without one has used nothing. */
const MAX_KEYS = 20_000

/**
 * A newcomer is a key in use for less than NEWCOMER_PERIOD after a rest of more than NEWCOMER_REST, in milliseconds. It
 * may use NEWCOMER_ALLOWANCE of the reserve: an honest client needs a few questions, and then no more for a while.
 */
const NEWCOMER_PERIOD = 10_000
const NEWCOMER_REST = 60_000
const NEWCOMER_ALLOWANCE = 20

/** Limit of what a key can have used, in bursts, so that its debt is paid back in bounded time. */
const MAX_DEBT_BURSTS = 10

/** Token buckets, one for each key, for something that is used up and comes back with time, such as questions asked. */
export class RateShares {
  readonly #all: Limit
  readonly #now: () => number
  readonly #buckets = new LRUCache<string, Bucket>({ max: MAX_KEYS })
  readonly #used: Bucket

  /** `all` is the limit of all keys together; `now` is a monotonic clock in milliseconds. */
  constructor(all: Limit, now: () => number) {
    this.#all = all
    this.#now = now
    this.#used = { used: 0, updatedAt: now(), activeSince: now() }
  }

  /** Takes one token from each of `shares`; returns false and takes none if one of them is used up. */
  take(shares: readonly Share[]): boolean {
    const { used } = this.#current(this.#used, this.#all)
    const free = this.#all.burst - used
    const buckets = shares.map((share) => this.#bucket(share))
    if (!shares.every(({ limit }, index) => this.#mayUse(buckets[index], limit, free))) return false
    this.#used.used += 1
    for (const bucket of buckets) bucket.used += 1
    return true
  }

  /** Whether one of `shares` has used more than its burst, which only `charge` can cause. */
  isInDebt(shares: readonly Share[]): boolean {
    return shares.some((share) => this.#bucket(share).used > share.limit.burst)
  }

  /** Takes `amount` tokens from each of `shares`, even into debt; the bucket of all keys together pays nothing. */
  charge(shares: readonly Share[], amount: number): void {
    for (const share of shares) {
      const bucket = this.#bucket(share)
      bucket.used = Math.min(bucket.used + amount, MAX_DEBT_BURSTS * share.limit.burst)
    }
  }

  /** Gives `amount` tokens back to one share. */
  refund(share: Share, amount: number): void {
    const bucket = this.#bucket(share)
    bucket.used = Math.max(0, bucket.used - amount)
  }

  #mayUse(bucket: Bucket | undefined, { burst }: Limit, free: number): boolean {
    if (!bucket) return false
    if (bucket.used + 1 <= Math.min(burst, shareOf(free, this.#all.burst))) return true
    const isNewcomer = bucket.updatedAt - bucket.activeSince < NEWCOMER_PERIOD
    return isNewcomer && free >= 1 && bucket.used + 1 <= Math.min(burst, NEWCOMER_ALLOWANCE)
  }

  #bucket({ key, limit }: Share): Bucket {
    let bucket = this.#buckets.get(key)
    if (!bucket) {
      const now = this.#now()
      bucket = { used: 0, updatedAt: now, activeSince: now }
      this.#buckets.set(key, bucket)
    }
    return this.#current(bucket, limit)
  }

  #current(bucket: Bucket, { perSecond }: Limit): Bucket {
    const now = this.#now()
    if (now - bucket.updatedAt > NEWCOMER_REST) bucket.activeSince = now
    bucket.used = Math.max(0, bucket.used - ((now - bucket.updatedAt) / 1000) * perSecond)
    bucket.updatedAt = now
    return bucket
  }
}

/** Limit of one key while `free` of `all` is free. */
function shareOf(free: number, all: number): number {
  return (free - all * NEWCOMER_RESERVE) * SHARE_OF_FREE
}

/** Whether a key that holds `held` may hold one more while all keys together hold `used`. */
function mayHoldMore(held: number, used: number, { all, each }: Capacity): boolean {
  const free = all - used
  return held < 1 ? free >= 1 : held + 1 <= Math.min(each, shareOf(free, all))
}
