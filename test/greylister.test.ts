// What becomes of attempts one after another: whose wait counts for whom, who need not wait any more, and how a
// deferral without end is ended. With the memory store and a clock moved by hand; who clients are is handed in.

import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parseAddress } from '../src/address.ts'
import type { Attempt } from '../src/attempt.ts'
import { createGreylister, type GreylistSettings, observing } from '../src/greylister.ts'
import type { Identity } from '../src/identity/identity.ts'
import { formatNetwork, networkOf, parseIp } from '../src/ip.ts'
import type { Outcome } from '../src/outcome.ts'
import { MemoryStore } from '../src/store/memory.ts'
import type { Store } from '../src/store/store.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

const SETTINGS: GreylistSettings = {
  times: { delay: 4 * MINUTE, retryWindow: 2 * DAY, lifetime: 36 * DAY },
  widensBySpf: true,
  normalizeSender: true,
  autoWhitelist: { after: 2, spacing: HOUR, lifetime: 36 * DAY },
  maxDeferrals: 10,
  onStoreError: 'accept',
}

/** A pending triplet that has waited long enough. */
const OLD = { passed: false, age: 5 * MINUTE }

interface From {
  readonly address?: string
  /** What is wider than its network, like `spf:example.org`. */
  readonly wide?: string | undefined
  readonly isNamed?: boolean
  readonly sender?: string
  /** `''` where keys have none. */
  readonly recipient?: string
}

function setUp(settings: Partial<GreylistSettings> = {}, wrap: (store: Store) => Store = (store) => store) {
  const clock = { now: 0 }
  const store = wrap(new MemoryStore(() => clock.now))
  let identity: Identity | undefined
  const greylister = createGreylister({
    settings: { ...SETTINGS, ...settings },
    exempt: () => undefined,
    investigate: async () => ({ identity, exemption: undefined }),
    stores: { store },
  })
  const outcomeOf = (from: From, judge = greylister.judge): Promise<Outcome> => {
    const { address = '192.0.2.7', wide, isNamed = true } = from
    const { sender = 'a@example.org', recipient = 'u@example.com' } = from
    const client = parseIp(address)
    assert.ok(client)
    const network = `network:${formatNetwork(networkOf(client, 24))}`
    identity = { id: wide ?? network, network, spf: 'unknown', isNamed }
    const attempt: Attempt = {
      client: { address: client },
      authenticated: false,
      sender: parseAddress(sender),
      recipient: recipient === '' ? undefined : parseAddress(recipient),
    }
    return judge(attempt)
  }
  return {
    store,
    greylister,
    outcomeOf,
    attempt: async (from: From = {}) => (await outcomeOf(from)).reason,
    wait(milliseconds: number) {
      clock.now += milliseconds
    },
  }
}

/** Completes the greylisting of one sender that nobody used before. */
async function firstPass(
  { attempt, wait }: ReturnType<typeof setUp>,
  from: From,
  count: number,
): Promise<void> {
  const sender = `first${count}@example.org`
  assert.equal(await attempt({ ...from, sender }), 'new', sender)
  wait(5 * MINUTE)
  assert.equal(await attempt({ ...from, sender }), 'retry', sender)
}

test('a retry from any host of the same identity completes the greylisting', async () => {
  const { attempt, wait } = setUp()
  const wide = 'spf:example.org'
  assert.equal(await attempt({ address: '192.0.2.7', wide }), 'new')
  wait(MINUTE)
  assert.equal(await attempt({ address: '198.51.100.7', wide }), 'early')
  wait(3 * MINUTE)
  assert.equal(await attempt({ address: '203.0.113.7', wide }), 'retry')
  assert.equal(await attempt({ address: '192.0.2.7', wide }), 'known')
  assert.equal(
    await attempt({ address: '192.0.2.7', wide: 'spf:example.net', recipient: 'v@example.com' }),
    'new',
  )
})

test('an identity that appears or vanishes between two tries does not restart the clock', async () => {
  const wide = 'spf:example.org'
  for (const [first, second] of [
    [wide, undefined],
    [undefined, wide],
    ['host:example.org', wide],
  ]) {
    const { outcomeOf, wait } = setUp()
    assert.equal((await outcomeOf({ wide: first })).reason, 'new')
    wait(3 * MINUTE)
    const early = await outcomeOf({ wide: second })
    assert.deepEqual([early.reason, early.waited, early.retryIn], ['early', 3 * MINUTE, MINUTE])
    wait(MINUTE)
    // What only the network knew, the identity has learnt by now, with the wait so far; and the other way round.
    const retry = await outcomeOf({ wide: second, address: second ? '198.51.100.7' : '192.0.2.8' })
    assert.deepEqual([retry.reason, retry.waited], ['retry', 4 * MINUTE])
  }
})

