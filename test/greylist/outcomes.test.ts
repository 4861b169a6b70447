// Tests of whole outcomes, as reply, log and metrics see them: of each reason, and of a store that fails, fails in part
// or is slow. Also what the store is asked and told for them. With the memory store and clocks that the test moves.

import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parseAddress } from '../../src/address.ts'
import type { Attempt } from '../../src/attempt.ts'
import { createGreylister, type GreylistSettings, observing } from '../../src/greylist/greylister.ts'
import { expectKey, formerFirstKey, loopKey, replyKey, tripletKeys } from '../../src/greylist/keys.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { formatNetwork, networkOf, parseIp } from '../../src/ip.ts'
import type { Outcome } from '../../src/outcome.ts'
import { UnreadableEntry } from '../../src/store/encoding.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { PartlyAnswered, type Store, StoreFull } from '../../src/store/store.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const RETURN = 100_000_000

const SETTINGS: GreylistSettings = {
  times: { delay: 4 * MINUTE, retryWindow: 20 * HOUR, lifetime: 36 * DAY },
  widensBySpf: true,
  prefixes: { ipv4: 24, ipv6: 64 },
  normalizeSender: true,
  autoWhitelist: { after: 1, spacing: HOUR, lifetime: 36 * DAY },
  maxDeferrals: 3,
  maxPending: 1000,
  onStoreError: 'tempfail',
}

const USER = parseAddress('u@example.com')
const NETWORK = 'network:192.0.2.0/24'

interface From {
  readonly address?: string
  /** Names wider than the network. */
  readonly wide?: readonly string[]
  readonly host?: Identity['host']
  readonly spf?: Identity['spf']
  readonly carriers?: readonly string[]
  readonly sender?: string
}

type Operations = Partial<Store>

interface Bench {
  readonly settings?: Partial<GreylistSettings>
  /** Operations that take the place of the store's own. */
  readonly operations?: (store: MemoryStore) => Operations
  readonly local?: (now: () => number) => Store
}

function setUp({ settings = {}, operations = () => ({}), local }: Bench = {}) {
  const clock = { now: 1 }
  const now = () => clock.now
  const memory = new MemoryStore(now)
  const store: Store = {
    find: (keys) => memory.find(keys),
    add: (...args) => memory.add(...args),
    pass: (...args) => memory.pass(...args),
    count: (...args) => memory.count(...args),
    counts: (keys) => memory.counts(keys),
    forget: (key) => memory.forget(key),
    check: () => memory.check(),
    close: () => memory.close(),
    ...operations(memory),
  }
  let identity: Identity | undefined
  const parts = {
    settings: { ...SETTINGS, ...settings },
    exempt: () => undefined,
    investigate: async () => ({ identity, exemption: undefined }),
    stores: { store, local: local?.(now) },
    now,
  }
  const greylister = createGreylister(parts)
  const attemptOf = (from: From): Attempt => {
    const { address = '192.0.2.7', wide = [], sender = 'a@example.org' } = from
    const client = parseIp(address) ?? assert.fail(address)
    const network = `network:${formatNetwork(networkOf(client, client.kind === 'ipv4' ? 24 : 64))}`
    const names = [...wide, network]
    const { spf = wide[0]?.startsWith('spf:') ? 'pass' : 'none', carriers = [], host } = from
    identity = { id: names[0] ?? network, names, carriers, network, spf, host, isNamed: true }
    return {
      client: { address: client },
      authenticated: false,
      sender: parseAddress(sender),
      recipient: USER,
    }
  }
  const whole = (from: From, judge = greylister.judge): Promise<Outcome> => judge(attemptOf(from))
  return {
    store,
    whole,
    judge: greylister.judge,
    observe: observing(greylister).judge,
    attemptOf,
    /** The outcome save for what the attempt says itself. */
    async outcome(from: From = {}, judge = greylister.judge) {
      const { attempt, identity, ref, ...outcome } = await whole(from, judge)
      return outcome
    },
    reason: async (from: From = {}) => (await whole(from)).reason,
    keys: () => [...memory.alive()].map(([key]) => key).sort(),
    wait(milliseconds: number) {
      clock.now += milliseconds
    },
  }
}

