// Entries in an LMDB environment in a directory of this machine: the default for a single host. What was answered is
// on its way to disk before the answer leaves, so that a killed process forgets nothing that had passed.
//
// LMDB knows no expiry: each value begins with the instant at which the entry ends, by the clock handed in (which must
// go on across restarts), and writes sweep a little as they go, so that no cleaner is needed and none can stall.

import { mkdirSync } from 'node:fs'
import { open, type RootDatabase } from 'lmdb'
import type { Entry, FoundEntry } from '../greylist/entry.ts'
import { messageOf } from '../message.ts'
import { ageEntry, decodeEntry, encodeEntry, type StoredEntry } from './encoding.ts'
import type { Store } from './store.ts'

/** So many entries are looked at for expiry with every so many writes: all of them in a quarter as many writes. */
const SWEEP_EVERY = 64
const SWEEP_BATCH = 256

/** The environment holds mail addresses. */
const PRIVATE = 0o700

/** `now` gives milliseconds since the epoch. Throws, naming the directory, when it cannot be opened. */
export function openLmdbStore(directory: string, now: () => number): LmdbStore {
  try {
    mkdirSync(directory, { recursive: true, mode: PRIVATE })
    return new LmdbStore(open({ path: directory, noSubdir: false, encoding: 'string' }), now)
  } catch (error) {
    throw new Error(`Cannot open the LMDB store in ${directory}: ${messageOf(error)}`, { cause: error })
  }
}

export class LmdbStore implements Store {
  readonly #database: RootDatabase<string, string>
  readonly #now: () => number
  #writes = 0
  #sweptTo = ''

  constructor(database: RootDatabase<string, string>, now: () => number) {
    this.#database = database
    this.#now = now
  }

  /** How many entries take up room, ended ones among them. */
  get size(): number {
    return this.#database.getKeysCount()
  }

  async getOrAdd(key: string, retryWindow: number): Promise<FoundEntry> {
    const found = this.#find(key)
    if (found) return { ...found, added: false }
    return this.#database.transaction(() => {
      // Looked at again under the write lock: of two attempts at once, one adds.
      const foundMeanwhile = this.#find(key)
      if (foundMeanwhile) return { ...foundMeanwhile, added: false }
      this.#put(key, { passed: false, ttl: retryWindow })
      return { passed: false, age: 0, added: true }
    })
  }

  async pass(key: string, lifetime: number): Promise<void> {
    await this.#database.transaction(() => this.#put(key, { passed: true, ttl: lifetime }))
  }

  async get(key: string): Promise<Entry | undefined> {
    return this.#find(key)
  }

  async forget(key: string): Promise<void> {
    await this.#database.remove(key)
  }

  async check(): Promise<void> {
    this.#database.get('')
  }

  async close(): Promise<void> {
    await this.#database.close()
  }

  #find(key: string): Entry | undefined {
    const value = this.#database.get(key)
    if (value === undefined) return undefined
    const { endsAt, stored } = decodeValue(key, value)
    const remaining = endsAt - this.#now()
    return remaining > 0 ? ageEntry(stored, remaining) : undefined
  }

  /** Only within a transaction. */
  #put(key: string, stored: StoredEntry): void {
    this.#database.put(key, `${this.#now() + stored.ttl} ${encodeEntry(stored)}`)
    this.#writes += 1
    if (this.#writes % SWEEP_EVERY === 0) this.#sweepSome()
  }

  #sweepSome(): void {
    const batch = [...this.#database.getRange({ start: this.#sweptTo, limit: SWEEP_BATCH })]
    const now = this.#now()
    for (const { key, value } of batch) {
      // What cannot be read stays, for whoever looks into why; it fails only attempts of its own key.
      if (Number.parseInt(value, 10) <= now) this.#database.remove(key)
    }
    this.#sweptTo = batch.length < SWEEP_BATCH ? '' : (batch.at(-1)?.key ?? '')
  }
}

function decodeValue(key: string, value: string): { endsAt: number; stored: StoredEntry } {
  const space = value.indexOf(' ')
  return { endsAt: Number.parseInt(value, 10), stored: decodeEntry(key, value.slice(space + 1)) }
}