test('a pass is known by identity and network from then on', async () => {
  const { attempt, wait } = setUp({ maxDeferrals: 0 })
  const wide = 'spf:example.org'
  await attempt({})
  wait(5 * MINUTE)
  assert.equal(await attempt({ wide }), 'retry')
  assert.equal(await attempt({}), 'known')
  assert.equal(await attempt({ wide, address: '198.51.100.7' }), 'known')
  assert.equal(await attempt({ address: '198.51.100.7' }), 'known')
})

test('senders that differ by what is made up for each message are one sender, where that is set', async () => {
  for (const [normalizeSender, reason] of [
    [true, 'retry'],
    [false, 'new'],
  ] as const) {
    const { attempt, wait } = setUp({ normalizeSender })
    await attempt({ sender: 'news+1@example.org' })
    wait(5 * MINUTE)
    assert.equal(await attempt({ sender: 'news+2@example.org' }), reason)
  }
})

test('a decision is over after 2 s, however slowly the store answers; what is decided by then stands', async () => {
  const never = () => new Promise<never>(() => undefined)
  for (const [slow, reason] of [
    [{ find: never }, 'store-error'],
    [{ count: never }, 'store-error'],
    [{ add: never }, 'store-error'],
    [{ find: async (keys: readonly string[]) => keys.map(() => OLD), pass: never }, 'retry'],
  ] as const) {
    const { attempt } = setUp({ onStoreError: 'tempfail' }, (store) => Object.assign(store, slow))
    mock.timers.enable({ apis: ['setTimeout'] })
    const answer = attempt()
    await nextTurn()
    mock.timers.tick(2000)
    assert.equal(await answer, reason)
    mock.timers.reset()
  }
})

test('an identity that completed enough first passes, spaced out, passes at once, as long as it is in use', async () => {
  const bench = setUp()
  const { attempt, wait } = bench
  const wide = 'host:example.org'
  await firstPass(bench, { wide }, 1)
  await firstPass(bench, { wide }, 2) // too close to the one before to count
  assert.equal(await attempt({ wide, sender: 'x@example.org' }), 'new')
  wait(HOUR)
  await firstPass(bench, { wide }, 3)
  for (const address of ['192.0.2.7', '198.51.100.7']) {
    assert.equal(await attempt({ wide, address, sender: 'y@example.org' }), 'auto-whitelist')
  }
  assert.equal(await attempt({ wide: 'host:example.net', sender: 'y@example.org' }), 'new')
  for (let use = 0; use < 3; use += 1) {
    wait(35 * DAY)
    assert.equal(await attempt({ wide, sender: `use${use}@example.org` }), 'auto-whitelist')
  }
  wait(36 * DAY)
  assert.equal(await attempt({ wide, sender: 'late@example.org' }), 'new')
})

test('a client without a telling name needs five first passes, or more where more are set', async () => {
  for (const [after, needed] of [
    [2, 5],
    [7, 7],
  ] as const) {
    const bench = setUp({ autoWhitelist: { after, spacing: HOUR, lifetime: 36 * DAY } })
    for (let count = 1; count <= needed; count += 1) {
      await firstPass(bench, { isNamed: false }, count)
      bench.wait(HOUR)
    }
    assert.equal(await bench.attempt({ isNamed: false, sender: 'x@example.org' }), 'auto-whitelist')
  }
})

test('nothing is remembered of the triplets of who is whitelisted', async () => {
  const bench = setUp({ autoWhitelist: { after: 1, spacing: HOUR, lifetime: 36 * DAY } })
  await firstPass(bench, {}, 1)
  const { size } = bench.store as MemoryStore
  assert.equal(await bench.attempt({ sender: 'x@example.org' }), 'auto-whitelist')
  assert.equal((bench.store as MemoryStore).size, size)
})

test('without auto-whitelist everybody waits for each triplet', async () => {
  const bench = setUp()
  const { autoWhitelist, ...settings } = SETTINGS
  assert.ok(autoWhitelist)
  const without = createGreylister({
    settings,
    exempt: () => undefined,
    investigate: async () => ({
      identity: { id: 'host:example.org', network: 'network:192.0.2.0/24', spf: 'unknown', isNamed: true },
      exemption: undefined,
    }),
    stores: { store: bench.store },
  })
  for (let count = 0; count < 4; count += 1) {
    const from = { sender: `n${count}@example.org` }
    assert.equal((await bench.outcomeOf(from, without.judge)).reason, 'new')
    bench.wait(5 * HOUR)
    assert.equal((await bench.outcomeOf(from, without.judge)).reason, 'retry')
  }
})

