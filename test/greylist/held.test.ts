// First attempts that are kept under one key, for the network that made them and for the loop breaker: nobody but that
// network has waited by it, whatever comes in between. With the memory store, clocks that the test moves, and a shared
// store that is away for a while.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import { parseAddress } from '../../src/address.ts'
import { createGreylister, type GreylistSettings } from '../../src/greylist/greylister.ts'
import { formerFirstKey, loopKey } from '../../src/greylist/keys.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { formatNetwork, networkOf, parseIp } from '../../src/ip.ts'
import type { Outcome } from '../../src/outcome.ts'
import { FailoverStore } from '../../src/store/local/failover.ts'
import { LocalStore } from '../../src/store/local/local.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import type { SharedStore, Store } from '../../src/store/store.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

const SETTINGS: GreylistSettings = {
  times: { delay: 4 * MINUTE, retryWindow: 20 * HOUR, lifetime: 36 * DAY },
  widensBySpf: true,
  prefixes: { ipv4: 24, ipv6: 64 },
  normalizeSender: true,
  autoWhitelist: { after: 1, spacing: HOUR, lifetime: 36 * DAY },
  maxDeferrals: 4,
  maxPending: 1000,
  onStoreError: 'tempfail',
}

const ONE = '192.0.2.7'
const TWO = '198.51.100.7'
const THREE = '203.0.113.7'

interface From {
  readonly address: string
  readonly sender?: string
  readonly spf?: Identity['spf']
  /** The domain of the client's host name. */
  readonly host?: string | undefined
  /** The same, if the name tells nothing else. */
  readonly provider?: string | undefined
}

/** One frontend of a store, which it may share with others. */
function frontendOf(
  store: Store,
  now: () => number,
  settings: Partial<GreylistSettings> = {},
  local?: Store,
): (from: From | string) => Promise<Outcome> {
  let identity: Identity | undefined
  const greylister = createGreylister({
    settings: { ...SETTINGS, ...settings },
    exempt: () => undefined,
    investigate: async () => ({ identity, exemption: undefined }),
    stores: { store, local },
    now,
  })
  return (from) => {
    const {
      address,
      sender = 'a@example.org',
      spf = 'none',
      host,
      provider,
    } = typeof from === 'string' ? { address: from } : from
    const client = parseIp(address)
    assert.ok(client)
    const network = `network:${formatNetwork(networkOf(client, 24))}`
    const domain = sender.slice(sender.indexOf('@') + 1)
    const names = [
      ...(spf === 'pass' ? [`spf:${domain}`] : []),
      ...(host === undefined ? [] : [`host:${host}`]),
      network,
    ]
    const named = host === undefined ? {} : { host: { domain: host, isMail: true } }
    identity = {
      id: names[0] ?? network,
      names,
      carriers: [],
      network,
      spf,
      isNamed: false,
      provider,
      ...named,
    }
    return greylister.judge({
      client: { address: client },
      authenticated: false,
      sender: parseAddress(sender),
      recipient: parseAddress('u@example.com'),
    })
  }
}

function setUp(settings: Partial<GreylistSettings> = {}) {
  const clock = { now: 1 }
  const now = () => clock.now
  const store = new MemoryStore(now)
  const judge = frontendOf(store, now, settings)
  return {
    store,
    judge,
    now,
    reason: async (from: From | string) => (await judge(from)).reason,
    another: () => frontendOf(store, now, settings),
    keys: () => [...store.alive()].map(([key]) => key),
    wait(milliseconds: number) {
      clock.now += milliseconds
    },
  }
}

const FIRST = loopKey('first', 'a@example.org', parseAddress('u@example.com'))