test('the outcomes of a sender from its first attempt to the auto-whitelist are whole', async () => {
  const { outcome, observe, wait } = setUp()
  const first = { verdict: 'tempfail', reason: 'new', waited: 0, retryIn: 4 * MINUTE }
  assert.deepEqual(await outcome(), first)
  wait(MINUTE)
  const early = { verdict: 'tempfail', reason: 'early', waited: MINUTE, retryIn: 3 * MINUTE }
  assert.deepEqual(await outcome(), early)
  assert.deepEqual(await outcome({}, observe), {
    ...early,
    verdict: 'pass',
    reason: 'observe',
    would: 'early',
  })
  wait(4 * MINUTE)
  const retry = { verdict: 'pass', reason: 'retry', waited: 5 * MINUTE, retryIn: 0 }
  assert.deepEqual(await outcome({}, observe), { ...retry, evidence: `${NETWORK}(0/1)` })
  const listed = { verdict: 'pass', reason: 'auto-whitelist', waited: 0, retryIn: 0 }
  assert.deepEqual(await outcome({ sender: 'b@example.org' }), { ...listed, evidence: `${NETWORK}(1/1)` })
})

test('the outcome of a triplet that is known, and of one that need not wait, is whole', async () => {
  const { outcome, reason, store, wait } = setUp({
    settings: { credit: { messages: 1, perNetwork: 9 }, learnReplies: DAY },
  })
  const passed = { verdict: 'pass', waited: 0, retryIn: 0 }
  const spf = { wide: ['spf:one.test'], sender: 'a@one.test' }
  await store.count(expectKey(USER, 'expected.test'), HOUR)
  const expected = { wide: ['spf:expected.test'], sender: 'a@expected.test' }
  const told = { ...passed, reason: 'expected', evidence: 'spf:expected.test' }
  assert.deepEqual(await outcome(expected), told)
  await store.add(replyKey(USER, parseAddress('a@friend.test')), HOUR)
  const friend = { wide: ['spf:friend.test'], sender: 'a@friend.test' }
  assert.deepEqual(await outcome(friend), { ...passed, reason: 'written-to', evidence: 'spf:friend.test' })
  assert.deepEqual(await outcome(spf), { ...passed, reason: 'credit', evidence: 'spf:one.test' })
  await store.pass('w:carrier:bulk.example', DAY)
  const carried = { ...spf, wide: ['spf:two.test'], sender: 'a@two.test', carriers: ['bulk.example'] }
  assert.deepEqual(await outcome(carried), { ...passed, reason: 'carrier', evidence: 'carrier:bulk.example' })
  await store.pass(tripletKeys(NETWORK, 'known@example.org', USER).key, DAY)
  const known = { sender: 'known@example.org' }
  assert.deepEqual(await outcome(known), { ...passed, reason: 'known', evidence: NETWORK })
  // What is expected passes while it waits, too, and says for how long it has waited.
  const late = { wide: ['host:late.test'], sender: 'a@other.test' }
  assert.equal(await reason(late), 'new')
  wait(MINUTE)
  await store.count(expectKey(USER), HOUR)
  assert.deepEqual(await outcome(late), { ...told, waited: MINUTE, evidence: 'host:late.test' })
})

test('the outcomes of the loop breaker and of a crowd are whole', async () => {
  const loop = setUp()
  for (let n = 0; n < 3; n += 1) {
    assert.equal(await loop.reason({ address: `100.${n}.1.1` }), 'new')
    loop.wait(5 * MINUTE)
  }
  assert.deepEqual(await loop.outcome({ address: '100.9.1.1', wide: ['host:example.org'], host: HOST }), {
    verdict: 'pass',
    reason: 'max-deferrals',
    waited: 0,
    retryIn: 0,
    deferrals: 3,
    hint: 'exempt.senders: example.org',
  })
  const crowd = setUp()
  for (let bot = 0; bot < 4; bot += 1) await crowd.outcome({ sender: `bot${bot}@example.org` })
  assert.deepEqual(await crowd.outcome(), {
    verdict: 'tempfail',
    reason: 'new',
    waited: 0,
    retryIn: 80 * MINUTE,
    evidence: `crowd:${NETWORK}(0/4)`,
  })
})

