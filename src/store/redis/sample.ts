// Samples the keys of greymx in Redis, by SCAN and DBSIZE, through a connection of its own: what becomes of it concerns
// no mail and no circuit breaker. It changes nothing.

import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../../errors.ts'
import { type KeyCounts, kindOf } from '../store.ts'
import { createRedisClient, serversOf, untilReady } from './client.ts'
import type { Redis } from './ioredis.ts'
import { passwordsOf } from './login.ts'
import { explainProblem } from './problem.ts'
import { REPLY_TIMEOUT, type RedisSettings } from './settings.ts'

/** How a sample is taken of each server. */
export interface Pace {
  /** Keys that are looked at; the others are taken to be like them. */
  readonly sample: number
  /** Keys that Redis is asked to look at in one step, during which no other client is served. */
  readonly step: number
  /** Time between two steps, in milliseconds. */
  readonly pause: number
}

/** The pace beside mail: a step took Redis 7.0 0.13 ms on a busy machine, and all steps take half a second or more. */
const BESIDE_MAIL: Pace = { sample: 10_000, step: 100, pause: 5 }

/** Redis's errors for commands that the user may not run, or that the server does not offer. */
const REFUSED = /^NOPERM |^ERR unknown command/

/** Number of times that a sample may ask for `sample / step` steps, as a table may be mostly empty. */
const MAX_EMPTINESS = 4

/** The servers that take writes, each over a connection of its own. */
export interface ServerConnections {
  readonly servers: readonly Redis[]
  /** The error for the caller, with why a server could not be asked, such as a right that is missing. */
  explain(error: unknown): Error
  end(): void
}

/**
 * Connects to the servers that take writes; the caller ends that. Rejects with why they cannot be used. Once `signal` is
 * aborted, the connections are ended, and whatever is asked rejects.
 */
export async function connectServers(
  settings: RedisSettings,
  signal?: AbortSignal,
): Promise<ServerConnections> {
  signal?.throwIfAborted()
  const client = createRedisClient(settings, () => REPLY_TIMEOUT)
  let lastError: unknown
  const note = (error: unknown) => {
    lastError = error
  }
  client.on('error', note)
  client.on('node error', note)
  const end = () => {
    signal?.removeEventListener('abort', end)
    client.disconnect()
  }
  signal?.addEventListener('abort', end)
  const explain = (error: unknown) => {
    if (signal?.aborted) return signal.reason
    const secrets = [...passwordsOf(settings.login), ...passwordsOf(settings.sentinelLogin)]
    return new Error(`Redis: ${explainProblem(lastError ?? error, secrets)}`)
  }
  try {
    await untilReady(client)
    const servers = serversOf(client)
    // The client has selected the database already, but goes on with another one if it may not.
    if (settings.database !== 0) await Promise.all(servers.map((server) => server.select(settings.database)))
    return { servers, explain, end }
  } catch (error) {
    end()
    throw explain(error)
  }
}

/**
 * What `use` returns of the servers that take writes, each over a connection of its own. Rejects with why Redis cannot
 * be asked, such as a right that is missing, and with its reason once `signal` is aborted.
 */
export async function withServers<T>(
  settings: RedisSettings,
  use: (servers: readonly Redis[]) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const connection = await connectServers(settings, signal)
  try {
    return await use(connection.servers)
  } catch (error) {
    throw connection.explain(error)
  } finally {
    connection.end()
  }
}

/** What `look` returns of the keys with `prefix` in a sample of `server`, and how many keys each stands for. */
export async function sampleOf<T>(
  server: Redis,
  prefix: string,
  { sample, step, pause }: Pace,
  look: (names: readonly string[]) => readonly T[] | Promise<readonly T[]>,
): Promise<{ readonly found: readonly T[]; readonly share: number }> {
  const total = await server.dbsize()
  const found: T[] = []
  let scanned = 0
  let cursor = '0'
  for (let steps = 0; steps < (MAX_EMPTINESS * sample) / step; steps += 1) {
    const [next, names] = await server.scan(cursor, 'COUNT', step)
    cursor = next
    scanned += names.length
    found.push(...(await look(names.filter((name) => name.startsWith(prefix)))))
    if (cursor === '0' || scanned >= sample) break
    if (pause > 0) await sleep(pause, undefined, { ref: false })
  }
  return { found, share: cursor === '0' || scanned === 0 ? 1 : total / scanned }
}

/** The kind of the key `name`, as `kindOf` has it. */
export function kindOfName(name: string, prefix: string): string {
  return kindOf(name.slice(prefix.length))
}

/**
 * About how many keys of each kind all servers have, by a sample of each. Resolves with `undefined` when the user may
 * not run SCAN or DBSIZE; rejects when a server cannot be asked, and once `signal` is aborted.
 */
export function countRedisKeys(settings: RedisSettings, signal: AbortSignal): Promise<KeyCounts | undefined> {
  const { prefix } = settings
  const countOne = async (server: Redis) => {
    const kinds = (names: readonly string[]) => names.map((name) => kindOfName(name, prefix))
    const { found, share } = await sampleOf(server, prefix, BESIDE_MAIL, kinds)
    return found.map((kind) => [kind, share] as const)
  }
  const countAll = async (servers: readonly Redis[]) => {
    try {
      return totals((await Promise.all(servers.map(countOne))).flat())
    } catch (error) {
      if (REFUSED.test(messageOf(error))) return undefined
      throw error
    }
  }
  return withServers(settings, countAll, signal)
}

/** The sums by kind, rounded. */
export function totals(parts: Iterable<readonly [kind: string, keys: number]>): Map<string, number> {
  const sums = new Map<string, number>()
  for (const [kind, keys] of parts) sums.set(kind, (sums.get(kind) ?? 0) + keys)
  for (const [kind, keys] of sums) sums.set(kind, Math.round(keys))
  return sums
}
