// Tests of what operators may ask, over the memory store and a clock that the test moves: the calls of the table, as
// admin/ runs them, beside a greylister that judges mail. Two hosts share the store where rules have to reach the other.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import type { Attempt } from '../../src/attempt.ts'
import { clientOf } from '../../src/doors/client.ts'
import { compileExemptSteps, type ExemptSettings } from '../../src/exempt/exempt.ts'
import { createGreylister, type GreylistSettings } from '../../src/greylist/greylister.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { formatNetwork, networkOf } from '../../src/ip.ts'
import { Refusal } from '../../src/operator/call.ts'
import { noteImport } from '../../src/operator/imports.ts'
import { Operator } from '../../src/operator/operator.ts'
import { MAX_RULES } from '../../src/operator/rulebook.ts'
import { storedBy } from '../../src/operator/stored.ts'
import type { Outcome } from '../../src/outcome.ts'
import { MemoryStore } from '../../src/store/memory.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const START = Date.parse('2026-02-28T22:30:00Z')

const SETTINGS: GreylistSettings = {
  times: { delay: 4 * MINUTE, retryWindow: DAY, lifetime: 36 * DAY },
  widensBySpf: true,
  prefixes: { ipv4: 24, ipv6: 64 },
  normalizeSender: true,
  autoWhitelist: { after: 1, spacing: HOUR, lifetime: 36 * DAY },
  maxDeferrals: 4,
  maxPending: 1000,
  onStoreError: 'accept',
}

const EXEMPT: ExemptSettings = {
  authenticated: true,
  tlsClients: [],
  clients: [],
  senders: [],
  recipients: [{ kind: 'local', local: 'postmaster' }],
  trustedRelays: [],
  greylisted: 'store',
}
const NO_LISTS = { clients: [], senders: [], recipients: [] }

/** SPF passes for senders in spf.test. */
function identityOf({ address, name }: Attempt['client'], { domain }: Attempt['sender']): Identity {
  assert.ok(address)
  const network = `network:${formatNetwork(networkOf(address, address.kind === 'ipv4' ? 24 : 64))}`
  const id = domain === 'spf.test' ? `spf:${domain}` : network
  const names = id === network ? [network] : [id, network]
  const spf = id === network ? 'none' : 'pass'
  return { id, names, carriers: [], network, spf, isNamed: name !== undefined }
}

function setUp(settings: Partial<GreylistSettings> = {}) {
  const clock = { now: START }
  const store = new MemoryStore(() => clock.now)
  const problems: string[] = []
  const host = (name: string) => {
    const operator = new Operator({
      records: () => store,
      store: () => store,
      host: name,
      now: () => clock.now,
      onProblem: (problem) => problems.push(problem),
    })
    const exemptSteps = compileExemptSteps(EXEMPT, NO_LISTS, operator.exemptByStore)
    const greylister = createGreylister({
      settings: { ...SETTINGS, ...settings },
      exempt: (attempt) => exemptSteps.map(({ exempt }) => exempt(attempt)).find(Boolean),
      runtimeRuleFor: (attempt) => operator.ruleFor(attempt),
      hasImports: operator.hasImports,
      investigate: (client, sender) => ({ identity: identityOf(client, sender), exemption: undefined }),
      stores: { store },
      now: () => clock.now,
    })
    operator.use({
      greylister,
      exemptSteps,
      nat64Prefixes: [],
      judgesRecipients: true,
      stored: storedBy({ ...SETTINGS, ...settings }),
      areRecipientsInStore: true,
      retryWindow: 48 * HOUR,
    })
    return {
      operator,
      async judge(
        client = '198.51.100.7',
        sender = 'a@example.org',
        recipient = 'b@example.com',
        hostName?: string,
      ) {
        const outcome = await greylister.judge({
          client: clientOf(client, hostName, []),
          authenticated: false,
          sender: parseAddress(sender),
          recipient: parseAddress(recipient),
        })
        operator.take(outcome)
        return outcome
      },
      // biome-ignore lint/suspicious/noExplicitAny: each call has an answer of its own shape, which the tests look into.
      async call(callName: string, params: object): Promise<any> {
        const call = operator.calls.find((each) => each.name === callName) ?? assert.fail(callName)
        const read = call.params.parse(params)
        const answer = call.run(read, { name: 'uid 0 (root)' }, new AbortController().signal)
        if (!call.isStream) return call.result.parse(await answer)
        const items: unknown[] = []
        for await (const item of answer as AsyncIterable<unknown>) items.push(call.result.parse(item))
        return items
      },
    }
  }
  const [mx1, mx2] = [host('mx1'), host('mx2')]
  return {
    store,
    clock,
    problems,
    mx1,
    mx2,
    /** Lets the hosts look whether rules have changed, as they do twice a second. */
    async poll() {
      for (const { operator } of [mx1, mx2]) await operator.start()
    },
    async close() {
      for (const { operator } of [mx1, mx2]) await operator.close()
    },
  }
}

