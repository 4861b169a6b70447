// Entries in Redis, shared by any number of hosts. A key's TTL is its window: a pending key is set with the retry
// window, a passed one with the lifetime, and set again as it is used; so nothing has to clean up, and how old an
// entry is follows from what is left of its TTL, by Redis's clock alone.

import { Redis, type RedisOptions } from 'ioredis'
import type { Entry } from '../greylist/entry.ts'
import { messageOf } from '../message.ts'
import { ageEntry, decodeEntry, encodeEntry, UnreadableEntry } from './encoding.ts'
import type { Learnt } from './merge.ts'
import type { SharedStore } from './store.ts'

export interface RedisSettings {
  readonly connection:
    | { readonly host: string; readonly port: number; readonly tls: boolean }
    | { readonly path: string }
  readonly database: number
  readonly username?: string
  readonly password?: string
}

/** What happens to the connection; `problem` is for the operator. */
export interface RedisEvents {
  onReady(): void
  onProblem(problem: string): void
}

const KEY_PREFIX = 'greymx:'
const CHECK_KEY = 'greymx:check'

/** The first Redis with PEXPIRE … NX. */
const OLDEST_REDIS = 7

/** Times between attempts to connect, in milliseconds: growing at first, then steady, so that recovery takes no longer. */
const FIRST_RETRY = 50
const LONGEST_RETRY = 1000

/** A connection that owes replies and says nothing for so long is given up and made anew, in milliseconds. */
const SILENCE = 1000

/** How Redis says that a value is of another kind than the one asked for; it is none of ours then. */
const UNREADABLE = /^WRONGTYPE|^ERR value is not an integer/

/**
 * mergeEntry of merge.ts, in one piece with what it finds: state, TTL and what is left of it, in milliseconds. Gives
 * back what is there where that is no entry.
 */
const MERGE_ENTRY = `
local state, ttl, left = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local found = redis.call('GET', KEYS[1])
if found then
  local had, window = string.match(found, '^1:(%a+):(%d+)$')
  if had ~= 'pending' and had ~= 'passed' then return found end
  local remaining = redis.call('PTTL', KEYS[1])
  if had == 'passed' and (state == 'pending' or remaining < 0 or remaining >= left) then return false end
  if had == 'pending' and state == 'pending' then
    local age = ttl - left
    if age <= window - math.max(remaining, 0) then return false end
    ttl = math.max(ttl, window)
    left = ttl - age
  end
end
redis.call('SET', KEYS[1], string.format('1:%s:%.0f', state, ttl), 'PX', string.format('%.0f', left))
return false`

/** What PTTL answers for a key that has no TTL (greymx sets none such), and where there is no key. */
const NO_TTL = -1
const NO_KEY = -2

/** Resolves once the first attempt to connect has ended, well or not; the store goes on trying by itself. */
export async function openRedisStore(settings: RedisSettings, events: RedisEvents): Promise<RedisStore> {
  let settled: () => void
  const firstAttempt = new Promise<void>((resolve) => {
    settled = resolve
  })
  const store = new RedisStore(settings, {
    onReady() {
      settled()
      events.onReady()
    },
    onProblem(problem) {
      settled()
      events.onProblem(problem)
    },
  })
  await firstAttempt
  return store
}

/** Operations reject while there is no connection. */
export class RedisStore implements SharedStore {
  readonly #redis: Redis
  readonly #events: RedisEvents
  readonly #database: number
  /** Why nothing is asked of Redis now; `undefined` while it is connected and can serve. */
  #problem: string | undefined = 'not connected yet'
  #lastError: string | undefined
  #isGathering = false