const HOST = { domain: 'example.org', isMail: true } as const

const failing = (error: Error) => () => ({ find: () => Promise.reject(error) })

test('while the store fails, or has no room, the configured answer is given with the error', async () => {
  const gone = new Error('gone')
  const full = new StoreFull('full')
  for (const [settings, error, verdict] of [
    [{ onStoreError: 'accept' }, gone, 'pass'],
    [{ onStoreError: 'tempfail' }, gone, 'tempfail'],
    [{ onStoreError: 'local' }, gone, 'pass'],
    [{ onStoreError: 'accept', onStoreFull: 'tempfail' }, gone, 'pass'],
    [{ onStoreError: 'accept', onStoreFull: 'tempfail' }, full, 'tempfail'],
    [{ onStoreError: 'tempfail', onStoreFull: 'accept' }, full, 'pass'],
    [{ onStoreError: 'tempfail', onStoreFull: 'local' }, full, 'pass'],
    [{ onStoreError: 'tempfail' }, full, 'tempfail'],
    [{ onStoreError: 'accept' }, full, 'pass'],
  ] as const) {
    const { outcome } = setUp({ settings, operations: failing(error) })
    const expected = { verdict, reason: 'store-error', waited: 0, retryIn: 0, error: error.message }
    assert.deepEqual(await outcome(), expected, `${JSON.stringify(settings)} ${error.message}`)
  }
})

test('the local store decides while the shared one fails, unless that is full or it fails, too', async () => {
  const settings = { onStoreError: 'local' } as const
  const gone = new Error('gone')
  const local = (now: () => number) => new MemoryStore(now)
  const { outcome } = setUp({ settings, operations: failing(gone), local })
  assert.deepEqual(await outcome(), {
    ...{ verdict: 'tempfail', reason: 'new', waited: 0, retryIn: 4 * MINUTE },
    ...{ store: 'local', error: 'gone' },
  })
  const burning = (now: () => number) =>
    Object.assign(local(now), { find: () => Promise.reject(new Error('it burns')) })
  const both = setUp({ settings, operations: failing(gone), local: burning })
  const unknown = { verdict: 'pass', reason: 'store-error', waited: 0, retryIn: 0 }
  assert.deepEqual(await both.outcome(), { ...unknown, error: 'gone; it burns' })
  const withFull = { settings: { ...settings, onStoreFull: 'accept' as const }, local }
  const full = setUp({ ...withFull, operations: failing(new StoreFull('full')) })
  assert.deepEqual(await full.outcome(), { ...unknown, error: 'full' })
  const isUnused = setUp({ settings: { onStoreError: 'accept' }, operations: failing(gone), local })
  assert.deepEqual(await isUnused.outcome(), { ...unknown, error: 'gone' })
})

// Redis tells of a value of another kind only when something is to be added there (store/redis/commands.test.ts).
test('a key under which something is that cannot be read lets a first attempt pass, and nothing is written there', async () => {
  for (const unreadable of ['t:spf:example.org|', 't:network:', 'f:']) {
    const operations = (memory: MemoryStore) => ({
      add: async (key: string, window: number, age?: number, holder?: string) => {
        if (key.startsWith(unreadable)) throw new UnreadableEntry('a list')
        return memory.add(key, window, age, holder)
      },
    })
    const { outcome, keys } = setUp({ settings: { onStoreError: 'accept' }, operations })
    const from = { wide: ['spf:example.org'] }
    // The network has a key of its own where another one holds the first attempt.
    if (unreadable === 't:network:')
      await outcome({ address: '198.51.100.9', wide: ['spf:elsewhere.example'] })
    const { verdict, reason, error } = await outcome(from)
    assert.deepEqual([verdict, reason, error], ['pass', 'store-error', 'a list'], unreadable)
    assert.ok(!keys().some((key) => key.startsWith(unreadable) && !key.includes('elsewhere')), unreadable)
  }
})

