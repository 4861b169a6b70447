// Entries that an earlier version stored under another form of the sender or another key: they go on counting after an
// upgrade, and nothing is written under their keys any more. With the store in memory, in LMDB and in a real Redis.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import { createGreylister, type GreylistSettings } from '../../src/greylist/greylister.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { parseIp } from '../../src/ip.ts'
import type { Outcome } from '../../src/outcome.ts'
import { openLmdbStore } from '../../src/store/lmdb/lmdb.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import type { Store } from '../../src/store/store.ts'
import { startRedis } from '../support/redis.ts'
import { openWatched, redisSettings } from '../support/redis-store.ts'
import { endWith, type Scope, scratch } from '../support/scratch.ts'

const MINUTE = 60_000
const DAY = 86_400_000

const SETTINGS: GreylistSettings = {
  times: { delay: 4 * MINUTE, retryWindow: 2 * DAY, lifetime: 36 * DAY },
  widensBySpf: true,
  prefixes: { ipv4: 24, ipv6: 64 },
  normalizeSender: true,
  autoWhitelist: { after: 5, spacing: 60 * MINUTE, lifetime: 36 * DAY },
  maxDeferrals: 10,
  maxPending: 1000,
  onStoreError: 'tempfail',
}

const IDENTITY: Identity = {
  id: 'host:example.net',
  names: ['host:example.net', 'network:192.0.2.0/24'],
  carriers: [],
  network: 'network:192.0.2.0/24',
  spf: 'none',
  host: { domain: 'example.net', isMail: true },
  isNamed: true,
}

const person = (name: string) => `IMCEAEX-_o=ORG_ou=First+20Group_cn=Recipients_cn=${name}@example.com`

/** Senders whose form has changed, with the next address of the same sender. */
const CHANGED: Array<[former: string, form: string, sender: string, next: string]> = [
  [
    'imceaex-_o=org_ou=first@example.com',
    'imceaex-_o=org_ou=first+20group_cn=recipients_cn=joe@example.com',
    person('joe'),
    person('Joe'),
  ],
  [
    'bounce-mc.us2_#@mail150.suw14.rsgsv.net',
    'bounce-mc.us2_#@rsgsv.net',
    'bounce-mc.us2_146412474.3551972-e3616ba718@mail150.suw14.rsgsv.net',
    'bounce-mc.us2_146412474.3552001-e3616ba718@mail12.atl31.rsgsv.net',
  ],
  [
    '1axbzngfdqrw3qttkekmmouflkgrjnzptdk8su@bf05.eu1.hubspotemail.net',
    '#@hubspotemail.net',
    '1axbzngfdqrw3qttkekmmouflkgrjnzptdk8su@bf05.eu1.hubspotemail.net',
    '1axb995suxbzfizn5o1l84fareadrinuj45d9o@bf56x.hubspotemail.net',
  ],
]

/** The keys of a form for mail to `u@example.com`. */
function keysOf(form: string): string[] {
  return IDENTITY.names.map((name) => `t:${name}|${form}|u@example.com`)
}

/** Judges mail of a sender to `u@example.com`. */
function judging(
  store: Store,
  settings: Partial<GreylistSettings> = {},
): (sender: string) => Promise<Outcome> {
  const { judge } = createGreylister({
    settings: { ...SETTINGS, ...settings },
    exempt: () => undefined,
    investigate: async () => ({ identity: IDENTITY, exemption: undefined }),
    stores: { store },
  })
  const [client, recipient] = [{ address: parseIp('192.0.2.7') }, parseAddress('u@example.com')]
  return (sender) => judge({ client, authenticated: false, sender: parseAddress(sender), recipient })
}

const STORES: Array<[name: string, open: (scope: Scope) => Promise<Store>]> = [
  ['memory', async () => new MemoryStore(() => performance.now())],
  [
    'LMDB',
    async (scope) => {
      const dir = await scratch(scope)
      const store = await openLmdbStore(dir, Date.now, { onMovedAside() {} })
      endWith(dir, () => store.close())
      return store
    },
  ],
  [
    'Redis',
    async (scope) => {
      const redis = await startRedis({ dir: await scratch(scope) })
      return (await openWatched(scope, redisSettings(redis.url))).store
    },
  ],
]

