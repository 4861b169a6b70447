// The store of one host beside a shared one: a bounded cache of what the shared store said last, and what the host
// learnt without it until that is merged. In memory; with a journal (journal.ts), also across restarts. When the shared
// store is asked and when it is merged, failover.ts decides.

import {
  ageEntry,
  decodeCount,
  decodeEntry,
  encodeCount,
  encodeEntry,
  hasTooMuchLeft,
  type StoredEntry,
  ttlOf,
} from '../encoding.ts'
import type { Entry } from '../entry.ts'
import type { Learnt } from '../merge.ts'
import type { Store } from '../store.ts'
import type { JournalSource, SteadyJournal, Text } from './journal.ts'

/** How long copies of entries that other hosts wrote are kept, in milliseconds. */
export interface LocalTimes {
  readonly retryWindow: number
  readonly lifetime: number
}

/** What is kept under one key. It is never changed, only replaced, so that `merged` can tell a later write. */
export interface Kept {
  readonly value: StoredEntry | number
  readonly expiresAt: number
  /** What the shared store does not have yet: 1 for an entry, the missing part of a count; 0 for a copy. */
  readonly unmerged: number
}

/** A key to be merged, its value here, and what the shared store gets of it. */
export interface Unmerged {
  readonly key: string
  readonly kept: Kept
  readonly learnt: Learnt
}

/** Share of the limit that is reserved for copies of passes, so that known senders go on passing during a flood. */
const MIN_SHARE_OF_PASSES = 1 / 2

/** When the limit is reached, so many of the entries that are not merged yet are checked for expiry, in turn. */
const SWEEP_BATCH = 256

/** A copy whose expiry has moved by less than this, in milliseconds, is not written again. */
const COPY_TOLERANCE = 1000

/** The local store. `add`, `pass` and `count` reject when the limit is taken up by what is not merged yet. */
export class LocalStore implements Store, JournalSource {
  readonly #now: () => number
  #limit: number
  #times: LocalTimes
  readonly #journal: SteadyJournal | undefined
  /** Each key is in one of these maps, which begin with the least recently written key, or used key for passes. */
  readonly #unmerged = new Map<string, Kept>()
  readonly #passes = new Map<string, Kept>()
  readonly #others = new Map<string, Kept>()
  /** Goes round `#unmerged` in search of expired entries. */
  #sweep = this.#unmerged.entries()
  #refused = 0

  /** `now` returns milliseconds and never goes back; with a journal, since the epoch. `limit` is in entries. */
  constructor(now: () => number, limit: number, times: LocalTimes, journal?: SteadyJournal) {
    this.#now = now
    this.#limit = limit
    this.#times = times
    this.#journal = journal
  }

  /** Restores what the journal has, now or once it can be read. The caller awaits this before any other call. */
  async restore(): Promise<void> {
    await this.#journal?.begin(this)
  }

  /** Changes limit and times. Copies beyond a lower limit are dropped; what is not merged yet is kept. */
  use(limit: number, times: LocalTimes): void {
    this.#limit = limit
    this.#times = times
    while (this.size > limit) {
      const victim = this.#victimOf(undefined)
      if (victim === undefined) return
      void this.#drop(victim)
    }
  }

  /** Number of keys in memory, including expired ones. */
  get size(): number {
    return this.#unmerged.size + this.#passes.size + this.#others.size
  }

  /** Number of keys that are not merged yet. */
  get unmergedSize(): number {
    return this.#unmerged.size
  }

  /** Number of writes that were refused, as the limit was taken up by what is not merged yet. */
  get refused(): number {
    return this.#refused
  }

