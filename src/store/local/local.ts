// What a host remembers by itself beside a store that it shares with others: the latest of what that store has said,
// and what it had to learn without it, until that is merged. In memory and bounded; with a journal, also across
// restarts.

import {
  ageEntry,
  decodeCount,
  decodeEntry,
  encodeCount,
  encodeEntry,
  hasTooMuchLeft,
  type StoredEntry,
} from '../encoding.ts'
import type { Entry } from '../entry.ts'
import type { Learnt } from '../merge.ts'
import type { Store } from '../store.ts'
import type { Contents, SteadyJournal, Text } from './journal.ts'

/** How long entries are kept that others wrote, in milliseconds. */
export interface LocalTimes {
  readonly retryWindow: number
  readonly lifetime: number
}

/** Never changed, only replaced. */
export interface Kept {
  readonly value: StoredEntry | number
  readonly endsAt: number
  /** What the shared store does not know: 1 for an entry, for a count how much of it. 0 when it knows all. */
  readonly unmerged: number
}

/** Something to be merged, and as what it is kept. */
export interface Unmerged {
  readonly key: string
  readonly kept: Kept
  readonly learnt: Learnt
}

/** Copies of passes have so much of the room at least: known senders go on passing, whatever else floods in. */
const SHARE_OF_PASSES = 1 / 2

/** A copy that is off by less, in milliseconds, is not written down again. */
const SLACK = 1000

export class LocalStore implements Store, Contents {
  readonly #now: () => number
  #limit: number
  #times: LocalTimes
  readonly #journal: SteadyJournal | undefined
  /** Each key is in one of them. The first of each was not written, or as a pass used, for longest. */
  readonly #unmerged = new Map<string, Kept>()
  readonly #passes = new Map<string, Kept>()
  readonly #others = new Map<string, Kept>()
  #refused = 0

  /** `now` gives milliseconds that never go back; with a journal, since the epoch. `limit` is in entries. */
  constructor(now: () => number, limit: number, times: LocalTimes, journal?: SteadyJournal) {
    this.#now = now
    this.#limit = limit
    this.#times = times
    this.#journal = journal
  }

  /** Takes up what its journal has, now or once that can be read; to be called first. */
  async restore(): Promise<void> {
    await this.#journal?.begin(this)
  }

  /** From now on. Of what is beyond a lower limit, copies are forgotten, and what is not merged yet is kept. */
  use(limit: number, times: LocalTimes): void {
    this.#limit = limit
    this.#times = times
    while (this.size > limit) {
      const victim = this.#victimOf(undefined)
      if (victim === undefined) return
      void this.#drop(victim)
    }
  }

  /** How many entries take up room. */
  get size(): number {
    return this.#unmerged.size + this.#passes.size + this.#others.size
  }

  get unmergedSize(): number {
    return this.#unmerged.size
  }

  /** How much was not learnt, as all room was taken by what is not merged yet. */
  get refused(): number {
    return this.#refused
  }

