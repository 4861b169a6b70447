// The store in Redis, shared by any number of hosts. A key's TTL is its window: a pending key is set with the retry
// window, a passed one with the lifetime, and set again as it is used. So no cleaner is needed, and the age of an entry
// follows from what is left of its TTL, by Redis's clock alone. Connecting is the matter of client.ts.
//
// Redis keeps the instant at which a key expires. On a replica that is promoted while its clock is behind, or on a
// server whose date was set back, more is left of a key than it was set with. The window of such an entry restarts when
// it is found.

import { randomUUID } from 'node:crypto'
import { messageOf } from '../../errors.ts'
import {
  ageEntry,
  decodeCount,
  decodeEntry,
  encodeEntry,
  hasTooMuchLeft,
  ttlOf,
  UnreadableEntry,
} from '../encoding.ts'
import type { Entry } from '../entry.ts'
import type { Learnt } from '../merge.ts'
import { type ConnectionWatch, UNWATCHED, type UnguardedStore } from '../store.ts'
import { createRedisClient, type RedisClient, serversOf, streamsOf } from './client.ts'
import { ExplainedProblem, explainProblem, isFromReplica, isRefusal } from './problem.ts'
import { type RedisSettings, retryDelay } from './settings.ts'

/** Callbacks for what checks find. */
export interface RedisEvents {
  /** Redis serves, but not as it should. Called again only when the warning, for the operator, has changed. */
  onWarning(warning: string): void
}

/** The first Redis with PEXPIRE … LT and GT. */
const MIN_REDIS_VERSION = 7

/** TTL of what a check writes, in milliseconds, in case it cannot delete that. */
const CHECK_LIFETIME = 10_000

/** Redis's errors for a value of another type than the command's, which greymx has not written. */
const UNREADABLE = /^WRONGTYPE|^ERR (value is not an integer|increment or decrement would overflow)/

/** ioredis's errors for commands and nodes whose connection is closed. */
const CLOSED = /^Connection is closed|^Stream isn't writeable|^Command aborted/

/**
 * mergeEntry of merge.ts as a script, so that it is atomic. Its arguments are state, TTL and what is left of that, in
 * milliseconds. It returns the value under the key when that is no entry.
 */
