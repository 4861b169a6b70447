// Entries in this process's memory: for tests, and for trying greymx out. Forgets all when the process ends.

import { ageEntry, type StoredEntry } from './encoding.ts'
import type { Entry } from './entry.ts'
import { type Learnt, mergeEntry } from './merge.ts'
import type { SharedStore } from './store.ts'

/** Expired entries are looked for each time so many operations have gone by, a bounded number at a time. */
const SWEEP_EVERY = 64
const SWEEP_BATCH = 256

interface Kept {
  readonly value: StoredEntry | number
  readonly endsAt: number
}

export class MemoryStore implements SharedStore {
  readonly #now: () => number
  readonly #kept = new Map<string, Kept>()
  #operations = 0
  #sweep = this.#kept.entries()

  /** `now` gives milliseconds from any origin that never go back. */
  constructor(now: () => number) {
    this.#now = now
  }

  /** How many entries take up room, ended ones among them. */
  get size(): number {
    return this.#kept.size
  }

  async find(keys: readonly string[]): Promise<Array<Entry | undefined>> {
    return keys.map((key) => this.#find(key))
  }

  async add(key: string, retryWindow: number, age = 0): Promise<boolean> {
    if (this.#alive(key)) return false
    this.#keep(key, { passed: false, ttl: retryWindow }, this.#now() + retryWindow - age)
    return true
  }

  async pass(key: string, lifetime: number): Promise<void> {
    this.#keep(key, { passed: true, ttl: lifetime }, this.#now() + lifetime)
  }

  async count(key: string, window: number): Promise<number> {
    const kept = this.#alive(key)
    const sum = (typeof kept?.value === 'number' ? kept.value : 0) + 1
    this.#keep(key, sum, Math.min(kept?.endsAt ?? Infinity, this.#now() + window))
    return sum
  }

  async forget(key: string): Promise<void> {
    this.#kept.delete(key)
  }

  async merge(key: string, learnt: Learnt): Promise<void> {
    const kept = this.#alive(key)
    const now = this.#now()
    if ('counted' in learnt) {
      const sum = typeof kept?.value === 'number' ? kept.value : 0
      this.#keep(key, sum + learnt.counted, Math.min(kept?.endsAt ?? Infinity, now + learnt.left))
      return
    }
    const found =
      kept && typeof kept.value !== 'number' ? { ...kept.value, left: kept.endsAt - now } : undefined
    const entry = mergeEntry(found, learnt)
    if (entry) this.#keep(key, { passed: entry.passed, ttl: entry.ttl }, now + entry.left)
  }

  async check(): Promise<void> {}

  async close(): Promise<void> {}

  #find(key: string): Entry | undefined {
    const kept = this.#alive(key)
    if (!kept || typeof kept.value === 'number') return undefined
    return ageEntry(kept.value, kept.endsAt - this.#now())
  }

  #alive(key: string): Kept | undefined {
    const kept = this.#kept.get(key)
    return kept && kept.endsAt > this.#now() ? kept : undefined
  }

  #keep(key: string, value: StoredEntry | number, endsAt: number): void {
    this.#kept.set(key, { value, endsAt })
    this.#operations += 1
    if (this.#operations % SWEEP_EVERY === 0) this.#sweepSome()
  }

  #sweepSome(): void {
    for (let count = 0; count < SWEEP_BATCH; count += 1) {
      const next = this.#sweep.next()
      if (next.done) {
        this.#sweep = this.#kept.entries()
        return
      }
      const [key, kept] = next.value
      if (kept.endsAt <= this.#now()) this.#kept.delete(key)
    }
  }
}
