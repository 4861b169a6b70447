// What a store has exported and another has imported gets the same answers at every time: through the greylister, with
// stores in memory and in LMDB by a clock that the test moves, and key by key between all kinds of stores.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from '../../src/address.ts'
import type { Attempt } from '../../src/attempt.ts'
import { createGreylister, type GreylistSettings } from '../../src/greylist/greylister.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { formatNetwork, networkOf, parseIp } from '../../src/ip.ts'
import { openLmdbStore } from '../../src/store/lmdb/lmdb.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import type { RecordStore } from '../../src/store/records.ts'
import { openRedisStore } from '../../src/store/redis/redis.ts'
import type { UnguardedStore } from '../../src/store/store.ts'
import { startRedis } from '../support/redis.ts'
import { redisSettings } from '../support/redis-store.ts'
import { endWith, type Scope, scratch } from '../support/scratch.ts'
import { exported, imported } from './support.ts'

type AnyStore = UnguardedStore & RecordStore

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const START = Date.UTC(2026, 10, 27)

const SETTINGS: GreylistSettings = {
  times: { delay: 4 * MINUTE, retryWindow: 2 * DAY, lifetime: 36 * DAY },
  widensBySpf: true,
  prefixes: { ipv4: 24, ipv6: 64 },
  normalizeSender: true,
  autoWhitelist: { after: 2, spacing: HOUR, lifetime: 36 * DAY },
  maxDeferrals: 4,
  maxPending: 10,
  credit: { messages: 2, perNetwork: 2 },
  learnReplies: 30 * DAY,
  onStoreError: 'tempfail',
}

/** An attempt some time after the one before it. */
interface Step {
  readonly after: number
  readonly client: number
  readonly sender: string
  readonly recipient: string
  readonly isAuthenticated: boolean
}

const CLIENTS: ReadonlyArray<readonly [address: string, name?: string]> = [
  ['192.0.2.7'],
  ['192.0.2.200'],
  ['198.51.100.7', 'spf:example.org'],
  ['203.0.113.7', 'host:example.net'],
  ['2001:db8::7'],
]

/** Steps within the hour, and those after which much has expired. */
const SHORT = [0, 1000, MINUTE, 4 * MINUTE, 5 * MINUTE]
const LONG = [HOUR, 13 * HOUR, 2 * DAY, 20 * DAY]

function stepOf(afters: readonly number[]): fc.Arbitrary<Step> {
  return fc.record({
    after: fc.constantFrom(...afters),
    client: fc.nat(CLIENTS.length - 1),
    sender: fc.constantFrom(
      'a@example.org',
      'b@example.org',
      'c@example.net',
      '',
      `${'d'.repeat(120)}@e.test`,
    ),
    recipient: fc.constantFrom('u@example.com', 'v@example.com'),
    isAuthenticated: fc.constantFrom(false, false, false, true),
  })
}

/** The same steps each time, so many of them, within a few hours. */
function someSteps(count: number, seed: number): readonly Step[] {
  const steps = fc.array(stepOf(SHORT), { minLength: count, maxLength: count })
  return fc.sample(steps, { numRuns: 1, seed })[0] ?? assert.fail()
}

/** A greylister whose store can be exchanged, and that has nothing else of its own that the test does not give it. */
function greylisterOn(store: AnyStore, clock: { now: number }) {
  const stores: { store: AnyStore } = { store }
  let identity: Identity | undefined
  const { judge } = createGreylister({
    settings: SETTINGS,
    exempt: (attempt) => (attempt.authenticated ? { reason: 'authenticated', rule: 'login' } : undefined),
    investigate: async () => ({ identity, exemption: undefined }),
    stores,
    hasImports: () => true,
    now: () => clock.now,
    seeds: new Uint32Array([1, 2, 3, 4]),
  })
  return {
    stores,
    async play({ client, sender, recipient, isAuthenticated }: Step): Promise<string> {
      const [text, name] = CLIENTS[client] ?? assert.fail()
      const address = parseIp(text) ?? assert.fail()
      const network = `network:${formatNetwork(networkOf(address, address.kind === 'ipv4' ? 24 : 64))}`
      const host = name?.startsWith('host:')
        ? { domain: name.slice('host:'.length), isMail: true }
        : undefined
      identity = {
        id: name ?? network,
        names: name === undefined ? [network] : [name, network],
        carriers: [],
        network,
        spf: name?.startsWith('spf:') ? 'pass' : 'none',
        host,
        isNamed: name !== undefined,
      }
      // Who is authenticated writes to those who write to them.
      const [from, to] = isAuthenticated ? [recipient, sender] : [sender, recipient]
      const attempt: Attempt = {
        client: { address },
        authenticated: isAuthenticated,
        sender: parseAddress(from),
        recipient: parseAddress(to),
      }
      const outcome = await judge(attempt)
      return [outcome.verdict, outcome.reason, outcome.waited, outcome.retryIn, outcome.evidence].join(' ')
    },
  }
}

/**
 * Plays `before` with two greylisters, each on a store of its own. Then one goes on with what `carry` makes of its store,
 * and has to answer as the other does.
 */