function refused(kind: Refusal['kind'], message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof Refusal, String(error))
    assert.equal(error.kind, kind)
    assert.match(error.message, message)
    return true
  }
}

test('what is switched off on one MX is off on the other, until it is switched on there', async () => {
  const { mx1, mx2, poll, close } = setUp()
  const reasons = async (): Promise<Array<Outcome['reason']>> => [
    (await mx1.judge()).reason,
    (await mx2.judge()).reason,
  ]
  const off = await mx1.call('off', { to: 'example.com', for: '2h', why: 'migration' })
  assert.deepEqual(
    [off.kind, off.recipient, off.by, off.why],
    ['off', 'example.com', 'uid 0 (root)', 'migration'],
  )
  assert.equal(off.until, new Date(START + 2 * HOUR).toISOString())
  await poll()
  assert.deepEqual(await reasons(), ['off', 'off'])
  assert.deepEqual((await mx2.call('rules', {})).rules, [off])
  const { ended } = await mx2.call('on', { to: 'EXAMPLE.com' })
  assert.equal(ended.length, 1)
  await poll()
  assert.deepEqual(await reasons(), ['new', 'early'])
  await assert.rejects(
    mx1.call('on', { to: 'example.com' }),
    refused('unknown', /no such rule: there are none/),
  )
  await close()
})

test('a rule ends by itself, and is listed for a week', async () => {
  const { mx1, clock, close } = setUp()
  await mx1.call('off', { for: '1h' })
  assert.equal((await mx1.judge()).reason, 'off')
  clock.now += HOUR
  assert.equal((await mx1.judge()).reason, 'new')
  assert.equal((await mx1.call('rules', {})).rules[0].isOver, true)
  await assert.rejects(mx1.call('on', {}), refused('unknown', /there are none/))
  clock.now += 8 * DAY
  await mx1.call('off', { to: 'x.test' })
  assert.equal((await mx1.call('rules', {})).rules.length, 1)
  await close()
})

test('a reference is enough to let a message pass, on either MX, after its first deferral', async () => {
  const { mx1, mx2, clock, poll, close } = setUp()
  const { ref } = await mx1.judge('198.51.100.7', 'Ann@example.org', 'b@example.com')
  await mx1.call('show', { ref })
  await mx2.call('allow', { ref })
  await poll()
  const passed = await mx1.judge('203.0.113.9', 'ann@example.org', 'b@example.com')
  assert.deepEqual([passed.reason, passed.rule?.slice(0, 6)], ['exempt-recipient', 'allow:'])
  assert.equal((await mx1.judge('203.0.113.9', 'ann@example.org', 'c@example.com')).reason, 'new')
  clock.now += 31 * DAY
  assert.notEqual(
    (await mx2.judge('192.0.2.9', 'ann@example.org', 'b@example.com')).reason,
    'exempt-recipient',
  )
  await assert.rejects(
    mx1.call('allow', { ref: '00000000' }),
    refused('unknown', /nothing is known of 00000000/),
  )
  await assert.rejects(
    mx1.call('allow', { for: '1h' }),
    refused('unsuited', /expected ref, client, sender or recipient/),
  )
  await close()
})

test('a reference of messages whose sender varies lets all of them pass, and a sender that no rule can name does by its client', async () => {
  const { mx1, clock, poll, close } = setUp()
  const { ref } = await mx1.judge('198.51.100.7', 'bounce-4711-b=example.com@lists.test', 'b@example.com')
  clock.now += MINUTE
  const next = await mx1.judge('203.0.113.7', 'bounce-4712-b=example.com@lists.test', 'b@example.com')
  assert.equal(next.ref, ref)
  const rule = await mx1.call('allow', { ref })
  assert.deepEqual([rule.sender, rule.recipient], ['lists.test', 'b@example.com'])
  await poll()
  const later = await mx1.judge('192.0.2.7', 'bounce-4713-b=example.com@lists.test', 'b@example.com')
  assert.equal(later.reason, 'exempt-recipient')
  for (const [index, sender] of ['a*b@example.org', '"a b@c"', '/x/@example.org', ''].entries()) {
    const client = `198.51.100.${index}`
    const { ref: odd } = await mx1.judge(client, sender, 'c@example.com')
    await mx1.call('allow', { ref: odd })
    assert.equal((await mx1.judge(client, sender, 'c@example.com')).reason, 'exempt-recipient', sender)
  }
  await close()
})

