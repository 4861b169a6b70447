// Tests of the answers to Postfix's policy requests, with the memory store and a clock that the test moves, and a fuzzer
// of the protocol.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import { parseConfig } from '../../src/config/load.ts'
import { Dns } from '../../src/dns.ts'
import { createPolicyDoor } from '../../src/doors/policy.ts'
import { compileExempt } from '../../src/exempt/exempt.ts'
import { createGreylister, observing } from '../../src/greylist/greylister.ts'
import { createInvestigate, type Investigate } from '../../src/greylist/investigate.ts'
import { createIdentify } from '../../src/identity/identity.ts'
import type { Outcome } from '../../src/outcome.ts'
import type { Session } from '../../src/sockets/session.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { encodeRequest, RCPT, RecordingPeer } from '../policy/recording.ts'

const MINUTE = 60_000

type Attributes = Readonly<Record<string, string>>

interface Connection {
  readonly peer: RecordingPeer
  readonly session: Session
  /** The action for a request that differs from `RCPT` in these attributes. */
  ask(attributes?: Attributes): Promise<string>
}

interface Bench {
  now: number
  readonly outcomes: Outcome[]
  connect(): Connection
  /** Asks on the first connection. */
  ask: Connection['ask']
  readonly first: Connection
}

function setUp(settings = '', inquire?: Investigate): Bench {
  const loaded = parseConfig('test', settings)
  assert.equal(loaded.kind, 'config', JSON.stringify(loaded))
  if (loaded.kind !== 'config') throw new Error('unreachable')
  const { config } = loaded
  const state = { now: 0 }
  const outcomes: Outcome[] = []
  const dns = new Dns({ servers: ['127.0.0.1:1'] }, { onSilent() {}, onAnswering() {} })
  const greylister = createGreylister({
    settings: config.greylist,
    exempt: compileExempt(config.exempt, { clients: [], senders: [], recipients: [] }),
    investigate:
      inquire ??
      createInvestigate({
        settings: config.investigate,
        identify: createIdentify({ ...config.identity, asksSpf: false }, dns),
      }),
    stores: { store: new MemoryStore(() => state.now) },
  })
  const door = createPolicyDoor(config.milter, config.limits, {
    reply: config.reply,
    greylister: config.mode === 'observe' ? observing(greylister) : greylister,
    report: (outcome) => outcomes.push(outcome),
    hostName: 'greymx.example.com',
    now: () => new Date(Date.UTC(2026, 0, 2, 3, 4, 5)),
  })
  const connect = (): Connection => {
    const peer = new RecordingPeer()
    const session = door(peer)
    const ask = async (attributes: Attributes = {}) => {
      peer.sent = ''
      session.receive(encodeRequest({ ...RCPT, ...attributes }))
      while (peer.sent === '' && peer.faults.length === 0) await nextTurn()
      const [, action] = /^action=([^\n]*)\n\n$/.exec(peer.sent) ?? []
      return action ?? assert.fail(`${peer.sent} ${JSON.stringify(peer.faults)}`)
    }
    return { peer, session, ask }
  }
  const first = connect()
  return Object.assign(state, { outcomes, connect, first, ask: first.ask })
}

/** Verdict and reason of each outcome so far. */
function reasons({ outcomes }: Bench): string[] {
  return outcomes.map(({ verdict, reason }) => `${verdict} ${reason}`)
}

const DEFERRED = /^DEFER_IF_PERMIT 4\.7\.1 Greylisted, please try again later \(\w{8}\)$/

test('a stranger is deferred, and its retry gets the header', async () => {
  const bench = setUp()
  assert.match(await bench.ask(), DEFERRED)
  bench.now += 5 * MINUTE
  const header =
    'X-Greylist: delayed 00:05:00 by greymx.example.com; Fri, 02 Jan 2026 03:04:05 +0000 (network:192.0.2.0/24(0/1))'
  assert.equal(await bench.ask({ instance: '2' }), `PREPEND ${header}`)
  assert.equal(await bench.ask({ instance: '3' }), 'DUNNO')
  assert.deepEqual(reasons(bench), ['tempfail new', 'pass retry', 'pass known'])
})

