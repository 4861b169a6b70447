// Tests of a shared store that some or all hosts cannot reach for a while: in any order of events, nothing that has
// passed anywhere is deferred once all is merged, and no first attempt changes its instant.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from '../../../src/address.ts'
import { createGreylister, type Greylister, type GreylisterParts } from '../../../src/greylist/greylister.ts'
import { parseIp } from '../../../src/ip.ts'
import type { Outcome } from '../../../src/outcome.ts'
import { UnreadableEntry } from '../../../src/store/encoding.ts'
import { FailoverStore, type Merge } from '../../../src/store/local/failover.ts'
import { LocalStore } from '../../../src/store/local/local.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import { PartlyAnswered, type SharedStore, StoreFull } from '../../../src/store/store.ts'
import { journalIn, steady } from '../../support/journal.ts'

const MINUTE = 60_000
const DAY = 86_400_000
/** Nothing expires within a history, as expiry is tested with the stores. */
const TIMES = { delay: 4 * MINUTE, retryWindow: 20 * DAY, lifetime: 360 * DAY }

/** A host's way to the shared store. */
interface Line {
  /** Number of operations that still succeed. */
  operations: number
  /** Whether the first operation that fails is done all the same, and only its answer is lost. */
  losesAnswer: boolean
}

function over(line: Line, shared: SharedStore): SharedStore {
  const via = async <T>(operation: () => Promise<T>): Promise<T> => {
    if (line.operations > 0) {
      line.operations -= 1
      return operation()
    }
    if (line.losesAnswer) await operation()
    line.losesAnswer = false
    throw new Error('it is away')
  }
  return {
    find: (keys) => via(() => shared.find(keys)),
    add: (key, window, age, holder) => via(() => shared.add(key, window, age, holder)),
    pass: (key, lifetime) => via(() => shared.pass(key, lifetime)),
    count: (key, window, by) => via(() => shared.count(key, window, by)),
    counts: (keys) => via(() => shared.counts(keys)),
    forget: (key) => via(() => shared.forget(key)),
    merge: (key, learnt) => via(() => shared.merge(key, learnt)),
    check: () => via(() => shared.check()),
    close: async () => undefined,
  }
}

const SETTINGS = {
  times: TIMES,
  widensBySpf: true,
  prefixes: { ipv4: 24, ipv6: 64 },
  normalizeSender: false,
  maxDeferrals: 0,
  maxPending: 1000,
  onStoreError: 'local',
} as const

const FINDINGS: Pick<GreylisterParts, 'exempt' | 'investigate'> = {
  exempt: () => undefined,
  // Every second sender has an identity wider than its network, and so a second key.
  investigate: async (_, sender) => {
    const network = 'network:192.0.2.0/24'
    const id = sender.text < 'b' ? network : 'spf:example.org'
    const names = id === network ? [network] : [id, network]
    const identity = { id, names, carriers: [], network, spf: 'unknown', isNamed: true } as const
    return { identity, exemption: undefined }
  },
}

interface Frontend {
  readonly line: Line
  readonly merges: Merge[]
  /** Why what was merged was learnt, for each of `merges`. */
  readonly reasons: string[]
  readonly problems: string[]
  store: FailoverStore
  greylister: Greylister
  /** Restarts the host, which loses what is in memory only. */
  restart(): Promise<void>
}

async function newFrontend(
  t: TestContext | undefined,
  shared: SharedStore,
  now: () => number,
  limit = 1000,
): Promise<Frontend> {
  const line = { operations: Number.POSITIVE_INFINITY, losesAnswer: false }
  const kept = new Map<string, string>()
  const frontend = { line, merges: [] as Merge[], reasons: [] as string[], problems: [] as string[] }
  const open = async () => {
    const local = new LocalStore(now, limit, TIMES, steady(journalIn(kept)))
    await local.restore()
    const store = new FailoverStore(over(line, shared), () => line.operations > 0, local, {
      onMerged(merge, reasons) {
        frontend.merges.push(merge)
        frontend.reasons.push([...reasons].join())
      },
      onMergeFailed: (problem) => frontend.problems.push(problem),
    })
    t?.after(() => store.close())
    const greylister = createGreylister({
      settings: SETTINGS,
      ...FINDINGS,
      stores: { store, local },
    })
    return { store, greylister }
  }
  return Object.assign(frontend, {
    ...(await open()),
    async restart(this: Frontend) {
      void this.store.close()
      Object.assign(this, await open())
    },
  })
}

