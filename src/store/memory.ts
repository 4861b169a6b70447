// A store in the memory of this process, for tests and for trying greymx out. Nothing outlives the process.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { ageEntry, encodeCount, encodeEntry, type StoredEntry } from './encoding.ts'
import type { Entry } from './entry.ts'
import { addedTo, asRecord, newRevision, requireKeepable } from './fields.ts'
import { addedBy, isCount, type Learnt, mergeEntry } from './merge.ts'
import { type KeptKey, RECORD_KIND, type RecordStore } from './records.ts'
import { type CountedStore, type KeyCounts, kindOf, type UnguardedStore } from './store.ts'

/** Every 64 writes, 256 entries are checked for expiry, so that n entries take n/4 writes. */
const SWEEP_EVERY = 64
const SWEEP_BATCH = 256

/** Number of keys that are counted by kind before the event loop goes round. */
const COUNT_BATCH = 2000

/** Number of keys that a scan looks at before the event loop goes round. */
const SCAN_BATCH = 1000

interface Kept {
  readonly value: StoredEntry | number
  readonly expiresAt: number
}

interface KeptRecord {
  readonly fields: Map<string, string>
  readonly revision: string
  readonly expiresAt: number
}

/** Entries and counts in a map, swept a little with each 64th write, and records in another. */
export class MemoryStore implements UnguardedStore, CountedStore, RecordStore {
  readonly #now: () => number
  readonly #kept = new Map<string, Kept>()
  readonly #records = new Map<string, KeptRecord>()
  #writes = 0
  #sweep = this.#kept.entries()

  /** `now` returns milliseconds from any origin and never goes back. */
  constructor(now: () => number) {
    this.#now = now
  }

  /** Number of keys in memory, including expired ones that are not swept yet. */
  get size(): number {
    return this.#kept.size
  }