test('there is a bound on rules, and rules that cannot be read are left out and told', async () => {
  const { mx1, store, problems, close } = setUp()
  const fields = new Map<string, string>()
  for (let n = 0; n < MAX_RULES; n += 1)
    fields.set(`r${n}`, JSON.stringify({ kind: 'off', recipient: `d${n}.test`, by: 'x', madeAt: START }))
  await store.changeRecord('rules', fields)
  await mx1.operator.start()
  assert.equal((await mx1.judge('192.0.2.1', 'a@b.test', 'u@d77.test')).reason, 'off')
  await assert.rejects(mx1.call('off', {}), refused('unavailable', /1000 rules already/))
  const broken = {
    r1: 'no JSON',
    r2: '{"kind":"explode"}',
    r3: '{"kind":"off","recipient":"*","by":"x","madeAt":1}',
  }
  await store.changeRecord('rules', new Map(Object.entries(broken)))
  await mx1.operator.start()
  assert.equal((await mx1.judge('192.0.2.1', 'a@b.test', 'u@d77.test')).reason, 'off')
  assert.match(
    problems.join('\n'),
    /rule r1 is left out: .*\n.*rule r2 is left out: unknown kind "explode"\n.*rule r3 is left out: expected/,
  )
  await close()
})

test('a message that is expected passes at its first try, once it is asked for and until its time is over', async () => {
  const { mx1, clock, close } = setUp()
  await mx1.call('expect', { to: 'b@example.com', from: 'shop.test', for: '15m' })
  const from = (sender: string) => mx1.judge('192.0.2.1', sender, 'b@example.com', 'mail.shop.test')
  assert.equal((await from('code@mail.shop.test')).reason, 'expected')
  assert.equal((await from('code@other.test')).reason, 'new')
  clock.now += 15 * MINUTE
  assert.equal((await from('other@shop.test')).reason, 'new')
  await close()
})

test('an explanation has each rule in its order, what decided, and what a later attempt gets', async () => {
  const { mx1, mx2, clock, store, close } = setUp()
  const { ref } = await mx1.judge()
  await mx1.call('report', {}) // writes what this host has noted
  clock.now += MINUTE
  const before = [...store.alive()]
  const found = await mx2.call('explain', {
    client: '198.51.100.7',
    from: 'a@example.org',
    to: 'b@example.com',
  })
  assert.deepEqual([...store.alive()], before)
  assert.equal(found.ref, ref)
  assert.deepEqual(
    [found.outcome.verdict, found.outcome.reason, found.outcome.retryIn],
    ['tempfail', 'early', 3 * MINUTE],
  )
  assert.deepEqual([found.later.in, found.later.outcome.reason], [3 * MINUTE, 'retry'])
  assert.deepEqual(
    found.steps.map((step: { rule: string }) => step.rule),
    [
      'exempt.authenticated',
      'exempt.tls_clients',
      'exempt.clients',
      'exempt.senders',
      'exempt.recipients',
      'recipients',
      'rules made at run time',
      'exempt.spf, dnswl, only_if_listed, only_if',
      'names of the client',
      'auto-whitelist',
      'crowd',
      'triplet',
    ],
  )
  const decisive = (steps: Array<{ decides: boolean; rule: string; found: string }>) =>
    steps.filter(({ decides }) => decides).map(({ rule, found: what }) => `${rule}: ${what}`)
  assert.deepEqual(decisive(found.steps), ['triplet: has waited 1m, under network:198.51.100.0/24'])
  assert.equal(found.history.length, 1)
  assert.equal(found.history[0].mx, 'mx1')
  assert.deepEqual((await mx2.call('explain', { ref })).outcome, found.outcome)
  const later = await mx2.call('explain', { ref, in: '30m' })
  assert.deepEqual([later.later.in, later.later.outcome.waited], [30 * MINUTE, 31 * MINUTE])

  const exempt = await mx2.call('explain', { client: '::1', from: '<>', to: 'postmaster@example.com' })
  assert.deepEqual(decisive(exempt.steps), ['exempt.recipients: exempt by postmaster@'])
  const { id } = await mx2.call('off', { to: 'example.com' })
  const off = await mx2.call('explain', { ref })
  assert.deepEqual([off.outcome.reason, off.outcome.would], ['off', 'early'])
  assert.deepEqual(decisive(off.steps), [`rules made at run time: greylisting is off for it, by ${id}`])
  await assert.rejects(
    mx1.call('explain', { client: '192.0.2.1' }),
    refused('unsuited', /expected either ref/),
  )
  await close()
})