test('a first attempt of an unknown network is one key, and its retry passes as ever', async () => {
  const { judge, reason, keys, wait } = setUp()
  assert.equal(await reason(ONE), 'new')
  assert.deepEqual(keys(), [FIRST])
  wait(3 * MINUTE)
  const early = await judge('192.0.2.99')
  assert.deepEqual([early.reason, early.waited, early.retryIn], ['early', 3 * MINUTE, MINUTE])
  assert.deepEqual(keys(), [FIRST])
  wait(MINUTE)
  const retry = await judge(ONE)
  assert.deepEqual(
    [retry.reason, retry.waited, retry.evidence],
    ['retry', 4 * MINUTE, 'network:192.0.2.0/24(0/1)'],
  )
  assert.equal(await reason(ONE), 'known')
  wait(35 * DAY)
  assert.equal(await reason(ONE), 'known')
})

test('another network waits by itself, and both pass', async () => {
  const { judge, reason, wait } = setUp()
  assert.equal(await reason(ONE), 'new')
  wait(2 * MINUTE)
  assert.equal(await reason(TWO), 'new')
  wait(2 * MINUTE)
  const early = await judge(TWO)
  assert.deepEqual([early.reason, early.waited], ['early', 2 * MINUTE])
  assert.equal(await reason(ONE), 'retry')
  wait(MINUTE)
  assert.equal(await reason(TWO), 'early')
  wait(MINUTE)
  assert.equal(await reason(TWO), 'retry')
  assert.equal(await reason(THREE), 'new')
})

test('what SPF says, and a name that the client has or has not, do not part a network from its wait', async () => {
  for (const later of [
    { spf: 'unknown' },
    { spf: 'fail' },
    { spf: 'pass' },
    { host: 'example.net' },
  ] as const) {
    const { judge, reason, wait } = setUp()
    assert.equal(await reason(ONE), 'new')
    wait(3 * MINUTE)
    const early = await judge({ address: ONE, ...later })
    assert.deepEqual([early.reason, early.waited], ['early', 3 * MINUTE])
    wait(MINUTE)
    assert.equal(await reason({ address: ONE, ...later }), 'retry')
  }
})

test('a retry from another host of the provider is the retry for twelve hours, and adds no key before it passes', async () => {
  const at = (address: string, provider?: string) => ({ address, provider })
  const { judge, reason, keys, wait } = setUp()
  assert.equal(await reason(at(ONE, 'hoster.test')), 'new')
  wait(3 * MINUTE)
  const early = await judge(at(TWO, 'hoster.test'))
  assert.deepEqual([early.reason, early.waited], ['early', 3 * MINUTE])
  assert.deepEqual(keys(), [FIRST])
  wait(12 * HOUR - 3 * MINUTE - 1)
  assert.equal(await reason(at(TWO, 'hoster.test')), 'retry')
  // The network that made the first attempt is known by it as ever, with the name and without.
  const first = await judge(ONE)
  assert.deepEqual([first.reason, first.waited], ['retry', 12 * HOUR - 1])
  assert.equal(await reason(at(ONE, 'other.test')), 'known')

  const elsewhere = setUp()
  assert.equal(await elsewhere.reason(at(ONE, 'hoster.test')), 'new')
  elsewhere.wait(5 * MINUTE)
  for (const from of [at(TWO, 'other.test'), at('100.1.1.1')])
    assert.equal(await elsewhere.reason(from), 'new')
  elsewhere.wait(12 * HOUR - 5 * MINUTE)
  assert.equal(await elsewhere.reason(at(THREE, 'hoster.test')), 'new')
  assert.equal(await elsewhere.reason(at(ONE, 'hoster.test')), 'retry')
})

test('where strangers crowd the network of the first attempt, nobody takes its place from elsewhere', async () => {
  const { reason, wait } = setUp()
  for (let bot = 0; bot < 6; bot += 1)
    assert.equal(await reason({ address: ONE, sender: `b${bot}@bot.test` }), 'new')
  const mail = { provider: 'hoster.test', sender: 'z@z.test' }
  assert.equal(await reason({ ...mail, address: ONE }), 'new')
  wait(5 * MINUTE)
  assert.equal(await reason({ ...mail, address: TWO }), 'new')
})

