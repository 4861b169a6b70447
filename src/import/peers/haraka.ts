// Reads what the plugin haraka-plugin-greylist has in Redis: `white:HOST` for a client that has passed, and
// `grey:HOST:SENDER:RECIPIENT` for a triplet that waits. HOST is the client's address, or the domain of its host name. Keys
// are found by SCAN and read with HGETALL; nothing is changed.
// Source: haraka/haraka-plugin-greylist 1.1.1, craft_grey_key(), craft_hostid(), update_grey(), promote_to_white().

import type { Redis } from '../../store/redis/ioredis.ts'
import { connectServers } from '../../store/redis/sample.ts'
import { parseRedisUrl, REDIS_FORMS } from '../../store/redis/url.ts'
import type { NotTaken, PeerReader, Remembered } from '../remembered.ts'
import { clientIn, instantIn, pastInstant, withoutBrackets } from './fields.ts'
import { broken, quoted, unknowable } from './source.ts'

/** Number of keys that Redis is asked to look at in one step. */
const SCAN_STEP = 1000

export const readHaraka: PeerReader = async function* (source, { now }) {
  const settings = parseRedisUrl(source)
  if (settings === undefined) throw new Error(`it is no URL of a Redis: expected ${REDIS_FORMS}`)
  const connection = await connectServers(settings)
  try {
    for (const server of connection.servers) yield* recordsOf(server, now)
  } catch (error) {
    throw connection.explain(error)
  } finally {
    connection.end()
  }
}

async function* recordsOf(server: Redis, now: number): AsyncGenerator<Remembered | NotTaken> {
  let cursor = '0'
  do {
    const [next, names] = await server.scan(cursor, 'COUNT', SCAN_STEP)
    cursor = next
    const keys = names.filter((name) => /^(?:white|grey):/.test(name))
    // They leave together; a key of another type is told from the others by its error.
    const fields = await Promise.all(keys.map((key) => fieldsOf(server, key)))
    for (const [index, key] of keys.entries()) {
      const record = recordOf(key, fields[index], now)
      if (record !== undefined) yield record
    }
  } while (cursor !== '0')
}

/** The fields of a hash; none of a key that has gone, undefined of one that is no hash. */
async function fieldsOf(server: Redis, key: string): Promise<Record<string, string> | undefined> {
  try {
    return await server.hgetall(key)
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('WRONGTYPE')) return undefined
    throw error
  }
}

function recordOf(
  key: string,
  fields: Record<string, string> | undefined,
  now: number,
): Remembered | NotTaken | undefined {
  if (fields === undefined) return broken(key, 'expected a hash')
  if (Object.keys(fields).length === 0) return undefined
  const { created = '', updated = '', lifetime = '' } = fields
  return key.startsWith('white:') ? whiteRecord(key, updated, lifetime, now) : greyRecord(key, created, now)
}

function whiteRecord(key: string, updated: string, lifetime: string, now: number): Remembered | NotTaken {
  const host = key.slice('white:'.length)
  const client = clientIn(host)
  if (client === undefined) return ofDomain(key, host)
  const lastUsed = instantIn(updated)
  const kept = instantIn(lifetime)
  if (lastUsed === undefined || kept === undefined)
    return broken(key, `updated ${quoted(updated)}, lifetime ${quoted(lifetime)}: expected seconds`)
  return { kind: 'listed', client, lastUsed: pastInstant(lastUsed, now), expiresAt: lastUsed + kept }
}

function greyRecord(key: string, created: string, now: number): Remembered | NotTaken {
  // An IPv6 address has colons, and an address of mail hardly ever has.
  const parts = key.slice('grey:'.length).split(':')
  const recipient = parts.pop()
  const sender = parts.pop()
  const host = parts.join(':')
  if (recipient === undefined || sender === undefined || host === '')
    return broken(key, 'expected grey:HOST:SENDER:RECIPIENT')
  const client = clientIn(host)
  if (client === undefined) return ofDomain(key, host)
  const firstSeen = instantIn(created)
  if (firstSeen === undefined) return broken(key, `created ${quoted(created)}: expected seconds`)
  return {
    kind: 'waiting',
    client,
    sender: withoutBrackets(sender),
    recipient: withoutBrackets(recipient),
    firstSeen: pastInstant(firstSeen, now),
  }
}

function ofDomain(key: string, host: string): NotTaken {
  return unknowable(
    key,
    `${quoted(host)} is the domain of host names: expected an address, as others may be in the domain`,
  )
}
