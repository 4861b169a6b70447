// What Redis tells of itself and of greymx's keys in it, for `greymx check --redis`: version, policy, memory, entries by
// kind, and days until it is full. It reads a sample of the keys and changes nothing.

import { ttlOf } from '../encoding.ts'
import { createRedisClient, type RedisClient, serversOf, untilConnected } from './client.ts'
import type { Redis } from './ioredis.ts'
import { explainProblem } from './problem.ts'
import { REPLY_TIMEOUT, type RedisSettings } from './settings.ts'

/** Keys that are looked at of each server; the others are taken to be like them. */
const SAMPLE = 20_000
/** Keys that Redis is asked to look at in one step, so that no other client waits for long. */
const SCAN_COUNT = 1000

const DAY = 86_400_000

/** What is known of all servers that take writes together. */
export interface RedisReport {
  readonly versions: readonly string[]
  readonly policies: readonly string[]
  readonly usedBytes: number
  /** Absent when a server has no limit. */
  readonly limitBytes?: number
  /** Estimated number of greymx's keys by kind, their first letter; see src/store/README.md. */
  readonly entries: Readonly<Record<string, number>>
  /**
   * Days until memory runs out if the entries of greymx go on as in the last day: what was added, less what expires in
   * the next one. `Infinity` when they do not grow; absent without a limit.
   */
  readonly daysUntilFull?: number
}

/** The report. Rejects with why Redis cannot be asked, such as a right that is missing. */
export async function reportOnRedis(settings: RedisSettings): Promise<RedisReport> {
  const client = createRedisClient(settings, () => REPLY_TIMEOUT)
  const secrets = [settings.login.password, settings.sentinelLogin.password]
  let lastError: unknown
  client.on('error', (error) => {
    lastError = error
  })
  client.on('node error', (error) => {
    lastError = error
  })
  try {
    await untilReady(client)
    const servers = await Promise.all(serversOf(client).map((server) => examine(server, settings.prefix)))
    return summary(servers)
  } catch (error) {
    throw new Error(`Redis: ${explainProblem(lastError ?? error, secrets)}`)
  } finally {
    client.disconnect()
  }
}

/** Resolves when the client is connected; rejects when its first attempt has failed. */
async function untilReady(client: RedisClient): Promise<void> {
  if (client.status !== 'ready')
    await new Promise<void>((resolve, reject) => {
      client.once('ready', resolve)
      client.once('close', () => reject(new Error('it cannot be reached')))
    })
  await untilConnected(client)
}

interface ServerReport {
  readonly info: ReadonlyMap<string, string>
  readonly entries: ReadonlyMap<string, number>
  /** Keys that were written in the last day, less those that expire within the next one. */
  readonly growth: number
  /** Number of all keys of greymx, and their mean size in bytes. */
  readonly keys: number
  readonly bytesPerKey: number
}

async function examine(server: Redis, prefix: string): Promise<ServerReport> {
  const info = fieldsOf(await server.info())
  const [total, sample] = [await server.dbsize(), await sampleOf(server, prefix)]
  const share = sample.scanned === 0 ? 1 : total / sample.scanned
  const entries = new Map<string, number>()
  let growth = 0
  let bytes = 0
  for (const { kind, age, left, size } of sample.keys) {
    entries.set(kind, (entries.get(kind) ?? 0) + share)
    growth += (age < DAY ? share : 0) - (left < DAY ? share : 0)
    bytes += size
  }
  const { length } = sample.keys
  return { info, entries, growth, keys: length * share, bytesPerKey: length === 0 ? 0 : bytes / length }
}

interface SampledKey {
  readonly kind: string
  /** Milliseconds since it was written, or for a count since it began, as far as its value tells. */
  readonly age: number
  readonly left: number
  /** Memory that it takes, in bytes. */
  readonly size: number
}

async function sampleOf(
  server: Redis,
  prefix: string,
): Promise<{ readonly scanned: number; readonly keys: readonly SampledKey[] }> {
  const keys: SampledKey[] = []
  let scanned = 0
  let cursor = '0'
  do {
    const [next, names] = await server.scan(cursor, 'COUNT', SCAN_COUNT)
    cursor = next
    scanned += names.length
    keys.push(...(await Promise.all(names.filter((name) => name.startsWith(prefix)).map(lookAt))))
  } while (cursor !== '0' && scanned < SAMPLE)
  return { scanned, keys }

  async function lookAt(name: string): Promise<SampledKey> {
    const [left, text, size] = await Promise.all([
      server.pttl(name),
      server.get(name),
      server.memory('USAGE', name),
    ])
    const ttl = ttlOf(text ?? '')
    const kind = /^[a-z]+(?=:)/.exec(name.slice(prefix.length))?.[0] ?? 'other'
    return { kind, age: ttl === undefined ? Number.POSITIVE_INFINITY : ttl - left, left, size: size ?? 0 }
  }
}

function summary(servers: readonly ServerReport[]): RedisReport {
  const entries: Record<string, number> = {}
  for (const server of servers)
    for (const [kind, count] of server.entries) entries[kind] = (entries[kind] ?? 0) + Math.round(count)
  const limits = servers.map(({ info }) => Number(info.get('maxmemory') ?? 0))
  const isLimited = limits.length > 0 && limits.every((limit) => limit > 0)
  const days = servers.map((server, index) => {
    const left = Math.max(0, (limits[index] ?? 0) - usedBy(server))
    return server.growth > 0 ? left / (server.growth * server.bytesPerKey) : Number.POSITIVE_INFINITY
  })
  return {
    versions: [...new Set(servers.map(({ info }) => versionIn(info)))],
    policies: [...new Set(servers.map(({ info }) => info.get('maxmemory_policy') ?? 'unknown'))],
    usedBytes: servers.reduce((sum, server) => sum + usedBy(server), 0),
    ...(isLimited
      ? { limitBytes: limits.reduce((sum, limit) => sum + limit), daysUntilFull: Math.min(...days) }
      : {}),
    entries,
  }
}

function usedBy({ info }: ServerReport): number {
  return Number(info.get('used_memory') ?? 0)
}

function versionIn(info: ReadonlyMap<string, string>): string {
  const valkey = info.get('valkey_version')
  return valkey === undefined
    ? `Redis ${info.get('redis_version') ?? 'of unknown version'}`
    : `Valkey ${valkey}`
}

function fieldsOf(info: string): ReadonlyMap<string, string> {
  return new Map([...info.matchAll(/^(\w+):(.*?)\r?$/gm)].map(([, name = '', value = '']) => [name, value]))
}