test('one first attempt is credited with one return from elsewhere, and the network there with none', async () => {
  const { judge, reason, store, wait } = setUp()
  const at = (address: string, sender = 'a@x.test') => ({ address, sender, provider: 'hoster.test' })
  assert.equal(await reason(at(ONE)), 'new')
  wait(5 * MINUTE)
  for (let network = 0; network < 4; network += 1)
    assert.equal(await reason(at(`100.${network}.1.1`)), 'retry')
  const shown = ['from:x.test+hosts:hoster.test', 'network:100.0.1.0/24', 'from:x.test+network:100.1.1.0/24']
  assert.deepEqual(await store.counts(shown.map((name) => `o:${name}`)), [100_000_001, 0, 0])
  // The domain is listed where its mail came back, and nowhere else.
  assert.equal((await judge(at('100.0.1.9', 'b@x.test'))).reason, 'auto-whitelist')
  assert.equal((await judge(at('100.9.1.1', 'b@x.test'))).reason, 'new')
})

test('a bounce, what SPF speaks against, and short lifetimes have a key for their network', async () => {
  const short = { times: { ...SETTINGS.times, lifetime: HOUR } }
  for (const [from, settings] of [
    [{ address: ONE, sender: '<>' }, {}],
    [{ address: ONE, spf: 'fail' }, {}],
    [ONE, { maxDeferrals: 0 }],
    [ONE, short],
  ] as const) {
    const { reason, keys, wait } = setUp(settings)
    assert.equal(await reason(from), 'new')
    assert.equal(keys().filter((key) => key.startsWith('t:')).length, 1)
    wait(5 * MINUTE)
    assert.equal(await reason(from), 'retry')
  }
  // The pass ends before the window of the first attempt does, and nothing of that counts any more.
  const { reason, wait } = setUp(short)
  assert.equal(await reason(ONE), 'new')
  wait(5 * MINUTE)
  assert.equal(await reason(ONE), 'retry')
  wait(2 * HOUR)
  assert.equal(await reason(ONE), 'new')
})

test('a first attempt is one key from a lifetime on that is as long as the retry window', async () => {
  for (const [lifetime, kinds] of [
    [20 * HOUR - 1, ['f:', 't:']],
    [20 * HOUR, ['f:']],
  ] as const) {
    const { reason, keys } = setUp({ times: { ...SETTINGS.times, lifetime } })
    assert.equal(await reason(ONE), 'new')
    assert.deepEqual(
      keys()
        .map((key) => key.slice(0, 2))
        .sort(),
      kinds,
    )
  }
})

test('the wait ends with the retry window, and with what is forgotten', async () => {
  const { reason, store, wait } = setUp()
  assert.equal(await reason(ONE), 'new')
  wait(20 * HOUR - 1)
  assert.equal(await reason(TWO), 'new')
  wait(1)
  assert.equal(await reason(ONE), 'new')
  wait(5 * MINUTE)
  assert.equal(await reason(TWO), 'retry')
  await store.forget(FIRST)
  assert.equal(await reason(ONE), 'new')
})

test('the loop breaker counts from the first attempt, whose network keeps its wait', async () => {
  const { judge, reason, wait } = setUp()
  const outcomes: string[] = []
  for (let n = 0; n < 5; n += 1) {
    outcomes.push(await reason(`100.${n}.1.1`))
    wait(5 * MINUTE)
  }
  assert.deepEqual(outcomes, ['new', 'new', 'new', 'new', 'max-deferrals'])
  // Strangers who forge a sender until the loop breaker passes one do not make the first network wait again.
  const first = await judge('100.0.1.1')
  assert.deepEqual([first.reason, first.waited], ['retry', 25 * MINUTE])
  assert.equal(await reason('100.5.1.1'), 'new')
})

