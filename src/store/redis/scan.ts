// Scans the keys of mail in Redis, by SCAN, PTTL and MGET, over connections of its own. It changes nothing. Each step is
// so small that mail of this and other hosts does not wait for it, and steps are followed by pauses.

import { setTimeout as sleep } from 'node:timers/promises'
import { readKept } from '../encoding.ts'
import { type KeptKey, RECORD_KIND } from '../records.ts'
import { RedisCommands } from './commands.ts'
import type { Redis } from './ioredis.ts'
import { NO_KEY } from './merge.ts'
import { connectServers } from './sample.ts'
import type { RedisSettings } from './settings.ts'

/** Number of keys that Redis is asked to look at in one step. */
const SCAN_STEP = 200

/** Time between two steps, in milliseconds. */
const SCAN_PAUSE = 1

/** Redis's error for a value of another type, which greymx has not written. */
const FOREIGN = /^WRONGTYPE/

/**
 * All keys of mail that are wanted, on all servers that take writes; of others, no value is read. Rejects with why a server cannot be asked, and once `signal` is
 * aborted. The connections end with the scan, however it ends.
 */
export async function* scanRedisKeys(
  settings: RedisSettings,
  signal: AbortSignal,
  isWanted: (key: string) => boolean = () => true,
): AsyncGenerator<readonly KeptKey[]> {
  const connection = await connectServers(settings, signal)
  try {
    for (const server of connection.servers) yield* scanServer(server, settings, signal, isWanted)
  } catch (error) {
    throw connection.explain(error)
  } finally {
    connection.end()
  }
}

async function* scanServer(
  server: Redis,
  { prefix }: RedisSettings,
  signal: AbortSignal,
  isWanted: (key: string) => boolean,
): AsyncGenerator<readonly KeptKey[]> {
  const commands = new RedisCommands(server)
  const pattern = `${prefix.replace(/[*?[\]\\]/g, '\\$&')}*`
  const records = `${prefix}${RECORD_KIND}:`
  const scanFrom = (cursor: string) => {
    const step = server.scan(cursor, 'MATCH', pattern, 'COUNT', SCAN_STEP)
    step.catch(() => undefined) // nobody waits for it any more when the scan ends before
    return step
  }
  let step: ReturnType<typeof scanFrom> | undefined = scanFrom('0')
  while (step) {
    const [next, names]: [string, string[]] = await step
    step = next === '0' ? undefined : scanFrom(next) // Redis looks for more keys while these are read
    const wanted = names.filter((name) => !name.startsWith(records) && isWanted(name.slice(prefix.length)))
    const found = await readAll(commands, wanted, prefix.length)
    if (found.length > 0) yield found
    if (step) await sleep(SCAN_PAUSE, undefined, { signal })
  }
}

/** What is under the keys `names`; nothing of those that are gone, or that greymx has not written. */
function readAll(
  commands: RedisCommands,
  names: readonly string[],
  prefixLength: number,
): Promise<KeptKey[]> {
  const found: KeptKey[] = []
  let awaited = names.length
  if (awaited === 0) return Promise.resolve(found)
  return new Promise((resolve, reject) => {
    for (const name of names) {
      // Each is asked for by itself, so that an error concerns no other; they leave together all the same.
      commands.find([name], ({ texts: [text], lefts: [left = 0] }, error) => {
        if (error && !FOREIGN.test(error.message)) reject(error)
        const kept = error || text == null ? undefined : keptIn(text, left)
        if (kept !== undefined) found.push({ key: name.slice(prefixLength), ...kept })
        awaited -= 1
        if (awaited === 0) resolve(found)
      })
    }
  })
}

/** Of a key without a TTL, nothing is left. A key that was not there for PTTL has just been added. */
function keptIn(text: string, left: number): ReturnType<typeof readKept> {
  return readKept(text, left === NO_KEY ? Number.POSITIVE_INFINITY : Math.max(0, left))
}
