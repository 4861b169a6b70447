// Tests of what operators do while greymx runs: rules that allow mail or switch greylisting off, and attempts that are
// only tried out.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from '../../src/address.ts'
import type { Attempt } from '../../src/attempt.ts'
import { compileRuntimeRules, type RuntimeRule } from '../../src/exempt/runtime-rules.ts'
import { createGreylister, type GreylistSettings } from '../../src/greylist/greylister.ts'
import type { Trial } from '../../src/greylist/trial.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { formatNetwork, networkOf, parseIp } from '../../src/ip.ts'
import { MemoryStore } from '../../src/store/memory.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

const SETTINGS: GreylistSettings = {
  times: { delay: 4 * MINUTE, retryWindow: 2 * DAY, lifetime: 36 * DAY },
  widensBySpf: true,
  prefixes: { ipv4: 24, ipv6: 64 },
  normalizeSender: true,
  autoWhitelist: { after: 1, spacing: HOUR, lifetime: 36 * DAY },
  maxDeferrals: 4,
  maxPending: 1000,
  credit: { messages: 2, perNetwork: 2 },
  onStoreError: 'accept',
}

function setUp(settings: Partial<GreylistSettings> = {}) {
  const clock = { now: 0 }
  const now = () => clock.now
  const store = new MemoryStore(now)
  let rules: RuntimeRule[] = []
  const greylister = createGreylister({
    settings: { ...SETTINGS, ...settings },
    exempt: () => undefined,
    runtimeRuleFor: (attempt) => compileRuntimeRules(rules, now)(attempt),
    investigate: (client, sender) => ({ identity: identityOf(client, sender), exemption: undefined }),
    stores: { store },
    now,
  })
  return {
    store,
    clock,
    use: (...next: RuntimeRule[]) => {
      rules = next
    },
    judge: greylister.judge,
    tryOut: greylister.tryOut,
  }
}

/** The identity of a client: SPF passes for senders in spf.test. */
function identityOf({ address }: Attempt['client'], { domain }: Attempt['sender']): Identity {
  assert.ok(address)
  const network = `network:${formatNetwork(networkOf(address, 24))}`
  const isVouched = domain === 'spf.test'
  const id = isVouched ? `spf:${domain}` : network
  return {
    id,
    names: isVouched ? [id, network] : [network],
    carriers: isVouched ? ['carrier.test'] : [],
    network,
    spf: isVouched ? 'pass' : 'none',
    host: undefined,
    provider: undefined,
    isNamed: true,
  }
}

function attemptOf(address = '192.0.2.7', sender = 'a@example.org', recipient = 'u@example.com'): Attempt {
  return {
    client: { address: parseIp(address), name: 'mail.example.org' },
    authenticated: false,
    sender: parseAddress(sender),
    recipient: parseAddress(recipient),
  }
}

test('where greylisting is off, mail passes whatever the verdict is, and what is new leaves nothing', async () => {
  const { store, clock, use, judge } = setUp()
  use({ id: '1', kind: 'off', recipient: 'example.com' })
  const { verdict, reason, would, rule } = await judge(attemptOf())
  assert.deepEqual([verdict, reason, would, rule], ['pass', 'off', 'new', 'off:1'])
  assert.equal(store.size, 0)
  const elsewhere = await judge(attemptOf('192.0.2.7', 'a@example.org', 'u@example.net'))
  assert.equal(elsewhere.reason, 'new')
  use()
  assert.equal((await judge(attemptOf())).reason, 'new')
  clock.now += 5 * MINUTE
  use({ id: '2', kind: 'off' })
  // What comes back is evidence as ever, and the verdict is its own.
  const back = await judge(attemptOf())
  assert.deepEqual([back.reason, back.rule], ['retry', undefined])
  assert.equal((await judge(attemptOf('203.0.113.1', 'b@spf.test'))).reason, 'off')
  use()
  assert.equal((await judge(attemptOf('203.0.113.1', 'b@spf.test'))).reason, 'credit', 'none was used up')
})

