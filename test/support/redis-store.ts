// Opens a RedisStore for a test, from a URL as an operator writes it, and records its events.

import assert from 'node:assert/strict'
import { openRedisStore, type RedisStore } from '../../src/store/redis/redis.ts'
import type { RedisSettings } from '../../src/store/redis/settings.ts'
import { parseRedisUrl } from '../../src/store/redis/url.ts'
import { type Scope, waitFor } from './scratch.ts'

export interface WatchedStore {
  readonly store: RedisStore
  /** The events in order: `ready`, problems and warnings. */
  readonly events: readonly string[]
  /** Waits until the store is in use, or in use again. */
  untilReady(timeoutMs?: number): Promise<void>
}

/** The settings that a URL gives, with `others`, which no URL has. */
export function redisSettings(url: string, others: Partial<RedisSettings> = {}): RedisSettings {
  const settings = parseRedisUrl(url)
  assert.ok(settings, url)
  return { ...settings, ...others }
}

/** Opens a store that is closed when `scope` ends. */
export async function openWatched(scope: Scope, settings: RedisSettings): Promise<WatchedStore> {
  const events: string[] = []
  const store = await openRedisStore(settings, {
    onReady: () => events.push('ready'),
    onProblem: (problem) => events.push(problem),
    onWarning: (warning) => events.push(warning),
  })
  scope.after(() => store.close())
  return {
    store,
    events,
    untilReady: async (timeoutMs = 10_000) => {
      await waitFor('the store to be ready', () => events.at(-1) === 'ready', timeoutMs)
    },
  }
}
