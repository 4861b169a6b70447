// The store in an LMDB environment in a directory of this machine, the default for a single host, and the journal of a
// local store, which is in such an environment as well. An answer leaves only after its write is on the way to disk, so
// that a killed process forgets no pass. client.ts runs the process that has the environment open.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Entry } from '../entry.ts'
import { newRevision, type RecordFields, type RecordPage, readInPages, requireKeepable } from '../fields.ts'
import type { Journal, Text } from '../local/journal.ts'
import type { Learnt } from '../merge.ts'
import type { KeptKey, RecordStore } from '../records.ts'
import {
  type ConnectionWatch,
  type CountedStore,
  type KeyCounts,
  type Look,
  lookByEach,
  type UnguardedStore,
  type Write,
  type Written,
  writeByEach,
} from '../store.ts'
import { LmdbClient, type LmdbEvents, type Owner } from './client.ts'
import type { Found, Scan, Tally } from './file.ts'

/** Number of keys that are counted before a pause, so that mail comes first; the pause is in milliseconds. */
const TALLY_BATCH = 5000
const TALLY_PAUSE = 5

/** Time between two steps of a scan, in milliseconds, so that mail comes first. */
const SCAN_PAUSE = 1

/**
 * The open store in `directory`. `now` returns milliseconds since the epoch. Rejects, naming the directory, when the
 * operator has to mend something first; on a full disk it resolves, and retries in the background. With an `owner`, the
 * process that has the directory open runs as that user.
 */
export async function openLmdbStore(
  directory: string,
  now: () => number,
  events: LmdbEvents,
  owner?: Owner,
): Promise<LmdbStore> {
  const client = new LmdbClient(directory, 'entries', now, events, owner)
  await client.open()
  return new LmdbStore(client)
}

/** The open journal in `directory`; rejects and retries as `openLmdbStore` does. */
export async function openLmdbJournal(directory: string, events: LmdbEvents): Promise<LmdbJournal> {
  const client = new LmdbClient(directory, 'texts', Date.now, events)
  await client.open()
  return new LmdbJournal(client)
}

/** A store whose operations reject while the environment is not open. */
export class LmdbStore implements UnguardedStore, CountedStore, RecordStore {
  readonly #client: LmdbClient

  constructor(client: LmdbClient) {
    this.#client = client
  }

  watch(watch: ConnectionWatch): void {
    this.#client.watch(watch)
  }

  async find(keys: readonly string[]): Promise<Array<Entry | undefined>> {
    const found = (await this.#client.ask(['find', keys])) as Found[]
    return found.map((entry) => entry ?? undefined)
  }

  async add(key: string, retryWindow: number, age = 0, holder?: string): Promise<boolean> {
    const operation = ['add', key, retryWindow, age] as const
    return (await this.#client.ask(holder === undefined ? operation : [...operation, holder])) as boolean
  }

  async pass(key: string, lifetime: number): Promise<void> {
    await this.#client.ask(['pass', key, lifetime])
  }

  async count(key: string, window: number, by = 1): Promise<number> {
    return (await this.#client.ask(['count', key, window, by])) as number
  }

  async counts(keys: readonly string[]): Promise<number[]> {
    return (await this.#client.ask(['counts', keys])) as number[]
  }

  async forget(key: string): Promise<void> {
    await this.#client.ask(['forget', key])
  }

  /** All operations of a moment are one request to the process anyway. */
  look(entryKeys: readonly string[], countKeys: readonly string[]): Promise<Look> {
    return lookByEach(this, entryKeys, countKeys)
  }

  write(writes: readonly Write[]): Promise<Written[]> {
    return writeByEach(this, writes)
  }

  async merge(key: string, learnt: Learnt): Promise<void> {
    await this.#client.ask(['merge', key, learnt])
  }

  async countKeys(signal: AbortSignal): Promise<KeyCounts> {
    const counts = new Map<string, number>()
    let sincePause = 0
    for (let from = ''; ; ) {
      const tally = (await this.#client.ask(['tally', from])) as Tally | null
      if (!tally) return counts
      const [kind, keys, next] = tally
      counts.set(kind, (counts.get(kind) ?? 0) + keys)
      from = next
      sincePause += keys
      if (sincePause < TALLY_BATCH) continue
      sincePause = 0
      await sleep(TALLY_PAUSE, undefined, { ref: false, signal })
    }
  }

  async readRecord(name: string): Promise<Map<string, string>> {
    requireKeepable(name)
    return readInPages(
      name,
      async (from) => (await this.#client.ask(['record', name, from])) as RecordPage,
      async () => (await this.#client.ask(['record whole', name])) as RecordFields,
    )
  }

  async revisionOf(name: string): Promise<string> {
    requireKeepable(name)
    return (await this.#client.ask(['revision', name])) as string
  }

  async changeRecord(
    name: string,
    changes: ReadonlyMap<string, string | undefined>,
    lifetime?: number,
  ): Promise<void> {
    requireKeepable(name, changes)
    const written = [...changes].map(([field, text]) => [field, text ?? null] as const)
    await this.#client.ask(['change record', name, written, newRevision(), lifetime ?? null])
  }

  async addToRecord(name: string, by: ReadonlyMap<string, number>, lifetime: number): Promise<void> {
    requireKeepable(name, by)
    await this.#client.ask(['add to record', name, [...by], lifetime])
  }

  async *scanKeys(
    signal: AbortSignal,
    isWanted: (key: string) => boolean = () => true,
  ): AsyncGenerator<readonly KeptKey[]> {
    for (let from: string | undefined = ''; from !== undefined; ) {
      signal.throwIfAborted()
      const { found, next } = (await this.#client.ask(['scan', from])) as Scan
      const wanted = found.filter(([key]) => isWanted(key))
      if (wanted.length > 0) yield wanted.map(([key, value, left]) => ({ key, value, left }))
      from = next
      if (from !== undefined) await sleep(SCAN_PAUSE, undefined, { signal })
    }
  }

  /** The clock of entries is that of this machine. */
  async clockOffset(): Promise<number> {
    return 0
  }

  /** Writes, as a read would succeed on a full disk as well. */
  async check(): Promise<void> {
    await this.#client.ask(['check'])
  }

  /** Resolves after the operations of before are answered. */
  close(): Promise<void> {
    return this.#client.close()
  }
}

/** A journal whose operations reject while the environment is not open. */
export class LmdbJournal implements Journal {
  readonly #client: LmdbClient

  constructor(client: LmdbClient) {
    this.#client = client
  }

  watch(watch: ConnectionWatch): void {
    this.#client.watch(watch)
  }

  async load(after: string, limit: number): Promise<readonly Text[]> {
    return (await this.#client.ask(['load', after, limit])) as Text[]
  }

  async put(key: string, text: string): Promise<void> {
    await this.#client.ask(['put', key, text])
  }

  async remove(key: string): Promise<void> {
    await this.#client.ask(['remove', key])
  }

  close(): Promise<void> {
    return this.#client.close()
  }
}