const MERGE_ENTRY = `
local state, ttl, left = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local found = redis.call('GET', KEYS[1])
if found then
  local had, window = string.match(found, '^1:(%a+):(%d+)$')
  if had ~= 'pending' and had ~= 'passed' then return found end
  local remaining = redis.call('PTTL', KEYS[1])
  if remaining > tonumber(window) then
    remaining = tonumber(window)
    redis.call('PEXPIRE', KEYS[1], window)
  end
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

/** PTTL's replies for a key without a TTL (greymx sets no such key) and for no key. */
const NO_TTL = -1
const NO_KEY = -2

/** The store, once the first attempt to connect has succeeded or failed; after a failure it retries by itself. */
export async function openRedisStore(settings: RedisSettings, events: RedisEvents): Promise<RedisStore> {
  const store = new RedisStore(settings, events)
  await new Promise<void>((resolve) => store.watch({ onReady: resolve, onLost: () => resolve() }))
  return store
}

/**
 * A store with a circuit breaker: operations reject at once while Redis cannot be used. The circuit opens when the
 * connection is lost, or when Redis refuses an operation for a reason of the server (it is full, a replica by now, …),
 * and closes when a check in the slot of the refused key has succeeded.
 */
export class RedisStore implements UnguardedStore {
  readonly #client: RedisClient
  readonly #settings: RedisSettings
  readonly #events: RedisEvents
  #watch = UNWATCHED
  /** Why operations are refused now; `undefined` while Redis is connected and can serve. */
  #problem: string | undefined = 'not connected yet'
  #lastError: string | undefined
  #warning = ''
  #isGathering = false
  #isClosed = false
  /** Number of the current examination; results of earlier ones are ignored. */
  #examination = 0
  #failedExaminations = 0
  #timer: NodeJS.Timeout | undefined

  constructor(settings: RedisSettings, events: RedisEvents) {
    this.#settings = settings
    this.#events = events
    this.#client = createRedisClient(settings)
    this.#client.on('error', (error: Error & { command?: { name: string } }) => {
      // ioredis selects the database when it connects and ignores a failure; `#select` detects and reports that.
      if (error.command?.name !== 'select') this.#erred(error)
    })
    this.#client.on('node error', (error: Error) => {
      this.#lastError = this.#describe(error)
    })
    this.#client.on('close', () => this.#lost())
    this.#client.on('ready', () => void this.#examine(''))
  }

  watch(watch: ConnectionWatch): void {
    this.#watch = watch
  }

  /**
   * Sends PTTL before GET, in one pipeline without MULTI. If another host writes between the two, the age is that of
   * the previous entry, which never turns a first attempt into a pass.
   */
  find(keys: readonly string[]): Promise<Array<Entry | undefined>> {
    if (this.#problem !== undefined) return Promise.reject(new Error(`Redis: ${this.#problem}`))
    this.#gather()
    // Callbacks instead of promises, as this is most of what an attempt costs.
    return new Promise((resolve, reject) => {
      const entries: Array<Entry | undefined> = []
      const overlong: Array<readonly [key: string, found: string]> = []
      let awaited = keys.length
      keys.forEach((key, index) => {
        const name = this.#settings.prefix + key
        let remaining = NO_KEY
        let failure: Error | null | undefined
        this.#client.pttl(name, (error, left = NO_KEY) => {
          failure = error
          remaining = left
        })
        this.#client.get(name, (error, found) => {
          try {
            failure ??= error
            if (failure) throw this.#explain(failure, name)
            entries[index] = found == null ? undefined : readEntry(name, found, remaining)
            if (found != null && isOverlong(found, remaining)) overlong.push([key, found])
            awaited -= 1
            if (awaited > 0) return
            if (overlong.length === 0) resolve(entries)
            else
              Promise.all(overlong.map((each) => this.#restartWindow(...each))).then(() => resolve(entries))
          } catch (failure) {
            reject(failure)
          }
        })
      })
    })
  }

  async add(key: string, retryWindow: number, age = 0): Promise<boolean> {
    const pending = encodeEntry({ passed: false, ttl: retryWindow })
    const done = await this.#ask(key, (redis, name) =>
      redis.set(name, pending, 'PX', retryWindow - age, 'NX'),
    )
    if (done === 'OK') return true
    await this.find([key]).catch(() => undefined) // so that its window restarts where it has too much time left
    return false
  }

  async pass(key: string, lifetime: number): Promise<void> {
    const passed = encodeEntry({ passed: true, ttl: lifetime })
    await this.#ask(key, (redis, name) => redis.set(name, passed, 'PX', lifetime))
  }

  /**
   * PEXPIRE with LT sets the TTL where it is missing, so that a process that dies in between leaves no key for ever,
   * and where it is longer than the window, as by a clock that is behind.
   */
  async count(key: string, window: number, by = 1): Promise<number> {
    const [sum] = await this.#ask(key, (redis, name) =>
      Promise.all([redis.incrby(name, by), redis.pexpire(name, window, 'LT')]),
    )
    return sum
  }

  counts(keys: readonly string[]): Promise<number[]> {
    return Promise.all(
      keys.map(async (key) => {
        const found = await this.#ask(key, (redis, name) => redis.get(name))
        return found === null ? 0 : decodeCount(this.#settings.prefix + key, found)
      }),
    )
  }

  async forget(key: string): Promise<void> {
    await this.#ask(key, (redis, name) => redis.del(name))
  }

  async merge(key: string, learnt: Learnt): Promise<void> {
    const left = Math.ceil('ttl' in learnt ? Math.min(learnt.left, learnt.ttl) : learnt.left)
    if ('counted' in learnt) {
      await this.#ask(key, (redis, name) =>
        Promise.all([redis.incrby(name, learnt.counted), redis.pexpire(name, left, 'LT')]),
      )
      return
    }
    const state = learnt.passed ? 'passed' : 'pending'
    const found = await this.#ask(key, (redis, name) =>
      redis.eval(MERGE_ENTRY, 1, name, state, learnt.ttl, left),
    )
    if (typeof found === 'string') decodeEntry(key, found) // throws
  }

  async check(): Promise<void> {
    await this.#ask(checkKey(''), writeReadDelete)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#client.disconnect()
  }

  /**
   * Restarts the window of an entry that was `found` with more left than it was set with. If another host has written a
   * longer one since, such as a pass, that gets its own TTL back. Never rejects, as the next find retries.
   */
  async #restartWindow(key: string, found: string): Promise<void> {
    const ttl = ttlOf(found) ?? 0 // always an entry
    try {
      const [, now] = await this.#ask(key, (redis, name) =>
        Promise.all([redis.pexpire(name, ttl, 'LT'), redis.get(name)]),
      )
      const ttlNow = now === null || now === found ? undefined : ttlOf(now)
      if (ttlNow === undefined || ttlNow <= ttl) return
      await this.#ask(key, (redis, name) => redis.pexpire(name, ttlNow, 'GT'))
    } catch {
      // `#ask` has reported the problem.
    }
  }

  /**
   * Corks the connections until the end of this turn of the event loop, so that all its commands leave in one write:
   * each write is a system call here and wakes Redis up.
   */
  #gather(): void {
    if (this.#isGathering) return
    this.#isGathering = true
    const streams = streamsOf(this.#client)
    for (const stream of streams) stream.cork()
    setImmediate(() => {
      this.#isGathering = false
      for (const stream of streams) stream.uncork()
    })
  }

  async #ask<T>(key: string, command: (redis: RedisClient, name: string) => Promise<T>): Promise<T> {
    if (this.#problem !== undefined) throw new Error(`Redis: ${this.#problem}`)
    this.#gather()
    const name = this.#settings.prefix + key
    try {
      return await command(this.#client, name)
    } catch (error) {
      throw this.#explain(error, name)
    }
  }

  /**
   * The error for the caller; opens the circuit when it concerns the server. It names the problem of the connection
   * where there is one, rather than that a command found it closed. ioredis's own error is not passed on, as it holds
   * the command, which may be the one with the password.
   */
  #explain(error: unknown, name: string): Error {
    const message = messageOf(error)
    if (UNREADABLE.test(message)) return new UnreadableEntry(`Redis: ${message}`)
    // In a cluster, no other event reports the loss of one node, so any error but ERR counts.
    const isOfServer =
      this.#settings.servers.kind === 'cluster' ? !message.startsWith('ERR ') : isRefusal(message)
    if (this.#problem === undefined && isOfServer) this.#refused(error, name)
    return new Error(`Redis: ${this.#problem ?? this.#describe(error)}`)
  }

  #erred(error: Error): void {
    if (this.#isClosed) return
    this.#lastError = this.#describe(error)
    // An error on a ready connection does not end it; if it is lost, `close` follows.
    if (this.#client.status !== 'ready') this.#failed(this.#lastError)
  }

  /** What `error` means. For a closed connection, the error that closed it, which ioredis has reported only once. */
  #describe(error: unknown): string {
    const { login, sentinelLogin } = this.#settings
    const problem = explainProblem(error, [login.password, sentinelLogin.password])
    return CLOSED.test(problem) ? (this.#lastError ?? problem) : problem
  }

  #lost(): void {
    if (this.#isClosed) return
    this.#examination += 1
    clearTimeout(this.#timer)
    this.#failed(this.#lastError ?? 'the connection was closed')
  }

  /** Half-open probe: closes the circuit if Redis can serve. `name` is the key that it refused, or ''. */
  async #examine(name: string): Promise<void> {
    this.#examination += 1
    const examination = this.#examination
    try {
      await this.#select()
      const servers = serversOf(this.#client)
      const infos = await Promise.all(servers.map((server) => server.info().catch(() => ''))) // INFO may be forbidden
      const unsupported = infos.map(unsupportedServer).find((problem) => problem !== undefined)
      if (unsupported !== undefined) throw new ExplainedProblem(unsupported)
      await writeReadDelete(this.#client, this.#settings.prefix + checkKey(name))
      if (examination !== this.#examination || this.#isClosed) return
      this.#warn(infos.map(evictionWarning).find((warning) => warning !== undefined) ?? '')
      this.#problem = undefined
      this.#lastError = undefined
      this.#failedExaminations = 0
      this.#watch.onReady()
    } catch (error) {
      if (examination === this.#examination && !this.#isClosed) this.#refused(error, name)
    }
  }

  async #select(): Promise<void> {
    const { database } = this.#settings
    if (database === 0) return
    await this.#client.select(database).catch((error: Error) => {
      throw new Error(`cannot use database ${database}: ${error.message}`)
    })
  }

  /** Opens the circuit while connected: probes again after a backoff, or reconnects when the server is a replica. */
  #refused(error: unknown, name: string): void {
    const isReplica = isFromReplica(messageOf(error))
    this.#lastError = this.#describe(error)
    this.#failed(this.#lastError)
    this.#failedExaminations += 1
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      if (isReplica) this.#client.disconnect(true)
      else void this.#examine(name)
    }, retryDelay(this.#failedExaminations))
  }

  #warn(warning: string): void {
    if (warning !== '' && warning !== this.#warning) this.#events.onWarning(warning)
    this.#warning = warning
  }

  #failed(problem: string): void {
    this.#problem = problem
    this.#watch.onLost(`Redis: ${problem}`)
  }
}

/** A unique key for each check, as several hosts check at once; in the slot of `name` unless that is empty. */
function checkKey(name: string): string {
  return `check:${randomUUID()}${name === '' ? '' : `{${name}}`}`
}

/** Sends each command that mail needs, so that a missing right shows at once. */
async function writeReadDelete(redis: RedisClient, name: string): Promise<void> {
  const [, , , , found] = await Promise.all([
    redis.incrby(name, 1),
    redis.pexpire(name, CHECK_LIFETIME, 'LT'),
    redis.set(name, 'written', 'PX', CHECK_LIFETIME),
    redis.pttl(name),
    redis.get(name),
    redis.del(name),
  ])
  if (found !== 'written') throw new Error('what was written could not be read back')
}

/** Why a server cannot serve as store, by its INFO; `undefined` when it can. Valkey reports redis_version 7.2. */
export function unsupportedServer(info: string): string | undefined {
  const version = /^redis_version:(\S+)/m.exec(info)?.[1]
  if (version === undefined || Number.parseInt(version, 10) >= MIN_REDIS_VERSION) return undefined
  return `this is Redis ${version}: greymx needs Redis 7.0 or later (PEXPIRE with LT), or Valkey`
}

/** The warning about a server that evicts keys, by its INFO; `undefined` when it evicts none, or does not say. */
export function evictionWarning(info: string): string | undefined {
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1]
  if (policy === undefined || policy === 'noeviction') return undefined
  return `maxmemory-policy is ${policy}: expected noeviction, as Redis otherwise drops entries when memory runs short, and their senders wait again`
}

/** Whether `found` is an entry with more left than it was set with. */
function isOverlong(found: string, remaining: number): boolean {
  const ttl = ttlOf(found)
  return ttl !== undefined && hasTooMuchLeft(remaining, ttl)
}

/** The entry in `found`. Without a TTL it counts as having waited all of its window; its next write sets a TTL. */
function readEntry(key: string, found: string, remaining: number): Entry {
  const stored = decodeEntry(key, found)
  // PTTL found no key and GET a value: another host has just added it, so its age is 0.
  if (remaining === NO_KEY) return ageEntry(stored, stored.ttl)
  if (remaining === NO_TTL) return ageEntry(stored, 0)
  return ageEntry(stored, remaining)
}