test('an attempt that would be new is explained with its retry', async () => {
  const { mx1, store, close } = setUp()
  const later = async (time?: string) => {
    const attempt = { client: '192.0.2.1', from: 'n@n.test', to: 'b@example.com', in: time }
    const found = await mx1.call('explain', attempt)
    assert.deepEqual([found.outcome.verdict, found.outcome.reason], ['tempfail', 'new'])
    const { verdict, reason, waited, retryIn } = found.later.outcome
    return [found.later.in, verdict, reason, waited, retryIn]
  }
  assert.deepEqual(await later(), [4 * MINUTE, 'pass', 'retry', 4 * MINUTE, 0])
  assert.deepEqual(await later('1m'), [MINUTE, 'tempfail', 'early', MINUTE, 3 * MINUTE])
  assert.deepEqual(await later('2d'), [2 * DAY, 'tempfail', 'new', 0, 4 * MINUTE])
  assert.deepEqual([...store.alive()], [])
  await close()
})

test('triplets are listed with what their keys tell, first attempts by the ledger', async () => {
  const { mx1, clock, close } = setUp()
  await mx1.judge('198.51.100.7', 'a@example.org', 'b@example.com')
  await mx1.judge('192.0.2.1', 'c@spf.test', 'b@example.com')
  clock.now += 5 * MINUTE
  await mx1.judge('192.0.2.1', 'c@spf.test', 'b@example.com')
  const shown = (entries: Array<Record<string, unknown>>) =>
    entries.map(({ state, client, sender, recipient }) => [state, client, sender, recipient].join(' ')).sort()
  assert.deepEqual(shown(await mx1.call('list', {})), [
    'passed network:192.0.2.0/24 c@spf.test b@example.com',
    'passed spf:spf.test c@spf.test b@example.com',
    'waiting network:198.51.100.0/24 a@example.org b@example.com',
  ])
  assert.deepEqual(shown(await mx1.call('list', { state: 'waiting' })), [
    'waiting network:198.51.100.0/24 a@example.org b@example.com',
  ])
  assert.equal((await mx1.call('list', { client: '192.0.2.1' })).length, 1)
  assert.equal((await mx1.call('list', { client: '198.51.0.0/16' })).length, 1)
  assert.equal((await mx1.call('list', { client: 'spf.test' })).length, 1)
  assert.equal((await mx1.call('list', { sender: 'spf.test' })).length, 2)
  assert.equal((await mx1.call('list', { recipient: 'b@example.com', limit: 2 })).length, 2)
  assert.equal((await mx1.call('list', { older: '1m' })).length, 1)
  const [oldest] = await mx1.call('list', { sort: 'age', limit: 1 })
  assert.deepEqual([oldest.age, oldest.sender], [5 * MINUTE, 'a@example.org'])
  await close()
})

test('an explanation has what is kept of a sender for all recipients, and the domain that an import has listed', async () => {
  const { mx1, store, poll, close } = setUp()
  await store.pass('t:network:198.51.100.0/24|a@example.org', DAY)
  const given = { client: '198.51.100.7', from: 'a@example.org', to: 'b@example.com' }
  assert.equal((await mx1.call('explain', given)).outcome.reason, 'new', 'nothing was imported')
  await noteImport(store, START + DAY, START)
  await poll()
  const kept = await mx1.call('explain', given)
  assert.equal(kept.outcome.reason, 'known')
  assert.deepEqual(kept.names[0].key, 't:network:198.51.100.0/24|a@example.org')
  assert.equal(kept.names[0].entry, 'passed')
  const other = await mx1.call('explain', { ...given, from: 'c@example.net' })
  assert.deepEqual(other.names[0].key, 't:network:198.51.100.0/24|c@example.net|b@example.com')
  const listed = 'domain:example.net+network:198.51.100.0/24'
  await store.pass(`w:${listed}`, DAY)
  const { outcome, steps } = await mx1.call('explain', { ...given, from: 'c@example.net' })
  assert.deepEqual([outcome.reason, outcome.evidence], ['auto-whitelist', listed])
  assert.ok(JSON.stringify(steps).includes(`${listed} is listed`))
  await close()
})

