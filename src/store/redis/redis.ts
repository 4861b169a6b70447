// Entries in Redis, shared by any number of hosts. A key's TTL is its window: a pending key is set with the retry
// window, a passed one with the lifetime, and set again as it is used; so nothing has to clean up, and how old an
// entry is follows from what is left of its TTL, by Redis's clock alone.
//
// Redis keeps the instant at which a key ends. On a replica that is promoted while its clock is behind, or on a server
// whose date was set back, more is left of a key than it was set with: such an entry begins anew when it is found.

import { randomUUID } from 'node:crypto'
import { messageOf } from '../../message.ts'
import { ageEntry, decodeEntry, encodeEntry, hasTooMuchLeft, ttlOf, UnreadableEntry } from '../encoding.ts'
import type { Entry } from '../entry.ts'
import type { Learnt } from '../merge.ts'
import type { SharedStore } from '../store.ts'
import { createRedisClient, type RedisClient, serversOf, streamsOf } from './client.ts'
import { ExplainedProblem, explainProblem, isOfReplica, isRefusal } from './problem.ts'
import { type RedisSettings, retryDelay } from './settings.ts'

/** What happens to the connection; problems and warnings are for the operator. */
export interface RedisEvents {
  onReady(): void
  onProblem(problem: string): void
  /** Redis serves, but not as it should; told again only when it has changed. */
  onWarning(warning: string): void
}

/** The first Redis with PEXPIRE … LT and GT. */
const OLDEST_REDIS = 7

/** How long what a check writes is kept, in milliseconds, should it not come to deleting it. */
const CHECK_LIFETIME = 10_000

/** How Redis says that a value is of another kind than the one asked for; it is none of ours then. */
const UNREADABLE = /^WRONGTYPE|^ERR (value is not an integer|increment or decrement would overflow)/

/** What the client says of commands and nodes whose connection is gone. */
const CLOSED = /^Connection is closed|^Stream isn't writeable|^Command aborted/

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
    onWarning: (warning) => events.onWarning(warning),
  })
  await firstAttempt
  return store
}

/**
 * Operations reject at once while Redis cannot be used. When one is refused for no reason of its own (Redis is full,
 * a replica by now, …) nothing more is asked until a check of the same slot has succeeded.
 */
export class RedisStore implements SharedStore {
  readonly #client: RedisClient
  readonly #settings: RedisSettings
  readonly #events: RedisEvents
  /** Why nothing is asked of Redis now; `undefined` while it is connected and can serve. */
  #problem: string | undefined = 'not connected yet'
  #lastError: string | undefined
  #warning = ''
  #isGathering = false
  #isClosed = false
  /** Of the examination that counts; what an earlier one finds out is of no use any more. */
  #examination = 0
  #failedExaminations = 0
  #timer: NodeJS.Timeout | undefined