test('the local store is asked 200 ms before the time of a decision is over, and has that time', async () => {
  let asked = 0
  let answersAfter = 199
  const never = () => new Promise<never>(() => undefined)
  const { judge, attemptOf } = setUp({
    settings: { onStoreError: 'local' },
    operations: () => ({ find: never }),
    local: (now) =>
      Object.assign(new MemoryStore(now), {
        find: async (keys: readonly string[]) => {
          asked += 1
          await new Promise((resolve) => setTimeout(resolve, answersAfter))
          return keys.map(() => undefined)
        },
      }),
  })
  const clock = { now: 0 }
  mock.timers.enable({ apis: ['setTimeout'] })
  const { mock: clockMock } = mock.method(performance, 'now', () => clock.now)
  const moveTo = async (instant: number) => {
    await nextTurn()
    const elapsed = instant - clock.now
    clock.now = instant
    mock.timers.tick(elapsed)
    for (let turn = 0; turn < 5; turn += 1) await nextTurn()
  }
  try {
    const answer = judge(attemptOf({}), { isOver: false }, 1000)
    await moveTo(799)
    assert.equal(asked, 0)
    await moveTo(800)
    assert.equal(asked, 1)
    await moveTo(999)
    const { reason, store } = await answer
    assert.deepEqual([reason, store], ['new', 'local'])
    answersAfter = 201
    const late = judge(attemptOf({}), { isOver: false }, 2000)
    for (const instant of [1800, 2000]) await moveTo(instant)
    assert.deepEqual([(await late).reason, (await late).store], ['store-error', undefined])
    // Without another one, the whole time is the store's.
    const alone = setUp({ settings: { onStoreError: 'local' }, operations: () => ({ find: never }) })
    let isOver = false
    const last = alone.judge(alone.attemptOf({}), { isOver: false }, 3000).then((outcome) => {
      isOver = true
      return outcome
    })
    await moveTo(2999)
    assert.equal(isOver, false)
    await moveTo(3000)
    assert.equal((await last).reason, 'store-error')
  } finally {
    mock.timers.reset()
    clockMock.restore()
  }
})

test('a part of the store that is away matters only where it may have a wait or a pass of this sender', async () => {
  const long = `${'x'.repeat(120)}@example.org`
  const keyOf = (name: string, sender = 'a@example.org') => tripletKeys(name, sender, USER)
  const first = loopKey('first', 'a@example.org', USER)
  for (const [away, from, reason] of [
    [keyOf('spf:example.org').key, {}, 'store-error'],
    [keyOf(NETWORK).key, {}, 'store-error'],
    [keyOf(NETWORK, long).former, { sender: long }, 'store-error'],
    [first, {}, 'store-error'],
    [formerFirstKey('a@example.org', USER), {}, 'new'],
    ['w:spf:example.org', {}, 'new'],
    // Bounces have no key of a first attempt.
    ['w:spf:example.org', { sender: '<>' }, 'new'],
    ['o:spf:example.org', {}, 'new'],
    ['no such key', {}, 'new'],
  ] as const) {
    const isWaiting = { now: false }
    const { outcome } = setUp({
      settings: { onStoreError: 'accept' },
      operations: (store) => {
        return {
          find: async (keys) => {
            const entry = isWaiting.now ? { passed: false, age: 5 * MINUTE } : undefined
            const answers = keys.map((key) => (key.startsWith('t:') && key !== away ? entry : undefined))
            if (!keys.includes(away)) return isWaiting.now ? answers : store.find(keys)
            throw new PartlyAnswered(`no ${away}`, answers, new Set([keys.indexOf(away)]))
          },
          counts: async (keys) => {
            const answers = await store.counts(keys)
            if (!keys.includes(away)) return answers
            throw new PartlyAnswered(`no ${away}`, answers, new Set([keys.indexOf(away)]))
          },
        }
      },
    })
    const client = { wide: ['spf:example.org'], ...from }
    const found = await outcome(client)
    assert.equal(found.reason, reason, away)
    if (reason === 'store-error') assert.equal(found.error, `no ${away}`)
    // Where the wait is known under another name, it counts.
    isWaiting.now = true
    assert.equal(await outcome(client).then(({ reason }) => reason), 'retry', away)
  }
})

test('who asks without a transaction waits for what DNS says', async () => {
  let isWanted = false
  const greylister = createGreylister({
    settings: SETTINGS,
    exempt: () => undefined,
    investigate: async (_client, _sender, isWantedNow) => {
      isWanted = isWantedNow()
      return { identity: undefined, exemption: undefined }
    },
    stores: { store: new MemoryStore(() => 0) },
  })
  await greylister.judge(setUp().attemptOf({}))
  assert.equal(isWanted, true)
})