function attempt({ greylister }: Pick<Frontend, 'greylister'>, sender: string): Promise<Outcome> {
  return greylister.judge({
    client: { address: parseIp('192.0.2.7') },
    authenticated: false,
    sender: parseAddress(sender),
    recipient: parseAddress('u@example.com'),
  })
}

const SENDERS = ['a1@a.test', 'b1@b.test']

const host = fc.constantFrom(0, 1)
const event = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('attempt' as const),
      host,
      sender: fc.constantFrom(...SENDERS),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      time: fc.constantFrom(1000, MINUTE, 4 * MINUTE),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('cut' as const),
      host,
      operations: fc.nat(4),
      losesAnswer: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('heal' as const), host }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('merge' as const), host }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const), host }) },
)

test('whatever is cut off, healed, merged and restarted: who had passed is not deferred, and no first sight moves', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 20, maxLength: 100 }), async (history) => {
      let now = 0
      const shared = new MemoryStore(() => now)
      const frontends = [
        await newFrontend(undefined, shared, () => now),
        await newFrontend(undefined, shared, () => now),
      ] as const
      const isCut = ({ line }: Frontend) => line.operations !== Number.POSITIVE_INFINITY
      const isAllMerged = () => frontends.every(({ store }) => store.local.unmergedSize === 0)
      const firstSeen = new Map<string, number>()
      const passed = new Set<string>()
      const passedHere = frontends.map(() => new Set<string>())

      const attemptAt = async (host: 0 | 1, sender: string) => {
        const frontend = frontends[host]
        const [wasCut, wasMerged] = [isCut(frontend), isAllMerged()]
        if (!firstSeen.has(sender)) firstSeen.set(sender, now)
        const sinceFirst = now - (firstSeen.get(sender) ?? now)
        const { verdict, reason, waited } = await attempt(frontend, sender)
        if (verdict === 'pass') {
          const isKnown = passed.has(sender) && !wasCut && wasMerged
          assert.ok(reason === 'known' || !isKnown, `the pass of ${sender} was lost`)
          if (!passed.has(sender))
            assert.ok(sinceFirst >= TIMES.delay, `${sender} passed after ${sinceFirst}`)
          assert.match(reason, /^(retry|known)$/)
          passed.add(sender)
          passedHere[host]?.add(sender)
          return
        }
        assert.match(reason, /^(new|early)$/)
        assert.ok(!passedHere[host]?.has(sender), `${sender} had passed at this host`)
        if (wasCut || !wasMerged) return
        assert.ok(!passed.has(sender), `${sender} had passed`)
        assert.equal(waited, sinceFirst)
      }

      try {
        for (const next of history) {
          const frontend = 'host' in next ? frontends[next.host as 0 | 1] : frontends[0]
          const { line } = frontend
          if (next.kind === 'attempt') await attemptAt(next.host as 0 | 1, next.sender)
          else if (next.kind === 'wait') now += next.time
          else if (next.kind === 'cut') Object.assign(line, next)
          else if (next.kind === 'heal') line.operations = Number.POSITIVE_INFINITY
          else if (next.kind === 'merge') await frontend.store.merge()
          else await frontend.restart()
        }
        for (const { line, store } of frontends) {
          line.operations = Number.POSITIVE_INFINITY
          await store.merge()
          assert.equal(store.local.unmergedSize, 0)
        }
        for (const sender of firstSeen.keys())
          for (const host of [0, 1] as const) await attemptAt(host, sender)
      } finally {
        for (const { store } of frontends) await store.close()
      }
    }),
    { numRuns: 1000 },
  )
})

