// The store in Redis, shared by any number of hosts. A key's TTL is its window: a pending key is set with the retry
// window, a passed one with the lifetime, and set again as it is used. So no cleaner is needed, and the age of an entry
// follows from what is left of its TTL, by Redis's clock alone. Connecting is the matter of client.ts. Whether Redis is
// asked at all, and when it is examined after a failure, the circuit breaker of guard.ts decides.
//
// Redis keeps the instant at which a key expires. On a replica that is promoted while its clock is behind, or on a
// server whose date was set back, more is left of a key than it was set with. The window of such an entry restarts when
// it is found.

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../../errors.ts'
import {
  ageEntry,
  decodeCount,
  decodeEntry,
  encodeCount,
  encodeEntry,
  hasTooMuchLeft,
  ttlOf,
  UnreadableEntry,
} from '../encoding.ts'
import type { Entry } from '../entry.ts'
import { addedBy, isCount, type Learnt, type LearntEntry, mergeEntry } from '../merge.ts'
import { RecentNames } from '../recent.ts'
import type { KeptKey, RecordStore } from '../records.ts'
import {
  type ConnectionWatch,
  type CountedStore,
  type KeyCounts,
  type Look,
  type LookedEntry,
  NONE_AWAY,
  onlyOf,
  StoreUnusable,
  UNWATCHED,
  type UnguardedStore,
  type Write,
  type Written,
} from '../store.ts'
import {
  createRedisClient,
  nodeOf,
  ownerOf,
  ownersIn,
  type RedisClient,
  serversOf,
  tagOf,
  untilConnected,
} from './client.ts'
import { type CommandName, type Reading, RedisCommands } from './commands.ts'
import { passwordsOf } from './login.ts'
import { leftOf, mergeIntoRedis, NO_KEY, NO_TTL, shorten } from './merge.ts'
import { ExplainedProblem, explainProblem, isClosed, isFromReplica } from './problem.ts'
import { recordRightsWarning } from './record-rights.ts'
import { RedisRecords } from './records.ts'
import { countRedisKeys } from './sample.ts'
import { scanRedisKeys } from './scan.ts'
import { type RedisSettings, retryDelay } from './settings.ts'

/** Callbacks for what a check finds. */
export interface RedisEvents {
  /** Redis serves, but not as it should. Called again only when the warning, for the operator, has changed. */
  onWarning(warning: string): void
}

/** The first Redis with PEXPIRE … LT and GT. */
const MIN_REDIS_VERSION = 7

/** TTL of what a check writes, in milliseconds, in case it cannot delete that. */
const CHECK_LIFETIME = 10_000

/** A check waits for INFO from the other nodes of a Cluster for this time at most, in milliseconds, as one may hang. */
const INFO_TIMEOUT = 50

/** Redis's errors for a value of another type than the command's, which greymx has not written. */
const UNREADABLE = /^WRONGTYPE|^ERR (value is not an integer|increment or decrement would overflow)/

/** Redis's errors for writes that it cannot take, while it can be read. */
const NO_WRITES = /^(OOM|MISCONF|NOREPLICAS) /

/** How long it is known when this process wrote a pass, in milliseconds: longer than until it is written again. */
const WRITTEN_WINDOW = 86_400_000

/** What is said of a connection that was closed without an error. */
const CLOSED_WITHOUT_ERROR = 'the connection was closed'

/** The store, once the first attempt to connect has succeeded or failed; after a failure it retries by itself. */
export async function openRedisStore(settings: RedisSettings, events: RedisEvents): Promise<RedisStore> {
  const store = new RedisStore(settings, events)
  await new Promise<void>((resolve) => store.watch({ onReady: resolve, onLost: () => resolve() }))
  return store
}

/**
 * A store whose operations reject while Redis is not connected, and with the reason when Redis refuses them. It asks
 * nothing by itself. It reconnects by itself after a lost connection, and when a replica has refused a write, as another
 * server is the master then or will be soon.
 */
