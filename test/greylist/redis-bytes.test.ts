// What a first attempt of an unknown network costs in a real Redis, in bytes of its memory, at default settings.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseAddress } from '../../src/address.ts'
import { parseConfig } from '../../src/config/load.ts'
import { createGreylister } from '../../src/greylist/greylister.ts'
import { formatNetwork, networkOf, parseIp } from '../../src/ip.ts'
import { type Redis, startRedis } from '../support/redis.ts'
import { openWatched, redisSettings } from '../support/redis-store.ts'
import { scratch } from '../support/scratch.ts'

/** Just above a power of two, where Redis's tables have doubled and are emptiest. TRIPLETS=200000 takes a minute. */
const TRIPLETS = Number(process.env.TRIPLETS ?? 33_000)
const BATCH = 50
const MAX_BYTES = 160

/** Sender and recipient, of the length that most have or, every second time, of the longest that RFC 5321 allows. */
function addressesOf(index: number): [sender: string, recipient: string] {
  if (index % 2 === 0) return [`joe.smith${index}@example${index % 100}.org`, 'someone@example.com']
  return [
    `${'newsletter-'.repeat(5)}${index}@${'mailing.'.repeat(20)}example${index}.org`,
    `${'firstname.lastname.'.repeat(3)}x@${'department.'.repeat(15)}example.com`,
  ]
}

test('a new triplet of an unknown network takes 160 bytes of Redis at most', async (t) => {
  const redis = await startRedis({ dir: await scratch(t) })
  const { store } = await openWatched(t, redisSettings(redis.url))
  const loaded = parseConfig('milter.yaml', '')
  assert.ok(loaded.kind === 'config')
  const { judge } = createGreylister({
    settings: loaded.config.greylist,
    exempt: () => undefined,
    investigate: async ({ address }) => {
      assert.ok(address)
      const network = `network:${formatNetwork(networkOf(address, 24))}`
      const names = [network]
      return {
        identity: { id: network, names, carriers: [], network, spf: 'none', isNamed: false },
        exemption: undefined,
      }
    },
    stores: { store },
  })
  const before = await usedMemory(redis)
  for (let start = 0; start < TRIPLETS; start += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, TRIPLETS - start) }, (_, offset) => {
      const index = start + offset
      const [sender, recipient] = addressesOf(index)
      return judge({
        client: { address: parseIp(`${20 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}.7`) },
        authenticated: false,
        sender: parseAddress(sender),
        recipient: parseAddress(recipient),
      })
    })
    for (const { reason } of await Promise.all(batch)) assert.equal(reason, 'new')
  }
  const bytes = ((await usedMemory(redis)) - before) / TRIPLETS
  t.diagnostic(`${TRIPLETS} triplets: ${bytes.toFixed(1)} bytes each`)
  assert.equal((await redis.cli('dbsize')).trim(), String(TRIPLETS))
  assert.ok(bytes <= MAX_BYTES, String(bytes))
})

/**
 * Memory that Redis has allocated, in bytes, once it has moved all keys into tables of their new size. It moves some with
 * each command and every 100 ms, and gives the old tables back at the end.
 */
async function usedMemory(redis: Redis): Promise<number> {
  for (let last = 0; ; ) {
    const used = Number(/^used_memory:(\d+)/m.exec(await redis.cli('info', 'memory'))?.[1])
    if (Math.abs(used - last) < 10_000) return used
    last = used
    await sleep(1500)
  }
}
