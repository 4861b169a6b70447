// Records in Redis. Each is a hash under `r:NAME`, whose field without a name is its revision.
//
// Records have a connection of their own, which is made when somebody first asks for one. Whatever becomes of it, such
// as a transaction that the user may begin and not end, concerns no mail and no circuit breaker. Keys of mail are
// scanned over yet another one (scan.ts).

import { messageOf } from '../../errors.ts'
import { UnreadableEntry } from '../encoding.ts'
import { FIELDS_PER_PAGE, newRevision, type RecordPage, readInPages, requireKeepable } from '../fields.ts'
import { RECORD_KIND } from '../records.ts'
import { createRedisClient, type RedisClient, serversOf, untilReady } from './client.ts'
import { passwordsOf } from './login.ts'
import { explainProblem, isClosed, isFromReplica } from './problem.ts'
import { type RedisSettings, retryDelay } from './settings.ts'

/** The field for the revision: no caller has a field without a name. */
const REVISION = ''

/** Redis's errors for a value of another type, and for a field without a number. */
const FOREIGN = /^WRONGTYPE/
const NO_NUMBER = /^ERR (hash value is not an integer|increment or decrement would overflow)/

/** The records of one Redis. */
export class RedisRecords {
  readonly #settings: RedisSettings
  #client: RedisClient | undefined
  /** Resolves once the first attempt to connect has succeeded or failed; later ones are made in the background. */
  #opening: Promise<void> | undefined
  #lastError: unknown
  /** Whether the connection is known to use the database of the settings: the client goes on with another one if it may not. */
  #isDatabaseSelected = false
  /** Attempts to connect since the last command that Redis has answered. */
  #attempts = 0

  constructor(settings: RedisSettings) {
    this.#settings = settings
  }