  async find(keys: readonly string[]): Promise<Array<Entry | undefined>> {
    return keys.map((key) => this.#entry(this.#alive(key)))
  }

  async add(key: string, retryWindow: number, age = 0, holder?: string): Promise<boolean> {
    if (this.#alive(key)) return false
    const value = { passed: false, ttl: retryWindow }
    await this.#learn(key, { value, expiresAt: this.#now() + retryWindow - age, unmerged: 1 })
    // Two hosts that cannot see each other may each have a holder, of which a merge could keep only one.
    return holder === undefined
  }

  async pass(key: string, lifetime: number): Promise<void> {
    const value = { passed: true, ttl: lifetime }
    await this.#learn(key, { value, expiresAt: this.#now() + lifetime, unmerged: 1 })
  }

  async count(key: string, window: number, by = 1): Promise<number> {
    const kept = this.#alive(key)
    const value = countIn(kept) + by
    const expiresAt = Math.min(kept?.expiresAt ?? Infinity, this.#now() + window)
    await this.#learn(key, { value, expiresAt, unmerged: (kept?.unmerged ?? 0) + by })
    return value
  }

  async counts(keys: readonly string[]): Promise<number[]> {
    return keys.map((key) => countIn(this.#alive(key)))
  }

  async forget(key: string): Promise<void> {
    await this.#drop(key)
  }

  async check(): Promise<void> {}

  async close(): Promise<void> {
    await this.#journal?.close()
  }

  /**
   * Keeps what the shared store said of a key, unless what is not merged yet says more. Returns the one of the two that
   * is valid.
   */
  heard(key: string, entry: Entry | undefined): Entry | undefined {
    const kept = this.#alive(key)
    const own = kept && kept.unmerged > 0 ? this.#entry(kept) : undefined
    if (own && !(entry && supersedes(entry, own))) return own
    if (entry) {
      const { lifetime, retryWindow } = this.#times
      const ttl = sameEntry(kept, entry)?.ttl ?? (entry.passed ? lifetime : retryWindow)
      this.#copy(key, storedEntry(entry, ttl), this.#now() + ttl - entry.age)
    } else if (kept) void this.#drop(key)
    return entry
  }

  /** Keeps that the shared store has just set `key` to pending. */
  added(key: string, retryWindow: number, age = 0, holder?: string): void {
    if (this.#unmerged.has(key)) return // learnt in the meantime, and merged soon
    this.#copy(key, storedEntry({ passed: false, holder }, retryWindow), this.#now() + retryWindow - age)
  }

  /** Keeps that the shared store has just set `key` to passed. */
  passed(key: string, lifetime: number): void {
    this.#copy(key, { passed: true, ttl: lifetime }, this.#now() + lifetime)
  }

  /** Keeps that the shared store's count is `sum` now; returns it with what is not merged yet added. */
  counted(key: string, sum: number, window: number): number {
    const kept = this.#alive(key)
    const unmerged = kept?.unmerged ?? 0
    const expiresAt = Math.min(kept?.expiresAt ?? Infinity, this.#now() + window)
    const next = { value: sum + unmerged, expiresAt, unmerged }
    if (this.#hasRoomFor(key, next)) void this.#write(key, next)
    return next.value
  }

  /** The count of which the shared store has just said `sum`, with what is not merged yet added. */
  heardCount(key: string, sum: number): number {
    return sum + (this.#alive(key)?.unmerged ?? 0)
  }

  /** At most `limit` keys that are to be merged. */
  unmerged(limit: number): Unmerged[] {
    const now = this.#now()
    const batch: Unmerged[] = []
    for (const [key, kept] of this.#unmerged) {
      const left = kept.expiresAt - now
      if (left <= 0) void this.#drop(key)
      else batch.push({ key, kept, learnt: learntOf(kept, left) })
      if (batch.length === limit) break
    }
    return batch
  }

  /** Marks `merged` as known to the shared store; what was learnt since then stays to be merged. */
  async merged(key: string, merged: Kept): Promise<void> {
    const kept = this.#unmerged.get(key)
    if (!kept) return
    const isCount = typeof kept.value === 'number' && typeof merged.value === 'number'
    if (kept === merged) await this.#write(key, { ...kept, unmerged: 0 })
    else if (isCount && kept.unmerged > merged.unmerged)
      await this.#write(key, { ...kept, unmerged: kept.unmerged - merged.unmerged })
  }

  /** Removes what is under `key`, unless it is not merged yet. */
  async forgetCopy(key: string): Promise<void> {
    if (!this.#unmerged.has(key)) await this.#drop(key)
  }

  has(key: string): boolean {
    return this.#unmerged.has(key) || this.#passes.has(key) || this.#others.has(key)
  }

  /** All contents in the form of the journal. */
  *texts(): Iterable<Text> {
    for (const keys of [this.#unmerged, this.#passes, this.#others])
      for (const [key, kept] of keys) yield [key, encodeKept(kept)]
  }

  /**
   * Skips texts whose key is known by now, that have expired or cannot be read, and that exceed the limit. When more
   * is left of an entry than it was set with, as the date was set back since, its window restarts now.
   */
  take(found: readonly Text[]): boolean {
    const now = this.#now()
    let isChanged = false
    const alive = found.flatMap(([key, text]) => {
      const kept = decodeKept(key, text)
      if (!kept || kept.expiresAt <= now || this.has(key)) return []
      const ttl = this.#maxTtl(kept)
      if (!hasTooMuchLeft(kept.expiresAt - now, ttl)) return [{ key, kept }]
      isChanged = true
      return [{ key, kept: { ...kept, expiresAt: now + ttl } }]
    })
    alive.sort((a, b) => a.kept.expiresAt - b.kept.expiresAt)
    for (const { key, kept } of alive) {
      if (this.#hasRoomFor(key, kept)) this.#mapFor(kept).set(key, kept)
    }
    return isChanged
  }

  /** The longest time that `value` may be kept from now on. The window of a count is known only at its next `count`. */
  #maxTtl({ value }: Kept): number {
    if (typeof value !== 'number') return value.ttl
    return Math.max(this.#times.retryWindow, this.#times.lifetime)
  }

  #alive(key: string): Kept | undefined {
    const kept = this.#unmerged.get(key) ?? this.#passes.get(key) ?? this.#others.get(key)
    return kept && kept.expiresAt > this.#now() ? kept : undefined
  }

  #entry(kept: Kept | undefined): Entry | undefined {
    if (!kept || typeof kept.value === 'number') return undefined
    return ageEntry(kept.value, kept.expiresAt - this.#now())
  }

  #learn(key: string, kept: Kept): Promise<void> | undefined {
    if (this.#hasRoomFor(key, kept)) return this.#write(key, kept)
    this.#refused += 1
    const problem = `the local store is full: of its ${this.#limit} entries, ${this.#unmerged.size} are not merged yet`
    return Promise.reject(new Error(problem))
  }

  /** Keeps a copy of an entry of the shared store, if there is room. */
  #copy(key: string, value: StoredEntry, expiresAt: number): void {
    const kept = this.#alive(key)
    const same = kept && kept.unmerged === 0 ? sameEntry(kept, value) : undefined
    const isSame = same?.ttl === value.ttl && same.holder === value.holder
    if (kept && isSame && Math.abs(kept.expiresAt - expiresAt) < COPY_TOLERANCE) {
      if (this.#passes.delete(key)) this.#passes.set(key, kept) // now the most recently used
      return
    }
    const copy = { value, expiresAt, unmerged: 0 }
    if (expiresAt > this.#now() && this.#hasRoomFor(key, copy)) void this.#write(key, copy)
  }

  /** Whether `kept` can be kept; drops another key for it when the limit is reached. */
  #hasRoomFor(key: string, kept: Kept): boolean {
    if (this.size < this.#limit || this.has(key)) return true
    const victim = this.#victimOf(kept)
    if (victim === undefined) return false
    void this.#drop(victim)
    return true
  }

  /** The key to drop next, to make room for `kept` where that is given; `undefined` when none may be dropped. */
  #victimOf(kept: Kept | undefined): string | undefined {
    const [pass] = this.#passes.keys()
    const [other] = this.#others.keys()
    if (this.#passes.size > this.#limit * MIN_SHARE_OF_PASSES) return pass
    if (other !== undefined) return other
    if (pass !== undefined && (!kept || this.#mapFor(kept) === this.#passes)) return pass
    return this.#expiredKey()
  }

  /**
   * An expired key that is not merged yet, if one is among the next ones in turn. Expired waits and passes, which live
   * longer, stand in any order.
   */
  #expiredKey(): string | undefined {
    const now = this.#now()
    for (let count = 0; count < Math.min(SWEEP_BATCH, this.#unmerged.size + 1); count += 1) {
      const next = this.#sweep.next()
      if (next.done) this.#sweep = this.#unmerged.entries()
      else if (next.value[1].expiresAt <= now) return next.value[0]
    }
    return undefined
  }

  #mapFor({ value, unmerged }: Kept): Map<string, Kept> {
    if (unmerged > 0) return this.#unmerged
    return typeof value !== 'number' && value.passed ? this.#passes : this.#others
  }

  #write(key: string, kept: Kept): Promise<void> | undefined {
    this.#remove(key)
    this.#mapFor(kept).set(key, kept)
    return this.#journal?.put(key, encodeKept(kept))
  }

  #drop(key: string): Promise<void> | undefined {
    this.#remove(key)
    return this.#journal?.remove(key)
  }

  #remove(key: string): void {
    for (const kept of [this.#unmerged, this.#passes, this.#others]) if (kept.delete(key)) return
  }
}

function countIn(kept: Kept | undefined): number {
  return typeof kept?.value === 'number' ? kept.value : 0
}

function encodeKept({ value, expiresAt, unmerged }: Kept): string {
  return `${expiresAt} ${unmerged} ${typeof value === 'number' ? encodeCount(value) : encodeEntry(value)}`
}

function decodeKept(key: string, text: string): Kept | undefined {
  const [, expiresAt, unmerged, value = ''] = /^(\d+(?:\.\d+)?) (\d{1,15}) (.+)$/.exec(text) ?? []
  try {
    return {
      value: ttlOf(value) === undefined ? decodeCount(key, value) : decodeEntry(key, value),
      expiresAt: Number(expiresAt),
      unmerged: Number(unmerged),
    }
  } catch {
    return undefined
  }
}

function learntOf({ value, unmerged }: Kept, left: number): Learnt {
  if (typeof value === 'number') return { counted: unmerged, left }
  return { passed: value.passed, ttl: value.ttl, left }
}

function storedEntry(entry: { passed: boolean; holder?: string | undefined }, ttl: number): StoredEntry {
  const { passed, holder } = entry
  return holder === undefined ? { passed, ttl } : { passed, ttl, holder }
}

/** The entry in `kept` when it is in the same state, passed or pending, as `entry`. */
function sameEntry(kept: Kept | undefined, entry: { readonly passed: boolean }): StoredEntry | undefined {
  if (!kept || typeof kept.value === 'number') return undefined
  return kept.value.passed === entry.passed ? kept.value : undefined
}

/**
 * Whether `entry` says at least as much as `own`: a pass outweighs any wait, and a wait with a holder one without; else
 * the later pass or longer wait wins.
 */
function supersedes(entry: Entry, own: Entry): boolean {
  if (entry.passed !== own.passed) return entry.passed
  if (entry.holder !== undefined) return true
  return entry.passed ? entry.age <= own.age : entry.age >= own.age
}
