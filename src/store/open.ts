// The setting `store` → what it names; and that → a store.

import { resolve } from 'node:path'
import { bareHost, bracketedHost } from '../ip.ts'
import { openLmdbJournal, openLmdbStore } from './lmdb.ts'
import { LocalStore, type LocalTimes } from './local.ts'
import { MemoryStore } from './memory.ts'
import { openRedisStore, type RedisEvents, type RedisSettings } from './redis.ts'
import type { SharedStore } from './store.ts'

export type StoreSpec =
  | { readonly kind: 'memory' }
  | { readonly kind: 'lmdb'; readonly directory: string }
  | { readonly kind: 'redis'; readonly redis: RedisSettings }

export const STORE_FORMS =
  'lmdb:DIR, memory:, redis://HOST:PORT/DB, rediss://HOST:PORT/DB or redis+unix:///PATH?db=0, with user:password@ where needed'

/** Stores of this machine. */
export type LocalStoreSpec = Exclude<StoreSpec, { readonly kind: 'redis' }>

export const LOCAL_STORE_FORMS = 'memory: or lmdb:DIR'

const DEFAULT_REDIS_PORT = 6379

/** `undefined` when `text` is none of `STORE_FORMS`. */
export function parseStoreSpec(text: string): StoreSpec | undefined {
  if (text === 'memory:') return { kind: 'memory' }
  const directory = /^lmdb:(.+)$/.exec(text)?.[1]
  if (directory !== undefined) return { kind: 'lmdb', directory }
  // A URL needs a host before a user name can stand in it; a socket has none, so that one is lent to it.
  const url = text.replace(/^(redis\+unix:\/\/(?:[^/@]*@)?)\//, '$1socket/')
  if (!isPercentEncoded(url)) return undefined
  const known = /^rediss?:\/\/|^redis\+unix:\/\/(?:[^/@]*@)?socket\//.test(url)
  return known && URL.canParse(url) ? redisSpec(new URL(url)) : undefined
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
    case 'redis': {
      const { connection, database } = spec.redis
      if ('path' in connection) return `redis+unix://${connection.path}?db=${database}`
      return `${connection.tls ? 'rediss' : 'redis'}://${bracketedHost(connection.host)}:${connection.port}/${database}`
    }
  }
}

/** Opens what can be opened; a Redis that is not there yet is waited for in the background. */
export async function openStore(spec: StoreSpec, events: RedisEvents): Promise<SharedStore> {
  switch (spec.kind) {
    case 'memory':
      return new MemoryStore(() => performance.now())
    case 'lmdb':
      return openLmdbStore(spec.directory, Date.now)
    case 'redis':
      return openRedisStore(spec.redis, events)
  }
}

/** Throws, naming the directory, when there is one and it cannot be opened. */
export function openLocalStore(spec: LocalStoreSpec, limit: number, times: LocalTimes): LocalStore {
  // Not the date, which somebody may set meanwhile; but an origin that a restart has again.
  const origin = Date.now() - performance.now()
  const now = () => origin + performance.now()
  return new LocalStore(now, limit, times, spec.kind === 'lmdb' ? openLmdbJournal(spec.directory) : undefined)
}

function isPercentEncoded(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

function redisSpec(url: URL): StoreSpec | undefined {
  const overUnix = url.protocol === 'redis+unix:'
  const digits = overUnix ? (url.searchParams.get('db') ?? '0') : url.pathname.replace(/^\//, '') || '0'
  if (!/^\d{1,5}$/.test(digits)) return undefined
  if (overUnix ? url.pathname === '/' : url.hostname === '') return undefined
  const credentials = {
    ...(url.username === '' ? {} : { username: decodeURIComponent(url.username) }),
    ...(url.password === '' ? {} : { password: decodeURIComponent(url.password) }),
  }
  const connection = overUnix
    ? { path: decodeURIComponent(url.pathname) }
    : {
        host: bareHost(url.hostname),
        port: Number(url.port || DEFAULT_REDIS_PORT),
        tls: url.protocol === 'rediss:',
      }
  return { kind: 'redis', redis: { connection, database: Number(digits), ...credentials } }
}