  async readRecord(name: string): Promise<Map<string, string>> {
    requireKeepable(name)
    return this.#ask(name, (redis, key) =>
      readInPages(
        name,
        (from) => readPage(redis, key, from),
        async () => Object.entries(await redis.hgetall(key)).filter(([field]) => field !== REVISION),
      ),
    )
  }

  async revisionOf(name: string): Promise<string> {
    requireKeepable(name)
    return this.#ask(name, async (redis, key) => (await redis.hget(key, REVISION)) ?? '')
  }

  async changeRecord(
    name: string,
    changes: ReadonlyMap<string, string | undefined>,
    lifetime?: number,
  ): Promise<void> {
    requireKeepable(name, changes)
    const set = new Map([[REVISION, newRevision()]])
    const removed: string[] = []
    for (const [field, text] of changes) {
      if (text === undefined) removed.push(field)
      else set.set(field, text)
    }
    await this.#transact(name, (transaction, key) => {
      transaction.hset(key, set)
      if (removed.length > 0) transaction.hdel(key, ...removed)
      if (lifetime === undefined) transaction.persist(key)
      else transaction.pexpire(key, Math.ceil(lifetime))
    })
  }

  async addToRecord(name: string, by: ReadonlyMap<string, number>, lifetime: number): Promise<void> {
    requireKeepable(name, by)
    await this.#transact(name, (transaction, key) => {
      for (const [field, added] of by) transaction.hincrby(key, field, added)
      transaction.pexpire(key, Math.ceil(lifetime))
    })
  }

  /** In a Cluster, the clock of one of its nodes. */
  async clockOffset(): Promise<number> {
    return this.#ask('', async (redis) => {
      const [server] = serversOf(redis)
      if (!server) throw new Error('no node is connected')
      const askedAt = Date.now()
      const [seconds = 0, microseconds = 0] = (await server.time()).map(Number)
      return seconds * 1000 + microseconds / 1000 - (askedAt + Date.now()) / 2
    })
  }

  close(): void {
    this.#client?.disconnect()
  }

  /** Sends the commands that `queue` adds to a transaction, and waits until all are done. */
  async #transact(
    name: string,
    queue: (transaction: ReturnType<RedisClient['multi']>, key: string) => void,
  ): Promise<void> {
    await this.#ask(name, async (redis, key) => {
      const transaction = redis.multi()
      queue(transaction, key)
      const replies = await transaction
        .exec()
        .catch((error: Error & { previousErrors?: readonly Error[] }) => {
          const [first] = error.previousErrors ?? []
          // A server that does not know EXEC leaves the connection in the transaction, to which all that follows is added.
          if (error.name === 'ReplyError' && !error.message.startsWith('EXECABORT ')) redis.disconnect(true)
          throw first ?? error
        })
      for (const [error] of replies ?? []) if (error) throw error
    })
  }

  /** What comes of `commands` about the record `name`. Rejects when Redis is not connected. */
  async #ask<T>(name: string, commands: (redis: RedisClient, key: string) => Promise<T>): Promise<T> {
    const client = this.#client ?? this.#connect()
    await this.#opening
    try {
      if (client.status !== 'ready') throw this.#lastError ?? new Error('not connected yet')
      if (!this.#isDatabaseSelected) await this.#select(client)
      const result = await commands(client, recordKey(this.#settings, name))
      this.#attempts = 0
      return result
    } catch (error) {
      const problem = messageOf(error)
      if (isFromReplica(problem)) client.disconnect(true) // another server is the master, or will be soon
      throw this.#explain(name, error, problem)
    }
  }

  #explain(name: string, error: unknown, problem: string): Error {
    if (error instanceof UnreadableEntry) return error
    const record = `the record ${JSON.stringify(name)}`
    if (FOREIGN.test(problem))
      return new UnreadableEntry(
        `Redis: ${record} was not written by greymx: expected a hash under ${recordKey(this.#settings, name)} (${problem})`,
      )
    if (NO_NUMBER.test(problem))
      return new UnreadableEntry(`Redis: Cannot add to ${record}: expected whole numbers (${problem})`)
    const { login, sentinelLogin } = this.#settings
    const cause = isClosed(problem) ? (this.#lastError ?? error) : error
    return new Error(
      `Redis: ${explainProblem(cause, [...passwordsOf(login), ...passwordsOf(sentinelLogin)])}`,
    )
  }

  async #select(client: RedisClient): Promise<void> {
    const { database } = this.#settings
    if (database !== 0)
      await client.select(database).catch((error: Error) => {
        throw new Error(`cannot use database ${database}: ${error.message}`)
      })
    this.#isDatabaseSelected = true
  }

  #connect(): RedisClient {
    const client = createRedisClient(this.#settings, () => {
      this.#attempts += 1
      return retryDelay(this.#attempts)
    })
    const note = (error: unknown) => {
      this.#lastError = error
    }
    client.on('error', note)
    client.on('node error', note)
    client.on('ready', () => {
      this.#lastError = undefined
      this.#isDatabaseSelected = false
    })
    this.#client = client
    this.#opening = untilReady(client).catch(() => undefined) // the last error says why
    return client
  }
}

function recordKey({ prefix }: RedisSettings, name: string): string {
  return `${prefix}${RECORD_KIND}:${name}`
}

/** The revision before and after the fields tells whether they have changed meanwhile, as HSCAN promises no moment. */
async function readPage(redis: RedisClient, key: string, from: string): Promise<RecordPage> {
  const [before, [next, texts], after] = await Promise.all([
    redis.hget(key, REVISION),
    redis.hscan(key, from === '' ? '0' : from, 'COUNT', FIELDS_PER_PAGE),
    redis.hget(key, REVISION),
  ])
  const fields: Array<readonly [string, string]> = []
  for (let index = 0; index < texts.length; index += 2) {
    const field = texts[index] ?? ''
    if (field !== REVISION) fields.push([field, texts[index + 1] ?? ''])
  }
  return { revisions: [before ?? '', after ?? ''], fields, ...(next === '0' ? {} : { next }) }
}