test('in a crowd a first attempt is one key as well, for eight hours', async () => {
  const { judge, reason, keys, wait } = setUp({ times: { ...SETTINGS.times, retryWindow: 2 * DAY } })
  for (let bot = 0; bot < 5; bot += 1)
    assert.equal(await reason({ address: ONE, sender: `bot${bot}@example.org` }), 'new')
  assert.deepEqual(
    keys().filter((key) => !key.startsWith('f:')),
    ['o:network:192.0.2.0/24'],
  )
  assert.equal(keys().length, 6)
  wait(7 * HOUR)
  assert.equal(await reason({ address: ONE, sender: 'bot5@example.org' }), 'new')
  wait(HOUR)
  // The fifth came in a crowd.
  assert.equal(await reason({ address: ONE, sender: 'bot4@example.org' }), 'new')
  const crowded = await judge({ address: ONE, sender: 'bot5@example.org' })
  assert.deepEqual([crowded.reason, crowded.waited], ['early', HOUR])
  assert.equal(await reason({ address: ONE, sender: 'bot0@example.org' }), 'retry')
  wait(20 * MINUTE)
  assert.equal(await reason({ address: ONE, sender: 'bot5@example.org' }), 'retry')
  wait(HOUR)
  const anew = await judge({ address: ONE, sender: 'bot4@example.org' })
  assert.deepEqual([anew.reason, anew.waited], ['retry', 80 * MINUTE])
})

test('a network that has no room keeps what it has', async () => {
  const { reason, wait } = setUp({ maxPending: 3, times: { ...SETTINGS.times, delay: 30_000 } })
  for (let bot = 0; bot < 9; bot += 1)
    assert.equal(await reason({ address: `192.0.2.${bot}`, sender: `bot${bot}@example.org` }), 'new')
  wait(MINUTE)
  for (const bot of [8, 0, 2])
    assert.equal(await reason({ address: `192.0.2.${bot}`, sender: `bot${bot}@example.org` }), 'retry')
})

/** A store whose operations of one turn of the event loop are one round trip; it counts those that have ended. */
function overTrips(store: Store): { readonly store: Store; trips: number } {
  let trip: Promise<void> | undefined
  const counting = { store, trips: 0 }
  const over =
    <A extends unknown[], T>(operation: (...args: A) => Promise<T>) =>
    async (...args: A): Promise<T> => {
      const answer = await operation.apply(store, args)
      trip ??= new Promise((resolve) => {
        setImmediate(() => {
          counting.trips += 1
          trip = undefined
          resolve()
        })
      })
      await trip
      return answer
    }
  const { find, add, pass, count, counts, forget, check, close } = store
  const slow = { find: over(find), add: over(add), pass: over(pass), count: over(count) }
  const rest = { counts: over(counts), forget: over(forget), check: over(check), close: over(close) }
  return Object.assign(counting, { store: { ...slow, ...rest } })
}