test('what waits is listed with the newest first, and is found by each of its names', async () => {
  const { mx1, clock, close } = setUp()
  const waiting = async (params: object = {}) =>
    (await mx1.call('waiting', params)).map(({ sender }: { sender: string }) => sender)
  const first = await mx1.judge('198.51.100.7', 'a@example.org', 'b@example.com', 'out.relay.test')
  clock.now += 2 * HOUR
  await mx1.judge('192.0.2.1', 'c@spf.test', 'b@example.com')
  await mx1.judge('203.0.113.9', 'late@example.net', 'd@example.com')
  assert.deepEqual((await waiting()).sort(), ['a@example.org', 'c@spf.test', 'late@example.net'])
  assert.deepEqual((await waiting()).at(-1), 'a@example.org')
  assert.deepEqual(await waiting({ before: new Date(START + HOUR).toISOString() }), ['a@example.org'])
  assert.equal((await waiting({ limit: 2 })).length, 2)
  const names = ['a@example.org', 'EXAMPLE.org', '198.51.100.7', '198.51.0.0/16', 'relay.test', first.ref]
  for (const about of names) assert.deepEqual(await waiting({ about }), ['a@example.org'], about)
  assert.equal((await waiting({ about: 'b@example.com' })).length, 2)
  for (const about of ['nobody.test', '10.0.0.0/8', 'ffffffff', '<img src=x>', '/(/', '@', ''])
    assert.deepEqual(await waiting({ about }), [], about)
  assert.equal((await mx1.call('list', { about: 'example.com' })).length, 3)
  assert.equal((await mx1.call('list', { about: first.ref })).length, 1)
  clock.now += 5 * MINUTE
  await mx1.judge('192.0.2.1', 'c@spf.test', 'b@example.com')
  assert.deepEqual((await waiting()).sort(), ['a@example.org', 'late@example.net'])
  clock.now += 47 * HOUR
  assert.deepEqual(await waiting(), ['late@example.net'], 'the retry window of the other is over')
  await close()
})

test('changes are listed on every MX, with who made them and why', async () => {
  const { mx1, mx2, clock, close } = setUp()
  await mx1.call('off', { to: 'example.com', for: '2h', why: 'migration' })
  clock.now += DAY
  await mx2.call('forget', { address: 'a@example.org', why: 'he asked for it' })
  await assert.rejects(mx1.call('on', { id: 'abcdef' }), refused('unknown', /no such rule/))
  const { changes } = await mx1.call('changes', {})
  assert.deepEqual(
    changes.map(({ at, who, call, params, why, mx }: Record<string, unknown>) => [
      at,
      who,
      call,
      params,
      why,
      mx,
    ]),
    [
      [new Date(START + DAY).toISOString(), 'uid 0 (root)', 'forget', '', 'he asked for it', 'mx2'],
      [
        new Date(START).toISOString(),
        'uid 0 (root)',
        'off',
        '{"to":"example.com","for":7200000}',
        'migration',
        'mx1',
      ],
    ],
  )
  assert.equal((await mx1.call('changes', { days: 1 })).changes.length, 1)
  clock.now += 91 * DAY
  assert.deepEqual((await mx1.call('changes', { days: 90 })).changes, [])
  await close()
})

test('every change can be taken back within the hour, once, where it was made', async () => {
  const { mx1, mx2, clock, close } = setUp()
  const lastChange = async (host = mx1) => (await host.call('changes', {})).changes[0]
  const holding = async () =>
    (await mx1.call('rules', {})).rules.map(
      ({ kind, recipient }: Record<string, string>) => `${kind} ${recipient}`,
    )
  const undo = async () => {
    const { id } = await lastChange()
    clock.now += 1
    await mx1.call('undo', { id })
    clock.now += 1
    return id
  }
  await mx1.call('allow', { recipient: 'b@example.com' })
  assert.deepEqual(await holding(), ['allow b@example.com'])
  assert.deepEqual([(await lastChange()).undo, (await lastChange(mx2)).undo], [true, false])
  const id = await undo()
  assert.deepEqual(await holding(), [])
  await assert.rejects(mx1.call('undo', { id }), refused('unknown', /expected a change/))
  const last = await lastChange()
  assert.deepEqual([last.call, last.params, last.undo], ['undo', `{"id":"${id}"}`, false])

  await mx1.call('off', { to: 'b@example.com' })
  clock.now += 1
  await mx1.call('on', { to: 'b@example.com' })
  assert.deepEqual(await holding(), [])
  await undo()
  assert.deepEqual(await holding(), ['off b@example.com'])
  assert.equal((await mx1.judge()).reason, 'off')
  await mx1.call('on', { to: 'b@example.com' })

  await mx1.call('expect', { to: 'b@example.com', for: '1h' })
  await undo()
  assert.equal((await mx1.judge('192.0.2.1', 'c@spf.test', 'b@example.com')).reason, 'new')

  const { ref } = await mx1.judge('203.0.113.9', 'x@example.net', 'b@example.com')
  await mx1.judge('192.0.2.1', 'c@spf.test', 'b@example.com')
  clock.now += 5 * MINUTE
  await mx1.judge('192.0.2.1', 'c@spf.test', 'b@example.com')
  clock.now += MINUTE
  const before = await mx1.call('list', {})
  const [deferral] = (await mx1.call('show', { ref })).deferrals
  const { forgotten } = await mx1.call('forget', { recipient: 'b@example.com' })
  assert.ok(forgotten >= 2, `${forgotten}`)
  assert.equal((await mx1.call('list', {})).length, 0)
  await mx1.call('undo', { id: (await lastChange()).id })
  const withoutAge = (entries: Array<Record<string, unknown>>) =>
    entries.map(({ state, key }) => `${state} ${key}`).sort()
  assert.deepEqual(withoutAge(await mx1.call('list', {})), withoutAge(before))
  assert.deepEqual((await mx1.call('show', { ref })).deferrals, [deferral])
  assert.equal((await mx1.judge('203.0.113.9', 'x@example.net', 'b@example.com')).reason, 'retry')
  await close()
})

