// Entries in an LMDB environment in a directory of this machine: the default for a single host. What was answered is
// on its way to disk before the answer leaves, so that a killed process forgets nothing that had passed.
//
// LMDB knows no expiry: each value begins with the instant at which the entry ends, by the clock handed in (which must
// go on across restarts), and writes sweep a little as they go, so that no cleaner is needed and none can stall.

import { mkdirSync } from 'node:fs'
import { open, type RootDatabase } from 'lmdb'
import type { Entry } from '../greylist/entry.ts'
import { messageOf } from '../message.ts'
import { ageEntry, decodeCount, decodeEntry, encodeCount, encodeEntry } from './encoding.ts'
import { type Learnt, mergeEntry } from './merge.ts'
import type { SharedStore } from './store.ts'

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

/** Texts under keys, for whoever minds their ends by itself. Throws as `openLmdbStore` does. */
export function openLmdbJournal(directory: string): RootDatabase<string, string> {
  try {
    mkdirSync(directory, { recursive: true, mode: PRIVATE })
    return open({ path: directory, noSubdir: false, encoding: 'string' })
  } catch (error) {
    throw new Error(`Cannot open the LMDB store in ${directory}: ${messageOf(error)}`, { cause: error })
  }
}

export class LmdbStore implements SharedStore {
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

  async find(keys: readonly string[]): Promise<Array<Entry | undefined>> {
    return keys.map((key) => this.#find(key))
  }

  async add(key: string, retryWindow: number, age = 0): Promise<boolean> {
    const pending = encodeEntry({ passed: false, ttl: retryWindow })
    // Looked at under the write lock: of two attempts at once, one adds.
    return this.#database.transaction(() => {
      if (this.#alive(key)) return false
      this.#put(key, pending, this.#now() + retryWindow - age)
      return true
    })
  }

  async pass(key: string, lifetime: number): Promise<void> {
    const passed = encodeEntry({ passed: true, ttl: lifetime })
    await this.#database.transaction(() => this.#put(key, passed, this.#now() + lifetime))
  }

  count(key: string, window: number): Promise<number> {
    return this.#database.transaction(() => {
      const found = this.#alive(key)
      const sum = (found ? decodeCount(key, found.text) : 0) + 1
      this.#put(key, encodeCount(sum), found?.endsAt ?? this.#now() + window)
      return sum
    })
  }

  async forget(key: string): Promise<void> {
    await this.#database.remove(key)
  }

  async merge(key: string, learnt: Learnt): Promise<void> {
    await this.#database.transaction(() => {
      const found = this.#alive(key)
      const now = this.#now()
      if ('counted' in learnt) {
        const sum = (found ? decodeCount(key, found.text) : 0) + learnt.counted
        this.#put(key, encodeCount(sum), found?.endsAt ?? now + learnt.left)
        return
      }
      const entry = mergeEntry(found && { ...decodeEntry(key, found.text), left: found.endsAt - now }, learnt)
      if (entry) this.#put(key, encodeEntry(entry), now + entry.left)
    })
  }

  async check(): Promise<void> {
    this.#database.get('')
  }

  async close(): Promise<void> {
    await this.#database.close()
  }

  #find(key: string): Entry | undefined {
    const found = this.#alive(key)
    return found && ageEntry(decodeEntry(key, found.text), found.endsAt - this.#now())
  }

  /** What has no end that could be read is alive, and refused by whoever decodes it. */
  #alive(key: string): { readonly endsAt: number; readonly text: string } | undefined {
    const value = this.#database.get(key)
    if (value === undefined) return undefined
    const endsAt = Number.parseInt(value, 10)
    return endsAt <= this.#now() ? undefined : { endsAt, text: value.slice(value.indexOf(' ') + 1) }
  }

  /** Only within a transaction. */
  #put(key: string, text: string, endsAt: number): void {
    this.#database.put(key, `${endsAt} ${text}`)
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
