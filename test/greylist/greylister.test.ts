// Tests of sequences of attempts: whose wait counts for whom, who need not wait any more, and how the loop breaker ends
// endless deferrals. They use the memory store and a clock that the test moves; the test gives the identity of clients.

import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parseAddress } from '../../src/address.ts'
import type { Attempt } from '../../src/attempt.ts'
import { learnReply } from '../../src/greylist/first-mail.ts'
import { createGreylister, type GreylistSettings, observing } from '../../src/greylist/greylister.ts'
import { expectKey, replyKey } from '../../src/greylist/keys.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { formatNetwork, networkOf, parseIp } from '../../src/ip.ts'
import type { Outcome } from '../../src/outcome.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import type { Store } from '../../src/store/store.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

const SETTINGS: GreylistSettings = {
  times: { delay: 4 * MINUTE, retryWindow: 2 * DAY, lifetime: 36 * DAY },
  widensBySpf: true,
  prefixes: { ipv4: 24, ipv6: 64 },
  normalizeSender: true,
  autoWhitelist: { after: 2, spacing: HOUR, lifetime: 36 * DAY },
  maxDeferrals: 10,
  maxPending: 1000,
  onStoreError: 'accept',
}

/** A pending entry that has waited long enough. */
const OLD = { passed: false, age: 5 * MINUTE }

interface From {
  readonly address?: string
  /** An identity wider than the network, like `spf:example.org`. */
  readonly wide?: string | undefined
  readonly isNamed?: boolean
  /** The domain of its host name, if `wide` does not say it. */
  readonly host?: string
  readonly isMail?: boolean
  /** The domain of a host name that tells nothing else. */
  readonly provider?: string | undefined
  /** The names before its network's, if there are several. */
  readonly names?: readonly string[]
  readonly spf?: Identity['spf']
  readonly carriers?: readonly string[]
  readonly sender?: string
  /** The recipient; `''` for keys without one. */
  readonly recipient?: string
}