test('what was expected before is expected again, and what is expected anew remains', async () => {
  const { mx1, mx2, clock, close } = setUp()
  const params = { to: 'b@example.com' }
  const lastChange = async (host = mx1) => (await host.call('changes', {})).changes[0]
  let messages = 0
  const first = async () => {
    messages += 1
    return (await mx1.judge('192.0.2.1', `m${messages}@spf.test`, params.to)).reason
  }
  await mx1.call('expect', { ...params, for: '3h' })
  clock.now += MINUTE
  await mx1.call('expect', { ...params, for: '1h' })
  const second = await lastChange()
  clock.now += MINUTE
  await mx1.call('undo', { id: second.id })
  clock.now += 2 * HOUR
  assert.equal(await first(), 'expected', 'the first call is good for three hours')
  clock.now += HOUR
  assert.equal(await first(), 'new')

  await mx1.call('expect', { ...params, for: '1h' })
  const own = await lastChange()
  clock.now += MINUTE
  await mx2.call('expect', { ...params, for: '2h' })
  assert.equal((await lastChange(mx2)).undo, false, 'nobody there knows the end of the other')
  await assert.rejects(mx1.call('undo', { id: own.id }), refused('unsuited', /expected anew/))
  assert.equal(await first(), 'expected')
  await close()
})

test('a change that another operator has changed already is not taken back', async () => {
  const { mx1, mx2, close } = setUp()
  const { id: rule } = await mx1.call('allow', { recipient: 'b@example.com' })
  const [{ id }] = (await mx1.call('changes', {})).changes
  await mx2.call('on', { id: rule })
  await assert.rejects(
    mx1.call('undo', { id }),
    refused('unsuited', new RegExp(`rule ${rule} has been ended`)),
  )
  await close()
})

test('a change is taken back once, also by two at once, and again if the store did not answer', async () => {
  const { mx1, store, close } = setUp()
  await mx1.call('expect', { to: 'b@example.com', for: '1h' })
  await mx1.call('expect', { to: 'b@example.com', from: 'example.net', for: '1h' })
  const kept = async () => {
    const keys = new Map<string, unknown>()
    for await (const batch of store.scanKeys(new AbortController().signal))
      for (const { key, value } of batch) keys.set(key, typeof value === 'number' ? value : value.passed)
    return new Map([...keys].sort())
  }
  const before = await kept()
  assert.equal([...before.values()].filter((value) => typeof value === 'number').length, 2)
  await mx1.call('forget', { address: 'b@example.com' })
  assert.equal((await kept()).size, 0)
  const { changes } = await mx1.call('changes', {})
  const { id } = changes.find(({ call }: Record<string, string>) => call === 'forget')

  const { count } = store
  let tries = 0
  store.count = async (...args) => {
    tries += 1
    if (tries === 2) throw new Error('the store is away')
    return count.apply(store, args)
  }
  await assert.rejects(mx1.call('undo', { id }), /the store is away/)
  const results = await Promise.allSettled([mx1.call('undo', { id }), mx1.call('undo', { id })])
  assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  assert.deepEqual(await kept(), before)
  await close()
})