test('a rule holds until its end, and only for mail to which all of its criteria apply', async () => {
  const { clock, use, judge } = setUp()
  use({
    id: '7f',
    kind: 'allow',
    client: '192.0.2.0/24',
    sender: 'example.org',
    recipient: 'u@example.com',
    until: HOUR,
  })
  const reason = async (...parts: Parameters<typeof attemptOf>) => (await judge(attemptOf(...parts))).reason
  assert.equal(await reason(), 'exempt-recipient')
  assert.equal(await reason('192.0.2.7', 'a@example.org', 'v@example.com'), 'new')
  assert.equal(await reason('192.0.2.7', 'a@example.net'), 'new')
  assert.equal(await reason('198.51.100.7'), 'new')
  clock.now = HOUR
  assert.equal(await reason(), 'new')
  use({ id: '1', kind: 'allow', sender: 'a@' }, { id: '2', kind: 'allow', client: 'example.org' })
  assert.equal(await reason('203.0.113.9', 'a@other.test'), 'exempt-sender')
  assert.equal(await reason('203.0.113.9', 'b@other.test'), 'exempt-client')
})

test('a rule that allows mail counts before one that switches greylisting off, and a rule for all mail comes last', async () => {
  const { use, judge } = setUp()
  use(
    { id: 'all', kind: 'off' },
    { id: 'some', kind: 'off', recipient: 'u@example.com' },
    { id: 'allowed', kind: 'allow', sender: 'example.org' },
  )
  assert.equal((await judge(attemptOf())).rule, 'allow:allowed')
  assert.equal((await judge(attemptOf('192.0.2.7', 'a@x.test'))).rule, 'off:some')
  assert.equal((await judge(attemptOf('192.0.2.7', 'a@x.test', 'v@example.com'))).rule, 'off:all')
})

// A trial is what the next attempt will get, and it leaves no trace: a world in which attempts are tried out beforehand
// goes the same way as one in which they are not.
test('an attempt that is tried out gets the verdict that it would get, and changes nothing', async () => {
  const step = fc.record({
    address: fc.constantFrom('192.0.2.7', '192.0.2.8', '198.51.100.7', '203.0.113.7'),
    sender: fc.constantFrom('a@example.org', 'b@spf.test', 'c@spf.test', ''),
    recipient: fc.constantFrom('u@example.com', 'v@example.com'),
    wait: fc.constantFrom(0, MINUTE, 5 * MINUTE, 5 * HOUR, 3 * DAY),
    isOff: fc.boolean(),
  })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const [tried, other] = [setUp(), setUp()]
      for (const { address, sender, recipient, wait, isOff } of steps) {
        const attempt = attemptOf(address, sender, recipient)
        for (const world of [tried, other]) {
          world.clock.now += wait
          world.use(...(isOff ? [{ id: '1', kind: 'off' as const }] : []))
        }
        const before = [...tried.store.alive()]
        const expected = await tried.tryOut(attempt, { later: 0 })
        assert.deepEqual([...tried.store.alive()], before)
        const outcome = await tried.judge(attempt)
        assert.deepEqual(expected, outcome)
        assert.deepEqual(await other.judge(attempt), outcome)
      }
    }),
    { numRuns: 200 },
  )
})

test('a trial tells what the next attempt at a later time gets', async () => {
  const { judge, tryOut } = setUp()
  await judge(attemptOf())
  const at = async (later: number) => {
    const { reason, waited, retryIn } = await tryOut(attemptOf(), { later })
    return [reason, waited, retryIn]
  }
  assert.deepEqual(await at(0), ['early', 0, 4 * MINUTE])
  assert.deepEqual(await at(3 * MINUTE), ['early', 3 * MINUTE, MINUTE])
  assert.deepEqual(await at(4 * MINUTE), ['retry', 4 * MINUTE, 0])
  assert.deepEqual(await at(2 * DAY), ['new', 0, 4 * MINUTE])
})

test('a trial collects what was found on the way', async () => {
  const { judge, tryOut, clock } = setUp({ credit: { messages: 1, perNetwork: 1 } })
  const attempt = attemptOf('192.0.2.7', 'b@spf.test')
  await judge(attemptOf('192.0.2.7', 'a@spf.test'))
  await judge(attempt)
  clock.now += MINUTE
  const trial: Trial = { later: 0 }
  await tryOut(attempt, trial)
  assert.equal(trial.form, 'b@spf.test')
  assert.deepEqual(
    trial.entries?.map(({ name, entry }) => [name, entry?.age]),
    [
      ['spf:spf.test', MINUTE],
      ['network:192.0.2.0/24', MINUTE],
    ],
  )
  assert.equal(trial.first?.entry?.age, MINUTE)
  assert.deepEqual(trial.crowd, { name: 'network:192.0.2.0/24', isCrowded: false })
  assert.equal(trial.findings?.identity?.spf, 'pass')
  assert.equal(trial.times?.delay, 4 * MINUTE)
  assert.deepEqual(trial.evidence?.names, ['spf:spf.test', 'network:192.0.2.0/24', 'carrier:carrier.test'])
})
