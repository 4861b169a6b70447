// Entries in this process's memory: for tests, and for trying greymx out. Forgets all when the process ends.

import type { Entry, FoundEntry } from '../greylist/entry.ts'
import { ageEntry, type StoredEntry } from './encoding.ts'
import type { Store } from './store.ts'

/** Expired entries are looked for each time so many operations have gone by, a bounded number at a time. */
const SWEEP_EVERY = 64
const SWEEP_BATCH = 256

interface Kept extends StoredEntry {
  readonly endsAt: number
}

export class MemoryStore implements Store {
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

  async getOrAdd(key: string, retryWindow: number): Promise<FoundEntry> {
    const found = this.#find(key)
    if (found) return { ...found, added: false }
    this.#keep(key, { passed: false, ttl: retryWindow })
    return { passed: false, age: 0, added: true }
  }

  async pass(key: string, lifetime: number): Promise<void> {
    this.#keep(key, { passed: true, ttl: lifetime })
  }

  async get(key: string): Promise<Entry | undefined> {
    return this.#find(key)
  }

  async forget(key: string): Promise<void> {
    this.#kept.delete(key)
  }

  async check(): Promise<void> {}

  async close(): Promise<void> {}

  #find(key: string): Entry | undefined {
    const kept = this.#kept.get(key)
    const remaining = kept ? kept.endsAt - this.#now() : 0
    return kept && remaining > 0 ? ageEntry(kept, remaining) : undefined
  }

  #keep(key: string, stored: StoredEntry): void {
    this.#kept.set(key, { ...stored, endsAt: this.#now() + stored.ttl })
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