test('a message has the header once, and none that comes after its content', async () => {
  const bench = setUp('greylist: { null_sender_at: data }')
  for (const recipient of ['u', 'v']) await bench.ask({ recipient })
  await bench.ask({ sender: '', instance: '2', protocol_state: 'END-OF-MESSAGE' })
  bench.now += 5 * MINUTE
  const actions = [
    await bench.ask({ instance: '3', recipient: 'u' }),
    await bench.ask({ instance: '3', recipient: 'v' }),
  ]
  assert.deepEqual(
    actions.map((action) => action.split(' ')[0]),
    ['PREPEND', 'DUNNO'],
  )
  assert.equal(await bench.ask({ sender: '', instance: '4', protocol_state: 'END-OF-MESSAGE' }), 'DUNNO')
  for (const settings of ['header: false', 'greylist: { mode: observe }']) {
    const other = setUp(settings)
    await other.ask()
    other.now += 5 * MINUTE
    assert.equal(await other.ask({ instance: '2' }), 'DUNNO', settings)
  }
})

test('the text of a deferral is one line without what a stranger could break it with', async () => {
  const bench = setUp('reply: |\n  450 One {recipient}\n  two {seconds}\n')
  const recipient = '"5.7.1 %s\r$x\u202e"@example.com'
  assert.equal(
    await bench.ask({ recipient }),
    'DEFER_IF_PERMIT 4.7.1 One "\\"5.7.1 %s?$x?\\""@example.com two 180',
  )
  assert.equal(
    await setUp('reply: "450 4.2.0 {recipient}"').ask({ recipient: '5.7.1' }),
    'DEFER_IF_PERMIT 4.2.0 5.7.1',
  )
  const long = await bench.ask({ recipient: `${'x'.repeat(2000)}@example.com`, instance: '2' })
  assert.equal(long.length, 500)
})

test('the requests of one message share what is asked of DNS, and other messages do not', async () => {
  const senders: string[] = []
  const inquire: Investigate = (_, sender) => {
    senders.push(sender.text)
    return new Promise(() => undefined)
  }
  const begin = (connection: Connection, attributes: Attributes) =>
    connection.session.receive(encodeRequest({ ...RCPT, ...attributes }))
  const bench = setUp('', inquire)
  begin(bench.connect(), { sender: 'a@b.test', recipient: 'u' })
  begin(bench.connect(), { sender: 'a@b.test', recipient: 'v' })
  assert.deepEqual(senders, ['a@b.test'])
  begin(bench.connect(), { sender: 'a@b.test', instance: '2' })
  // Nobody takes part in the message of another client by its instance.
  begin(bench.connect(), { sender: 'a@b.test', client_address: '198.51.100.1' })
  begin(bench.connect(), { sender: 'c@b.test' })
  for (const recipient of ['u', 'v']) begin(bench.connect(), { sender: 'd@b.test', instance: '', recipient })
  assert.deepEqual(senders.slice(1), ['a@b.test', 'a@b.test', 'c@b.test', 'd@b.test', 'd@b.test'])
})

test('a message ends when its connections go on to others or close', async () => {
  const wanted: Array<() => boolean> = []
  const inquire: Investigate = (_client, _sender, isWanted) => {
    wanted.push(isWanted)
    return new Promise(() => undefined)
  }
  const bench = setUp('', inquire)
  const [one, other] = [bench.connect(), bench.connect()]
  for (const { session } of [one, other]) session.receive(encodeRequest(RCPT))
  assert.deepEqual(
    wanted.map((isWanted) => isWanted()),
    [true],
  )
  one.session.disconnected()
  assert.ok(wanted[0]?.())
  other.session.disconnected()
  assert.ok(!wanted[0]?.())
  assert.equal(other.session.held - RCPT_BYTES <= 0, true)
})