/** Sets up a shared store, the hosts' lines to it and a clock; `limit` is that of the local stores. */
async function setUp(t: TestContext, limit?: number) {
  const clock = { now: 0 }
  const shared = new MemoryStore(() => clock.now)
  const open = () => newFrontend(t, shared, () => clock.now, limit)
  return { clock, shared, here: await open(), there: await open() }
}

const reasonOf = async (frontend: Frontend, sender: string) => {
  const { reason, store } = await attempt(frontend, sender)
  return store ? `${reason} ${store}` : reason
}

test('a host that is cut off goes on greylisting: who had passed passes, who waits goes on waiting, others begin', async (t) => {
  const { clock, here, there } = await setUp(t)
  await reasonOf(there, 'a1@a.test')
  clock.now += 5 * MINUTE
  assert.equal(await reasonOf(here, 'a1@a.test'), 'retry')
  assert.equal(await reasonOf(here, 'b1@b.test'), 'new')
  here.line.operations = 0
  const { error, store } = await attempt(here, 'a1@a.test')
  assert.deepEqual([error, store], ['it is away', 'local'])
  clock.now += 3 * MINUTE
  assert.equal(await reasonOf(here, 'a1@a.test'), 'known local')
  assert.equal(await reasonOf(here, 'b1@b.test'), 'early local')
  assert.equal(await reasonOf(here, 'b2@b.test'), 'new local')
  clock.now += MINUTE
  assert.equal(await reasonOf(here, 'b1@b.test'), 'retry local')
  clock.now += 3 * MINUTE
  assert.equal(await reasonOf(here, 'b2@b.test'), 'retry local')
  assert.equal(await reasonOf(there, 'b2@b.test'), 'new')
  here.line.operations = Number.POSITIVE_INFINITY
  assert.equal(await reasonOf(here, 'b2@b.test'), 'known', 'even before the merge')
  await here.store.merge()
  assert.equal(await reasonOf(there, 'b2@b.test'), 'known')
  assert.equal(await reasonOf(there, 'b1@b.test'), 'known')
  // Each triplet has two keys, that of the identity and that of the network, and each of these names has its tally.
  assert.deepEqual(here.merges, [{ merged: 6, unreadable: 0 }])
  assert.deepEqual(here.reasons, ['away'])
})

test('what was learnt before a restart is merged after it, and nobody claims to know why it was learnt', async (t) => {
  const { here } = await setUp(t)
  here.line.operations = 0
  assert.equal(await reasonOf(here, 'a1@a.test'), 'new local')
  await here.restart()
  here.line.operations = Number.POSITIVE_INFINITY
  await here.store.merge()
  assert.deepEqual(here.reasons, [''])
})

test('a merge that is cut off goes on where it was, and a store full of what is not merged lets mail pass', async (t) => {
  // Room for 300 triplets and the tally of their network.
  const { clock, shared, here, there } = await setUp(t, 301)
  here.line.operations = 0
  for (let index = 0; index < 300; index += 1) {
    assert.equal(await reasonOf(here, `a${index}@a.test`), 'new local')
  }
  const { verdict, reason, error } = await attempt(here, 'a300@a.test')
  assert.deepEqual([verdict, reason], ['pass', 'store-error'])
  assert.match(error ?? '', /^it is away; the local store is full/)
  clock.now += MINUTE
  here.line.operations = 150
  await here.store.merge()
  assert.deepEqual([here.store.local.unmergedSize, shared.size, here.merges.length], [151, 150, 0])
  here.line.operations = Number.POSITIVE_INFINITY
  await here.store.merge()
  assert.deepEqual(here.merges, [{ merged: 301, unreadable: 0 }])
  assert.deepEqual(here.reasons, ['away'])
  assert.deepEqual(here.problems, [])
  assert.equal((await attempt(there, 'a7@a.test')).waited, MINUTE)
})