function setUp(
  settings: Partial<GreylistSettings> = {},
  wrap: (store: Store) => Store = (store) => store,
  hasImports = false,
) {
  const clock = { now: 0 }
  const now = () => clock.now
  const store = wrap(new MemoryStore(now))
  let identity: Identity | undefined
  const greylister = createGreylister({
    settings: { ...SETTINGS, ...settings },
    exempt: () => undefined,
    investigate: async () => ({ identity, exemption: undefined }),
    stores: { store },
    hasImports: () => hasImports,
    now,
  })
  const outcomeOf = (from: From, judge = greylister.judge): Promise<Outcome> => {
    const { address = '192.0.2.7', wide, isNamed = true, isMail = false } = from
    const { spf = wide?.startsWith('spf:') ? 'pass' : 'none' } = from
    const { sender = 'a@example.org', recipient = 'u@example.com' } = from
    const client = parseIp(address)
    assert.ok(client)
    const network = `network:${formatNetwork(networkOf(client, client.kind === 'ipv4' ? 24 : 64))}`
    const domain = wide?.startsWith('host:') ? wide.slice('host:'.length) : from.host
    const host = domain === undefined ? undefined : { domain, isMail }
    const names = [...(from.names ?? (wide === undefined ? [] : [wide])), network]
    const { carriers = [], provider } = from
    identity = { id: wide ?? network, names, carriers, network, spf, host, provider, isNamed }
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

/** Completes the greylisting of a sender that no attempt had before. */
async function firstPass(
  { attempt, wait }: ReturnType<typeof setUp>,
  from: From,
  count: number,
): Promise<void> {
  const { sender = `first${count}@example.org` } = from
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
    // By now the identity has taken over the wait that only the network knew, and vice versa.
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

test('senders whose domain is made up for each message or sending host are one after their first', async () => {
  const shapes: Array<(n: number) => string> = [
    (n) => `support=acme.example__x9k${n}@r4nd${n}m.q${n}z.a-abc.na63.bnc.salesforce.example`,
    (n) => `bounce-mc.us1_2.${n}-joe=example.com@mail${n + 12}.atl3${n}.rsgsv.example`,
    (n) => `1axca06p9dhadejfcj89bda3kxmimwrspi50n${n}@bf0${n}.eu1.hubspotemail.example`,
  ]
  for (const sender of shapes) {
    const { attempt, wait } = setUp()
    const reasons = [await attempt({ sender: sender(0) })]
    wait(5 * MINUTE)
    for (let n = 0; n < 6; n += 1) reasons.push(await attempt({ sender: sender(n) }))
    assert.deepEqual(reasons, ['new', 'retry', 'known', 'known', 'known', 'known', 'known'], sender(0))
  }
})

test('a decision is over after 2 s, however slowly the store answers; what is decided by then stands', async () => {
  const never = () => new Promise<never>(() => undefined)
  for (const [slow, reason] of [
    [{ find: never }, 'store-error'],
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
  const wide = 'spf:example.org'
  await firstPass(bench, { wide }, 1)
  await firstPass(bench, { wide }, 2) // too soon after the one before to count
  assert.equal(await attempt({ wide, sender: 'x@example.org' }), 'new')
  wait(HOUR)
  await firstPass(bench, { wide }, 3)
  for (const address of ['192.0.2.7', '198.51.100.7']) {
    assert.equal(await attempt({ wide, address, sender: 'y@example.org' }), 'auto-whitelist')
  }
  assert.equal(await attempt({ wide: 'spf:example.net', sender: 'y@example.org' }), 'new')
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
      await firstPass(bench, { isNamed: false, sender: `a@example${count}.org` }, count)
      bench.wait(HOUR)
    }
    assert.equal(await bench.attempt({ isNamed: false, sender: 'x@example.org' }), 'auto-whitelist')
  }
})

test('a machine at a provider is whitelisted in its network for the domain whose mail came back', async () => {
  const bench = setUp({ maxDeferrals: 0, autoWhitelist: { after: 1, spacing: HOUR, lifetime: 36 * DAY } })
  const { attempt, outcomeOf } = bench
  const shop = { isNamed: false, provider: 'hoster.test', sender: 'shop@mail.one.test' }
  await firstPass(bench, shop, 1)
  const listed = await outcomeOf({ ...shop, sender: 'code@one.test', address: '192.0.2.99' })
  assert.deepEqual(
    [listed.reason, listed.evidence],
    ['auto-whitelist', 'from:one.test+network:192.0.2.0/24(1/1)'],
  )
  // Neither another domain there, nor that domain elsewhere, nor a forger against whom SPF speaks.
  assert.equal(await attempt({ ...shop, sender: 'code@two.test' }), 'new')
  assert.equal(await attempt({ ...shop, sender: 'code@one.test', address: '198.51.100.7' }), 'new')
  assert.equal(await attempt({ ...shop, sender: 'news@one.test', spf: 'fail' }), 'new')
  assert.equal(await attempt({ ...shop, sender: 'news@one.test', spf: 'unknown' }), 'early')
  // A client of which no more than the address is known has to come back five times.
  assert.equal(await attempt({ ...shop, sender: 'more@one.test', provider: undefined }), 'new')
})

test('what a domain does not come back with takes its listing away', async () => {
  const bench = setUp({ maxDeferrals: 0, autoWhitelist: { after: 1, spacing: HOUR, lifetime: 36 * DAY } })
  const from = (user: number): From => ({
    isNamed: false,
    provider: 'hoster.test',
    sender: `user${user}@one.test`,
  })
  for (let user = 0; user < 4; user += 1) assert.equal(await bench.attempt(from(user)), 'new')
  bench.wait(90 * MINUTE)
  // With the second return, two of four stay away.
  assert.equal(await bench.attempt(from(0)), 'retry')
  assert.equal(await bench.attempt(from(4)), 'new')
  assert.equal(await bench.attempt(from(1)), 'retry')
  assert.equal(await bench.attempt(from(2)), 'retry')
  assert.equal(await bench.attempt(from(5)), 'auto-whitelist')
})

test('a domain whose mail came back in three networks of a provider is whitelisted at that provider', async () => {
  const bench = setUp({ maxDeferrals: 0, autoWhitelist: { after: 1, spacing: HOUR, lifetime: 36 * DAY } })
  const { attempt } = bench
  const at = (network: number, provider = 'hoster.test'): From => ({
    isNamed: false,
    provider,
    address: `100.${network}.0.7`,
    sender: `user${network}@one.test`,
  })
  for (const network of [1, 2, 3]) await firstPass(bench, at(network), network)
  assert.equal(await attempt(at(4)), 'auto-whitelist')
  assert.equal(await attempt({ ...at(5), sender: 'a@two.test' }), 'new')
  assert.equal(await attempt(at(6, 'other.test')), 'new')
  assert.equal(await attempt({ ...at(7), provider: undefined }), 'new')
})

test('a retry that a listing lets pass is counted as what it is, and once', async () => {
  const bench = setUp({ maxDeferrals: 0, autoWhitelist: { after: 1, spacing: HOUR, lifetime: 36 * DAY } })
  const { attempt, outcomeOf, wait } = bench
  const wide = 'spf:one.test'
  const out = { host: 'hoster.test', isMail: true } as const
  await firstPass(bench, { wide: 'host:hoster.test', isMail: true }, 1)
  // Deferred elsewhere, it comes back from a network where the hoster's mail servers are listed.
  for (const sender of ['a@one.test', 'b@one.test'])
    assert.equal(await attempt({ address: '198.51.100.7', wide, sender }), 'new')
  wait(5 * MINUTE)
  const names = ['spf:one.test', 'host:hoster.test']
  const retry = await outcomeOf({ wide, ...out, names, sender: 'a@one.test' })
  assert.deepEqual(
    [retry.reason, retry.evidence],
    ['auto-whitelist', 'host:hoster.test+network:192.0.2.0/24(1/1)'],
  )
  assert.equal(
    (await outcomeOf({ address: '203.0.113.7', wide, sender: 'c@one.test' })).evidence,
    'spf:one.test(1/2)',
  )
  assert.equal(await attempt({ wide, ...out, names, sender: 'a@one.test' }), 'auto-whitelist')
  assert.equal(
    (await outcomeOf({ address: '203.0.113.7', wide, sender: 'd@one.test' })).evidence,
    'spf:one.test(1/2)',
  )
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
      identity: {
        id: 'host:example.org',
        names: ['host:example.org'],
        carriers: [],
        network: 'network:192.0.2.0/24',
        spf: 'none',
        isNamed: true,
      },
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

test('what mail servers have proven holds for those of their domain in their network, and for nobody else', async () => {
  const bench = setUp()
  const wide = 'host:hoster.example'
  for (const [count, sender] of ['a@one.test', 'a@two.test'].entries()) {
    await firstPass(bench, { wide, address: '192.0.2.7', isMail: true, sender }, count)
    bench.wait(HOUR)
  }
  const { attempt } = bench
  const sender = 'x@spam.test'
  assert.equal(await attempt({ wide, sender, address: '192.0.2.99', isMail: true }), 'auto-whitelist')
  assert.equal(await attempt({ wide, sender, address: '192.0.2.98' }), 'new')
  assert.equal(await attempt({ wide, sender, address: '198.51.100.7' }), 'early')
  assert.equal(await attempt({ wide, sender, address: '198.51.100.8', isMail: true }), 'early')
  const other = { wide: 'host:other.example', sender, isMail: true, recipient: 'w@b.test' }
  assert.equal(await attempt({ ...other, address: '192.0.2.99' }), 'new')
  assert.equal(await attempt({ sender, address: '192.0.2.99', isNamed: false, recipient: 'v@b.test' }), 'new')
})

test('a host’s domain is whitelisted by three networks and three domains that SPF vouches for, for its mailers', async () => {
  const [networks, senders] = [
    ['192.0.2', '198.51.100', '203.0.113'],
    ['one.test', 'two.test', 'three.test'],
  ]
  assert.ok(networks && senders)
  interface Case {
    readonly prefixes?: readonly string[]
    readonly domains?: readonly string[]
    readonly spacing?: number
    readonly spf?: Identity['spf']
    /** Whether clients are identified by SPF rather than by their hosts' domain. */
    readonly widens?: boolean
    readonly host?: string
  }
  const cases: Array<[name: string, isListed: boolean, settings: Case]> = [
    ['several of both', true, {}],
    ['several of both, where SPF does not widen', true, { widens: false }],
    ['one network', false, { prefixes: ['192.0.2', '192.0.2', '192.0.2'] }],
    ['one sender domain', false, { domains: ['one.test', 'a.one.test', 'b.one.test'] }],
    ['two networks', false, { prefixes: ['192.0.2', '198.51.100', '198.51.100'] }],
    ['one /48', false, { prefixes: ['2001:db8:1:1:', '2001:db8:1:2:', '2001:db8:1:3:'] }],
    ['all at once', false, { spacing: 0 }],
    ['bounces', false, { domains: ['', '', ''] }],
    ['hosts of another domain', false, { host: 'other.example' }],
    // One customer with three machines can write any sender.
    ['senders without SPF', false, { spf: 'none' }],
    ['senders that SPF speaks against', false, { spf: 'fail' }],
    ['senders of whose SPF DNS does not say', false, { spf: 'unknown' }],
    ['senders that vouch for anyone', false, { spf: 'open' }],
    ['senders whose SPF is not asked for', false, { spf: 'unasked' }],
  ]
  const wide = 'host:farm.example'
  for (const [name, isListed, settings] of cases) {
    const { prefixes = networks, domains = senders, spacing = HOUR, spf = 'pass' } = settings
    const { widens = true, host = 'farm.example' } = settings
    // With this number, no network by itself could be whitelisted.
    const bench = setUp({ autoWhitelist: { after: 5, spacing: HOUR, lifetime: 36 * DAY } })
    for (const [index, prefix] of prefixes.entries()) {
      const separator = prefix.includes(':') ? ':' : '.'
      const [address, domain] = [`${prefix}${separator}${index + 1}`, domains[index]]
      const sender = domain ? `a${index}@${domain}` : '<>'
      const known = spf === 'pass' && widens ? `spf:${domain}` : `host:${host}`
      const from = { wide: known, host, address, sender, spf, recipient: `r${index}@b.test` }
      await firstPass(bench, from, index)
      bench.wait(spacing)
    }
    const elsewhere = { wide, sender: 'x@new.test', recipient: 'x@b.test' }
    const mailer = await bench.attempt({ ...elsewhere, address: '100.200.1.1', isMail: true })
    assert.equal(mailer, isListed ? 'auto-whitelist' : 'new', name)
    // Three rented machines at a provider do not whitelist the machines of its other customers.
    const other = { ...elsewhere, recipient: 'y@b.test' }
    assert.equal(await bench.attempt({ ...other, address: '100.200.2.1' }), 'new', name)
    // Once the domain is whitelisted, one first pass is enough for a host, and for nobody beside it.
    await firstPass(bench, { wide, address: '100.200.3.1' }, 9)
    const here = await bench.attempt({ ...elsewhere, recipient: 'z@b.test', address: '100.200.3.1' })
    assert.equal(here, isListed ? 'auto-whitelist' : 'new', name)
    const beside = await bench.attempt({ ...elsewhere, recipient: 'w@b.test', address: '100.200.3.99' })
    assert.equal(beside, 'new', name)
  }
})

// Customers of one hoster waited for nobody, once one of them had come back: so did every bot on its machines.
test('a host whose name is none of a mail server’s proves its own address, in IPv6 its network', async () => {
  const bench = setUp()
  const wide = 'host:hoster.example'
  for (const address of ['192.0.2.7', '2001:db8:1:1::7']) {
    for (const [count, sender] of ['a@one.test', 'a@two.test'].entries()) {
      await firstPass(bench, { wide, address, sender: `${address.length}${sender}` }, count)
      bench.wait(HOUR)
    }
  }
  const reasonOf = (address: string, spf: Identity['spf'] = 'none', recipient = `${address}@b.test`) =>
    bench.attempt({ wide, spf, address, recipient, sender: 'x@spam.test' })
  assert.equal(await reasonOf('192.0.2.7'), 'auto-whitelist')
  assert.equal(await reasonOf('192.0.2.8'), 'new')
  assert.equal(await reasonOf('192.0.2.9', 'pass'), 'new')
  assert.equal(await reasonOf('2001:db8:1:1::8', 'none', 'eight@b.test'), 'auto-whitelist')
  assert.equal(await reasonOf('2001:db8:1:2::8', 'none', 'nine@b.test'), 'new')
})

test('a carrier vouches for every domain it carries, once two of them have come back through it', async () => {
  const through = (domain: string, address: string): From => ({
    wide: `spf:${domain}`,
    carriers: ['carrier.example'],
    address,
    sender: `a@${domain}`,
  })
  const bench = setUp()
  await firstPass(bench, through('one.test', '192.0.2.1'), 0)
  bench.wait(2 * HOUR)
  // One domain alone, however often it comes back, is the carrier's only customer.
  await firstPass(bench, { ...through('one.test', '192.0.2.1'), recipient: 'v@example.com' }, 1)
  const early = { ...through('early.test', '198.51.100.1'), recipient: 'w@example.com' }
  assert.equal(await bench.attempt(early), 'new')
  bench.wait(2 * HOUR)
  await firstPass(bench, through('two.test', '203.0.113.1'), 2)
  assert.equal(await bench.attempt(through('three.test', '198.51.100.7')), 'carrier')
  assert.equal(await bench.attempt({ ...through('three.test', '198.51.100.8'), carriers: [] }), 'new')
  const another = { ...through('four.test', '198.51.100.9'), carriers: ['other.example'] }
  assert.equal(await bench.attempt(another), 'new')
  const forged = {
    ...through('five.test', '198.51.100.10'),
    wide: undefined,
    spf: 'fail',
    carriers: [],
  } as const
  assert.equal(await bench.attempt(forged), 'new')
})

test('a carrier of whose mail less than half comes back vouches for nobody', async () => {
  const through = (domain: string): From => ({
    wide: `spf:${domain}`,
    carriers: ['bulk.example'],
    sender: `a@${domain}`,
  })
  for (const [away, reason] of [
    [6, 'new'],
    [0, 'carrier'],
  ] as const) {
    const { attempt, wait } = setUp({ maxDeferrals: 0 })
    for (let index = 0; index < away; index += 1)
      assert.equal(await attempt(through(`away${index}.test`)), 'new')
    for (const domain of ['one.test', 'two.test']) assert.equal(await attempt(through(domain)), 'new')
    wait(5 * MINUTE)
    for (const domain of ['one.test', 'two.test']) assert.equal(await attempt(through(domain)), 'retry')
    assert.equal(await attempt(through('three.test')), reason, `${away} stayed away`)
  }
})

test('a bounce, and a sender without a domain, count nothing for a carrier', async () => {
  const bench = setUp({ autoWhitelist: { after: 9, spacing: HOUR, lifetime: 36 * DAY } })
  for (const [index, sender] of ['<>', '<>', 'postmaster'].entries()) {
    const from = {
      wide: 'spf:one.test',
      carriers: ['carrier.example'],
      sender,
      recipient: `r${index}@b.test`,
    }
    assert.equal(await bench.attempt(from), 'new')
    bench.wait(HOUR)
    assert.equal(await bench.attempt(from), 'retry')
  }
  const next = { wide: 'spf:two.test', carriers: ['carrier.example'], sender: 'a@two.test' }
  assert.equal(await bench.attempt(next), 'new')
})

test('a retry under any of the client’s names is the retry; from another network it has twelve hours', async () => {
  const { attempt, wait } = setUp()
  const wide = 'spf:example.org'
  assert.equal(await attempt({ address: '192.0.2.7', wide }), 'new')
  wait(11 * HOUR)
  assert.equal(await attempt({ address: '198.51.100.7', wide }), 'retry')
  const late = { recipient: 'late@example.com' }
  assert.equal(await attempt({ ...late, address: '192.0.2.7', wide }), 'new')
  wait(13 * HOUR)
  assert.equal(await attempt({ ...late, address: '203.0.113.7', wide }), 'new')
  assert.equal(await attempt({ ...late, address: '192.0.2.8', wide: 'host:example.org' }), 'retry')
})

test('a name is listed when four of five come back, or all but two', async () => {
  const autoWhitelist = { after: 1, spacing: HOUR, lifetime: 36 * DAY }
  const bench = setUp({ autoWhitelist })
  const { attempt, wait } = bench
  const wide = 'spf:daily.test'
  // Of four messages one comes back, as tomorrow's mail may be taken for a retry.
  for (const sender of ['a', 'b', 'c'])
    assert.equal(await attempt({ wide, sender: `${sender}@daily.test` }), 'new')
  await firstPass(bench, { wide }, 1)
  assert.equal(await attempt({ wide, sender: 'd@daily.test' }), 'new')
  wait(10 * MINUTE)
  for (const sender of ['a', 'b'])
    assert.equal(await attempt({ wide, sender: `${sender}@daily.test` }), 'retry')
  const listed = await bench.outcomeOf({ wide, sender: 'e@daily.test' })
  assert.deepEqual([listed.reason, listed.evidence], ['auto-whitelist', 'spf:daily.test(3/5)'])
})

test('who comes back while the others stay away earns nothing, also once these are forgotten', async () => {
  const autoWhitelist = { after: 1, spacing: HOUR, lifetime: 36 * DAY }
  const bench = setUp({ autoWhitelist })
  const { attempt, wait } = bench
  const wide = 'spf:daily.test'
  for (let bot = 0; bot < 9; bot += 1)
    assert.equal(await attempt({ wide, sender: `bot${bot}@daily.test` }), 'new')
  await firstPass(bench, { wide }, 1)
  wait(3 * DAY)
  assert.equal(await attempt({ wide, sender: 'next@daily.test' }), 'new')
})

test('an attempt that another host has just added is early, and not new', async () => {
  const { outcomeOf } = setUp({ maxDeferrals: 0 }, (store) =>
    Object.assign(store, { add: async () => false }),
  )
  assert.equal((await outcomeOf({})).reason, 'early')
})

test('a name is no longer whitelisted while what is deferred under it stays away', async () => {
  const autoWhitelist = { after: 2, spacing: HOUR, lifetime: 36 * DAY }
  const bench = setUp({ autoWhitelist })
  const { attempt, wait } = bench
  const mail = { wide: 'host:hoster.test', isMail: true, address: '203.0.113.7' } as const
  await firstPass(bench, mail, 1)
  wait(HOUR)
  await firstPass(bench, mail, 2)
  assert.equal(await attempt({ ...mail, sender: 'x@example.org' }), 'auto-whitelist')
  // Two hosts in other networks that are sent away and stay there do not concern this one.
  for (const address of ['198.51.100.1', '198.51.100.2'])
    assert.equal(
      await attempt({ ...mail, address, sender: 'bot@example.org' }),
      address.endsWith('1') ? 'new' : 'early',
    )
  assert.equal(await attempt({ ...mail, sender: 'y@example.org' }), 'auto-whitelist')
})

test('who comes from a crowded network waits for longer, and has less time to come back', async () => {
  const bench = setUp({ maxDeferrals: 0 })
  const { outcomeOf, attempt, wait } = bench
  for (let bot = 0; bot < 4; bot += 1)
    assert.equal(
      (await outcomeOf({ sender: `bot${bot}@example.org`, address: `192.0.2.${bot}` })).retryIn,
      4 * MINUTE,
    )
  const crowded = await outcomeOf({ sender: 'bot4@example.org' })
  assert.deepEqual(
    [crowded.reason, crowded.retryIn, crowded.evidence],
    ['new', 80 * MINUTE, 'crowd:network:192.0.2.0/24(0/4)'],
  )
  // Another network notices nothing, and neither does a client that SPF vouches for.
  assert.equal((await outcomeOf({ address: '198.51.100.1' })).retryIn, 4 * MINUTE)
  assert.equal(
    (await outcomeOf({ wide: 'spf:neighbour.test', sender: 'a@neighbour.test' })).retryIn,
    4 * MINUTE,
  )
  wait(10 * MINUTE)
  assert.equal(await attempt({ sender: 'bot0@example.org' }), 'early')
  wait(70 * MINUTE)
  assert.equal(await attempt({ sender: 'bot4@example.org' }), 'retry')
  for (let bot = 0; bot < 4; bot += 1)
    assert.equal(await attempt({ sender: `bot${bot}@example.org` }), 'retry')
  // More have come back than wait, so that it is a crowd no more.
  assert.equal((await outcomeOf({ sender: 'last@example.org' })).retryIn, 4 * MINUTE)
})

test('the retry of a crowd comes within eight hours, or begins anew', async () => {
  const bench = setUp({ maxDeferrals: 0 })
  for (let bot = 0; bot < 5; bot += 1) await bench.attempt({ sender: `bot${bot}@example.org` })
  bench.wait(9 * HOUR)
  assert.equal(await bench.attempt({ sender: 'bot4@example.org' }), 'new')
  assert.equal(await bench.attempt({ sender: 'bot0@example.org' }), 'retry')
})

test('the outcome says which name of the client its verdict follows from', async () => {
  const { outcomeOf, wait } = setUp()
  const wide = 'spf:example.org'
  assert.equal((await outcomeOf({ wide })).evidence, undefined)
  wait(5 * MINUTE)
  // Another host of the sender: the domain is what it has in common with the first one.
  assert.equal((await outcomeOf({ wide, address: '198.51.100.7' })).evidence, 'spf:example.org(0/1)')
  assert.equal((await outcomeOf({ address: '198.51.100.8' })).evidence, 'network:198.51.100.0/24(1/1)')
})

test('who is proven to be the sender has some messages a day on credit, and a network no more than its own', async () => {
  const bench = setUp({ maxDeferrals: 0, credit: { messages: 2, perNetwork: 3 } })
  const { attempt, outcomeOf, wait } = bench
  const from = (domain: string, user: string): From => ({
    wide: `spf:${domain}`,
    sender: `${user}@${domain}`,
  })
  const first = await outcomeOf(from('one.test', 'a'))
  assert.deepEqual([first.verdict, first.reason, first.evidence], ['pass', 'credit', 'spf:one.test'])
  assert.equal(await attempt(from('one.test', 'a')), 'credit')
  // The third has to wait, and while it waits there is no more credit.
  assert.equal(await attempt(from('one.test', 'a')), 'new')
  assert.equal(await attempt(from('two.test', 'a')), 'new', 'its network has had three')
  assert.equal(await attempt({ ...from('three.test', 'a'), address: '198.51.100.1' }), 'credit')
  // Nobody vouches for these.
  assert.equal(await attempt({ address: '203.0.113.1' }), 'new')
  assert.equal(await attempt({ address: '203.0.115.1', wide: 'host:other.test' }), 'new')
  assert.equal(
    await attempt({ address: '203.0.114.1', wide: 'host:own.test', sender: 'a@mail.own.test' }),
    'credit',
  )
  wait(25 * HOUR)
  assert.equal(await attempt(from('one.test', 'b')), 'new', 'what waited has stayed away')
  assert.equal(await attempt(from('four.test', 'b')), 'credit')
})

test('who has had credit for four hours without exceeding it gets twice as much, after a day four times, and its network no more than that', async () => {
  for (const [elapsed, messages] of [
    [4 * HOUR - 1, 1],
    [4 * HOUR, 3],
    [DAY, 8],
    [35 * DAY, 8],
    [36 * DAY, 2],
  ] as const) {
    const { attempt, wait } = setUp({ maxDeferrals: 0, credit: { messages: 2, perNetwork: 2 } })
    const one = { wide: 'spf:one.test' }
    assert.equal(await attempt(one), 'credit')
    wait(elapsed)
    const reasons: string[] = []
    for (let count = 0; count < messages + 1; count += 1)
      reasons.push(await attempt({ ...one, sender: `a${count}@one.test` }))
    assert.deepEqual(reasons, [...new Array(messages).fill('credit'), 'new'], `after ${elapsed} ms`)
    for (const domain of ['two.test', 'one.test'])
      assert.equal(await attempt({ wide: `spf:${domain}`, sender: `a@${domain}` }), 'new', domain)
  }
})

test('who has exceeded its credit begins anew, once that is forgotten', async () => {
  for (const [early, later] of [
    [2, 'credit'],
    [3, 'new'],
  ] as const) {
    const { attempt, wait } = setUp({ maxDeferrals: 0, credit: { messages: 2, perNetwork: 2 } })
    const one = { wide: 'spf:one.test' }
    for (let count = 1; count <= early; count += 1)
      assert.equal(await attempt({ ...one, sender: `a${count}@one.test` }), count <= 2 ? 'credit' : 'new')
    wait(3 * DAY)
    for (const reason of ['credit', 'credit', later]) assert.equal(await attempt(one), reason)
  }
})

test('a neighbour who uses up the credit of the network does not make a name begin anew', async () => {
  const { attempt, wait } = setUp({ maxDeferrals: 0, credit: { messages: 2, perNetwork: 2 } })
  const one = { wide: 'spf:one.test' }
  assert.equal(await attempt(one), 'credit')
  for (const reason of ['credit', 'new'] as const)
    assert.equal(await attempt({ wide: 'spf:two.test', sender: 'a@two.test' }), reason)
  assert.equal(await attempt({ ...one, sender: 'b@one.test' }), 'new')
  wait(3 * DAY)
  for (const reason of ['credit', 'credit', 'credit', 'credit'] as const)
    assert.equal(await attempt(one), reason)
})

test('credit is counted for each name and for each network', async () => {
  const { attempt } = setUp({ maxDeferrals: 0, credit: { messages: 1, perNetwork: 3 } })
  const reasons: string[] = []
  for (const domain of ['one.test', 'two.test', 'three.test', 'four.test'])
    reasons.push(await attempt({ wide: `spf:${domain}`, sender: `a@${domain}` }))
  assert.deepEqual(reasons, ['credit', 'credit', 'credit', 'new'])
})

test('what waits of others, at the same carrier or in the same /48, takes nobody’s credit', async () => {
  const { attempt } = setUp({ maxDeferrals: 0, credit: { messages: 1, perNetwork: 9 } })
  const at = (domain: string, address: string): From => ({
    wide: `spf:${domain}`,
    carriers: ['carrier.example'],
    sender: `a@${domain}`,
    address,
  })
  const [one, two] = [at('one.test', '2001:db8:0:1::1'), at('two.test', '2001:db8:0:2::1')]
  assert.equal(await attempt(one), 'credit')
  assert.equal(await attempt(one), 'new')
  assert.equal(await attempt(two), 'credit')
})

test('a message on credit is no proof: the next one of its sender is a first one, too', async () => {
  const { attempt, wait } = setUp({ maxDeferrals: 0, credit: { messages: 1, perNetwork: 9 } })
  const wide = 'spf:example.org'
  assert.equal(await attempt({ wide }), 'credit')
  wait(10 * MINUTE)
  assert.equal(await attempt({ wide }), 'new')
  wait(10 * MINUTE)
  assert.equal(await attempt({ wide }), 'retry')
})

test('what a recipient expects does not wait, from whom it expects it, if the client has a name', async () => {
  const { attempt, store, wait } = setUp({ maxDeferrals: 0 })
  const [u, v] = [parseAddress('u@example.com'), parseAddress('v@example.com')]
  await store.count(expectKey(u), 15 * MINUTE)
  await store.count(expectKey(v, 'shop.test'), 15 * MINUTE)
  const shop = { sender: 'code@mail.shop.test', address: '198.51.100.1' } as const
  assert.equal(await attempt(shop), 'expected')
  assert.equal(await attempt({ ...shop, isNamed: false }), 'new')
  assert.equal(await attempt({ ...shop, recipient: 'v@example.com' }), 'expected')
  assert.equal(await attempt({ ...shop, recipient: 'v@example.com', sender: 'code@other.test' }), 'new')
  assert.equal(await attempt({ ...shop, recipient: 'w@example.com' }), 'new')
  wait(16 * MINUTE)
  assert.equal(await attempt({ ...shop, sender: 'later@shop.test' }), 'new')
})

test('an answer to what a user has written does not wait, if it is proven who answers', async () => {
  const { attempt, store, wait } = setUp({ maxDeferrals: 0, learnReplies: 30 * DAY })
  const [user, friend] = [parseAddress('u@example.com'), parseAddress('friend@example.org')]
  await learnReply(store, user, friend, 30 * DAY)
  const answer = { wide: 'spf:example.org', sender: 'friend@example.org' } as const
  assert.equal(await attempt(answer), 'written-to')
  assert.equal(await attempt({ ...answer, recipient: 'v@example.com' }), 'new')
  assert.equal(await attempt({ ...answer, sender: 'other@example.org' }), 'new')
  assert.equal(await attempt({ sender: 'friend@example.org', address: '198.51.100.1' }), 'new', 'forged')
  wait(31 * DAY)
  assert.equal(await attempt({ ...answer, address: '203.0.113.1' }), 'new')
})

test('mail of authenticated users says to whom they have written, and others’ mail says nothing', async () => {
  for (const authenticated of [true, false]) {
    const store = new MemoryStore(() => 0)
    const greylister = createGreylister({
      settings: { ...SETTINGS, maxDeferrals: 0, learnReplies: DAY },
      exempt: ({ authenticated }) => ({
        reason: authenticated ? 'authenticated' : 'exempt-client',
        rule: 'rule',
      }),
      investigate: async () => ({ identity: undefined, exemption: undefined }),
      stores: { store },
    })
    const [sender, recipient] = [parseAddress('u@example.com'), parseAddress('friend@example.org')]
    await greylister.judge({ client: {}, authenticated, sender, recipient })
    await nextTurn()
    const [entry] = await store.find([replyKey(sender, recipient)])
    assert.equal(entry !== undefined, authenticated)
  }
})

test('a flood from one network is kept to a bound, passes nobody, and keeps nobody out', async () => {
  for (const flooding of [
    { address: (index: number) => `192.0.2.${index % 20}`, other: '198.51.100.1', neighbour: '192.0.2.250' },
    {
      address: (index: number) => `2001:db8:0:${(index % 20).toString(16)}::1`,
      other: '2001:db8:1::1',
      neighbour: '2001:db8:0:fa00::1',
    },
  ]) {
    const bench = setUp({ maxPending: 50 })
    const { attempt, outcomeOf, wait } = bench
    const store = bench.store as MemoryStore
    let largest = 0
    for (let index = 0; index < 2000; index += 1) {
      const outcome = await outcomeOf({
        address: flooding.address(index),
        sender: `bot${index}@spam${index}.test`,
        isNamed: false,
      })
      assert.equal(outcome.verdict, 'tempfail')
      if (index === 1000) largest = store.size
    }
    // The triplets that are kept, with what the loop breaker has of them, the tallies, and the slots of 20 addresses.
    assert.ok(store.size < 2 * 50 + 300 + 2 * 16 * 20, String(store.size))
    assert.ok(store.size < largest * 1.2, `${store.size}, ${largest} half-way`)

    // A stranger elsewhere waits as ever, and so does one in the network for whom SPF speaks.
    const elsewhere = { address: flooding.other, sender: 'a@elsewhere.test', isNamed: false } as const
    const aligned = { address: flooding.neighbour, sender: 'a@own.test', wide: 'spf:own.test' } as const
    assert.deepEqual([await attempt(elsewhere), await attempt(aligned)], ['new', 'new'])
    const neighbour = { address: flooding.neighbour, sender: 'a@plain.test', isNamed: false } as const
    assert.equal(await attempt(neighbour), 'new')
    wait(5 * MINUTE)
    assert.deepEqual([await attempt(elsewhere), await attempt(aligned)], ['retry', 'retry'])
    // The others are a crowd. One that comes back has a slot of its own; no bot passes by it.
    const early = await outcomeOf(neighbour)
    assert.deepEqual([early.reason, early.waited, early.retryIn], ['early', 5 * MINUTE, 75 * MINUTE])
    wait(80 * MINUTE)
    const retry = await outcomeOf(neighbour)
    assert.deepEqual([retry.reason, retry.waited], ['retry', 85 * MINUTE])
    assert.equal(await attempt(neighbour), 'known')
    for (let index = 2000; index < 2100; index += 1)
      assert.equal(
        (
          await outcomeOf({
            address: flooding.address(index),
            sender: `bot@spam${index}.test`,
            isNamed: false,
          })
        ).verdict,
        'tempfail',
      )
    // A sender whose slots were all taken gets one when they are free.
    wait(9 * HOUR)
    const late = { address: flooding.address(7), sender: 'a@late.test', isNamed: false } as const
    assert.equal(await attempt(late), 'new')
    wait(90 * MINUTE)
    assert.equal(await attempt(late), 'retry')
  }
})

test('a sender’s domain has no more room than a network, wherever its hosts are', async () => {
  const { outcomeOf, store } = setUp({ maxPending: 20, maxDeferrals: 0 })
  for (let index = 0; index < 2000; index += 1) {
    const outcome = await outcomeOf({
      address: `203.0.${index % 100}.${index % 7}`,
      wide: 'spf:spam.test',
      sender: `bot${index}@spam.test`,
    })
    assert.equal(outcome.verdict, 'tempfail')
  }
  // Its networks have room, and each key under a network is bounded in turn.
  assert.ok((store as MemoryStore).size <= 2000 + 20 + 101, String((store as MemoryStore).size))
})

test('nothing is counted for a private address, and nothing crowds it', async () => {
  const { outcomeOf, store } = setUp({ maxDeferrals: 0 })
  for (let bot = 0; bot < 9; bot += 1)
    assert.equal(
      (await outcomeOf({ address: '10.0.0.7', sender: `bot${bot}@example.org` })).retryIn,
      4 * MINUTE,
    )
  assert.equal((store as MemoryStore).size, 9)
})

test('a domain that is listed in a network by an import passes there, and no other domain or network does', async () => {
  const { store, outcomeOf, wait } = setUp({}, undefined, true)
  await store.pass('w:domain:example.org+network:192.0.2.0/24', 36 * DAY)
  for (const from of [
    {},
    { wide: 'spf:example.org' },
    { spf: 'fail' },
    { spf: 'unknown', isNamed: false },
  ] as const) {
    const { reason, evidence } = await outcomeOf({ ...from, sender: 'anybody@example.org' })
    assert.deepEqual([reason, evidence], ['auto-whitelist', 'domain:example.org+network:192.0.2.0/24'])
  }
  for (const from of [
    { sender: 'a@example.net' },
    { sender: 'a@mail.example.org' },
    { sender: '<>' },
    { address: '198.51.100.7' },
  ])
    assert.equal((await outcomeOf(from)).reason, 'new', JSON.stringify(from))
  // It is kept as long as it is used.
  wait(30 * DAY)
  assert.equal((await outcomeOf({})).reason, 'auto-whitelist')
  wait(30 * DAY)
  assert.equal((await outcomeOf({})).reason, 'auto-whitelist')
})

test('a pass for all recipients holds for each of them, in its network', async () => {
  const { store, attempt, wait } = setUp({}, undefined, true)
  await store.pass('t:network:192.0.2.0/24|a@example.org', 36 * DAY)
  wait(35 * DAY)
  assert.equal(await attempt({ wide: 'spf:example.org' }), 'known')
  assert.equal(await attempt({ address: '198.51.100.7', recipient: 'v@example.com' }), 'new')
  assert.equal(await attempt({ sender: 'b@example.org' }), 'new')
  // Each recipient's pass is one of its own from its first use on.
  wait(2 * DAY)
  assert.equal(await attempt({ wide: 'spf:example.org' }), 'known')
  assert.equal(await attempt({ recipient: 'w@example.com' }), 'new')
})

test('a private address never earns a place on the auto-whitelist, whatever it is known by', async () => {
  for (const address of ['10.0.0.1', '172.18.0.1', '100.64.0.1', 'fd00::1', 'fe80::1']) {
    for (const wide of [undefined, 'host:example.org', 'spf:example.org']) {
      const bench = setUp()
      for (let count = 1; count <= 6; count += 1) {
        await firstPass(bench, { address, wide }, count)
        bench.wait(HOUR)
      }
      const from = { address, wide, sender: 'x@example.org', isMail: true }
      assert.equal(await bench.attempt(from), 'new', `${address} ${wide}`)
    }
  }
})

test('the reference is the same for all attempts of a sender to a recipient, however the client is known', async () => {
  const { outcomeOf } = setUp()
  const refOf = async (from: From) => (await outcomeOf(from)).ref
  const ref = await refOf({ spf: 'unknown' })
  assert.equal(await refOf({ wide: 'spf:example.org' }), ref)
  assert.equal(await refOf({ wide: 'host:example.org', address: '198.51.100.7' }), ref)
  assert.equal(await refOf({ sender: 'A+tag@Example.ORG' }), ref)
  const made = (host: string, id: string) => `bounce-mc.us2_1464.3551-${id}@${host}.rsgsv.net`
  const news = await refOf({ sender: made('mail12.atl31', 'e3616ba718') })
  assert.equal(await refOf({ sender: made('mail150.suw14', '0123456789') }), news)
  assert.notEqual(await refOf({ sender: 'b@example.org' }), ref)
  assert.notEqual(await refOf({ recipient: 'v@example.com' }), ref)
  const bounce = await refOf({ sender: '<>' })
  assert.equal(await refOf({ sender: '<>', address: '198.51.100.7' }), bounce)
  assert.notEqual(bounce, ref)
})

// The loop breaker.

/** The outcomes of attempts from one network after another. */
async function loop(
  { attempt, wait }: ReturnType<typeof setUp>,
  { count, spacing, address = (n) => `100.${n}.1.1`, ...from }: Looping,
): Promise<string[]> {
  const reasons: string[] = []
  for (let n = 0; n < count; n += 1) {
    reasons.push(await attempt({ ...from, address: address(n) }))
    wait(spacing)
  }
  return reasons
}

interface Looping extends Omit<From, 'address'> {
  readonly count: number
  readonly spacing: number
  readonly address?: (n: number) => string
}

const deferrals = (count: number) => Array.from({ length: count }, () => 'new')

test('a sender that retries from ever new networks gets through after so many deferrals', async () => {
  for (const [maxDeferrals, needed] of [
    [10, 10],
    [4, 4],
    [3, 3],
    // Three networks are needed in any case.
    [1, 3],
  ] as const) {
    const bench = setUp({ maxDeferrals })
    const reasons = await loop(bench, { count: needed, spacing: 5 * MINUTE })
    assert.deepEqual(reasons, deferrals(needed))
    const outcome = await bench.outcomeOf({ address: '100.200.1.1' })
    assert.deepEqual([outcome.verdict, outcome.reason, outcome.deferrals], ['pass', 'max-deferrals', needed])
    assert.equal(outcome.retryIn, 0)
    assert.equal(await bench.attempt({ address: '100.200.1.1' }), 'known')
    // After a pass the count begins anew.
    assert.equal(await bench.attempt({ address: '100.201.1.1' }), 'new')
    bench.wait(5 * MINUTE)
    assert.equal(await bench.attempt({ address: '100.202.1.1' }), 'new')
  }
})

test('what is no queue that retries is not counted as one', async () => {
  const cases: Array<[name: string, looping: Looping, settings?: Partial<GreylistSettings>]> = [
    ['eleven in a session', { count: 11, spacing: 10, address: () => '192.0.2.7' }],
    ['33 networks at once', { count: 33, spacing: 10 }],
    ['33 networks, one a minute', { count: 33, spacing: MINUTE }],
    ['a sender whose SPF record does not pass', { count: 100, spacing: 5 * MINUTE, spf: 'fail' }],
    // A stranger can cause DNS not to answer.
    ['a sender of whose SPF DNS does not say', { count: 100, spacing: 5 * MINUTE, spf: 'unknown' }],
    ['bounces', { count: 100, spacing: 5 * MINUTE, sender: '<>' }],
    ['bounces, without recipient', { count: 100, spacing: 5 * MINUTE, sender: '<>', recipient: '' }],
    ['a /48', { count: 100, spacing: 5 * MINUTE, address: (n) => `2001:db8:1:${n}::1` }],
    ['two /48', { count: 100, spacing: 5 * MINUTE, address: (n) => `2001:db8:${n % 2}:${n}::1` }],
    ['turned off', { count: 100, spacing: 5 * MINUTE }, { maxDeferrals: 0 }],
    [
      'networks that the operator takes for one',
      { count: 100, spacing: 10, address: (n) => `100.1.${n}.1` },
      { prefixes: { ipv4: 16, ipv6: 64 } },
    ],
  ]
  for (const [name, looping, settings] of cases) {
    const reasons = await loop(setUp(settings), looping)
    assert.equal(
      reasons.every((reason) => reason === 'new' || reason === 'early'),
      true,
      `${name}: ${reasons.join(' ')}`,
    )
  }
})

test('three networks will do, whatever their addresses, and where SPF is not asked for', async () => {
  const address = (n: number) => `2001:db8:${n % 3}:${n}::1`
  const reasons = await loop(setUp(), { count: 11, spacing: 5 * MINUTE, address })
  assert.deepEqual(reasons, [...deferrals(10), 'max-deferrals'])
  const unasked = setUp({ widensBySpf: false })
  const looping = { count: 11, spacing: 5 * MINUTE, spf: 'unasked' } as const
  assert.deepEqual(await loop(unasked, looping), [...deferrals(10), 'max-deferrals'])
})

// Otherwise one forged mail an hour would keep out an honest sender that retries from ever new networks.
test('forged mail that SPF speaks against takes nothing back of what was counted', async () => {
  const { attempt, wait } = setUp()
  const reasons: string[] = []
  for (let n = 0; n < 11; n += 1) {
    reasons.push(await attempt({ address: `100.${n}.1.1`, spf: 'open' }))
    assert.equal(await attempt({ address: `203.${n}.1.1`, spf: 'fail' }), 'new')
    wait(5 * MINUTE)
  }
  assert.deepEqual(reasons, [...deferrals(10), 'max-deferrals'])
})

test('attempts of other senders, and to other recipients, are not of the loop', async () => {
  const { attempt, wait } = setUp({ maxDeferrals: 3 })
  for (let n = 0; n < 20; n += 1) {
    assert.equal(
      await attempt({ address: `100.${n}.1.1`, sender: `person${'x'.repeat(n)}@example.org` }),
      'new',
    )
    assert.equal(await attempt({ address: `100.${n}.1.1`, recipient: `u${n}@example.com` }), 'new')
    wait(5 * MINUTE)
  }
})

test('senders that are made up for each message are one, with recipient or without', async () => {
  for (const recipient of ['u@example.com', '']) {
    const { attempt, wait } = setUp({ maxDeferrals: 3 })
    const reasons: string[] = []
    for (let n = 1; n <= 4; n += 1) {
      reasons.push(await attempt({ address: `100.${n}.1.1`, sender: `news+${n}@example.org`, recipient }))
      wait(5 * MINUTE)
    }
    assert.deepEqual(reasons, ['new', 'new', 'new', 'max-deferrals'])
  }
})

// A stranger with a /48 has 65,536 networks of ours.
test('a stranger who forges the sender from one network cannot keep it from getting through', async () => {
  const { attempt, wait } = setUp()
  const reasons: string[] = []
  for (let n = 0; n < 20; n += 1) {
    for (let minute = 0; minute < 5; minute += 1) {
      assert.equal(await attempt({ address: `2001:db8:1:${n * 5 + minute}::1` }), 'new')
      wait(MINUTE)
    }
    reasons.push(await attempt({ address: `100.${n}.1.1` }))
  }
  assert.ok(reasons.includes('max-deferrals'), reasons.join(' '))
})

test('deferrals are counted within one retry window', async () => {
  const bench = setUp({ maxDeferrals: 3 })
  for (let round = 0; round < 3; round += 1) {
    const address = (n: number) => `100.${n}.${round}.1`
    assert.deepEqual(await loop(bench, { count: 2, spacing: 5 * MINUTE, address }), ['new', 'new'])
    bench.wait(2 * DAY)
  }
})

test('a pass of the loop breaker earns nothing', async () => {
  const bench = setUp({ maxDeferrals: 3, autoWhitelist: { after: 1, spacing: HOUR, lifetime: 36 * DAY } })
  assert.equal((await loop(bench, { count: 4, spacing: 5 * MINUTE })).at(-1), 'max-deferrals')
  assert.equal(await bench.attempt({ address: '100.3.1.1', sender: 'x@example.org' }), 'new')
})

// An operator who exempts a sender that a stranger has forged lets the stranger in.
test('the hint names the setting that would have helped, and no domain that nobody has proved', async () => {
  const cases: Array<
    [settings: Partial<GreylistSettings>, from: Omit<From, 'address'>, hint: string | undefined]
  > = [
    [{}, {}, undefined],
    [{}, { spf: 'open' }, undefined],
    [{ widensBySpf: false }, { spf: 'pass' }, 'greylist.client.spf_domain'],
    [{ widensBySpf: false }, {}, undefined],
    [{}, { spf: 'pass' }, 'exempt.senders: example.org'],
    [{}, { wide: 'host:example.org' }, 'exempt.senders: example.org'],
    [{}, { wide: 'host:example.org', sender: 'a@news.example.org' }, 'exempt.senders: news.example.org'],
    [{}, { wide: 'host:example.net' }, undefined],
    [{}, { sender: 'postmaster' }, undefined],
  ]
  for (const [settings, from, hint] of cases) {
    const bench = setUp({ ...settings, maxDeferrals: 3 })
    const { wide, ...rest } = from
    const reasons = await loop(bench, { ...rest, count: 3, spacing: 5 * MINUTE })
    assert.deepEqual(reasons, deferrals(3))
    const outcome = await bench.outcomeOf({ ...from, address: '100.200.1.1' })
    assert.deepEqual([outcome.reason, outcome.hint], ['max-deferrals', hint], JSON.stringify(from))
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

test('who was let through while greymx observed is not held to have stayed away', async () => {
  const { greylister, outcomeOf, wait } = setUp({
    autoWhitelist: { after: 1, spacing: HOUR, lifetime: 36 * DAY },
  })
  const { judge } = observing(greylister)
  const proven = { wide: 'spf:example.org', address: '198.51.100.7' }
  assert.equal((await outcomeOf(proven)).reason, 'new')
  wait(5 * MINUTE)
  assert.equal((await outcomeOf(proven)).reason, 'retry')
  for (let count = 0; count < 20; count += 1) {
    await outcomeOf({ sender: `a${count}@example.net` }, judge)
    await outcomeOf({ ...proven, sender: `a${count}@example.org` }, judge)
  }
  const stranger = await outcomeOf({ sender: 'stranger@example.net' })
  assert.deepEqual([stranger.reason, stranger.retryIn], ['new', 4 * MINUTE], 'no crowd')
  assert.equal((await outcomeOf({ ...proven, sender: 'z@example.org' })).reason, 'auto-whitelist')
})

test('a store that fails at any step gives the configured answer, or does no harm', async () => {
  const burns = () => Promise.reject(new Error('it burns'))
  const cases: Array<[operation: keyof Store, reasons: string[]]> = [
    ['find', ['store-error', 'store-error']],
    ['add', ['store-error', 'store-error']],
    ['counts', ['store-error', 'store-error']],
    ['count', ['new', 'retry']],
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

/** Makes a store write passes in its own time, as one elsewhere does. */
function slowly(store: Store): Store {
  const pass = store.pass.bind(store)
  return Object.assign(store, {
    pass: (key: string, lifetime: number) => nextTurn().then(() => pass(key, lifetime)),
  })
}

/** Waits for the counts of first passes, for which no verdict waits. */
async function counted(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await nextTurn()
}

test('a domain counts for a carrier if half of what the carrier has sent is back with it', async () => {
  const through = (domain: string): From => ({
    wide: `spf:${domain}`,
    carriers: ['bulk.example'],
    sender: `a@${domain}`,
  })
  const { attempt, wait } = setUp({ maxDeferrals: 0 }, slowly)
  for (const domain of ['away.test', 'one.test', 'two.test'])
    assert.equal(await attempt(through(domain)), 'new')
  wait(5 * MINUTE)
  // Of three, one is back with the first domain, so that only the second one counts, and one more is needed.
  for (const domain of ['one.test', 'two.test']) assert.equal(await attempt(through(domain)), 'retry')
  await counted()
  assert.equal(await attempt(through('three.test')), 'new')
  wait(5 * MINUTE)
  assert.equal(await attempt(through('three.test')), 'retry')
  await counted()
  assert.equal(await attempt(through('four.test')), 'carrier')
})

test('a host’s domain that is whitelisted does not count while most of what its mail servers send stays away', async () => {
  const settings = { maxDeferrals: 0, autoWhitelist: { after: 9, spacing: HOUR, lifetime: 36 * DAY } }
  const bench = setUp(settings, slowly)
  const { attempt, wait } = bench
  const wide = 'host:farm.example'
  for (let bot = 0; bot < 12; bot += 1)
    await attempt({ wide, isMail: true, address: `100.${bot}.1.1`, sender: `bot${bot}@spam.test` })
  for (const [index, domain] of ['one.test', 'two.test', 'three.test'].entries()) {
    const address = `203.${index}.1.1`
    await firstPass(bench, { wide: `spf:${domain}`, host: 'farm.example', address, sender: `a@${domain}` }, 0)
    await counted()
    wait(HOUR)
  }
  const next = { wide, isMail: true, sender: 'x@new.test' } as const
  assert.equal(await attempt({ ...next, address: '100.200.1.1' }), 'new')
  // Once what stays away is forgotten, the whitelist counts again.
  wait(3 * DAY)
  assert.equal(await attempt({ ...next, address: '100.201.1.1' }), 'auto-whitelist')
})

test('a retry from another network is awaited for twelve hours, to the millisecond', async () => {
  for (const [waited, expected] of [
    [12 * HOUR - 1, 'retry'],
    [12 * HOUR, 'new'],
  ] as const) {
    const { attempt, wait } = setUp()
    const wide = 'spf:example.org'
    await attempt({ address: '192.0.2.7', wide })
    wait(waited)
    assert.equal(await attempt({ address: '198.51.100.7', wide }), expected)
  }
})

// A retry that comes to another host must not find the triplet as it was before the pass.
test('a pass is written before the MTA has its answer', async () => {
  let written = 0
  const { attempt, wait } = setUp({ maxDeferrals: 3 }, (store) => {
    const pass = store.pass.bind(store)
    return Object.assign(store, {
      pass: async (key: string, lifetime: number) => {
        await nextTurn()
        await pass(key, lifetime)
        written += 1
      },
    })
  })
  await attempt({ wide: 'spf:example.org' })
  wait(5 * MINUTE)
  assert.equal(await attempt({ wide: 'spf:example.org' }), 'retry')
  assert.equal(written, 2)
  for (let n = 0; n < 3; n += 1) {
    await attempt({ address: `100.${n}.1.1`, sender: 'loop@example.net' })
    wait(5 * MINUTE)
  }
  assert.equal(await attempt({ address: '100.9.1.1', sender: 'loop@example.net' }), 'max-deferrals')
  assert.equal(written, 3)
})

test('credit is counted for a day, to the millisecond', async () => {
  for (const [elapsed, expected] of [
    [DAY - 1, 'new'],
    [DAY, 'credit'],
  ] as const) {
    const { attempt, wait } = setUp({ maxDeferrals: 0, credit: { messages: 1, perNetwork: 1 } })
    const from = (user: string): From => ({ wide: 'spf:one.test', sender: `${user}@one.test` })
    assert.equal(await attempt(from('a')), 'credit')
    wait(elapsed)
    // By now, it has twice or four times as much.
    assert.equal(await attempt(from('b')), 'credit')
    assert.equal(await attempt(from('c')), expected)
  }
})

test('a pass lasts as long as it is used, and is not written for each message', async () => {
  // The form of this sender is not that of earlier versions, under which nothing is written.
  const sender = 'e3us-1623334985760-1d71a7II5eaccb@example.org'
  let written = 0
  const { attempt, wait } = setUp({ maxDeferrals: 0 }, (store) => {
    const pass = store.pass.bind(store)
    return Object.assign(store, {
      pass: (key: string, lifetime: number) => {
        written += 1
        return pass(key, lifetime)
      },
    })
  })
  await attempt({ sender })
  wait(5 * MINUTE)
  assert.equal(await attempt({ sender }), 'retry')
  assert.equal(await attempt({ sender }), 'known')
  assert.equal(written, 1)
  for (let use = 0; use < 4; use += 1) {
    wait(35 * DAY)
    assert.equal(await attempt({ sender }), 'known')
  }
  wait(36 * DAY)
  assert.equal(await attempt({ sender }), 'new')
})

test('a listing lasts as long as it is used, and is not written for each message', async () => {
  let written = 0
  const bench = setUp(
    { maxDeferrals: 0, autoWhitelist: { after: 1, spacing: HOUR, lifetime: 36 * DAY } },
    (store) => {
      const pass = store.pass.bind(store)
      return Object.assign(store, {
        pass: (key: string, lifetime: number) => {
          written += 1
          return pass(key, lifetime)
        },
      })
    },
  )
  const { attempt, wait } = bench
  await firstPass(bench, {}, 1)
  const before = written
  for (let mail = 0; mail < 5; mail += 1)
    assert.equal(await attempt({ sender: `a${mail}@b.test` }), 'auto-whitelist')
  assert.equal(written, before)
  for (let use = 0; use < 4; use += 1) {
    wait(35 * DAY)
    assert.equal(await attempt({ sender: `use${use}@b.test` }), 'auto-whitelist')
  }
  assert.equal(written, before + 4)
  wait(36 * DAY)
  assert.equal(await attempt({ sender: 'late@b.test' }), 'new')
})

test('to whom users write is noted only where that is set, and only of users who write to somebody', async () => {
  for (const [learnReplies, sender, recipient, kept] of [
    [DAY, 'u@example.com', 'friend@example.org', 2],
    [undefined, 'u@example.com', 'friend@example.org', 0],
    [DAY, '<>', 'friend@example.org', 0],
    [DAY, 'u@example.com', undefined, 0],
  ] as const) {
    const store = new MemoryStore(() => 0)
    const greylister = createGreylister({
      settings: { ...SETTINGS, ...(learnReplies && { learnReplies }) },
      exempt: () => ({ reason: 'authenticated', rule: 'rule' }),
      investigate: () => assert.fail('DNS was asked'),
      stores: { store },
    })
    await greylister.judge({
      client: {},
      authenticated: true,
      sender: parseAddress(sender),
      recipient: recipient === undefined ? undefined : parseAddress(recipient),
    })
    await nextTurn()
    // The correspondent, and the number of all of them.
    assert.equal(store.size, kept)
  }
})

test('with keys of client and sender alone, nothing is asked of a recipient', async () => {
  const { attempt, wait } = setUp({ learnReplies: DAY, credit: { messages: 0, perNetwork: 0 } })
  const from = { wide: 'spf:example.org', recipient: '' }
  assert.equal(await attempt(from), 'new')
  wait(5 * MINUTE)
  assert.equal(await attempt(from), 'retry')
})

test('who is exempt waits for nothing, whoever says so and whether or not the client is known', async () => {
  const store = new MemoryStore(() => 0)
  const network = 'network:192.0.2.0/24'
  const identity: Identity = {
    id: network,
    names: [network],
    carriers: [],
    network,
    spf: 'none',
    isNamed: false,
  }
  const exemption = { reason: 'exempt-client', rule: 'list.example' } as const
  const attempt: Attempt = {
    client: { address: parseIp('192.0.2.7') },
    authenticated: false,
    sender: parseAddress('a@example.org'),
    recipient: parseAddress('u@example.com'),
  }
  const passed = { attempt, verdict: 'pass', reason: 'exempt-client', waited: 0, retryIn: 0 } as const
  for (const [exempt, findings, expected] of [
    [exemption, {}, { ...passed, rule: 'list.example' }],
    [undefined, { identity, exemption }, { ...passed, rule: 'list.example', identity: network }],
    [undefined, {}, { ...passed, rule: 'no-address' }],
  ] as const) {
    const greylister = createGreylister({
      settings: SETTINGS,
      exempt: () => exempt,
      investigate: async () => ({ identity: undefined, exemption: undefined, ...findings }),
      stores: { store },
    })
    assert.deepEqual(await greylister.judge(attempt), expected)
  }
  assert.equal(store.size, 0)
})

test('below a domain that is whitelisted, one first pass is enough for a host, also where two are needed', async () => {
  const bench = setUp({ maxDeferrals: 0, autoWhitelist: { after: 2, spacing: HOUR, lifetime: 36 * DAY } })
  const firstOf = async (from: From) => {
    await firstPass(bench, from, 0)
    bench.wait(HOUR)
    return bench.attempt({ ...from, sender: `next@${from.address}.test`, recipient: 'v@example.com' })
  }
  const before = { wide: 'host:farm.example', address: '100.200.1.1', sender: 'a@new.test' }
  assert.equal(await firstOf(before), 'new')
  for (const [index, domain] of ['one.test', 'two.test', 'three.test'].entries())
    await firstOf({
      wide: `spf:${domain}`,
      host: 'farm.example',
      address: `203.${index}.1.1`,
      sender: `a@${domain}`,
    })
  const after = { wide: 'host:farm.example', address: '100.201.1.1', sender: 'b@new.test' }
  assert.equal(await firstOf(after), 'auto-whitelist')
})

test('after the loop breaker has let a sender through, it takes as many deferrals again', async () => {
  const bench = setUp({ maxDeferrals: 3 })
  for (const round of [1, 2]) {
    const address = (n: number) => `100.${10 * round + n}.1.1`
    const reasons = await loop(bench, { count: 4, spacing: 5 * MINUTE, address })
    assert.deepEqual(reasons.slice(0, 3), deferrals(3))
    assert.equal(reasons[3], 'max-deferrals')
    bench.wait(HOUR)
  }
})

test('when the store fails nobody is told to wait for a while, whatever the answer is', async () => {
  for (const [onStoreError, verdict] of [
    ['accept', 'pass'],
    ['local', 'pass'],
    ['tempfail', 'tempfail'],
  ] as const) {
    const { outcomeOf } = setUp({ onStoreError }, (store) =>
      Object.assign(store, { find: () => Promise.reject(new Error('gone')) }),
    )
    const { attempt, identity, ref, ...outcome } = await outcomeOf({})
    assert.deepEqual(outcome, { verdict, reason: 'store-error', waited: 0, retryIn: 0, error: 'gone' })
    assert.deepEqual([identity, ref?.length], ['network:192.0.2.0/24', 8])
    assert.equal(attempt.sender.text, 'a@example.org')
  }
})

test('what has stayed away is forgotten two days after the first of it, to the millisecond', async () => {
  for (const [elapsed, retryIn] of [
    [2 * DAY - 1, 80 * MINUTE],
    [2 * DAY, 4 * MINUTE],
  ] as const) {
    const { outcomeOf, wait } = setUp({ maxDeferrals: 0 })
    for (let bot = 0; bot < 4; bot += 1) await outcomeOf({ sender: `bot${bot}@example.org` })
    wait(elapsed)
    assert.equal((await outcomeOf({ sender: 'next@example.org' })).retryIn, retryIn)
  }
})