/** What a session may hold of its last request. */
const RCPT_BYTES = encodeRequest(RCPT).length

test('mail of the null sender is judged at DATA for all its recipients, and the same at its end', async () => {
  const bench = setUp()
  const mail = { sender: '', queue_id: '4cXyZ' }
  for (const recipient of ['u@example.com', 'postmaster@example.com'])
    assert.equal(await bench.ask({ ...mail, recipient }), 'DUNNO')
  assert.equal(bench.outcomes.length, 0)
  const data = { ...mail, recipient: '', recipient_count: '2' }
  // Postfix has a connection of its own for each spelling of a service.
  const other = bench.connect()
  assert.match(await other.ask({ ...data, protocol_state: 'DATA' }), DEFERRED)
  assert.deepEqual(reasons(bench), ['tempfail new', 'tempfail new'])
  assert.match(await bench.ask({ ...data, protocol_state: 'END-OF-MESSAGE' }), DEFERRED)
  assert.equal(bench.outcomes.length, 2)
  assert.deepEqual(
    bench.outcomes.map(({ attempt }) => [attempt.recipient?.text, attempt.queueId]),
    [
      ['u@example.com', '4cXyZ'],
      ['postmaster@example.com', '4cXyZ'],
    ],
  )
})

test('at DATA the one recipient that Postfix has let through counts, and one that it names not is the empty one', async () => {
  const bench = setUp()
  for (const recipient of ['refused@example.com', 'u@example.com']) await bench.ask({ sender: '', recipient })
  await bench.ask({ sender: '', recipient: 'u@example.com', protocol_state: 'DATA' })
  await bench.ask({ sender: '', recipient: '', recipient_count: '2', instance: '2', protocol_state: 'DATA' })
  assert.deepEqual(
    bench.outcomes.map(({ attempt, reason }) => [attempt.recipient?.text, reason]),
    [
      ['u@example.com', 'new'],
      ['', 'new'],
    ],
  )
})

test('other mail is judged at RCPT alone, and no other stage is about mail', async () => {
  const bench = setUp()
  for (const state of [
    'CONNECT',
    'EHLO',
    'HELO',
    'MAIL',
    'DATA',
    'BDAT',
    'END-OF-MESSAGE',
    'VRFY',
    'ETRN',
    'X',
  ])
    assert.equal(await bench.ask({ protocol_state: state }), 'DUNNO', state)
  assert.equal(bench.outcomes.length, 0)
  assert.match(await bench.ask({ protocol_state: '' }), DEFERRED)
})

test('with null_sender_at: rcpt, mail of the null sender is judged at RCPT', async () => {
  const bench = setUp('greylist: { null_sender_at: rcpt }')
  assert.match(await bench.ask({ sender: '' }), DEFERRED)
  assert.equal(await bench.ask({ sender: '', protocol_state: 'DATA' }), 'DUNNO')
})

test('with the key [client, sender], a message is judged once, at its first recipient or at MAIL', async () => {
  for (const state of ['RCPT', 'MAIL']) {
    const bench = setUp('greylist: { key: [client, sender] }')
    for (const recipient of ['u', 'v'])
      assert.match(await bench.ask({ recipient, protocol_state: state }), DEFERRED)
    assert.deepEqual(reasons(bench), ['tempfail new'])
    bench.now += 5 * MINUTE
    assert.match(
      await bench.ask({ instance: '2', recipient: 'w', protocol_state: state }),
      /^PREPEND X-Greylist: /,
    )
    assert.equal(await bench.ask({ instance: '2', recipient: 'x', protocol_state: state }), 'DUNNO')
    assert.deepEqual(reasons(bench), ['tempfail new', 'pass retry'])
    assert.equal(await bench.ask({ instance: '3', sender: '', protocol_state: state }), 'DUNNO')
    assert.match(await bench.ask({ instance: '3', sender: '', protocol_state: 'DATA' }), DEFERRED)
  }
})