/** The calls of one operation of the store. */
function recorded<Name extends 'add' | 'count' | 'find'>(
  name: Name,
): {
  readonly calls: Array<Parameters<Store[Name]>>
  readonly operations: (store: MemoryStore) => Operations
} {
  const calls: Array<Parameters<Store[Name]>> = []
  const operations = (store: MemoryStore): Operations => ({
    [name]: (...args: Parameters<Store[Name]>) => {
      calls.push(args)
      return (store[name] as (...args: unknown[]) => unknown).apply(store, args)
    },
  })
  return { calls, operations }
}

test('a retry from another network has twelve hours, or two delays if they are longer, within the retry window', async () => {
  for (const [delay, retryWindow, window] of [
    [4 * MINUTE, 2 * DAY, 12 * HOUR],
    [7 * HOUR, 20 * HOUR, 14 * HOUR],
    [11 * HOUR, 20 * HOUR, 20 * HOUR],
    [4 * MINUTE, 10 * HOUR, 10 * HOUR],
    [6 * HOUR, 10 * HOUR, 10 * HOUR],
  ] as const) {
    const { calls, operations } = recorded('add')
    const times = { delay, retryWindow, lifetime: 36 * DAY }
    const { reason, wait } = setUp({ settings: { times }, operations })
    await reason({ wide: ['spf:example.org'] })
    wait(MINUTE)
    await reason({ wide: ['host:example.org', 'spf:example.org'] })
    const own = calls
      .filter(([key]) => key.startsWith('t:'))
      .map(([key, ...rest]) => [key.slice(2, 6), ...rest])
    assert.deepEqual(own, [
      ['spf:', window, 0],
      ['host', window, MINUTE],
    ])
    const first = calls.filter(([key]) => key.startsWith('f:')).map(([, ...rest]) => rest.slice(0, 2))
    assert.deepEqual(first, [[retryWindow, 0]])
  }
})

test('a pass under one name is written under the others at the next mail', async () => {
  const settings = { maxDeferrals: 0 }
  for (const wide of [['spf:example.org'], ['spf:example.org', 'host:example.org']]) {
    const { reason, store } = setUp({ settings })
    await store.pass(tripletKeys(NETWORK, 'a@example.org', USER).key, 36 * DAY)
    assert.equal(await reason({ wide }), 'known')
    for (const [index, name] of wide.entries())
      assert.equal(await reason({ wide: [name], address: `203.0.${index}.7` }), 'known')
  }
})

test('what waits or has passed under the keys of earlier versions counts, by the name in them', async () => {
  const long = `${'x'.repeat(120)}@example.org`
  const made = 'e3us-1623334985760-1d71a7II5eaccb@example.org'
  const wide = ['spf:example.org']
  for (const [sender, former] of [
    [long, (name: string) => tripletKeys(name, long, USER).former],
    [made, (name: string) => `t:${name}|${made.toLowerCase()}|u@example.com`],
  ] as const)
    for (const name of [...wide, NETWORK]) {
      const { outcome, store, wait } = setUp()
      await store.add(former(name), 20 * HOUR)
      wait(MINUTE)
      const early = await outcome({ wide, sender })
      assert.deepEqual([early.reason, early.waited], ['early', MINUTE], `${sender} ${name}`)
      await store.forget(former(name))
      await store.add(former(name), 20 * HOUR, 10 * MINUTE)
      const retry = await outcome({ wide, sender })
      assert.deepEqual([retry.reason, retry.evidence], ['retry', name], `${sender} ${name}`)
    }
})

test('a listing that does not hold is no mark of a first attempt, and no answer to a user', async () => {
  const { reason, store, keys } = setUp()
  await store.pass(`w:${NETWORK}`, 36 * DAY)
  await store.count(`o:${NETWORK}`, DAY, 3)
  assert.equal(await reason(), 'new')
  const first = loopKey('first', 'a@example.org', USER)
  assert.deepEqual(keys(), [first, `o:${NETWORK}`, `w:${NETWORK}`])
})

