// What Redis tells of itself and of greymx's keys in it, for `greymx check --redis`: version, policy, memory, entries by
// kind, and days until it is full. It reads a sample of the keys and changes nothing.

import { ttlOf } from '../encoding.ts'
import { RECORD_KIND } from '../records.ts'
import type { Redis } from './ioredis.ts'
import { kindOfName, type Pace, sampleOf, totals, withServers } from './sample.ts'
import type { RedisSettings } from './settings.ts'

/** The operator waits for the report, and no other client of Redis for long. */
const PACE: Pace = { sample: 20_000, step: 1000, pause: 0 }

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
export function reportOnRedis(settings: RedisSettings): Promise<RedisReport> {
  return withServers(settings, async (servers) =>
    summary(await Promise.all(servers.map((server) => examine(server, settings.prefix)))),
  )
}

interface ServerReport {
  readonly info: ReadonlyMap<string, string>
  /** The kind of each sampled key, and how many keys it stands for. */
  readonly entries: ReadonlyArray<readonly [kind: string, keys: number]>
  /** Keys that were written in the last day, less those that expire within the next one. */
  readonly growth: number
  /** Mean size of greymx's keys in bytes. */
  readonly bytesPerKey: number
}

async function examine(server: Redis, prefix: string): Promise<ServerReport> {
  const info = fieldsOf(await server.info())
  const look = (names: readonly string[]) => Promise.all(names.map((name) => lookAt(server, name, prefix)))
  const { found, share } = await sampleOf(server, prefix, PACE, look)
  let growth = 0
  let bytes = 0
  for (const { age, left, size } of found) {
    growth += (age < DAY ? share : 0) - (left < DAY ? share : 0)
    bytes += size
  }
  const entries = found.map(({ kind }) => [kind, share] as const)
  return { info, entries, growth, bytesPerKey: found.length === 0 ? 0 : bytes / found.length }
}

interface SampledKey {
  readonly kind: string
  /** Milliseconds since it was written, or for a count since it began, as far as its value tells. */
  readonly age: number
  readonly left: number
  /** Memory that it takes, in bytes. */
  readonly size: number
}

async function lookAt(server: Redis, name: string, prefix: string): Promise<SampledKey> {
  const kind = kindOfName(name, prefix)
  if (kind === RECORD_KIND) {
    // A record has no text, is changed again and again, and is bounded by what keeps it.
    const size = await server.memory('USAGE', name)
    return { kind, age: Number.POSITIVE_INFINITY, left: Number.POSITIVE_INFINITY, size: size ?? 0 }
  }
  const [left, text, size] = await Promise.all([
    server.pttl(name),
    server.get(name),
    server.memory('USAGE', name),
  ])
  const ttl = ttlOf(text ?? '')
  const age = ttl === undefined ? Number.POSITIVE_INFINITY : ttl - left
  return { kind, age, left, size: size ?? 0 }
}

function summary(servers: readonly ServerReport[]): RedisReport {
  const entries = Object.fromEntries(totals(servers.flatMap((server) => server.entries)))
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