test('everything about an address is forgotten, and what nobody can tell is counted', async () => {
  const { mx1, store, clock, close } = setUp()
  const longSender = `${'x'.repeat(60)}@${'y'.repeat(60)}.test`
  await mx1.judge('198.51.100.7', 'a@example.org', 'b@example.com')
  await mx1.judge('198.51.101.7', 'a@example.org', 'other@example.com')
  await mx1.judge('192.0.2.1', 'c@spf.test', 'b@example.com')
  await mx1.judge('203.0.113.1', longSender, 'other@example.com')
  await mx1.call('expect', { to: 'b@example.com', for: '1h' })
  clock.now += 5 * MINUTE
  await mx1.judge('203.0.113.1', longSender, 'other@example.com')
  const { forgotten, deferrals, unreadable } = await mx1.call('forget', { address: 'B@example.com' })
  assert.equal(deferrals, 2)
  assert.ok(forgotten >= 4, `${forgotten}`)
  assert.ok(unreadable >= 1, `${unreadable}`)
  const left = [...store.alive()].map(([key]) => key).join('\n')
  assert.doesNotMatch(left, /b@example\.com/)
  assert.equal((await mx1.judge('198.51.100.7', 'a@example.org', 'b@example.com')).reason, 'new')
  assert.equal((await mx1.judge('198.51.101.7', 'a@example.org', 'other@example.com')).reason, 'retry')
  const { ref } = await mx1.judge('198.51.100.9', 'z@example.org', 'b@example.com')
  assert.ok((await mx1.call('forget', { ref })).forgotten >= 1)
  assert.equal((await mx1.judge('198.51.100.9', 'z@example.org', 'b@example.com')).reason, 'new')
  await assert.rejects(mx1.call('forget', {}), refused('unsuited', /expected ref, or address/))
  await assert.rejects(
    mx1.call('forget', { ref, address: 'a@b.test' }),
    refused('unsuited', /expected ref, or address/),
  )
  await close()
})

test('a report tells what came back, and ranks what never did and looks wanted', async () => {
  const { mx1, clock, close } = setUp()
  const ok = await mx1.judge('192.0.2.1', 'first@spf.test', 'b@example.com')
  assert.equal(ok.reason, 'new')
  await mx1.judge('192.0.2.2', 'lost@spf.test', 'c@example.com', 'out.spf.test')
  await mx1.judge('203.0.113.5', 'spam@example.net', 'b@example.com')
  clock.now += 10 * MINUTE
  assert.equal((await mx1.judge('192.0.2.1', 'first@spf.test', 'b@example.com')).reason, 'retry')
  clock.now += 5 * HOUR
  await mx1.judge('203.0.113.6', 'late@example.net', 'b@example.com')
  const report = await mx1.call('report', { lost: true })
  assert.deepEqual([report.deferred, report.returned, report.waiting, report.neverReturned], [4, 1, 1, 2])
  assert.deepEqual(report.delays, { half: 10 * MINUTE, nineOfTen: 10 * MINUTE, longest: 10 * MINUTE })
  assert.deepEqual(
    report.lost.map(({ sender, score, allow }: { sender: string; score: number; allow: string[] }) => [
      sender,
      score,
      allow,
    ]),
    [['lost@spf.test', 6, ['--client', '192.0.2.2', '--sender', 'spf.test']]],
  )
  clock.now += 8 * DAY
  assert.equal((await mx1.call('report', {})).deferred, 0)
  await close()
})

test('a message came back for whatever reason it passes: its client is listed, an operator has allowed it, it was deferred too often', async () => {
  const { mx1, mx2, clock, close } = setUp()
  const shownAt = async (ref: string | undefined) => (await mx2.call('show', { ref })).deferrals[0]
  let wandering = await mx1.judge('203.0.113.1', 'w@w.test')
  for (let network = 0; wandering.reason !== 'max-deferrals'; network += 1) {
    clock.now += MINUTE
    wandering = await mx1.judge(`45.0.${network}.1`, 'w@w.test')
  }
  assert.equal(wandering.waited, 0, 'from another network each time')
  const one = await mx1.judge('198.51.100.7', 'a@spf.test', 'one@example.com')
  const other = await mx1.judge('198.51.100.7', 'a@spf.test', 'other@example.com')
  const allowed = await mx1.judge('192.0.2.1', 'b@b.test')
  const away = await mx1.judge('192.0.2.1', 'c@c.test')
  clock.now += 5 * MINUTE
  assert.equal((await mx1.judge('198.51.100.7', 'a@spf.test', 'one@example.com')).reason, 'retry')
  const listed = await mx1.judge('198.51.100.7', 'a@spf.test', 'other@example.com')
  assert.deepEqual([listed.reason, listed.waited], ['auto-whitelist', 5 * MINUTE])
  const first = await mx1.judge('198.51.100.7', 'a@spf.test', 'first@example.com')
  assert.deepEqual([first.reason, first.waited], ['auto-whitelist', 0])
  await mx1.call('allow', { ref: allowed.ref })
  assert.equal((await mx1.judge('192.0.2.1', 'b@b.test')).reason, 'exempt-recipient')
  await mx1.call('report', {}) // writes what this host has noted

  for (const { ref } of [one, other, allowed])
    assert.equal((await shownAt(ref)).returnedAt, new Date(clock.now).toISOString())
  assert.equal((await shownAt(wandering.ref)).returnedAt, new Date(clock.now - 5 * MINUTE).toISOString())
  assert.equal((await shownAt(away.ref)).returnedAt, undefined)
  const found = await mx2.call('report', {})
  assert.deepEqual([found.deferred, found.returned, found.waiting], [5, 4, 1])

  const explained = await mx1.call('explain', { ref: allowed.ref })
  assert.equal(explained.outcome.reason, 'exempt-recipient')
  assert.equal(explained.ref, allowed.ref)
  assert.equal(explained.history.length, 1, 'what is allowed now was deferred before')
  await close()
})