test('after so many deferrals of a sender domain to a recipient the next attempt passes, from wherever they come', async () => {
  const { outcomeOf, attempt } = setUp({ maxDeferrals: 3 })
  for (const host of [1, 2, 3]) {
    assert.equal(await attempt({ address: `10.${host}.0.1`, sender: `${host}@example.org` }), 'new')
  }
  assert.equal(await attempt({ address: '10.4.0.1', sender: 'x@example.net' }), 'new')
  assert.equal(await attempt({ address: '10.4.0.1', recipient: 'v@example.com' }), 'new')
  const outcome = await outcomeOf({ address: '10.4.0.1' })
  assert.deepEqual(
    [outcome.verdict, outcome.reason, outcome.deferrals, outcome.hint],
    ['pass', 'max-deferrals', 3, 'exempt.senders: example.org'],
  )
  assert.equal(await attempt({ address: '10.4.0.1' }), 'known')
  assert.equal(await attempt({ address: '10.5.0.1' }), 'new')
})

// Ten strangers who used a name of a large domain opened it for the eleventh; of bounces, any ten did.
test('without recipient, deferrals are counted of a sender, and of bounces by who sends them', async () => {
  const { attempt } = setUp({ maxDeferrals: 3 })
  for (const sender of ['', '@example.org']) {
    for (const host of [1, 2, 3, 4, 5]) {
      const from = { address: `10.${host}.0.1`, sender: sender && `${host}${sender}`, recipient: '' }
      assert.equal(await attempt(from), 'new', from.sender)
    }
  }
  const from = { sender: 'news+1@example.org', recipient: '' }
  for (const host of [1, 2, 3]) assert.equal(await attempt({ ...from, address: `10.${host}.0.1` }), 'new')
  assert.equal(await attempt({ ...from, address: '10.4.0.1', sender: 'news+2@example.org' }), 'max-deferrals')
  for (const _ of [1, 2])
    assert.equal(await attempt({ address: '10.1.0.1', sender: '', recipient: '' }), 'early')
  assert.equal(await attempt({ address: '10.1.0.1', sender: '', recipient: '' }), 'max-deferrals')
})

test('deferrals are counted within one retry window, early ones too, and 0 never ends them', async () => {
  const { attempt, wait } = setUp({ maxDeferrals: 3 })
  assert.deepEqual([await attempt(), await attempt(), await attempt()], ['new', 'early', 'early'])
  wait(2 * DAY)
  assert.deepEqual([await attempt(), await attempt(), await attempt()], ['new', 'early', 'early'])
  assert.equal(await attempt(), 'max-deferrals')
  const endless = setUp({ maxDeferrals: 0 })
  for (let count = 0; count < 50; count += 1) assert.match(await endless.attempt(), /^new|early$/)
})

test('the hint names the setting that would have helped', async () => {
  const cases: Array<[settings: Partial<GreylistSettings>, sender: string, hint: string]> = [
    [{}, 'a@example.org', 'exempt.senders: example.org'],
    [{}, '<>', 'exempt.clients: 192.0.2.0/24'],
    [{ widensBySpf: false }, 'a@example.org', 'greylist.client.spf_domain'],
  ]
  for (const [settings, sender, hint] of cases) {
    const { outcomeOf } = setUp({ ...settings, maxDeferrals: 1 })
    await outcomeOf({ sender })
    assert.equal((await outcomeOf({ sender })).hint, hint)
  }
})

test('observing defers nothing, and learns all the same', async () => {
  const { greylister, outcomeOf, wait } = setUp()
  const { judge } = observing(greylister)
  const first = await outcomeOf({}, judge)
  assert.deepEqual([first.verdict, first.reason, first.would], ['pass', 'observe', 'new'])
  wait(5 * MINUTE)
  assert.equal((await outcomeOf({}, judge)).reason, 'retry')
  assert.equal((await outcomeOf({})).reason, 'known')
})

test('a store that fails at any step gives the configured answer, or does no harm', async () => {
  const burns = () => Promise.reject(new Error('it burns'))
  const cases: Array<[operation: keyof Store, reasons: string[]]> = [
    ['find', ['store-error', 'store-error']],
    ['add', ['store-error', 'store-error']],
    ['count', ['store-error', 'retry']],
    ['pass', ['new', 'retry']],
    ['forget', ['new', 'retry']],
  ]
  for (const [operation, reasons] of cases) {
    const { attempt, wait } = setUp({}, (store) => Object.assign(store, { [operation]: burns }))
    const first = await attempt()
    wait(5 * MINUTE)
    assert.deepEqual([first, await attempt()], reasons, operation)
  }
})
