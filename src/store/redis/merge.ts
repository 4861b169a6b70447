// Merges an entry into Redis by the rule of ../merge.ts, with the commands that mail needs anyway, so that the user at
// Redis needs no right to scripts. Each step is safe against another host that writes the same key meanwhile: a TTL only
// moves towards the result, by PEXPIRE with LT or GT, and what was replaced and should have remained is written again. A
// pass that is written again has its whole TTL, also where the other host had merged one that was older. Where a third
// host writes the key within the same round trip, its pending entry may be lost, and that sender waits once more.

import { decodeEntry, encodeEntry, hasTooMuchLeft, type StoredEntry } from '../encoding.ts'
import { type LearntEntry, mergeEntry } from '../merge.ts'
import type { RedisClient } from './client.ts'

/** PTTL's replies for a key without a TTL (greymx sets no such key) and for no key. */
export const NO_TTL = -1
export const NO_KEY = -2

/** Number of times that a merge begins again because the key has expired or was forgotten in the middle of it. */
const MAX_TRIES = 5

/**
 * Merges `learnt` into the entry under `name`. Rejects with `UnreadableEntry` when there is something else, and with
 * Redis's error.
 */
export async function mergeIntoRedis(redis: RedisClient, name: string, learnt: LearntEntry): Promise<void> {
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    if (await tryMerge(redis, name, learnt)) return
  }
  throw new Error(`cannot merge into ${JSON.stringify(name)}: it comes and goes`)
}

/** Whether the merge is done; `false` when it has to begin again. */
async function tryMerge(redis: RedisClient, name: string, learnt: LearntEntry): Promise<boolean> {
  const [remaining, text] = await Promise.all([redis.pttl(name), redis.get(name)])
  if (text === null) {
    const left = Math.ceil(Math.min(learnt.left, learnt.ttl))
    return (await redis.set(name, encodeEntry(learnt), 'PX', left, 'NX')) === 'OK'
  }
  const found = decodeEntry(name, text)
  if (hasTooMuchLeft(remaining, found.ttl)) await shorten(redis, name, text, found.ttl)
  const next = mergeEntry({ ...found, left: leftOf(found, remaining) }, learnt)
  if (!next) return true
  const left = Math.ceil(next.left)
  const isExpiryOnly = next.passed === found.passed && next.ttl === found.ttl
  if (isExpiryOnly && !next.passed) return shorten(redis, name, text, left)
  if (isExpiryOnly) {
    const [, now] = await Promise.all([redis.pexpire(name, left, 'GT'), redis.get(name)])
    return now !== null
  }
  return replace(redis, name, text, { ...next, left })
}

/**
 * What is left of an entry by PTTL's reply. Without a TTL, a pending entry has waited all of its window, and a pass is
 * never extended. When PTTL found no key, another host has written the entry since.
 */
export function leftOf({ passed, ttl }: StoredEntry, remaining: number): number {
  if (remaining >= 0) return Math.min(remaining, ttl)
  if (remaining === NO_KEY) return ttl
  return passed ? Number.POSITIVE_INFINITY : 0
}

/**
 * Lets the entry `text` expire in `left` milliseconds, unless it expires before. An entry that another host has written
 * meanwhile, such as a pass, gets its own TTL back. Returns whether there is still one.
 */
export async function shorten(
  redis: RedisClient,
  name: string,
  text: string,
  left: number,
): Promise<boolean> {
  const [, now] = await Promise.all([redis.pexpire(name, left, 'LT'), redis.get(name)])
  if (now === null || now === text) return now !== null
  const { ttl } = decodeEntry(name, now)
  if (ttl > left) await redis.pexpire(name, ttl, 'GT')
  return true
}

/**
 * Writes `next` in place of `text`. What another host has written or shortened meanwhile is merged with `next` once
 * more. Returns whether there was still an entry to replace.
 */
async function replace(redis: RedisClient, name: string, text: string, next: LearntEntry): Promise<boolean> {
  const [remaining, replaced] = await Promise.all([
    redis.pttl(name),
    redis.set(name, encodeEntry(next), 'PX', next.left, 'XX', 'GET'),
  ])
  if (replaced === null) return false
  const other = decodeEntry(name, replaced)
  // A pass that is new may have been written after PTTL.
  const left = other.passed && replaced !== text ? other.ttl : leftOf(other, remaining)
  const found = { ...other, left }
  const kept = mergeEntry(found, next) ?? found
  const keptLeft = Math.max(1, Math.ceil(kept.left))
  if (encodeEntry(kept) === encodeEntry(next))
    return kept.left < next.left ? shorten(redis, name, encodeEntry(next), keptLeft) : true
  const newest = await redis.set(name, encodeEntry(kept), 'PX', keptLeft, 'XX', 'GET')
  if (newest === null || kept.passed) return newest !== null
  const { passed, ttl } = decodeEntry(name, newest)
  if (passed) await redis.set(name, newest, 'PX', ttl)
  return true
}