test('a flood of one network or one domain leaves others their place in the ledger', async () => {
  const { mx1, close } = setUp()
  for (let n = 0; n < 300; n += 1) {
    await mx1.judge('198.51.100.7', `a${n}@example${n}.org`, 'b@example.com')
    await mx1.judge(
      `10.${n % 200}.${n}.7`.replace(/\.\d{3,}\./, '.9.'),
      `a${n}@spf.test`,
      `u${n}@example.com`,
    )
  }
  await mx1.judge('203.0.113.1', 'honest@example.net', 'b@example.com')
  const report = await mx1.call('report', {})
  assert.ok(report.deferred <= 60, `${report.deferred}`)
  const [entry] = await mx1.call('list', { sender: 'honest@example.net' })
  assert.equal(entry.client, 'network:203.0.113.0/24')
  await close()
})

test('with privacy, what operators ask by address still works, and nothing has an address', async () => {
  const { mx1, store, clock, close } = setUp({ privacy: ['k'.repeat(32)] })
  const { ref } = await mx1.judge('198.51.100.7', 'a@spf.test', 'b@example.com')
  await mx1.judge('198.51.100.7', 'other@spf.test', 'c@example.com')
  const given = { client: '198.51.100.7', from: 'a@spf.test', to: 'b@example.com' }
  const found = await mx1.call('explain', given)
  assert.deepEqual([found.ref, found.outcome.reason, found.history.length], [ref, 'early', 1])
  const [entry] = await mx1.call('list', { recipient: 'B@example.com', client: 'spf.test' })
  assert.match(entry.sender, /^#[\w-]{22}$/)
  assert.equal(entry.ref, ref)
  await mx1.call('show', { ref })
  await assert.rejects(mx1.call('explain', { ref }), refused('unsuited', /hashes in place of addresses/))
  await assert.rejects(mx1.call('allow', { ref }), refused('unsuited', /hashes in place of addresses/))
  await mx1.call('expect', { to: 'x@example.com', for: '1h' })
  assert.equal((await mx1.judge('192.0.2.1', 'b@spf.test', 'x@example.com')).reason, 'expected')
  clock.now += 5 * HOUR
  const { lost } = await mx1.call('report', { lost: true })
  assert.deepEqual(lost[0].allow, ['--client', '198.51.100.7'])
  const records = await store.readRecord('ledger:2026-02-28T22')
  const all = [...store.alive(), ...records].flat().join('\n')
  assert.doesNotMatch(all, /a@|b@|c@|other@|@example/)
  const { forgotten, deferrals } = await mx1.call('forget', { address: 'b@example.com' })
  assert.ok(forgotten >= 2, `${forgotten}`)
  assert.equal(deferrals, 1)
  assert.equal((await mx1.call('list', { recipient: 'b@example.com' })).length, 0)
  await close()
})

test('recipients in the store are greylisted, or are not, on every MX', async () => {
  const { mx1, mx2, poll, close } = setUp()
  const reason = async (recipient: string) =>
    (await mx2.judge('198.51.100.7', 'a@example.org', recipient)).reason
  await mx1.call('recipients-change', { except: ['VIP@example.com', 'example.net'] })
  await poll()
  assert.equal(await reason('vip@example.com'), 'not-greylisted')
  assert.equal(await reason('b@sub.example.net'), 'not-greylisted')
  assert.equal(await reason('b@example.com'), 'new')
  assert.deepEqual(await mx2.call('recipients-change', { only: ['example.com'], remove: ['example.net'] }), {
    kept: 2,
    isInUse: true,
  })
  await poll()
  assert.equal(await reason('b@example.net'), 'not-greylisted')
  assert.equal(await reason('c@example.com'), 'new')
  assert.equal(await reason('vip@example.com'), 'not-greylisted')
  assert.deepEqual(await mx1.call('recipients', {}), [
    { list: 'only', recipient: 'example.com' },
    { list: 'except', recipient: 'vip@example.com' },
  ])
  await assert.rejects(mx1.call('recipients-change', {}), refused('unsuited', /nothing is to be changed/))
  await close()
})