test('a bounce, and what SPF speaks against, is no first attempt of a loop', async () => {
  const { reason, keys } = setUp()
  await reason({ sender: '<>' })
  await reason({ spf: 'fail' })
  assert.deepEqual(
    keys().filter((key) => !key.startsWith('o:')),
    [`t:${NETWORK}|a@example.org|u@example.com`, `t:${NETWORK}||u@example.com`],
  )
})

test('only what may be there is looked up', async () => {
  const { calls, operations } = recorded('find')
  const { reason, wait } = setUp({ operations })
  const asked = async (from: From) => {
    await reason(from)
    return calls.at(-1)?.[0]
  }
  const own = `t:${NETWORK}|a@example.org|u@example.com`
  const [first, former] = [loopKey('first', 'a@example.org', USER), formerFirstKey('a@example.org', USER)]
  assert.deepEqual(await asked({}), [own, first, former, `w:${NETWORK}`])
  assert.deepEqual(await asked({ spf: 'fail' }), [own, first, `w:${NETWORK}`])
  assert.deepEqual(await asked({ sender: '<>' }), [`t:${NETWORK}||u@example.com`, `w:${NETWORK}`])
  // The marks of earlier versions have expired a retry window after the start.
  wait(20 * HOUR - 1)
  assert.deepEqual(await asked({}), [own, first, former, `w:${NETWORK}`])
  wait(1)
  assert.deepEqual(await asked({}), [own, first, `w:${NETWORK}`])
})

test('a wait that is known is not lost with a store that cannot write, nor is a first attempt that it could half write', async () => {
  const burning = { now: (_key: string) => false }
  const { reason, store, wait } = setUp({
    operations: (store) => ({
      add: (key, ...rest) =>
        burning.now(key) ? Promise.reject(new Error('it burns')) : store.add(key, ...rest),
    }),
  })
  const wide = ['spf:example.org', 'host:example.org']
  await store.add(tripletKeys(NETWORK, 'a@example.org', USER).key, 20 * HOUR)
  wait(MINUTE)
  burning.now = () => true
  assert.equal(await reason({ wide }), 'early')
  const other = { wide, sender: 'b@example.org', address: '203.0.113.7' }
  assert.equal(await reason(other), 'store-error')
  burning.now = (key) => key.startsWith('t:spf:') || key.startsWith('t:host:')
  assert.equal(await reason(other), 'new')
})

test('nobody passes because the store cannot count', async () => {
  const count = () => Promise.reject(new Error('it burns'))
  const loop = setUp({ operations: () => ({ count }) })
  for (let n = 0; n < 5; n += 1) {
    assert.equal(await loop.reason({ address: `100.${n}.1.1` }), 'new')
    loop.wait(5 * MINUTE)
  }
  const credit = { messages: 9, perNetwork: 9 }
  const { reason } = setUp({ settings: { credit }, operations: () => ({ count }) })
  assert.equal(await reason({ wide: ['spf:example.org'] }), 'new')
})

test('where the lifetime is shorter than the retry window, a first attempt is marked if it can be', async () => {
  const settings = { times: { ...SETTINGS.times, lifetime: HOUR } }
  const { reason, keys } = setUp({ settings })
  assert.equal(await reason(), 'new')
  assert.deepEqual(keys(), [
    loopKey('first', 'a@example.org', USER),
    `t:${NETWORK}|a@example.org|u@example.com`,
  ])
  const failing = setUp({
    settings,
    operations: (store) => ({
      add: (key, ...rest) =>
        key.startsWith('f:') ? Promise.reject(new Error('it burns')) : store.add(key, ...rest),
    }),
  })
  assert.equal(await failing.reason(), 'new')
})