/** Waits until what a decision has left to be written is written. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await nextTurn()
}

test('a look-up is one round trip, and what is written another one; a client without a name is counted by a third', async () => {
  for (const host of [undefined, 'example.net']) {
    const clock = { now: 1 }
    const now = () => clock.now
    const memory = new MemoryStore(now)
    const line = overTrips(memory)
    const judge = frontendOf(line.store, now, {
      autoWhitelist: { after: 1, spacing: HOUR, lifetime: 36 * DAY },
    })
    const tripsOf = async (spf: Identity['spf'] = 'none') => {
      const before = line.trips
      const { reason } = await judge({ address: ONE, host, spf })
      const trips = line.trips - before
      await settled()
      return [reason, trips]
    }
    assert.deepEqual(await tripsOf(), ['new', 2])
    clock.now += MINUTE
    assert.deepEqual(await tripsOf(), ['early', 1])
    clock.now += 4 * MINUTE
    assert.deepEqual(await tripsOf(), ['retry', host === undefined ? 3 : 2])
    assert.deepEqual(await tripsOf(), [host === undefined ? 'known' : 'auto-whitelist', 1])
  }
})

test('of two frontends that are asked at once, each tells its client what is true of it', async () => {
  for (const [address, reasons] of [
    [ONE, ['early', 'new']],
    [TWO, ['new', 'new']],
  ] as const) {
    const clock = { now: 1 }
    const now = () => clock.now
    const memory = new MemoryStore(now)
    const [one, two] = [overTrips(memory), overTrips(memory)]
    const [here, there] = [frontendOf(one.store, now), frontendOf(two.store, now)]
    const outcomes = await Promise.all([here(ONE), there(address)])
    assert.deepEqual(outcomes.map(({ reason }) => reason).sort(), reasons)
    assert.ok(Math.max(one.trips, two.trips) <= 3)
    clock.now += 3 * MINUTE
    assert.deepEqual((await here(address)).waited, 3 * MINUTE)
    clock.now += MINUTE
    for (const each of [ONE, address])
      assert.match((await there(each)).reason, /^(?:retry|known|auto-whitelist)$/, each)
  }
})

/** Two hosts that share a store, which each of them can lose. */
function hosts() {
  const clock = { now: 1 }
  const now = () => clock.now
  const shared = new MemoryStore(now)
  const newHost = () => {
    const line = { operations: Number.POSITIVE_INFINITY }
    const via =
      <A extends unknown[], T>(operation: (...args: A) => Promise<T>) =>
      async (...args: A): Promise<T> => {
        line.operations -= 1
        if (line.operations < 0) throw new Error('it is away')
        return operation.apply(shared, args)
      }
    const { find, add, pass, count, counts, forget, merge, check } = shared
    const reached: SharedStore = {
      ...{ find: via(find), add: via(add), pass: via(pass), count: via(count), counts: via(counts) },
      ...{ forget: via(forget), merge: via(merge), check: via(check), close: async () => undefined },
    }
    const local = new LocalStore(now, 1000, SETTINGS.times)
    const store = new FailoverStore(reached, () => line.operations > 0, local, {
      onMerged() {},
      onMergeFailed() {},
    })
    const judge = frontendOf(store, now, { onStoreError: 'local', autoWhitelist: undefined as never }, local)
    return {
      line,
      store,
      reason: async (address: string) => (await judge(address)).reason,
      lose: (operations = 0) => {
        line.operations = operations
      },
      async regain() {
        line.operations = Number.POSITIVE_INFINITY
        await store.merge()
      },
    }
  }
  return { clock, shared, here: newHost(), there: newHost() }
}

test('who waits goes on waiting on its host while the shared store is away, and passes everywhere after', async () => {
  const { clock, here, there } = hosts()
  assert.equal(await here.reason(ONE), 'new')
  clock.now += 2 * MINUTE
  here.lose()
  there.lose()
  assert.equal(await here.reason(ONE), 'early')
  assert.equal(await here.reason(TWO), 'new')
  clock.now += 2 * MINUTE
  assert.equal(await here.reason(TWO), 'early')
  assert.equal(await here.reason(ONE), 'retry')
  await here.regain()
  await there.regain()
  assert.equal(await there.reason(ONE), 'known')
  assert.equal(await there.reason(TWO), 'early')
  clock.now += 2 * MINUTE
  assert.equal(await there.reason(TWO), 'retry')
  assert.equal(await there.reason(THREE), 'new')
})

test('each of two hosts that lost each other keeps the wait of its networks, whichever is merged first', async () => {
  for (const isHereFirst of [true, false]) {
    const { clock, shared, here, there } = hosts()
    here.lose()
    assert.equal(await here.reason(ONE), 'new')
    clock.now += MINUTE
    there.lose()
    assert.equal(await there.reason(TWO), 'new')
    clock.now += MINUTE
    await there.regain()
    // By now the shared store has the mark of `there`. A third network makes its own first attempt.
    assert.equal(await there.reason(THREE), 'new')
    clock.now += 2 * MINUTE
    if (isHereFirst) await here.regain()
    assert.equal(await there.reason(TWO), 'early')
    await here.regain()
    assert.equal(await there.reason(ONE), 'retry')
    assert.equal(await there.reason(THREE), 'early')
    clock.now += MINUTE
    assert.equal(await here.reason(TWO), 'retry')
    clock.now += MINUTE
    assert.equal(await here.reason(THREE), 'retry')
    assert.equal((await shared.find([FIRST]))[0]?.holder, undefined)
  }
})

