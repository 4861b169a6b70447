// Finds out whether the user at Redis may do what records need and mail does not. It is asked over mail's connection, by
// commands that write nothing: Redis looks at the user's rights before it finds that an argument is missing or wrong.

import { randomUUID } from 'node:crypto'
import { messageOf } from '../../errors.ts'
import { RECORD_KIND } from '../records.ts'
import type { RedisClient } from './client.ts'
import type { Redis } from './ioredis.ts'
import { isClosed } from './problem.ts'

/** Redis's errors for a command that the user may not run, and for one that the server does not know. */
const REFUSED = /NOPERM .*'(\S+)' command|^ERR unknown command '(\w+)'/

/** Redis's error for a key that the user may not use. */
const KEY_REFUSED = /^NOPERM .*\bkeys?\b/

/**
 * What the operator has to know of rights that are missing for records and for scans of all keys; `undefined` when none
 * is. `server` is the one that commands without a key are sent to. Rejects when it cannot be found out now.
 */
export async function recordRightsWarning(
  redis: RedisClient,
  server: Redis,
  prefix: string,
): Promise<string | undefined> {
  const name = `${prefix}${RECORD_KIND}:check:${randomUUID()}` // no caller's
  const errors = await errorsOf([
    redis.hset(name, 'field', 'text', 'a field without a text'),
    redis.hincrby(name, 'field', 'no number'),
    redis.hget(name, 'field'),
    redis.hgetall(name),
    redis.hscan(name, '0'),
    redis.hdel(name, 'field'),
    redis.persist(name),
    server.time(),
    server.scan('0', 'COUNT', 1),
    server.exec(), // there was no MULTI
  ])
  // Without a right to EXEC, a server might keep the connection in the transaction.
  if (!errors.some((message) => /'exec' command|command 'exec'/i.test(message)))
    errors.push(...(await errorsOf([server.multi({ pipeline: false }), server.exec()])))
  if (errors.some((message) => KEY_REFUSED.test(message) && !REFUSED.test(message)))
    return warningOf(`~${prefix}${RECORD_KIND}:*`)
  const commands = errors.flatMap((message) => {
    const [, refused, unknown] = REFUSED.exec(message) ?? []
    return refused ?? unknown ?? []
  })
  if (commands.length > 0)
    return warningOf([...new Set(commands)].map((command) => `+${command.toLowerCase()}`).join(' '))
  const closed = errors.find(isClosed)
  if (closed !== undefined) throw new Error(closed)
  return undefined
}

function warningOf(rights: string): string {
  return `the user lacks rights that operators' commands need, and mail does not: expected ${rights}`
}

async function errorsOf(replies: ReadonlyArray<Promise<unknown>>): Promise<string[]> {
  const results = await Promise.allSettled(replies)
  return results.flatMap((result) => (result.status === 'rejected' ? [messageOf(result.reason)] : []))
}