async function assertSameAnswers(
  before: readonly Step[],
  pause: number,
  after: readonly Step[],
  carry: (store: AnyStore, clock: { now: number }, pause: number) => Promise<AnyStore>,
): Promise<void> {
  const clock = { now: START }
  const one = greylisterOn(new MemoryStore(() => clock.now), clock)
  const other = greylisterOn(new MemoryStore(() => clock.now), clock)
  const both = async (each: Step) => {
    clock.now += each.after
    assert.equal(await other.play(each), await one.play(each), JSON.stringify(each))
  }
  for (const each of before) await both(each)
  other.stores.store = await carry(other.stores.store, clock, pause)
  for (const each of after) await both(each)
}

// Property: whatever has been attempted, and however much time lies between export and import, the store that has
// imported gives the answers of the one that has exported.
test('an import gives the answers that the store gives that was exported', async () => {
  const steps = fc.array(stepOf([...SHORT, ...SHORT, ...LONG]), { maxLength: 20 })
  const pauses = fc.constantFrom(0, 1, 3 * MINUTE, DAY)
  await fc.assert(
    fc.asyncProperty(steps, pauses, steps, (before, pause, after) =>
      assertSameAnswers(before, pause, after, async (store, clock) => {
        const target = new MemoryStore(() => clock.now)
        const text = await exported(store, () => clock.now)
        clock.now += pause
        const { notTaken } = await imported(text, target, () => clock.now, 1000)
        assert.deepEqual(notTaken, [])
        return target
      }),
    ),
    { numRuns: 150 },
  )
})

/** An empty store in LMDB by a clock of the test. */
async function openLmdb(scope: Scope, now: () => number): Promise<AnyStore> {
  const dir = await scratch(scope)
  const store = await openLmdbStore(dir, now, { onMovedAside: assert.fail })
  endWith(dir, () => store.close())
  return store
}

test('from memory into LMDB, into another LMDB and back, the answers stay the same', async (t) => {
  await assertSameAnswers(someSteps(60, 19), MINUTE, someSteps(60, 20), async (store, clock, pause) => {
    const now = () => clock.now
    let last = store
    for (const next of [await openLmdb(t, now), await openLmdb(t, now), new MemoryStore(now)]) {
      const text = await exported(last, now)
      clock.now += pause
      const { summary, notTaken } = await imported(text, next, now)
      assert.ok(summary.read > 10)
      assert.deepEqual(notTaken, [])
      last = next
    }
    return last
  })
})

/** What a store keeps, by key, with what is left of it apart. */
async function contentOf(store: AnyStore) {
  const kept = new Map<string, unknown>()
  const lefts = new Map<string, number>()
  for await (const batch of store.scanKeys(new AbortController().signal))
    for (const { key, value, left } of batch) {
      lefts.set(key, left)
      kept.set(
        key,
        typeof value === 'number' ? value : { ...value, age: 0, ttl: Math.round(value.age + left) },
      )
    }
  const records = await Promise.all(['rules', 'recipients', 'members'].map((name) => store.readRecord(name)))
  return { kept: new Map([...kept].sort()), lefts, records }
}

/** Longest time that the tests of Redis may take, in milliseconds, as Redis has a clock of its own. */
const TOLERANCE = 20_000

test('from memory into Redis, another Redis, LMDB, Redis and memory, every key stays what it is', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  const openRedis = async (database: number) => {
    const store = await openRedisStore(redisSettings(`${redis.url}/${database}`), { onWarning() {} })
    endWith(dir, () => store.close())
    return store
  }
  const clock = { now: START }
  const first = new MemoryStore(() => clock.now)
  const { play } = greylisterOn(first, clock)
  for (const each of someSteps(80, 19)) {
    clock.now += each.after
    await play(each)
  }
  await first.pass('w:spf:example.org', 36 * DAY)
  await first.add('f:0123456789', 2 * DAY, HOUR, '1234567890123456')
  await first.changeRecord('rules', new Map([['abc123', '{"kind":"off","by":"test","madeAt":1}']]))
  await first.changeRecord('recipients', new Map([['example.com', 'only']]))
  await first.changeRecord('members', new Map([['mx1', 'is here']]))
  const expected = await contentOf(first)
  assert.ok(expected.kept.size > 20)
  let last: AnyStore = first
  let clockOfLast = () => clock.now
  for (const next of [
    await openRedis(1),
    await openRedis(2),
    await openLmdb(t, Date.now),
    await openRedis(3),
    new MemoryStore(() => Date.now()),
  ]) {
    // An export is of now wherever its store has its clock.
    const text = (await exported(last, clockOfLast)).replace(
      /"at":"[^"]+"/,
      `"at":"${new Date().toISOString()}"`,
    )
    for (const _ of [1, 2]) {
      const { notTaken } = await imported(text, next, Date.now)
      assert.deepEqual(notTaken, [])
    }
    const found = await contentOf(next)
    assert.deepEqual(found.kept, expected.kept)
    assert.deepEqual(found.records.slice(0, 2), expected.records.slice(0, 2))
    assert.deepEqual(found.records[2], new Map())
    for (const [key, left] of found.lefts) {
      const difference = (expected.lefts.get(key) ?? 0) - left
      assert.ok(difference > -100 && difference < TOLERANCE, `${key}: ${difference} ms less are left`)
    }
    last = next
    clockOfLast = Date.now
  }
})