  async find(keys: readonly string[]): Promise<Array<Entry | undefined>> {
    return keys.map((key) => this.#entry(this.#alive(key)))
  }

  async add(key: string, retryWindow: number, age = 0): Promise<boolean> {
    if (this.#alive(key)) return false
    const value = { passed: false, ttl: retryWindow }
    await this.#learn(key, { value, endsAt: this.#now() + retryWindow - age, unmerged: 1 })
    return true
  }

  async pass(key: string, lifetime: number): Promise<void> {
    const value = { passed: true, ttl: lifetime }
    await this.#learn(key, { value, endsAt: this.#now() + lifetime, unmerged: 1 })
  }

  async count(key: string, window: number): Promise<number> {
    const kept = this.#alive(key)
    const value = (typeof kept?.value === 'number' ? kept.value : 0) + 1
    const endsAt = Math.min(kept?.endsAt ?? Infinity, this.#now() + window)
    await this.#learn(key, { value, endsAt, unmerged: (kept?.unmerged ?? 0) + 1 })
    return value
  }

  async forget(key: string): Promise<void> {
    await this.#drop(key)
  }

  async check(): Promise<void> {}

  async close(): Promise<void> {
    await this.#journal?.close()
  }

  /**
   * Keeps what the shared store said of a key, unless what is not merged yet says more. Gives which of the two is to be
   * believed.
   */
  heard(key: string, entry: Entry | undefined): Entry | undefined {
    const kept = this.#alive(key)
    const own = kept && kept.unmerged > 0 ? this.#entry(kept) : undefined
    if (own && !(entry && supersedes(entry, own))) return own
    if (entry) {
      const { lifetime, retryWindow } = this.#times
      const ttl = sameEntry(kept, entry)?.ttl ?? (entry.passed ? lifetime : retryWindow)
      this.#copy(key, { passed: entry.passed, ttl }, this.#now() + ttl - entry.age)
    } else if (kept) void this.#drop(key)
    return entry
  }

  /** The shared store has it as pending now. */
  added(key: string, retryWindow: number, age = 0): void {
    if (this.#unmerged.has(key)) return // learnt meanwhile, and merged soon
    this.#copy(key, { passed: false, ttl: retryWindow }, this.#now() + retryWindow - age)
  }

  /** The shared store has it as passed now. */
  passed(key: string, lifetime: number): void {
    this.#copy(key, { passed: true, ttl: lifetime }, this.#now() + lifetime)
  }

  /** The shared store's count is `sum` now; gives it together with what was not merged yet. */
  counted(key: string, sum: number, window: number): number {
    const kept = this.#alive(key)
    const unmerged = kept?.unmerged ?? 0
    const endsAt = Math.min(kept?.endsAt ?? Infinity, this.#now() + window)
    const next = { value: sum + unmerged, endsAt, unmerged }
    if (this.#hasRoomFor(key, next)) void this.#write(key, next)
    return next.value
  }

  /** Up to `most` of what is to be merged. */
  unmerged(most: number): Unmerged[] {
    const now = this.#now()
    const batch: Unmerged[] = []
    for (const [key, kept] of this.#unmerged) {
      const left = kept.endsAt - now
      if (left <= 0) void this.#drop(key)
      else batch.push({ key, kept, learnt: learntOf(kept, left) })
      if (batch.length === most) break
    }
    return batch
  }

  /** `merged` is known to the shared store now; what was learnt since then is not. */
  async merged(key: string, merged: Kept): Promise<void> {
    const kept = this.#unmerged.get(key)
    if (!kept) return
    const isCount = typeof kept.value === 'number' && typeof merged.value === 'number'
    if (kept === merged) await this.#write(key, { ...kept, unmerged: 0 })
    else if (isCount && kept.unmerged > merged.unmerged)
      await this.#write(key, { ...kept, unmerged: kept.unmerged - merged.unmerged })
  }

  has(key: string): boolean {
    return this.#unmerged.has(key) || this.#passes.has(key) || this.#others.has(key)
  }

  /** All of it as it is written down. */
  *texts(): Iterable<Text> {
    for (const keys of [this.#unmerged, this.#passes, this.#others])
      for (const [key, kept] of keys) yield [key, encodeKept(kept)]
  }

  /**
   * But for what is known by now, has ended, cannot be read or has no room any more. What has more left than it was set
   * with, as the date was set back since, begins anew.
   */
  take(found: readonly Text[]): boolean {
    const now = this.#now()
    let isChanged = false
    const alive = found.flatMap(([key, text]) => {
      const kept = decodeKept(key, text)
      if (!kept || kept.endsAt <= now || this.has(key)) return []
      const ttl = this.#longest(kept)
      if (!hasTooMuchLeft(kept.endsAt - now, ttl)) return [{ key, kept }]
      isChanged = true
      return [{ key, kept: { ...kept, endsAt: now + ttl } }]
    })
    alive.sort((a, b) => a.kept.endsAt - b.kept.endsAt)
    for (const { key, kept } of alive) {
      if (this.#hasRoomFor(key, kept)) this.#mapFor(kept).set(key, kept)
    }
    return isChanged
  }

  /** How long it may be kept from now on; of a count, the window is known only when it is counted again. */
  #longest({ value }: Kept): number {
    if (typeof value !== 'number') return value.ttl
    return Math.max(this.#times.retryWindow, this.#times.lifetime)
  }

  #alive(key: string): Kept | undefined {
    const kept = this.#unmerged.get(key) ?? this.#passes.get(key) ?? this.#others.get(key)
    return kept && kept.endsAt > this.#now() ? kept : undefined
  }

  #entry(kept: Kept | undefined): Entry | undefined {
    if (!kept || typeof kept.value === 'number') return undefined
    return ageEntry(kept.value, kept.endsAt - this.#now())
  }

  #learn(key: string, kept: Kept): Promise<void> | undefined {
    if (this.#hasRoomFor(key, kept)) return this.#write(key, kept)
    this.#refused += 1
    const problem = `the local store is full: of its ${this.#limit} entries, ${this.#unmerged.size} are not merged yet`
    return Promise.reject(new Error(problem))
  }

  /** Of what the shared store knows. */
  #copy(key: string, value: StoredEntry, endsAt: number): void {
    const kept = this.#alive(key)
    const same = kept && kept.unmerged === 0 ? sameEntry(kept, value) : undefined
    if (kept && same?.ttl === value.ttl && Math.abs(kept.endsAt - endsAt) < SLACK) {
      if (this.#passes.delete(key)) this.#passes.set(key, kept) // it is in use
      return
    }
    const copy = { value, endsAt, unmerged: 0 }
    if (endsAt > this.#now() && this.#hasRoomFor(key, copy)) void this.#write(key, copy)
  }

  /** Makes room by forgetting a copy where there is none left. */
  #hasRoomFor(key: string, kept: Kept): boolean {
    if (this.size < this.#limit || this.has(key)) return true
    const victim = this.#victimOf(kept)
    if (victim === undefined) return false
    void this.#drop(victim)
    return true
  }

  /** The next to be forgotten, for the sake of `kept` where that is given. */
  #victimOf(kept: Kept | undefined): string | undefined {
    const [pass] = this.#passes.keys()
    const [other] = this.#others.keys()
    if (this.#passes.size > this.#limit * SHARE_OF_PASSES) return pass
    if (other !== undefined) return other
    if (pass !== undefined && (!kept || this.#mapFor(kept) === this.#passes)) return pass
    const [oldest] = this.#unmerged
    return oldest && oldest[1].endsAt <= this.#now() ? oldest[0] : undefined
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

function encodeKept({ value, endsAt, unmerged }: Kept): string {
  return `${endsAt} ${unmerged} ${typeof value === 'number' ? encodeCount(value) : encodeEntry(value)}`
}

function decodeKept(key: string, text: string): Kept | undefined {
  const [, endsAt, unmerged, value = ''] = /^(\d+(?:\.\d+)?) (\d{1,15}) (.+)$/.exec(text) ?? []
  try {
    return {
      value: value.includes(':') ? decodeEntry(key, value) : decodeCount(key, value),
      endsAt: Number(endsAt),
      unmerged: Number(unmerged),
    }
  } catch {
    return undefined
  }
}

function learntOf({ value, unmerged }: Kept, left: number): Learnt {
  return typeof value === 'number' ? { counted: unmerged, left } : { ...value, left }
}

/** The value of `kept` where that has passed, or is pending, as `entry` is. */
function sameEntry(kept: Kept | undefined, entry: { readonly passed: boolean }): StoredEntry | undefined {
  if (!kept || typeof kept.value === 'number') return undefined
  return kept.value.passed === entry.passed ? kept.value : undefined
}

/** Whether nothing that `own` says is missing in `entry`: a pass outweighs any wait, the later pass, the longer wait. */
function supersedes(entry: Entry, own: Entry): boolean {
  if (entry.passed !== own.passed) return entry.passed
  return entry.passed ? entry.age <= own.age : entry.age >= own.age
}
