// The setting `store` → what it names; and that → a store.

import { resolve } from 'node:path'
import type { LmdbEvents } from './lmdb/client.ts'
import { openLmdbJournal, openLmdbStore } from './lmdb/lmdb.ts'
import { type JournalWatch, SteadyJournal } from './local/journal.ts'
import { LocalStore, type LocalTimes } from './local/local.ts'
import { MemoryStore } from './memory.ts'
import type { RedisEvents } from './redis/redis.ts'
import type { RedisSettings } from './redis/settings.ts'
import { formatRedisUrl, parseRedisUrl, REDIS_FORMS } from './redis/url.ts'
import type { SharedStore } from './store.ts'

export type StoreSpec =
  | { readonly kind: 'memory' }
  | { readonly kind: 'lmdb'; readonly directory: string }
  | { readonly kind: 'redis'; readonly redis: RedisSettings }

export const STORE_FORMS = `lmdb:DIR, memory:, ${REDIS_FORMS}`

/** Stores of this machine. */
export type LocalStoreSpec = Exclude<StoreSpec, { readonly kind: 'redis' }>

export const LOCAL_STORE_FORMS = 'memory: or lmdb:DIR'

export type StoreEvents = RedisEvents & LmdbEvents

/** What happens to what a local store writes down. */
export type LocalStoreEvents = JournalWatch & Pick<LmdbEvents, 'onMovedAside'>

/** `undefined` when `text` is none of `STORE_FORMS`. */
export function parseStoreSpec(text: string): StoreSpec | undefined {
  if (text === 'memory:') return { kind: 'memory' }
  const directory = /^lmdb:(.+)$/.exec(text)?.[1]
  if (directory !== undefined) return { kind: 'lmdb', directory }
  const redis = parseRedisUrl(text)
  return redis && { kind: 'redis', redis }
}

/** `undefined` when `text` is none of `LOCAL_STORE_FORMS`. */
export function parseLocalStoreSpec(text: string): LocalStoreSpec | undefined {
  const spec = parseStoreSpec(text)
  return spec?.kind === 'redis' ? undefined : spec
}

/** As it may be shown: without user name and password. */
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

/** Opens what can be opened; a Redis that is not there yet, or a disk that is full, is waited for in the background. */
export async function openStore(spec: StoreSpec, events: StoreEvents): Promise<SharedStore> {
  switch (spec.kind) {
    case 'memory':
      return new MemoryStore(() => performance.now())
    case 'lmdb':
      return openLmdbStore(spec.directory, Date.now, events)
    case 'redis': {
      // Not imported above: its client takes long to load, and nothing else needs it.
      const { openRedisStore } = await import('./redis/redis.ts')
      return openRedisStore(spec.redis, events)
    }
  }
}

/** Rejects, naming the directory, when somebody has to see to it first. */
export async function openLocalStore(
  spec: LocalStoreSpec,
  limit: number,
  times: LocalTimes,
  events: LocalStoreEvents,
): Promise<LocalStore> {
  // Not the date, which somebody may set meanwhile; but an origin that a restart has again.
  const origin = Date.now() - performance.now()
  const now = () => origin + performance.now()
  if (spec.kind === 'memory') return new LocalStore(now, limit, times)
  let steady: SteadyJournal | undefined
  const journal = await openLmdbJournal(spec.directory, {
    onReady: () => void steady?.catchUp(),
    onProblem: (problem) => steady?.fail(problem),
    onMovedAside: events.onMovedAside,
  })
  steady = new SteadyJournal(journal, events)
  const local = new LocalStore(now, limit, times, steady)
  await local.restore()
  return local
}