export class RedisStore implements UnguardedStore, CountedStore, RecordStore {
  readonly #client: RedisClient
  readonly #commands: RedisCommands
  /** The node of a Cluster that has a key; absent in no Cluster. */
  readonly partOf?: (key: string) => string
  readonly #settings: RedisSettings
  readonly #events: RedisEvents
  readonly #records: RedisRecords
  /** The names of the passes that this process has written, so that a look need not ask how old they are. */
  readonly #written = new RecentNames(() => performance.now(), WRITTEN_WINDOW)
  #watch = UNWATCHED
  /** Why the last connection was lost or the last attempt to connect failed; `undefined` once connected again. */
  #lastError: string | undefined
  /** Whether the connection is given up, and is open only until the server has closed its end too. */
  #isLeaving = false
  /** Attempts to reconnect since the last successful check, so that their backoff grows while Redis cannot serve. */
  #reconnects = 0
  /** Whether the connection uses the database of the settings. */
  #isDatabaseSelected = true
  /** The key that Redis refused last, '' at first: a check has to examine its kind, and in a Cluster its node. */
  #refusedKey = ''
  #warning = ''
  /** Whether rights for records were examined on this connection, and what was said of them last. */
  #areRecordsExamined = false
  #recordsWarning = ''

  constructor(settings: RedisSettings, events: RedisEvents) {
    this.#settings = settings
    this.#events = events
    this.#records = new RedisRecords(settings)
    const nextDelay = () => {
      this.#reconnects += 1
      return retryDelay(this.#reconnects)
    }
    this.#client = createRedisClient(settings, nextDelay, (warning) => events.onWarning(warning))
    this.#commands = new RedisCommands(this.#client)
    if (settings.servers.kind === 'cluster') this.partOf = (key) => ownerOf(this.#client, this.#nameOf(key))
    this.#client.on('error', (error: Error & { command?: { name: string } }) => {
      // ioredis selects the database when it connects, and goes on with another one after a failure.
      if (error.command?.name === 'select') this.#isDatabaseSelected = false
      else this.#erred(error)
    })
    this.#client.on('node error', (error: Error) => {
      this.#lastError = this.#describe(error)
    })
    this.#client.on('close', () => this.#lost())
    this.#client.on('ready', () => void this.#connected())
  }

  watch(watch: ConnectionWatch): void {
    this.#watch = watch
  }

  /**
   * Asks for what is left of each entry before its text. If another host writes between the two, the age is that of the
   * previous entry, which never turns a first attempt into a pass.
   */
  find(keys: readonly string[]): Promise<Array<Entry | undefined>> {
    return this.#read('find', keys.map(this.#nameOf), (reading) => this.#entriesIn(keys, reading))
  }

  /**
   * Asks for texts alone. What is left of a wait, `find` tells; most looks find none. A pass that this process has not
   * written of late counts as one of its whole lifetime, so that it is extended.
   */
  look(entryKeys: readonly string[], countKeys: readonly string[]): Promise<Look> {
    const names = [...entryKeys, ...countKeys].map(this.#nameOf)
    const { length } = entryKeys
    return this.#read('get', names, ({ texts }) => {
      const entries = names.slice(0, length).map((name, index) => this.#lookedIn(name, texts[index] ?? null))
      const counts = names.slice(length).map((name, index) => this.#countIn(name, texts[length + index]))
      return {
        entries: { answers: entries, away: NONE_AWAY },
        counts: { answers: counts, away: NONE_AWAY },
      }
    })
  }

  add(key: string, retryWindow: number, age?: number, holder?: string): Promise<boolean> {
    return onlyOf(this.write([{ kind: 'add', key, retryWindow, age, holder }]))
  }

  pass(key: string, lifetime: number): Promise<void> {
    return onlyOf<undefined>(this.write([{ kind: 'pass', key, lifetime }]))
  }

  count(key: string, window: number, by?: number): Promise<number> {
    return onlyOf(this.write([{ kind: 'count', key, window, by }]))
  }

  write(writes: readonly Write[]): Promise<Written[]> {
    return new Promise((resolve) => {
      const written: Written[] = writes.map(() => undefined)
      let awaited = writes.length
      if (awaited === 0) resolve(written)
      for (const [index, write] of writes.entries())
        this.#write(write, (result) => {
          written[index] = result
          awaited -= 1
          if (awaited === 0) resolve(written)
        })
    })
  }

  counts(keys: readonly string[]): Promise<number[]> {
    const names = keys.map(this.#nameOf)
    return this.#read('get', names, ({ texts }) =>
      names.map((name, index) => this.#countIn(name, texts[index])),
    )
  }

  async forget(key: string): Promise<void> {
    await this.#ask('del', key, [])
  }

  /**
   * Takes one round trip where nothing is under the key, as for most of what another store has, and two where what is
   * there stays, as when it was merged before. Both leave together with those of other keys.
   */
  async merge(key: string, learnt: Learnt): Promise<void> {
    const left = Math.ceil(learnt.left)
    if ('counted' in learnt) {
      await this.count(key, left, learnt.counted)
      return
    }
    if (isCount(learnt)) {
      if ((await this.#ask('set', key, [encodeCount(learnt.seen), 'PX', left, 'NX'])) != null) return
      const [found = 0] = await this.counts([key])
      const by = addedBy(learnt, found)
      if (by > 0) await this.count(key, left, by)
      return
    }
    const text = encodeEntry(learnt)
    if ((await this.#ask('set', key, [text, 'PX', Math.min(left, learnt.ttl), 'NX'])) != null) return
    if (await this.#outweighs(key, learnt)) return
    await this.#do(key, (redis, name) => mergeIntoRedis(redis, name, learnt))
  }

  /** The nodes of a Cluster; none in no Cluster, and while no node is connected. */
  parts(): readonly string[] {
    return this.#isConnected ? ownersIn(this.#client) : []
  }

  /**
   * The whole examination: the database, the server's version, and every command that mail needs. In a Cluster, that of
   * the node `part`; without one, of the node that refused a key last. Takes one round trip, or two where the database
   * is yet to be selected.
   */
  async check(part = ''): Promise<void> {
    if (!this.#isConnected) throw this.#notConnected()
    const tag = part === '' ? '' : tagOf(this.#client, part)
    if (tag === undefined) return // another node has its slots
    const refused = part === '' || this.partOf?.(this.#refusedKey) === part ? this.#refusedKey : ''
    const { prefix } = this.#settings
    const name = checkName(prefix, refused, tag)
    try {
      if (!this.#isDatabaseSelected) await this.#select()
      const node = part === '' ? undefined : nodeOf(this.#client, part)
      const servers = node ? [node] : serversOf(this.#client)
      const infos = servers.map(() => '')
      const informed = servers.map(async (server, index) => {
        infos[index] = await server.info().catch(() => '') // INFO may be forbidden
      })
      // The server that is written to has answered INFO by then, as it answers in order.
      const [written] = await Promise.allSettled([
        writeReadDelete(this.#client, name, prefix),
        Promise.race([Promise.all(informed), sleep(INFO_TIMEOUT, undefined, { ref: false })]),
      ])
      const unsupported = infos.map(unsupportedServer).find((problem) => problem !== undefined)
      if (unsupported !== undefined) throw new ExplainedProblem(unsupported)
      if (written.status === 'rejected') throw written.reason
      this.#warn(infos.map(evictionWarning).find((warning) => warning !== undefined) ?? '')
    } catch (error) {
      if (tag === '' && this.#refusedKey === '') this.#refusedKey = name.slice(prefix.length)
      if (NO_WRITES.test(messageOf(error))) throw new Error(`Redis: ${this.#describe(error)}`)
      throw this.#unusable(error, part)
    }
    if (part === '') this.#lastError = undefined
    this.#reconnects = 0
    if (!this.#areRecordsExamined) void this.#examineRecords()
  }

  countKeys(signal: AbortSignal): Promise<KeyCounts | undefined> {
    return countRedisKeys(this.#settings, signal)
  }

  readRecord(name: string): Promise<Map<string, string>> {
    return this.#records.readRecord(name)
  }

  revisionOf(name: string): Promise<string> {
    return this.#records.revisionOf(name)
  }

  changeRecord(
    name: string,
    changes: ReadonlyMap<string, string | undefined>,
    lifetime?: number,
  ): Promise<void> {
    return this.#records.changeRecord(name, changes, lifetime)
  }

  addToRecord(name: string, by: ReadonlyMap<string, number>, lifetime: number): Promise<void> {
    return this.#records.addToRecord(name, by, lifetime)
  }

  scanKeys(signal: AbortSignal, isWanted?: (key: string) => boolean): AsyncIterable<readonly KeptKey[]> {
    return scanRedisKeys(this.#settings, signal, isWanted)
  }

  clockOffset(): Promise<number> {
    return this.#records.clockOffset()
  }

  async close(): Promise<void> {
    this.watch(UNWATCHED)
    this.#records.close()
    this.#client.disconnect()
  }

  /** Whether the entry under `key` stays as it is when `learnt` is merged into it. */
  #outweighs(key: string, learnt: LearntEntry): Promise<boolean> {
    const name = this.#nameOf(key)
    return this.#read('find', [name], ({ texts: [text], lefts: [left = NO_KEY] }) => {
      if (text == null || isOverlong(text, left)) return false
      const found = decodeEntry(name, text)
      return mergeEntry({ ...found, left: leftOf(found, left) }, learnt) === undefined
    })
  }

  /** What `answerOf` makes of what is read of the keys with these `names`. */
  #read<T>(
    operation: 'find' | 'get',
    names: readonly string[],
    answerOf: (reading: Reading) => T | Promise<T>,
  ): Promise<T> {
    if (!this.#isConnected) return Promise.reject(this.#notConnected())
    return new Promise((resolve, reject) => {
      this.#commands[operation](names, (reading, error, name) => {
        try {
          if (error) throw this.#explain(error, name ?? '')
          resolve(answerOf(reading))
        } catch (failure) {
          reject(failure)
        }
      })
    })
  }

  /** Sends the commands of a write, and hands over what became of it, once. */
  #write(write: Write, take: (result: Written) => void): void {
    const name = this.#nameOf(write.key)
    if (!this.#isConnected) take(this.#notConnected())
    else if (write.kind === 'add') this.#add(name, write, take)
    else if (write.kind === 'count') this.#count(name, write, take)
    else this.#pass(name, write, take)
  }

  #pass(name: string, { lifetime }: Extract<Write, { kind: 'pass' }>, take: (result: Written) => void): void {
    const passed = encodeEntry({ passed: true, ttl: lifetime })
    // With GET, a value of another kind is not replaced.
    this.#commands.ask('set', name, [passed, 'PX', lifetime, 'GET'], (error) => {
      if (!error) this.#written.note(name)
      take(error && this.#explain(error, name))
    })
  }

  #add(name: string, write: Extract<Write, { kind: 'add' }>, take: (result: Written) => void): void {
    const { key, retryWindow, age = 0, holder } = write
    const entry = { passed: false, ttl: retryWindow }
    const pending = encodeEntry(holder === undefined ? entry : { ...entry, holder })
    this.#commands.ask('set', name, [pending, 'PX', retryWindow - age, 'NX'], (error, done) => {
      if (error) take(this.#explain(error, name))
      else if (done != null) take(true)
      else this.#meet(key, take)
    })
  }

  /** Hands over that something is under `key`, or that it cannot be read. Its window restarts if too much is left. */
  #meet(key: string, take: (result: Written) => void): void {
    this.find([key]).then(
      () => take(false),
      (error: Error) => take(error instanceof UnreadableEntry ? error : false),
    )
  }

  /**
   * PEXPIRE with LT sets the TTL where it is missing, so that a process that dies in between leaves no key for ever,
   * and where it is longer than the window, as by a clock that is behind.
   */
  #count(
    name: string,
    { window, by = 1 }: Extract<Write, { kind: 'count' }>,
    take: (result: Written) => void,
  ): void {
    let sum: Written
    let awaited = 2
    // In a Cluster, a command that is sent again to another node may be answered after the next one.
    const took = (error: Error | undefined, reply: unknown) => {
      if (error && !(sum instanceof Error)) sum = this.#explain(error, name)
      else if (typeof reply === 'number') sum ??= reply
      awaited -= 1
      if (awaited === 0) take(sum)
    }
    this.#commands.ask('incrby', name, [by], (error, reply) => took(error, reply))
    this.#commands.ask('pexpire', name, [window, 'LT'], (error) => took(error, undefined))
  }

  #lookedIn(name: string, text: string | null): LookedEntry | undefined {
    if (text === null) return undefined
    const { passed, ttl, holder } = decodeEntry(name, text)
    const age = passed ? (this.#written.ageOf(name) ?? ttl) : undefined
    return holder === undefined ? { passed, age } : { passed, age, holder }
  }

  #countIn(name: string, text: string | null | undefined): number {
    return text == null ? 0 : decodeCount(name, text)
  }

  /**
   * The entries that were read. The windows of those with too much time left restart. Keys that are there and have no
   * text are asked for once more: they have just expired, or have another kind of value, of which GET tells.
   */
  #entriesIn(
    keys: readonly string[],
    { texts, lefts }: Reading,
  ): Array<Entry | undefined> | Promise<Array<Entry | undefined>> {
    const hidden: string[] = []
    const overlong: Array<readonly [key: string, found: string]> = []
    const entries = keys.map((key, index) => {
      const text = texts[index] ?? null
      const left = lefts[index] ?? NO_KEY
      if (text === null) {
        if (left !== NO_KEY) hidden.push(key)
        return undefined
      }
      if (isOverlong(text, left)) overlong.push([key, text])
      return readEntry(this.#nameOf(key), text, left)
    })
    if (hidden.length === 0 && overlong.length === 0) return entries
    const again = hidden.map((key) => this.#do(key, (redis, name) => redis.get(name)))
    return Promise.all([...again, ...overlong.map((each) => this.#restartWindow(...each))]).then(
      () => entries,
    )
  }

  /**
   * Restarts the window of an entry that was `found` with more left than it was set with. If another host has written a
   * longer one since, such as a pass, that gets its own TTL back. Never rejects, as the next find retries.
   */
  async #restartWindow(key: string, found: string): Promise<void> {
    const ttl = ttlOf(found) ?? 0 // always an entry
    try {
      await this.#do(key, (redis, name) => shorten(redis, name, found, ttl))
    } catch {
      // An operation that mail waits for will meet the same problem.
    }
  }

  readonly #nameOf = (key: string): string => this.#settings.prefix + key

  /** The reply to a command about `key`. */
  #ask(command: CommandName, key: string, args: ReadonlyArray<string | number>): Promise<unknown> {
    if (!this.#isConnected) return Promise.reject(this.#notConnected())
    const name = this.#settings.prefix + key
    return new Promise((resolve, reject) => {
      this.#commands.ask(command, name, args, (error, reply) => {
        if (error) reject(this.#explain(error, name))
        else resolve(reply)
      })
    })
  }

  /** What comes of several commands about `key`, one after the other. */
  async #do<T>(key: string, commands: (redis: RedisClient, name: string) => Promise<T>): Promise<T> {
    if (!this.#isConnected) throw this.#notConnected()
    const name = this.#settings.prefix + key
    try {
      return await commands(this.#client, name)
    } catch (error) {
      throw this.#explain(error, name)
    }
  }

  get #isConnected(): boolean {
    return this.#client.status === 'ready'
  }

  #notConnected(): StoreUnusable {
    return new StoreUnusable(`Redis: ${this.#lastError ?? 'not connected yet'}`)
  }

  /**
   * The error for the caller of an operation on the key `name`. All errors concern the server but those that begin with
   * ERR, which concern one command, and those of writes that it cannot take.
   */
  #explain(error: unknown, name: string): Error {
    if (error instanceof UnreadableEntry) return error
    const message = messageOf(error)
    if (UNREADABLE.test(message)) return new UnreadableEntry(`Redis: ${message}`)
    if (message.startsWith('ERR ') || NO_WRITES.test(message))
      return new Error(`Redis: ${this.#describe(error)}`)
    this.#refusedKey = name.slice(this.#settings.prefix.length)
    return this.#unusable(error, ownerOf(this.#client, name))
  }

  /**
   * The error for the caller when the server cannot be used. It names the problem of the connection where there is one,
   * rather than that a command found it closed. ioredis's own error is not passed on, as it holds the command, which may
   * be the one with the password.
   */
  #unusable(error: unknown, part: string): StoreUnusable {
    const problem = this.#describe(error)
    if (isFromReplica(messageOf(error)) && this.#isConnected && !this.#isLeaving) {
      this.#isLeaving = true
      this.#lastError = problem
      this.#client.disconnect(true)
    }
    return new StoreUnusable(`Redis: ${part === '' ? '' : `node ${part}: `}${problem}`)
  }

  #erred(error: Error): void {
    this.#lastError = this.#describe(error)
    // An error on a ready connection does not end it; if it is lost, `close` follows.
    if (!this.#isConnected) this.#watch.onLost(`Redis: ${this.#lastError}`)
  }

  /** What `error` means. For a closed connection, the error that closed it, which ioredis has reported only once. */
  #describe(error: unknown): string {
    const { login, sentinelLogin } = this.#settings
    const problem = explainProblem(error, [...passwordsOf(login), ...passwordsOf(sentinelLogin)])
    return isClosed(problem) ? (this.#lastError ?? CLOSED_WITHOUT_ERROR) : problem
  }

  #lost(): void {
    this.#isLeaving = false
    this.#isDatabaseSelected = true
    this.#areRecordsExamined = false
    this.#lastError ??= CLOSED_WITHOUT_ERROR
    this.#watch.onLost(`Redis: ${this.#lastError}`)
  }

  async #connected(): Promise<void> {
    this.#lastError = undefined
    await untilConnected(this.#client)
    this.#watch.onReady()
  }

  /** Selects the database again, as the user may have got the right to do so meanwhile. */
  async #select(): Promise<void> {
    const { database } = this.#settings
    await this.#client.select(database).catch((error: Error) => {
      throw new Error(`cannot use database ${database}: ${error.message}`)
    })
    this.#isDatabaseSelected = true
  }

  /** Tells the operator once what records lack. No mail waits for this, and whatever goes wrong with it concerns none. */
  async #examineRecords(): Promise<void> {
    const [server] = serversOf(this.#client)
    if (!server) return
    this.#areRecordsExamined = true
    try {
      const warning = (await recordRightsWarning(this.#client, server, this.#settings.prefix)) ?? ''
      if (warning !== '' && warning !== this.#recordsWarning) this.#events.onWarning(warning)
      this.#recordsWarning = warning
    } catch {
      this.#areRecordsExamined = false
    }
  }

  #warn(warning: string): void {
    if (warning !== '' && warning !== this.#warning) this.#events.onWarning(warning)
    this.#warning = warning
  }
}

/**
 * A unique key for each check, as several hosts check at once, with the hash tag `tag`. After `refused`, it is of the
 * same kind and in the same slot, so that a user who may write only some kinds of keys does not pass the check and fail
 * the next operation.
 */
function checkName(prefix: string, refused: string, tag: string): string {
  const kind = /^[a-z]+:/.exec(refused)?.[0] ?? ''
  const slot = refused === '' ? tag : `${prefix}${refused}`
  return `${prefix}${kind}check:${randomUUID()}${slot === '' ? '' : `{${slot}}`}`
}

/** Redis's error for a number that is none. */
const NO_NUMBER = /^ERR value is not an integer/

/** Sends each command that mail and merges need, so that every missing right shows at once. */
async function writeReadDelete(
  redis: RedisClient,
  name: string,
  prefix: string,
  isRetry = false,
): Promise<void> {
  const replies = await Promise.allSettled([
    redis.incrby(name, 1),
    redis.pexpire(name, CHECK_LIFETIME, 'LT'),
    redis.set(name, 'written', 'PX', CHECK_LIFETIME),
    redis.pttl(name),
    redis.get(name),
    redis.del(name),
  ])
  const errors = replies.flatMap((reply) => (reply.status === 'rejected' ? [reply.reason] : []))
  // While a Cluster fails over, commands that are sent again to another node can overtake each other: INCRBY may find
  // what SET has written, and GET may not find it.
  const isOvertaken =
    errors.length === 0
      ? replies[4].status === 'fulfilled' && replies[4].value !== 'written'
      : errors.every((error) => NO_NUMBER.test(messageOf(error)))
  if (!isOvertaken) {
    if (errors.length > 0) throw foremost(errors, prefix)
    return
  }
  if (isRetry) throw new Error('what was written could not be read back')
  await redis.del(name)
  await writeReadDelete(redis, name, prefix, true)
}

/** The first of `errors`; where the user lacks rights, an error that names all of them. */
function foremost(errors: readonly unknown[], prefix: string): unknown {
  const messages = errors.map(messageOf)
  const commands = messages.flatMap((message) => /^NOPERM.*'(\S+)' command/.exec(message)?.[1] ?? [])
  if (commands.length > 1)
    return new Error(`NOPERM User has no permissions to run the '${commands.join("', '")}' commands`)
  const isKeyMissing = commands.length === 0 && messages[0]?.startsWith('NOPERM ')
  return isKeyMissing ? new Error(`${messages[0]}, expected ~${prefix}*`) : errors[0]
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
  const dropped =
    policy === 'volatile-ttl'
      ? 'first attempts first, and nobody new passes'
      : 'entries when memory runs short, and their senders wait again'
  return `maxmemory-policy is ${policy}: expected noeviction, as Redis otherwise drops ${dropped}`
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
