// Tests of a merge into Redis while another host writes the same key, between the two steps of the merge.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { createRedisClient } from '../../../src/store/redis/client.ts'
import { mergeIntoRedis } from '../../../src/store/redis/merge.ts'
import { startRedis } from '../../support/redis.ts'
import { redisSettings } from '../../support/redis-store.ts'
import { scratch } from '../../support/scratch.ts'

const dir = await scratch({ after })
const redis = await startRedis({ dir })

/** Milliseconds that a busy machine may take for a merge. */
const TOLERANCE = 2000

const FOUND = '1:pending:50000'
const learnt = { passed: false, ttl: 60_000, left: 40_000 } // waits for 20 s

for (const [what, written, left, kept, keptLeft] of [
  ['a pending entry that has waited longer remains', '1:pending:80000', 50_000, '1:pending:80000', 50_000],
  ['a pending entry that has waited less does not', '1:pending:80000', 79_000, '1:pending:80000', 60_000],
  ['an entry that was only shortened remains so', FOUND, 10_000, FOUND, 10_000],
  ['an entry with a holder remains', '1234567890123456080', 79_000, '1234567890123456080', 79_000],
  ['a pass remains', '1:passed:90000', 90_000, '1:passed:90000', 90_000],
  ['an entry that is still the same gives way', FOUND, 50_000, '1:pending:60000', 40_000],
] as const) {
  test(`of what another host writes in the middle of a merge, ${what}`, async (t) => {
    const client = createRedisClient(redisSettings(redis.url), () => 100)
    const other = createRedisClient(redisSettings(redis.url), () => 100)
    t.after(() => [client, other].forEach((each) => void each.disconnect()))
    await Promise.all([client, other].map((each) => new Promise((resolve) => each.once('ready', resolve))))
    await other.set('a', FOUND, 'PX', 50_000)
    const get = client.get.bind(client)
    // The other host's write arrives between what the merge reads and what it writes.
    client.get = (async (name: string) => {
      const found = await get(name)
      await other.set('a', written, 'PX', left)
      return found
    }) as typeof client.get
    await mergeIntoRedis(client, 'a', learnt)
    assert.equal(await other.get('a'), kept)
    const remaining = await other.pttl('a')
    assert.ok(remaining <= keptLeft && remaining > keptLeft - TOLERANCE, `${remaining}`)
  })
}