for (const [name, open] of STORES) {
  test(`who waited or passed under a former form goes on doing so, in ${name}`, async (scope) => {
    const store = await open(scope)
    const judge = judging(store)
    for (const [former, form, sender, next] of CHANGED) {
      const forgetAll = async (keys: readonly string[]) => {
        for (const key of keys) await store.forget(key)
      }
      /** Judges the sender, then both addresses by what the new keys have taken over from the former ones. */
      const reasonsOf = async () => {
        const { verdict, reason, waited } = await judge(sender)
        await forgetAll(keysOf(former))
        const later = [(await judge(sender)).reason, (await judge(next)).reason]
        assert.deepEqual(await store.find(keysOf(former)), [undefined, undefined], former)
        await forgetAll(keysOf(form))
        return [verdict, reason, Math.floor(waited / MINUTE), ...later]
      }
      for (const key of keysOf(former)) await store.add(key, 2 * DAY, MINUTE)
      assert.deepEqual(await reasonsOf(), ['tempfail', 'early', 1, 'early', 'early'])
      for (const key of keysOf(former)) await store.add(key, 2 * DAY, 5 * MINUTE)
      assert.deepEqual(await reasonsOf(), ['pass', 'retry', 5, 'known', 'known'])
      for (const key of keysOf(former)) await store.pass(key, 36 * DAY)
      assert.deepEqual(await reasonsOf(), ['pass', 'known', 0, 'known', 'known'])
    }
  })
}

const PLAIN = 'a@example.org'
const LONG = `${'x'.repeat(120)}@example.org`

for (const [name, open] of STORES) {
  test(`what the version before has of a triplet, its names and its sender goes on counting, in ${name}`, async (scope) => {
    const store = await open(scope)
    // Long keys have become digests, and so has the key of a first attempt.
    for (const sender of [PLAIN, LONG]) {
      const former = keysOf(sender)
      const judge = judging(store, { maxDeferrals: 0 })
      for (const key of former) await store.add(key, 2 * DAY, MINUTE)
      const early = await judge(sender)
      assert.deepEqual([early.reason, Math.floor(early.waited / MINUTE)], ['early', 1])
      for (const key of former) await store.forget(key)
      assert.equal((await judge(sender)).reason, sender === LONG ? 'early' : 'new')
      for (const key of former) await store.pass(key, 36 * DAY)
      assert.equal((await judge(sender)).reason, 'known')
      for (const key of former) await store.forget(key)
      assert.equal((await judge(sender)).reason, sender === LONG ? 'known' : 'new')
    }
    // Nothing is known of this one but what the loop breaker has.
    const looping = 'loop@example.org'
    await store.add(`f:|${looping}|u@example.com`, 2 * DAY, 10 * MINUTE)
    await store.count(`d:|${looping}|u@example.com`, 2 * DAY, 2)
    const outcome = await judging(store, { maxDeferrals: 3 })(looping)
    assert.deepEqual([outcome.verdict, outcome.reason], ['pass', 'max-deferrals'])
    // And of its names, what came back and what did not.
    for (const each of ['host:example.net+network:192.0.2.0/24', 'network:192.0.2.0/24'])
      await store.count(`o:${each}`, 2 * DAY, 3 * 100_000_000 + 4)
    const next = await judging(store)('new@example.org')
    assert.equal(next.reason, 'new')
    const counts = await store.counts(['o:host:example.net+network:192.0.2.0/24'])
    assert.ok((counts[0] ?? 0) % 100_000_000 >= 5, String(counts))
  })
}

test('persons that had one form are known each by itself once its mail has come', async () => {
  const store = new MemoryStore(() => 0)
  const judge = judging(store)
  const merged = keysOf('imceaex-_o=org_ou=first@example.com')
  for (const key of merged) await store.pass(key, 36 * DAY)
  assert.equal((await judge(person('joe'))).reason, 'known')
  for (const key of merged) await store.forget(key)
  assert.equal((await judge(person('joe'))).reason, 'known')
  assert.equal((await judge(person('ann'))).reason, 'new')
})

test('only senders whose form has changed are looked up under a former one', async () => {
  const asked: string[][] = []
  const store = new MemoryStore(() => 0)
  const find = store.find.bind(store)
  const counting = Object.assign(store, {
    find: (keys: readonly string[]) => {
      asked.push(keys.filter((key) => key.startsWith('t:')))
      return find(keys)
    },
  })
  const judge = judging(counting, { maxDeferrals: 0 })
  await judge('joe+tag@example.com')
  await judge('bounces-12345-joe=example.com@example.com')
  await judging(counting, { maxDeferrals: 0, normalizeSender: false })(person('joe'))
  assert.deepEqual(
    asked.map(({ length }) => length),
    [2, 2, 2],
  )
  for (const [former, form, sender] of CHANGED) {
    await judge(sender)
    assert.deepEqual(asked.at(-1), [...keysOf(form), ...keysOf(former)])
  }
})
