// A flood of first attempts from one network, with a real Redis that has too little memory to keep them all.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import { parseConfig } from '../../src/config/load.ts'
import { createGreylister } from '../../src/greylist/greylister.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { formatNetwork, type IpAddress, networkOf, parseIp } from '../../src/ip.ts'
import { startRedis } from '../support/redis.ts'
import { openWatched, redisSettings } from '../support/redis-store.ts'
import { scratch } from '../support/scratch.ts'

/** All of these would need more than 16 MB. FLOOD_TRIPLETS=200000 takes a minute. */
const TRIPLETS = Number(process.env.FLOOD_TRIPLETS ?? 45_000)
const BATCH = 200

test('a flood from one network leaves a small Redis room, and strangers are deferred and then passed', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir, args: ['--maxmemory', '16mb', '--maxmemory-policy', 'noeviction'] })
  const { store } = await openWatched(t, redisSettings(redis.url))
  const loaded = parseConfig('milter.yaml', 'greylist: {delay: 1s}')
  assert.ok(loaded.kind === 'config')
  const greylister = createGreylister({
    settings: loaded.config.greylist,
    exempt: () => undefined,
    investigate: async ({ address }) => ({ identity: address && strangerAt(address), exemption: undefined }),
    stores: { store },
  })
  const judge = (address: string, sender: string) =>
    greylister.judge({
      client: { address: parseIp(address) },
      authenticated: false,
      sender: parseAddress(sender),
      recipient: parseAddress('user@example.com'),
    })
  const reasons = new Map<string, number>()
  for (let start = 0; start < TRIPLETS; start += BATCH) {
    const batch = Array.from({ length: BATCH }, (_, index) => {
      const number = start + index
      return judge(
        `192.0.2.${number % 250}`,
        `newsletter-${number}-of-some-length@mailing.example${number}.org`,
      )
    })
    for (const { reason, verdict } of await Promise.all(batch)) {
      const outcome = `${verdict} ${reason}`
      reasons.set(outcome, (reasons.get(outcome) ?? 0) + 1)
    }
  }
  assert.deepEqual([...reasons.keys()], ['tempfail new'])
  const keys = Number(await redis.cli('dbsize'))
  t.diagnostic(`${TRIPLETS} triplets: ${keys} keys, ${await redis.cli('info', 'memory').then(usedMemory)}`)
  // The triplets each with the loop breaker's key for it, and the slots of 250 addresses with their holders.
  assert.ok(keys < 2 * (10_000 + BATCH) + 2 * 16 * 250 + 10, String(keys))

  const strangers = ['192.0.2.251', '198.51.100.1'] as const
  for (const address of strangers) assert.equal((await judge(address, 'a@stranger.test')).reason, 'new')
  await new Promise((resolve) => setTimeout(resolve, 1100))
  for (const address of strangers) assert.equal((await judge(address, 'a@stranger.test')).reason, 'retry')
})

/** A client of which nothing is known but its network. */
function strangerAt(address: IpAddress): Identity {
  const network = `network:${formatNetwork(networkOf(address, 24))}`
  return { id: network, names: [network], carriers: [], network, spf: 'none', isNamed: false }
}

function usedMemory(info: string): string {
  return /used_memory_human:(\S+)/.exec(info)?.[1] ?? ''
}