test('a host name counts only if Postfix has confirmed it', async () => {
  const bench = setUp('exempt: { clients: [trusted.test] }')
  const name = 'mail.trusted.test'
  assert.equal(await bench.ask({ client_name: name, reverse_client_name: name }), 'DUNNO')
  assert.match(await bench.ask({ reverse_client_name: name, instance: '2' }), DEFERRED)
  assert.deepEqual(
    bench.outcomes.map(({ attempt }) => attempt.client.name),
    [name, undefined],
  )
})

test('SMTP AUTH counts, and a login by certificate or by nobody does not', async () => {
  const bench = setUp()
  const cases: Array<[method: string, user: string, reason: string]> = [
    ['PLAIN', 'user', 'pass authenticated'],
    ['', '', 'tempfail new'],
    ['external', 'user', 'tempfail early'],
    ['ANONYMOUS', 'guest', 'tempfail early'],
  ]
  for (const [index, [sasl_method, sasl_username]] of cases.entries())
    await bench.ask({ sasl_method, sasl_username, instance: `${index}` })
  assert.deepEqual(
    reasons(bench),
    cases.map(([, , reason]) => reason),
  )
})

test('a client certificate counts by its names, which are xtext, or by its fingerprint', async () => {
  const rules = [
    'subject:Trusted Client issuer:Example+ CA',
    'fingerprint:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89',
  ]
  const bench = setUp(`exempt: { tls_clients: ${JSON.stringify(rules)} }`)
  const cases: ReadonlyArray<readonly [Attributes, string | undefined]> = [
    [{ ccert_subject: 'Trusted+20Client', ccert_issuer: 'Example+2B+20CA' }, rules[0]],
    [{ ccert_subject: 'Trusted+20Client', ccert_issuer: 'Other' }, undefined],
    [{ ccert_fingerprint: 'AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89' }, rules[1]],
    [{ ccert_fingerprint: 'AB:CD' }, undefined],
    [{}, undefined],
  ]
  for (const [index, [attributes]] of cases.entries())
    await bench.ask({ ...attributes, instance: `${index}` })
  assert.deepEqual(
    bench.outcomes.map(({ rule }) => rule),
    cases.map(([, rule]) => rule),
  )
})

test('an address is the one that Postfix means, though its quotes are gone', async () => {
  const bench = setUp()
  const cases: Array<[sender: string, normal: string]> = [
    ['A@B.test', 'a@b.test'],
    ['quo ted@b.test', '"quo ted"@b.test'],
    ['a@b@c.test', '"a@b"@c.test'],
    ['a"b\\c@b.test', '"a\\"b\\\\c"@b.test'],
    ['<x>@b.test', '"<x>"@b.test'],
    ['jörg@bücher.test', 'jörg@xn--bcher-kva.test'],
    ['root', 'root'],
  ]
  for (const [index, [sender]] of cases.entries()) await bench.ask({ sender, instance: `${index}` })
  assert.deepEqual(
    bench.outcomes.map(({ attempt }) => attempt.sender.normal),
    cases.map(([, normal]) => normal),
  )
})

test('recipients beyond the limit get what the last judged one got, and are not remembered', async () => {
  const bench = setUp('limits: { recipients: 100 }')
  for (let count = 0; count < 100; count += 1) await bench.ask({ recipient: 'postmaster@example.com' })
  for (const recipient of ['u', 'v', 'postmaster@example.com'])
    assert.match(await bench.ask({ recipient }), DEFERRED)
  assert.equal(bench.outcomes.length, 101)
  assert.deepEqual(bench.first.peer.exceededLimits, ['policy-recipients'])
  const bounce = setUp('limits: { recipients: 100 }')
  const held: number[] = []
  for (let count = 0; count < 200; count += 1) {
    await bounce.ask({ sender: '', recipient: `u${count}@example.com` })
    held.push(bounce.first.session.held)
  }
  assert.ok((held[99] ?? 0) > (held[0] ?? 0) + 100 * 300)
  assert.equal(held[199], held[100])
})