test('counts add up, whichever host counted', async (t) => {
  const { shared, here, there } = await setUp(t)
  assert.equal(await here.store.count('a', DAY), 1)
  assert.equal(await there.store.count('a', DAY), 2)
  here.line.operations = 0
  there.line.operations = 0
  assert.equal(await here.store.count('a', DAY), 2)
  assert.equal(await here.store.count('a', DAY), 3)
  assert.equal(await there.store.count('a', DAY), 3)
  here.line.operations = Number.POSITIVE_INFINITY
  assert.equal(await here.store.count('a', DAY), 5) // two of them not merged yet
  await here.store.merge()
  there.line.operations = Number.POSITIVE_INFINITY
  await there.store.merge()
  assert.equal(await shared.count('a', DAY), 7)
})

test('what the store cannot read is decided locally, and stays as it is', async (t) => {
  const { clock, shared, here } = await setUp(t)
  const unreadable = () => Promise.reject(new UnreadableEntry('what is this'))
  Object.assign(shared, { find: unreadable, merge: unreadable })
  assert.equal(await reasonOf(here, 'a1@a.test'), 'new local')
  clock.now += 5 * MINUTE
  await here.store.merge()
  assert.equal(await reasonOf(here, 'a1@a.test'), 'retry local')
  await here.store.merge()
  assert.equal(await reasonOf(here, 'a1@a.test'), 'known local')
  assert.deepEqual([here.store.local.unmergedSize, here.merges], [0, []])
})

test('a store that is up and takes nothing in is told of once, and tried again', async (t) => {
  const { shared, here } = await setUp(t)
  const { merge } = shared
  here.line.operations = 0
  await attempt(here, 'a1@a.test')
  here.line.operations = Number.POSITIVE_INFINITY
  shared.merge = () => Promise.reject(new Error('NOPERM'))
  await here.store.merge()
  await here.store.merge()
  assert.deepEqual(here.problems, ['NOPERM'])
  shared.merge = merge
  await here.store.merge()
  // The triplet; its network has no tally before a second deferral.
  assert.deepEqual(here.merges, [{ merged: 1, unreadable: 0 }])
})

test('for the keys of a part of the shared store that is away, this host goes by what it knows', async (t) => {
  const { shared, here } = await setUp(t)
  const { store } = here
  await store.pass('a', DAY)
  await store.count('n', DAY, 3)
  const lost = () =>
    Promise.reject(new PartlyAnswered<undefined>('away', [undefined, undefined], new Set([0])))
  const lostCounts = () => Promise.reject(new PartlyAnswered('away', [0, 0], new Set([0])))
  Object.assign(shared, { find: lost, counts: lostCounts })
  const found = await store.find(['a', 'b'])
  assert.deepEqual(
    found.map((entry) => entry?.passed),
    [true, undefined],
  )
  assert.deepEqual(await store.counts(['n', 'm']), [3, 0])
})

/** A shared store that can be read and takes no writes while it `isFull`, with a host that has `limit` entries of room. */
function setUpFull(t: TestContext, onStoreError: 'tempfail' | 'local' = 'tempfail', limit = 1000) {
  const clock = { now: 0 }
  const memory = new MemoryStore(() => clock.now)
  const state = { isFull: true }
  const write = async <T>(operation: () => Promise<T>): Promise<T> => {
    if (state.isFull) throw new StoreFull('OOM')
    return operation()
  }
  const shared: SharedStore = {
    find: (keys) => memory.find(keys),
    add: (...given) => write(() => memory.add(...given)),
    pass: (...given) => write(() => memory.pass(...given)),
    count: (...given) => write(() => memory.count(...given)),
    counts: (keys) => memory.counts(keys),
    forget: (key) => memory.forget(key),
    merge: (...given) => write(() => memory.merge(...given)),
    check: () => memory.check(),
    close: () => memory.close(),
  }
  const local = new LocalStore(() => clock.now, limit, TIMES)
  const watch = { onMerged() {}, onMergeFailed() {} }
  const use = { whenAway: onStoreError === 'local', whenFull: true }
  const store = new FailoverStore(shared, () => !state.isFull, local, watch, use)
  t.after(() => store.close())
  return { clock, memory, shared, state, local, store }
}