  constructor(settings: RedisSettings, events: RedisEvents) {
    this.#events = events
    this.#database = settings.database
    this.#redis = new Redis(connectionOptions(settings))
    this.#redis.on('error', (error: Error) => {
      this.#lastError = messageOf(error)
      // Of a connection that goes on, an error is no end; of one that does not, `close` follows.
      if (this.#redis.status !== 'ready') this.#failed(this.#lastError)
    })
    this.#redis.on('close', () =>
      this.#failed(this.#problem ?? this.#lastError ?? 'the connection was closed'),
    )
    this.#redis.on('ready', () => void this.#connected())
  }

  /**
   * PTTL goes before GET, and both in one pipeline, which needs no MULTI: what another host does between the two can
   * only make the age that of the entry before, and never turns a first attempt into a pass.
   */
  find(keys: readonly string[]): Promise<Array<Entry | undefined>> {
    if (this.#problem !== undefined) return Promise.reject(new Error(`Redis: ${this.#problem}`))
    this.#gather()
    // Callbacks, as each promise that is spared counts here: this is most of what an attempt costs.
    return new Promise((resolve, reject) => {
      const entries: Array<Entry | undefined> = []
      keys.forEach((key, index) => {
        const name = KEY_PREFIX + key
        let remaining = NO_KEY
        this.#redis.pttl(name, (_, left = NO_KEY) => {
          remaining = left
        })
        this.#redis.get(name, (error, found) => {
          try {
            if (error) throw this.#explain(error)
            entries[index] = found == null ? undefined : readEntry(name, found, remaining)
            if (index === keys.length - 1) resolve(entries)
          } catch (failure) {
            reject(failure)
          }
        })
      })
    })
  }

  async add(key: string, retryWindow: number, age = 0): Promise<boolean> {
    const pending = encodeEntry({ passed: false, ttl: retryWindow })
    const done = await this.#ask((redis) =>
      redis.set(KEY_PREFIX + key, pending, 'PX', retryWindow - age, 'NX'),
    )
    return done === 'OK'
  }

  async pass(key: string, lifetime: number): Promise<void> {
    const passed = encodeEntry({ passed: true, ttl: lifetime })
    await this.#ask((redis) => redis.set(KEY_PREFIX + key, passed, 'PX', lifetime))
  }

  /** The end is set wherever it is missing, so that a process that dies in between leaves nothing for ever. */
  async count(key: string, window: number): Promise<number> {
    const name = KEY_PREFIX + key
    const [sum] = await this.#ask((redis) =>
      Promise.all([redis.incr(name), redis.pexpire(name, window, 'NX')]),
    )
    return sum
  }

  async forget(key: string): Promise<void> {
    await this.#ask((redis) => redis.del(KEY_PREFIX + key))
  }

  async merge(key: string, learnt: Learnt): Promise<void> {
    const name = KEY_PREFIX + key
    const left = Math.ceil(learnt.left)
    if ('counted' in learnt) {
      await this.#ask((redis) =>
        Promise.all([redis.incrby(name, learnt.counted), redis.pexpire(name, left, 'NX')]),
      )
      return
    }
    const state = learnt.passed ? 'passed' : 'pending'
    const found = await this.#ask((redis) => redis.eval(MERGE_ENTRY, 1, name, state, learnt.ttl, left))
    if (typeof found === 'string') decodeEntry(name, found) // throws
  }

  /** Writes, as a replica or a full server would answer a mere PING. */
  async check(): Promise<void> {
    await this.#ask((redis) => redis.set(CHECK_KEY, '', 'PX', 1))
  }

  async close(): Promise<void> {
    this.#redis.removeAllListeners()
    this.#redis.disconnect()
  }

  /**
   * Has all commands of this turn of the event loop leave in one write: each write is a system call here and wakes
   * Redis up there.
   */
  #gather(): void {
    if (this.#isGathering) return
    const { stream } = this.#redis
    this.#isGathering = true
    stream.cork()
    setImmediate(() => {
      this.#isGathering = false
      stream.uncork()
    })
  }

  async #ask<T>(command: (redis: Redis) => Promise<T>): Promise<T> {
    if (this.#problem !== undefined) throw new Error(`Redis: ${this.#problem}`)
    this.#gather()
    try {
      return await command(this.#redis)
    } catch (error) {
      throw this.#explain(error)
    }
  }

  /** What went wrong with the connection says more than that a command found it gone. */
  #explain(error: unknown): Error {
    const message = messageOf(error)
    if (UNREADABLE.test(message)) return new UnreadableEntry(`Redis: ${message}`)
    return new Error(`Redis: ${this.#problem ?? message}`, { cause: error })
  }

  async #connected(): Promise<void> {
    const problem = await this.#unfit()
    if (problem !== undefined) return this.#failed(problem)
    this.#problem = undefined
    this.#lastError = undefined
    this.#events.onReady()
  }

  /** Why this server cannot serve; the client itself would go on in database 0 when it cannot have another. */
  async #unfit(): Promise<string | undefined> {
    try {
      if (this.#database !== 0) await this.#redis.select(this.#database)
    } catch (error) {
      return `cannot use database ${this.#database}: ${messageOf(error)}`
    }
    return this.#redis.info('server').then(unsupportedServer, () => undefined) // INFO may be forbidden
  }

  #failed(problem: string): void {
    this.#problem = problem
    this.#events.onProblem(problem)
  }
}

/** Why a server cannot serve as store, from its INFO; `undefined` when it can. Valkey began at Redis 7.2. */
export function unsupportedServer(info: string): string | undefined {
  const version = /^redis_version:(\S+)/m.exec(info)?.[1]
  if (version === undefined || Number.parseInt(version, 10) >= OLDEST_REDIS) return undefined
  return `this is Redis ${version}: greymx needs Redis 7.0 or later (PEXPIRE with NX), or Valkey`
}

function connectionOptions({ connection, database, username, password }: RedisSettings) {
  return {
    ...('path' in connection ? { path: connection.path } : { host: connection.host, port: connection.port }),
    ...('path' in connection || !connection.tls ? {} : { tls: {} }),
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    db: database,
    // An operation either goes out now or fails now: its caller answers a waiting MTA.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: SILENCE,
    socketTimeout: SILENCE,
    retryStrategy: (attempt: number) => Math.min(FIRST_RETRY * 2 ** (attempt - 1), LONGEST_RETRY),
  } satisfies RedisOptions
}

/** An entry without a TTL has waited for all of its window, and its use mends it. */
function readEntry(key: string, found: string, remaining: number): Entry {
  const stored = decodeEntry(key, found)
  // No TTL before but a value now: another host added it in between, a moment ago.
  if (remaining === NO_KEY) return ageEntry(stored, stored.ttl)
  if (remaining === NO_TTL) return ageEntry(stored, 0)
  return ageEntry(stored, remaining)
}