/** Bytes that mean something to the protocol, and hostile values. */
const PIECES = [
  ...[
    'request=smtpd_access_policy\n',
    'protocol_state=RCPT\n',
    'protocol_state=DATA\n',
    'client_address=192.0.2.7\n',
  ],
  ...[
    'client_address=::1\n',
    'sender=a@b.test\n',
    'sender=\n',
    'recipient=u@example.com\n',
    'instance=1.2.3\n',
  ],
  ...[
    '\n',
    '\n\n',
    '=',
    'x',
    '\r\n',
    '\0',
    '%s$x`',
    '\u00ff',
    'action=OK\n\n',
    `sender=${'<"'.repeat(500)}\n`,
  ],
  ...['ccert_subject=+FF+00+0A\n', 'helo_name=[\n', 'sasl_method=+\n', 'queue_id=\t\n'],
]

/**
 * Properties: no bytes, cut anywhere, make a session fail otherwise than by closing; each complete request before a fault
 * has exactly one reply, which is one well-formed line and an empty one.
 */
test('whatever bytes come, each complete request has one well-formed reply', async () => {
  const whole = fc
    .record({
      sender: fc.oneof(fc.string({ unit: 'binary', maxLength: 50 }), fc.constant('')),
      recipient: fc.string({ unit: 'binary', maxLength: 50 }),
      client_address: fc.constantFrom('192.0.2.7', 'unknown', '::1', 'x'),
      protocol_state: fc.constantFrom('RCPT', 'DATA', 'END-OF-MESSAGE', 'MAIL', ''),
      instance: fc.constantFrom('', '1', '2'),
    })
    .map((attributes) =>
      encodeRequest({
        ...RCPT,
        ...Object.fromEntries(
          Object.entries(attributes).map(([name, value]) => [name, value.replace(/[\n\0]/g, '')]),
        ),
      }),
    )
  const noise = fc.oneof(
    fc.constantFrom(...PIECES).map((text) => Buffer.from(text)),
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
  )
  const piece = fc.oneof(
    { weight: 3, arbitrary: whole.map((bytes) => ({ bytes, isWhole: true })) },
    { weight: 1, arbitrary: noise.map((bytes) => ({ bytes, isWhole: false })) },
  )
  await fc.assert(
    fc.asyncProperty(
      fc.array(piece, { maxLength: 20 }),
      fc.infiniteStream(fc.nat(300)),
      async (pieces, cuts) => {
        const { first } = setUp('greylist: { null_sender_at: data }')
        const stream = Buffer.concat(pieces.map(({ bytes }) => bytes))
        for (let at = 0; at < stream.length; ) {
          const size = (cuts.next().value ?? 0) + 1
          first.session.receive(stream.subarray(at, at + size))
          at += size
          if (size % 3 === 0) await nextTurn()
        }
        let before = -1
        while (first.session.progress !== before || first.session.waiting === 'us') {
          before = first.session.progress
          for (let turn = first.peer.turns.shift(); turn; turn = first.peer.turns.shift()) turn()
          await nextTurn()
        }
        const { sent, faults } = first.peer
        assert.match(sent, /^(?:action=(?:DUNNO|(?:DEFER_IF_PERMIT|PREPEND) [\x20-\x7e]+)\n\n)*$/)
        assert.equal(sent.split('\n\n').length - 1, first.session.progress)
        assert.ok(faults.length <= 1)
        // Until the first piece that is none, all pieces are requests.
        const good = pieces.findIndex(({ isWhole }) => !isWhole)
        assert.ok(first.session.progress >= (good === -1 ? pieces.length : good), JSON.stringify(faults))
        if (good === -1) assert.deepEqual(faults, [])
      },
    ),
    { numRuns: Number(process.env.POLICY_RUNS ?? 100) },
  )
})