  constructor(settings: RedisSettings, events: RedisEvents) {
    this.#settings = settings
    this.#events = events
    this.#client = createRedisClient(settings)
    this.#client.on('error', (error: Error & { command?: { name: string } }) => {
      // The client selects the database as it connects and goes on in database 0 if it cannot: the examination will tell.
      if (error.command?.name !== 'select') this.#erred(error)
    })
    this.#client.on('node error', (error: Error) => {
      this.#lastError = this.#describe(error)
    })
    this.#client.on('close', () => this.#lost())
    this.#client.on('ready', () => void this.#examine(''))
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
      const ahead: Array<readonly [key: string, found: string]> = []
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
            if (found != null && isAhead(found, remaining)) ahead.push([key, found])
            awaited -= 1
            if (awaited > 0) return
            if (ahead.length === 0) resolve(entries)
            else Promise.all(ahead.map((each) => this.#beginAnew(...each))).then(() => resolve(entries))
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
    await this.find([key]).catch(() => undefined) // so that it begins anew where it has too much left
    return false
  }

  async pass(key: string, lifetime: number): Promise<void> {
    const passed = encodeEntry({ passed: true, ttl: lifetime })
    await this.#ask(key, (redis, name) => redis.set(name, passed, 'PX', lifetime))
  }

  /**
   * LT sets the end where it is missing, so that a process that dies in between leaves nothing for ever, and where it is
   * further away than the window, by a clock that is behind.
   */
  async count(key: string, window: number): Promise<number> {
    const [sum] = await this.#ask(key, (redis, name) =>
      Promise.all([redis.incr(name), redis.pexpire(name, window, 'LT')]),
    )
    return sum
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
   * Has time go by for an entry that was `found` with more left than it was set with. Another host may have written
   * since, such as a pass, which is kept for longer: what stands there now gets its own time back. Never rejects, as the
   * next find tries again.
   */
  async #beginAnew(key: string, found: string): Promise<void> {
    const ttl = ttlOf(found) ?? 0 // always an entry
    try {
      const [, now] = await this.#ask(key, (redis, name) =>
        Promise.all([redis.pexpire(name, ttl, 'LT'), redis.get(name)]),
      )
      const ttlNow = now === null || now === found ? undefined : ttlOf(now)
      if (ttlNow === undefined || ttlNow <= ttl) return
      await this.#ask(key, (redis, name) => redis.pexpire(name, ttlNow, 'GT'))
    } catch {
      // `#ask` has made known what is wrong with Redis.
    }
  }

  /**
   * Has all commands of this turn of the event loop leave in one write: each write is a system call here and wakes
   * Redis up there.
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
   * What went wrong with the connection says more than that a command found it gone. The error of the client itself is
   * not passed on: it holds the command, which may have been the one with the password.
   */
  #explain(error: unknown, name: string): Error {
    const message = messageOf(error)
    if (UNREADABLE.test(message)) return new UnreadableEntry(`Redis: ${message}`)
    // Of one node of a cluster that is lost nobody else would tell.
    const isOfServer =
      this.#settings.servers.kind === 'cluster' ? !message.startsWith('ERR ') : isRefusal(message)
    if (this.#problem === undefined && isOfServer) this.#refused(error, name)
    return new Error(`Redis: ${this.#problem ?? this.#describe(error)}`)
  }

  #erred(error: Error): void {
    if (this.#isClosed) return
    this.#lastError = this.#describe(error)
    // Of a connection that goes on, an error is no end; of one that does not, `close` follows.
    if (this.#client.status !== 'ready') this.#failed(this.#lastError)
  }

  /** That a connection is closed, the client tells of each command; why it is, it has told once. */
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

  /** Finds out whether Redis can serve, and says so; it is in use from then on. `name` is that of a key that it refused. */
  async #examine(name: string): Promise<void> {
    this.#examination += 1
    const examination = this.#examination
    try {
      await this.#select()
      const servers = serversOf(this.#client)
      const infos = await Promise.all(servers.map((server) => server.info().catch(() => ''))) // may be forbidden
      const unsupported = infos.map(unsupportedServer).find((problem) => problem !== undefined)
      if (unsupported !== undefined) throw new ExplainedProblem(unsupported)
      await writeReadDelete(this.#client, this.#settings.prefix + checkKey(name))
      if (examination !== this.#examination || this.#isClosed) return
      this.#warn(infos.map(evictionWarning).find((warning) => warning !== undefined) ?? '')
      this.#problem = undefined
      this.#lastError = undefined
      this.#failedExaminations = 0
      this.#events.onReady()
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

  /** Redis cannot serve though it is connected: it is asked again in a while, or left for what stands in its place then. */
  #refused(error: unknown, name: string): void {
    const isReplica = isOfReplica(messageOf(error))
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
    this.#events.onProblem(problem)
  }
}

/** A key of its own for each check, as several hosts check at once; in the slot of `name` where that is given. */
function checkKey(name: string): string {
  return `check:${randomUUID()}${name === '' ? '' : `{${name}}`}`
}

/** Asks for all that greymx ever asks for, so that a right that is missing shows at once. */
async function writeReadDelete(redis: RedisClient, name: string): Promise<void> {
  const [, , , , found] = await Promise.all([
    redis.incr(name),
    redis.pexpire(name, CHECK_LIFETIME, 'LT'),
    redis.set(name, 'written', 'PX', CHECK_LIFETIME),
    redis.pttl(name),
    redis.get(name),
    redis.del(name),
  ])
  if (found !== 'written') throw new Error('what was written could not be read back')
}

/** Why a server cannot serve as store, from its INFO; `undefined` when it can. Valkey began at Redis 7.2. */
export function unsupportedServer(info: string): string | undefined {
  const version = /^redis_version:(\S+)/m.exec(info)?.[1]
  if (version === undefined || Number.parseInt(version, 10) >= OLDEST_REDIS) return undefined
  return `this is Redis ${version}: greymx needs Redis 7.0 or later (PEXPIRE with LT), or Valkey`
}

/** What an evicting server is warned about, from its INFO; `undefined` when it keeps all, or does not say. */
export function evictionWarning(info: string): string | undefined {
  const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1]
  if (policy === undefined || policy === 'noeviction') return undefined
  return `maxmemory-policy is ${policy}: Redis drops entries when it runs short of memory, expected noeviction`
}

/** Of what is no entry, nobody knows. */
function isAhead(found: string, remaining: number): boolean {
  const ttl = ttlOf(found)
  return ttl !== undefined && hasTooMuchLeft(remaining, ttl)
}

/** An entry without a TTL has waited for all of its window, and its use mends it. */
function readEntry(key: string, found: string, remaining: number): Entry {
  const stored = decodeEntry(key, found)
  // No TTL before but a value now: another host added it in between, a moment ago.
  if (remaining === NO_KEY) return ageEntry(stored, stored.ttl)
  if (remaining === NO_TTL) return ageEntry(stored, 0)
  return ageEntry(stored, remaining)
}
