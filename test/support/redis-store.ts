// Opens a store in Redis for a test, from a URL as an operator writes it, behind the circuit breaker that the daemon
// puts around it, and records the events of both.

import assert from 'node:assert/strict'
import { GuardedStore, type OperationName, type OperationResult } from '../../src/store/guard.ts'
import type { RecordStore } from '../../src/store/records.ts'
import { openRedisStore } from '../../src/store/redis/redis.ts'
import type { RedisSettings } from '../../src/store/redis/settings.ts'
import { parseRedisUrl } from '../../src/store/redis/url.ts'
import type { CountedStore } from '../../src/store/store.ts'
import { type Scope, waitFor } from './scratch.ts'

export interface WatchedStore {
  readonly store: GuardedStore
  /** The same store as the daemon uses it past the circuit breaker. */
  readonly records: RecordStore & CountedStore
  /** The events in order: `ready`, problems and warnings. Problems stand without `Redis: `, with which each begins. */
  readonly events: readonly string[]
  /** How the operations on the store have ended, in their order. */
  readonly operations: Array<readonly [name: OperationName, result: OperationResult]>
  /** Waits until the store is in use, or in use again. */
  untilReady(timeoutMs?: number): Promise<void>
}

/** Time-out of each operation, in milliseconds: longer than Redis takes on a busy machine, and than ioredis waits. */
const TIMEOUT = 2000

/** The settings that a URL gives, with `others`, which no URL has. */
export function redisSettings(url: string, others: Partial<RedisSettings> = {}): RedisSettings {
  const settings = parseRedisUrl(url)
  assert.ok(settings, url)
  return { ...settings, ...others }
}

/** Opens a store as the daemon does, with `timeout` as its `store_timeout`. It is closed when `scope` ends. */
export async function openWatched(
  scope: Scope,
  settings: RedisSettings,
  timeout = TIMEOUT,
): Promise<WatchedStore> {
  const events: string[] = []
  const operations: Array<readonly [OperationName, OperationResult]> = []
  const note = (event: string) => {
    if (event !== events.at(-1)) events.push(event)
  }
  const noteProblem = (problem: string) => note(problem.replace(/^Redis: /, ''))
  const redis = await openRedisStore(settings, { onWarning: note })
  // The circuit breaker passes on what opened it. What comes after that is noted on the way to it.
  const { watch } = redis
  redis.watch = (watcher) =>
    watch.call(redis, {
      onReady: watcher.onReady,
      onLost(problem) {
        watcher.onLost(problem)
        noteProblem(problem)
      },
    })
  const store = new GuardedStore(redis, timeout, {
    onOperation: (name, result) => operations.push([name, result]),
    onUp: () => note('ready'),
    onDown: noteProblem,
  })
  scope.after(() => store.close())
  await store.check().catch(() => undefined)
  return {
    store,
    records: redis,
    events,
    operations,
    untilReady: async (timeoutMs = 10_000) => {
      await waitFor('the store to be ready', () => events.at(-1) === 'ready', timeoutMs)
    },
  }
}
