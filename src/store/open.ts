// Reads the settings `store` and `local_store` and opens the stores that they name. The Redis forms are read by
// redis/url.ts.

import { resolve } from 'node:path'
import type { LmdbEvents } from './lmdb/client.ts'
import { openLmdbJournal, openLmdbStore } from './lmdb/lmdb.ts'
import { type JournalWatch, SteadyJournal } from './local/journal.ts'
import { LocalStore, type LocalTimes } from './local/local.ts'
import { MemoryStore } from './memory.ts'
import type { RecordStore } from './records.ts'
import type { RedisEvents } from './redis/redis.ts'
import type { RedisSettings } from './redis/settings.ts'
import { formatRedisUrl, parseRedisUrl, REDIS_FORMS } from './redis/url.ts'
import type { CountedStore, UnguardedStore } from './store.ts'

/** What the setting `store` names. */
export type StoreSpec =
  | { readonly kind: 'memory' }
  | { readonly kind: 'lmdb'; readonly directory: string }
  | { readonly kind: 'redis'; readonly redis: RedisSettings }

/** The forms of the setting `store`, for messages. */
export const STORE_FORMS = `lmdb:DIR, memory, ${REDIS_FORMS}`

/** What the setting `local_store` names: a store of this machine. */
export type LocalStoreSpec = Exclude<StoreSpec, { readonly kind: 'redis' }>

/** The forms of the setting `local_store`, for messages. */
export const LOCAL_STORE_FORMS = 'memory or lmdb:DIR'

/** Callbacks for what the operator has to hear of a store, while it is opened and later. */
export type StoreEvents = RedisEvents & LmdbEvents

/** Callbacks for what happens to the journal of a local store. */
export type LocalStoreEvents = JournalWatch & LmdbEvents

/** The store that `text` names; `undefined` when `text` has none of `STORE_FORMS`. */
export function parseStoreSpec(text: string): StoreSpec | undefined {
  // YAML takes a colon at the end for that of a setting.
  if (text === 'memory:' || text === 'memory') return { kind: 'memory' }
  const directory = /^lmdb:(.+)$/.exec(text)?.[1]
  if (directory !== undefined) return { kind: 'lmdb', directory }
  const redis = parseRedisUrl(text)
  return redis && { kind: 'redis', redis }
}

/** The local store that `text` names; `undefined` when `text` has none of `LOCAL_STORE_FORMS`. */
export function parseLocalStoreSpec(text: string): LocalStoreSpec | undefined {
  const spec = parseStoreSpec(text)
  return spec?.kind === 'redis' ? undefined : spec
}

/** The setting's value as it may be shown: without user name and password. */
export function formatStoreSpec(spec: StoreSpec): string {
  switch (spec.kind) {
    case 'memory':
      return 'memory:'
    case 'lmdb':
      return `lmdb:${resolve(spec.directory)}`
    case 'redis':
      return formatRedisUrl(spec.redis)
  }
}

/**
 * The open store. When Redis cannot be reached or the disk is full, it resolves all the same, and the store goes on
 * trying to connect.
 */
export async function openStore(
  spec: StoreSpec,
  events: StoreEvents,
): Promise<UnguardedStore & CountedStore & RecordStore> {
  switch (spec.kind) {
    case 'memory':
      return new MemoryStore(() => performance.now())
    case 'lmdb':
      return openLmdbStore(spec.directory, Date.now, events)
    case 'redis': {
      // Imported here, not above: ioredis takes long to load, and no other store needs it.
      const { openRedisStore } = await import('./redis/redis.ts')
      return openRedisStore(spec.redis, events)
    }
  }
}

/** A local store that is empty and keeps nothing on disk. `limit` is in entries. */
export function createLocalStore(limit: number, times: LocalTimes): LocalStore {
  return new LocalStore(steadyClock(), limit, times)
}

/** Milliseconds since the epoch, so that a restart can read them, that do not jump when the operator sets the date. */
function steadyClock(): () => number {
  const origin = Date.now() - performance.now()
  return () => origin + performance.now()
}

/**
 * The local store, with what its journal has from before a restart. `limit` is in entries. Rejects, naming the
 * directory, when the operator has to mend something first.
 */
export async function openLocalStore(
  spec: LocalStoreSpec,
  limit: number,
  times: LocalTimes,
  events: LocalStoreEvents,
): Promise<LocalStore> {
  if (spec.kind === 'memory') return createLocalStore(limit, times)
  const journal = await openLmdbJournal(spec.directory, events)
  const local = new LocalStore(steadyClock(), limit, times, new SteadyJournal(journal, events))
  await local.restore()
  return local
}