  async find(keys: readonly string[]): Promise<Array<Entry | undefined>> {
    return keys.map((key) => this.#find(key))
  }

  async add(key: string, retryWindow: number, age = 0, holder?: string): Promise<boolean> {
    if (this.#alive(key)) return false
    const pending = { passed: false, ttl: retryWindow }
    const value = holder === undefined ? pending : { ...pending, holder }
    this.#keep(key, value, this.#now() + retryWindow - age)
    return true
  }

  async pass(key: string, lifetime: number): Promise<void> {
    this.#keep(key, { passed: true, ttl: lifetime }, this.#now() + lifetime)
  }

  async count(key: string, window: number, by = 1): Promise<number> {
    const kept = this.#alive(key)
    const sum = countIn(kept) + by
    this.#keep(key, sum, Math.min(kept?.expiresAt ?? Infinity, this.#now() + window))
    return sum
  }

  async counts(keys: readonly string[]): Promise<number[]> {
    return keys.map((key) => countIn(this.#alive(key)))
  }

  async forget(key: string): Promise<void> {
    this.#kept.delete(key)
  }

  async merge(key: string, learnt: Learnt): Promise<void> {
    const kept = this.#alive(key)
    const now = this.#now()
    if (isCount(learnt)) {
      const by = addedBy(learnt, countIn(kept))
      const expiresAt = Math.min(kept?.expiresAt ?? Infinity, now + learnt.left)
      if (by > 0) this.#keep(key, countIn(kept) + by, expiresAt)
      return
    }
    const found =
      kept && typeof kept.value !== 'number' ? { ...kept.value, left: kept.expiresAt - now } : undefined
    const entry = mergeEntry(found, learnt)
    if (!entry) return
    const { left, ...value } = entry
    this.#keep(key, value, now + left)
  }

  /** Each key that has not expired, with the text that a store outside of this process has under it. */
  *alive(): Generator<readonly [key: string, text: string]> {
    const now = this.#now()
    for (const [key, { value, expiresAt }] of this.#kept) {
      if (expiresAt > now) yield [key, typeof value === 'number' ? encodeCount(value) : encodeEntry(value)]
    }
  }

  async countKeys(signal: AbortSignal): Promise<KeyCounts> {
    const counts = new Map<string, number>()
    let counted = 0
    for (const key of this.#kept.keys()) {
      const kind = kindOf(key)
      counts.set(kind, (counts.get(kind) ?? 0) + 1)
      counted += 1
      if (counted % COUNT_BATCH === 0) await nextTurn(undefined, { signal })
    }
    if (this.#records.size > 0) counts.set(RECORD_KIND, this.#records.size)
    return counts
  }

  async readRecord(name: string): Promise<Map<string, string>> {
    requireKeepable(name)
    return asRecord(name, [...(this.#record(name)?.fields ?? [])])
  }

  async revisionOf(name: string): Promise<string> {
    requireKeepable(name)
    return this.#record(name)?.revision ?? ''
  }

  async changeRecord(
    name: string,
    changes: ReadonlyMap<string, string | undefined>,
    lifetime = Number.POSITIVE_INFINITY,
  ): Promise<void> {
    requireKeepable(name, changes)
    const fields = this.#record(name)?.fields ?? new Map<string, string>()
    for (const [field, text] of changes) {
      if (text === undefined) fields.delete(field)
      else fields.set(field, text)
    }
    this.#keepRecord(name, { fields, revision: newRevision(), expiresAt: this.#now() + lifetime })
  }

  async addToRecord(name: string, by: ReadonlyMap<string, number>, lifetime: number): Promise<void> {
    requireKeepable(name, by)
    const { fields, revision } = this.#record(name) ?? { fields: new Map<string, string>(), revision: '' }
    const sums = [...by].map(
      ([field, added]) => [field, addedTo(name, field, fields.get(field), added)] as const,
    )
    for (const [field, sum] of sums) fields.set(field, sum)
    this.#keepRecord(name, { fields, revision, expiresAt: this.#now() + lifetime })
  }

  async *scanKeys(
    signal: AbortSignal,
    isWanted: (key: string) => boolean = () => true,
  ): AsyncGenerator<readonly KeptKey[]> {
    let batch: KeptKey[] = []
    let scanned = 0
    for (const [key, { value, expiresAt }] of this.#kept) {
      const left = expiresAt - this.#now()
      if (left > 0 && isWanted(key))
        batch.push(
          typeof value === 'number'
            ? { key, value, left }
            : { key, value: ageEntry(value, left), left: Math.min(left, value.ttl) },
        )
      scanned += 1
      if (scanned % SCAN_BATCH !== 0) continue
      signal.throwIfAborted()
      if (batch.length > 0) yield batch
      batch = []
      await nextTurn(undefined, { signal })
    }
    signal.throwIfAborted()
    if (batch.length > 0) yield batch
  }

  async clockOffset(): Promise<number> {
    return 0
  }

  async check(): Promise<void> {}

  async close(): Promise<void> {}

  /** Never calls `watch`, as this process loses no connection to its own memory. */
  watch(): void {}

  #find(key: string): Entry | undefined {
    const kept = this.#alive(key)
    if (!kept || typeof kept.value === 'number') return undefined
    return ageEntry(kept.value, kept.expiresAt - this.#now())
  }

  #record(name: string): KeptRecord | undefined {
    const record = this.#records.get(name)
    return record && record.expiresAt > this.#now() ? record : undefined
  }

  /** Drops what has expired of the other records. They are few, and seldom written. */
  #keepRecord(name: string, record: KeptRecord): void {
    const now = this.#now()
    for (const [other, { expiresAt }] of this.#records) if (expiresAt <= now) this.#records.delete(other)
    this.#records.set(name, record)
  }

  #alive(key: string): Kept | undefined {
    const kept = this.#kept.get(key)
    return kept && kept.expiresAt > this.#now() ? kept : undefined
  }

  #keep(key: string, value: StoredEntry | number, expiresAt: number): void {
    this.#kept.set(key, { value, expiresAt })
    this.#writes += 1
    if (this.#writes % SWEEP_EVERY === 0) this.#sweepSome()
  }

  #sweepSome(): void {
    for (let count = 0; count < SWEEP_BATCH; count += 1) {
      const next = this.#sweep.next()
      if (next.done) {
        this.#sweep = this.#kept.entries()
        return
      }
      const [key, kept] = next.value
      if (kept.expiresAt <= this.#now()) this.#kept.delete(key)
    }
  }
}

function countIn(kept: Kept | undefined): number {
  return typeof kept?.value === 'number' ? kept.value : 0
}
