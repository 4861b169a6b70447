// Tests of what the auto-whitelist writes for a host's domain and for a carrier; whom it lets through is tested in greylister.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parseAddress } from '../../src/address.ts'
import { FirstPassCounter } from '../../src/greylist/auto-whitelist.ts'
import { Evidence } from '../../src/greylist/evidence.ts'
import { parseIp } from '../../src/ip.ts'
import { MemoryStore } from '../../src/store/memory.ts'

const HOUR = 3_600_000
const LIFETIME = 1000 * HOUR
const DOMAIN = 'host:farm.example'
const LISTED = `w:${DOMAIN}`

function setUp(after = 9) {
  const clock = { now: 1 }
  const memory = new MemoryStore(() => clock.now)
  const pass = memory.pass.bind(memory)
  // Whoever waits for a count finds what it has listed.
  const store = Object.assign(memory, {
    pass: (key: string, lifetime: number) => nextTurn().then(() => pass(key, lifetime)),
  })
  const counter = new FirstPassCounter(store, { after, spacing: HOUR, lifetime: LIFETIME })
  return {
    store,
    /** Counts a first pass from the network and from the sender's domain of these numbers, an hour after the last. */
    async count(network: number, sender: number | 'bounce'): Promise<void> {
      clock.now += HOUR
      const name = `network:192.0.${network}.0/24`
      const domain = `s${sender}.test`
      await counter.count({
        attempt: {
          client: { address: parseIp(`192.0.${network}.7`) },
          authenticated: false,
          sender: parseAddress(sender === 'bounce' ? '<>' : `a@${domain}`),
          recipient: undefined,
        },
        identity: {
          ...{
            id: `spf:${domain}`,
            names: [`spf:${domain}`, name],
            carriers: ['bulk.example'],
            network: name,
            spf: 'pass',
          },
          ...{ host: { domain: 'farm.example', isMail: true }, isNamed: true },
        },
        evidence: new Evidence([], []),
        network: `192.0.${network}.0/24`,
      })
    },
    listedFor: async () => (await store.find([LISTED]))[0]?.age,
    witnesses: () => store.counts([`c:${DOMAIN}|networks`, `c:${DOMAIN}|senders`]),
  }
}

test('networks and senders are counted by themselves, each once, and three of both list the domain', async () => {
  const { store, count, witnesses, listedFor } = setUp()
  for (const [network, sender, expected] of [
    [1, 1, [1, 1]],
    [1, 1, [1, 1]],
    [1, 2, [1, 2]],
    [1, 3, [1, 3]],
    [5, 'bounce', [1, 3]],
    [2, 1, [2, 3]],
  ] as const) {
    await count(network, sender)
    assert.deepEqual([await witnesses(), await listedFor()], [expected, undefined])
  }
  assert.deepEqual(await store.find([`e:${DOMAIN}|networks`]), [undefined])
  await count(3, 1)
  assert.deepEqual([await witnesses(), await listedFor()], [[3, 3], 0])
})

test('a name that has enough first passes is listed once they are counted', async () => {
  for (const needed of [1, 2]) {
    const { store, count } = setUp(needed)
    for (let passes = 1; passes <= needed; passes += 1) {
      assert.deepEqual(await store.find(['w:spf:s1.test']), [undefined])
      await count(1, 1)
    }
    assert.equal((await store.find(['w:spf:s1.test']))[0]?.passed, true)
  }
})

test('a carrier is listed after two senders, of which a bounce is none', async () => {
  const { store, count } = setUp()
  const [senders, listed] = ['c:carrier:bulk.example|senders', 'w:carrier:bulk.example']
  for (const [sender, counted] of [
    ['bounce', 0],
    [1, 1],
    ['bounce', 1],
    [1, 1],
  ] as const) {
    await count(1, sender)
    assert.deepEqual(await store.counts([senders]), [counted])
    assert.deepEqual(await store.find([listed]), [undefined])
  }
  await count(1, 2)
  assert.deepEqual(await store.counts([senders]), [2])
  assert.equal((await store.find([listed]))[0]?.passed, true)
})

test('a listing of a domain is extended by new witnesses, and by no others', async () => {
  const { count, listedFor } = setUp()
  for (const n of [1, 2, 3]) await count(n, n)
  assert.equal(await listedFor(), 0)
  await count(1, 2)
  assert.equal(await listedFor(), HOUR)
  await count(4, 2)
  assert.equal(await listedFor(), 0)
  await count(4, 5)
  assert.equal(await listedFor(), 0)
})