// Regression: all new mail was deferred, as the refusal was taken for an outage.
test('mail that neither the full store nor the overflow has room for passes, whatever on_store_error says', async (t) => {
  for (const onStoreError of ['tempfail', 'local'] as const) {
    const { clock, local, store } = setUpFull(t, onStoreError, 1)
    const greylister = createGreylister({
      settings: { ...SETTINGS, onStoreError, onStoreFull: 'local' },
      ...FINDINGS,
      now: () => clock.now,
      stores: { store, local: onStoreError === 'local' ? local : undefined },
    })
    assert.equal((await attempt({ greylister }, 'a1@a.test')).reason, 'new')
    const { verdict, reason, error } = await attempt({ greylister }, 'a2@a.test')
    assert.deepEqual([verdict, reason], ['pass', 'store-error'])
    assert.equal(error, 'OOM; the local store is full: of its 1 entries, 1 are not merged yet')
  }
})

// Regression: who waited in the overflow was deferred as early forever, as such answers passed through as they were.
test('an overflow counts as well while a part of the full store is away, and the answer says which', async (t) => {
  const { clock, shared, store } = setUpFull(t)
  await store.add('waits', DAY)
  await store.count('n', DAY, 2)
  clock.now += MINUTE
  const lost = () => Promise.reject(new PartlyAnswered('gone', [undefined, undefined], new Set([1])))
  const lostCounts = () => Promise.reject(new PartlyAnswered('gone', [3, 0], new Set([1])))
  Object.assign(shared, { find: lost, counts: lostCounts })
  const entries = [{ passed: false, age: MINUTE }, undefined]
  await assert.rejects(
    store.find(['waits', 'away']),
    new PartlyAnswered<unknown>('gone', entries, new Set([1])),
  )
  await assert.rejects(store.counts(['n', 'away']), new PartlyAnswered('gone', [5, 0], new Set([1])))
})

// Regression: the overflow counted from 0 and added every key, so that used-up credit was granted anew.
test('a full store that can be read counts as well: sums go on from its own, and its keys are not added anew', async (t) => {
  for (const onStoreError of ['tempfail', 'local'] as const) {
    const { clock, memory, shared, state, local, store } = setUpFull(t, onStoreError)
    await memory.count('n', DAY, 2)
    await memory.add('known', DAY)
    assert.equal(await store.count('n', DAY), 3)
    const sums = Array.from({ length: 3 }, () => store.count('n', DAY, 2))
    assert.deepEqual(await Promise.all(sums), [5, 7, 9])
    assert.deepEqual(await store.counts(['n']), [9])
    assert.equal(await store.count('m', DAY), 1)
    assert.deepEqual([await store.add('known', DAY), await store.add('new', DAY)], [false, true])
    assert.equal(await store.add('new', DAY), false)
    assert.deepEqual(await memory.counts(['n', 'm']), [2, 0])
    clock.now += 1000
    state.isFull = false
    await store.merge()
    assert.deepEqual(await memory.counts(['n', 'm']), [9, 1])
    assert.deepEqual([local.size, local.unmergedSize], [onStoreError === 'local' ? 3 : 0, 0])

    state.isFull = true
    const fails = () => Promise.reject(new Error('it is away'))
    Object.assign(shared, { find: fails, counts: fails })
    assert.equal(await store.add('new too', DAY), true)
    assert.equal(await store.count('o', DAY), 1)
  }
})