test('a network that is full keeps slots only, also for its hosts, and a domain that is full keeps none', async () => {
  const settings = { maxPending: 3, times: { ...SETTINGS.times, delay: 30_000 } }
  const { reason, keys } = setUp({ settings })
  const kinds = () => keys().map((key) => key.slice(0, 2))
  for (let n = 0; n < 3; n += 1) await reason({ sender: `n${n}@example.org` })
  assert.deepEqual(kinds(), ['f:', 'f:', 'f:', 'o:'])
  for (const wide of [[], ['host:example.org']]) await reason({ wide, sender: 'n3@example.org' })
  assert.deepEqual(kinds(), ['a:', 'b:', 'f:', 'f:', 'f:', 'o:'])
  // A domain has room of its own. When it is used up, its hosts have that of their networks.
  const domain = setUp({ settings })
  const from = (n: number) => ({
    wide: ['spf:example.org'],
    sender: `n${n}@example.org`,
    address: `203.0.${n}.7`,
  })
  for (let n = 0; n < 3; n += 1) await domain.reason(from(n))
  const before = domain.keys()
  for (const n of [3, 4]) await domain.reason({ ...from(n), address: '192.0.2.7' })
  assert.deepEqual(
    domain.keys().filter((key) => !before.includes(key)),
    [
      `o:${NETWORK}`,
      `t:${NETWORK}|n3@example.org|u@example.com`,
      `t:${NETWORK}|n4@example.org|u@example.com`,
    ],
  )
  assert.deepEqual(await domain.store.counts([`o:${NETWORK}`]), [2])
})

test('what has come back is counted before the MTA has its answer, and a listing in use is extended before', async () => {
  const written: string[] = []
  const { reason, store, wait } = setUp({
    operations: (store) => ({
      count: async (key, ...rest) => {
        // Counting takes longer than writing passes.
        for (let turn = 0; turn < 5; turn += 1) await nextTurn()
        written.push(key)
        return store.count(key, ...rest)
      },
      pass: async (key, lifetime) => {
        await nextTurn()
        written.push(key)
        return store.pass(key, lifetime)
      },
    }),
  })
  await reason()
  wait(5 * MINUTE)
  assert.equal(await reason(), 'retry')
  assert.ok(written.includes(`o:${NETWORK}`), written.join(' '))
  assert.deepEqual(await store.counts([`o:${NETWORK}`]), [RETURN + 1])
  for (let turn = 0; turn < 10; turn += 1) await nextTurn()
  written.length = 0
  wait(DAY)
  assert.equal(await reason({ sender: 'b@example.org' }), 'auto-whitelist')
  assert.deepEqual(written, [`w:${NETWORK}`])
})

test('a sender that has come back waits for 50 ms for its first pass to be counted, and no longer', async () => {
  const { judge, attemptOf, reason, wait } = setUp({
    settings: { autoWhitelist: { after: 2, spacing: HOUR, lifetime: 36 * DAY } },
    operations: (store) => ({
      add: (key, ...rest) =>
        key.startsWith('s:') ? new Promise<never>(() => undefined) : store.add(key, ...rest),
    }),
  })
  await reason()
  wait(5 * MINUTE)
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    let isOver = false
    const answer = judge(attemptOf({})).finally(() => {
      isOver = true
    })
    for (const [elapsed, expected] of [
      [0, false],
      [49, false],
      [1, true],
    ] as const) {
      mock.timers.tick(elapsed)
      for (let turn = 0; turn < 5; turn += 1) await nextTurn()
      assert.equal(isOver, expected)
    }
    assert.equal((await answer).reason, 'retry')
  } finally {
    mock.timers.reset()
  }
})

test('a tally is kept for two days, in whole milliseconds and none too few', async () => {
  const windows = async (settings: Partial<GreylistSettings>, pauses: readonly number[]) => {
    const { calls, operations } = recorded('count')
    const { reason, wait } = setUp({ settings, operations })
    for (const [index, pause] of pauses.entries()) {
      wait(pause)
      await reason({ sender: `n${index}@example.org`, address: '192.0.2.7' })
    }
    return calls.filter(([key]) => key === `o:${NETWORK}`).map(([, ...rest]) => rest)
  }
  assert.deepEqual(await windows({}, [0, 0.25, 7]), [
    [2 * DAY, 2],
    [2 * DAY, 1],
  ])
  assert.deepEqual(await windows({}, [0, 1000.5]), [[2 * DAY - 1000, 2]])
  // With credit, each deferral is counted at once.
  const credit = { messages: 0, perNetwork: 0 }
  assert.deepEqual(await windows({ credit }, [0, 1000]), [
    [2 * DAY, 1],
    [2 * DAY, 1],
  ])
})