test('a first attempt during which the shared store goes away is kept by the host, and makes nobody else older', async () => {
  // The look-up takes two operations: one for entries, one for counts.
  const { clock, shared, here, there } = hosts()
  here.lose(2)
  assert.equal(await here.reason(ONE), 'new')
  clock.now += 2 * MINUTE
  assert.equal(await there.reason(TWO), 'new')
  assert.notEqual((await shared.find([FIRST]))[0]?.holder, undefined)
  await here.regain()
  clock.now += 2 * MINUTE
  assert.equal(await there.reason(TWO), 'early')
  assert.equal(await there.reason(ONE), 'retry')
  clock.now += 2 * MINUTE
  assert.equal(await there.reason(TWO), 'retry')
})

test('the loop breaker goes on from a first attempt that an earlier version has marked', async () => {
  for (const isUpgraded of [false, true]) {
    const { reason, another, store, wait } = setUp()
    const outcomes: string[] = []
    if (isUpgraded) {
      // What the version before wrote for the first attempt, and for the network that made it.
      await store.add(formerFirstKey('a@example.org', parseAddress('u@example.com')), 20 * HOUR)
      await store.add('t:network:100.0.1.0/24|a@example.org|u@example.com', 20 * HOUR)
      outcomes.push('new')
    } else outcomes.push(await reason('100.0.1.1'))
    wait(5 * MINUTE)
    const upgraded = another()
    for (let n = 1; n < 5; n += 1) {
      outcomes.push((await upgraded(`100.${n}.1.1`)).reason)
      wait(5 * MINUTE)
    }
    assert.deepEqual(outcomes, ['new', 'new', 'new', 'new', 'max-deferrals'])
    assert.equal((await upgraded('100.0.1.1')).reason, 'retry')
    assert.equal((await upgraded('100.9.1.1')).reason, 'new')
  }
})

const attempts = fc.array(
  fc.record({
    address: fc.constantFrom('192.0.2.7', '192.0.2.8', '198.51.100.7', '203.0.113.7', '203.0.114.7'),
    sender: fc.constantFrom('a@example.org', 'b@example.org', 'c@example.net', 'd@example.net', '<>'),
    spf: fc.constantFrom(
      'none' as const,
      'none' as const,
      'unknown' as const,
      'fail' as const,
      'pass' as const,
    ),
    host: fc.constantFrom(undefined, undefined, undefined, 'example.test'),
    pause: fc.constantFrom(0, MINUTE, 3 * MINUTE, 4 * MINUTE, 80 * MINUTE, 8 * HOUR, 13 * HOUR, 20 * HOUR),
    frontend: fc.nat(1),
  }),
  { minLength: 1, maxLength: 80 },
)

// Property: whether first attempts have a key for both purposes, or each network has its own, changes no outcome. With
// the loop breaker turned off, each network has its own; turned on, it is not reached.
test('a key for two purposes says what a key of its own would say of each network', async () => {
  await fc.assert(
    fc.asyncProperty(attempts, fc.constantFrom(3, 1000), async (sequence, maxPending) => {
      const own = setUp({ maxDeferrals: 0, maxPending })
      const both = setUp({ maxDeferrals: 1_000_000, maxPending })
      const [owns, boths] = [own, both].map((bench) => [bench.judge, bench.another()])
      for (const [index, { pause, frontend, ...from }] of sequence.entries()) {
        const outcomes = [await owns?.[frontend]?.(from), await boths?.[frontend]?.(from)]
        const [one, other] = outcomes.map((outcome) => [outcome?.reason, outcome?.waited, outcome?.retryIn])
        assert.deepEqual(other, one, `attempt ${index}: ${JSON.stringify(from)}`)
        own.wait(pause)
        both.wait(pause)
      }
    }),
    { numRuns: 400 },
  )
})
