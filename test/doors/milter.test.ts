// Tests of the answers at each milter stage, with the memory store and a clock that the test moves.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parseConfig } from '../../src/config/load.ts'
import { Dns } from '../../src/dns.ts'
import { createHandlers } from '../../src/doors/milter.ts'
import { compileExempt } from '../../src/exempt/exempt.ts'
import { createGreylister, observing } from '../../src/greylist/greylister.ts'
import { createInvestigate, type Investigate } from '../../src/greylist/investigate.ts'
import { createIdentify } from '../../src/identity/identity.ts'
import type { Connection } from '../../src/milter/command.ts'
import { Macros } from '../../src/milter/macros.ts'
import { type Reply, smtpLines } from '../../src/milter/reply.ts'
import type { Handler } from '../../src/milter/session.ts'
import { decodeText } from '../../src/milter/text.ts'
import type { Outcome } from '../../src/outcome.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import type { Store } from '../../src/store/store.ts'

const MINUTE = 60_000

interface Bench {
  readonly handler: Handler
  readonly macros: Macros
  readonly outcomes: Outcome[]
  now: number
}

function setUp(settings = '', store?: Store, inquire?: Investigate): Bench {
  const loaded = parseConfig('test', settings)
  assert.equal(loaded.kind, 'config', JSON.stringify(loaded))
  if (loaded.kind !== 'config') throw new Error('unreachable')
  const { config } = loaded
  const bench = { now: 0, outcomes: [] as Outcome[], macros: new Macros() }
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
    stores: { store: store ?? new MemoryStore(() => bench.now) },
  })
  const handler = createHandlers(config.milter, {
    reply: config.reply,
    greylister: config.mode === 'observe' ? observing(greylister) : greylister,
    report: (outcome) => bench.outcomes.push(outcome),
    hostName: 'greymx.example.com',
    now: () => new Date(Date.UTC(2026, 0, 2, 3, 4, 5)),
  })()
  handler.negotiated(6)
  bench.macros.set('CONNECT', [['j', 'mx.example.com']])
  return Object.assign(bench, { handler })
}

function connectFrom({ handler, macros }: Bench, address: string, hostName = `[${address}]`): void {
  handler.connect({ hostName, family: address.includes(':') ? 'inet6' : 'inet', port: 25, address }, macros)
}

/** The SMTP code of a reply, or `c` for continue. */
async function codeOf(reply: Reply | Promise<Reply>): Promise<string> {
  const given = await reply
  return given.kind === 'smtp' ? given.reply.code : (given.kind[0] ?? '')
}

async function attempt(bench: Bench, sender: string, ...recipients: string[]): Promise<string[]> {
  const { handler, macros } = bench
  await handler.mail(`<${sender}>`, macros)
  const codes: string[] = []
  for (const recipient of recipients) codes.push(await codeOf(handler.rcpt(`<${recipient}>`, macros)))
  return codes
}

/** An investigation that never ends; it records what was asked, and whether the caller still waits. */
function recordingInquiries() {
  const inquiries: Array<{ readonly sender: string; readonly isWanted: () => boolean }> = []
  const inquire: Investigate = (_, sender, isWanted) => {
    inquiries.push({ sender: sender.text, isWanted })
    return new Promise(() => undefined)
  }
  return { inquiries, inquire }
}

test('nothing is asked before a recipient that is not exempt, and then once for all of them', () => {
  for (const sender of ['a@b.test', '']) {
    const { inquiries, inquire } = recordingInquiries()
    const { handler, macros } = setUp('', undefined, inquire)
    handler.connect({ hostName: '[192.0.2.7]', family: 'inet', port: 25, address: '192.0.2.7' }, macros)
    void handler.mail(`<${sender}>`, macros)
    void handler.rcpt('<postmaster@example.com>', macros)
    assert.equal(inquiries.length, 0)
    for (const recipient of ['one', 'two', 'three']) void handler.rcpt(`<${recipient}@example.com>`, macros)
    assert.deepEqual(
      inquiries.map((inquiry) => inquiry.sender),
      [sender],
    )
  }
})

test('what is asked of a transaction ends with it, and with no other', () => {
  const { inquiries, inquire } = recordingInquiries()
  const { handler, macros } = setUp('', undefined, inquire)
  handler.connect({ hostName: '[192.0.2.7]', family: 'inet', port: 25, address: '192.0.2.7' }, macros)
  for (const sender of ['a@b.test', '', 'c@b.test']) {
    void handler.mail(`<${sender}>`, macros)
    void handler.rcpt('<u@example.com>', macros)
    assert.deepEqual(
      inquiries.map(({ isWanted }) => isWanted()),
      [...inquiries.slice(1).map(() => false), true],
    )
    handler.endTransaction()
    assert.equal(
      inquiries.some(({ isWanted }) => isWanted()),
      false,
    )
  }
})

test('the longest wait of the recipients that passed first stands in X-Greylist', async () => {
  const bench = setUp()
  connectFrom(bench, '192.0.2.7')
  await attempt(bench, 'a@b.test', 'one@example.com')
  bench.now += 10 * MINUTE + 40_000
  await attempt(bench, 'a@b.test', 'two@example.com')
  bench.now += 6 * MINUTE
  assert.deepEqual(
    await attempt(bench, 'a@b.test', 'one@example.com', 'two@example.com', 'three@example.com'),
    ['c', 'c', '451'],
  )
  assert.deepEqual(bench.handler.endOfMessage(bench.macros), {
    headers: [
      [
        'X-Greylist',
        'delayed 00:16:40 by mx.example.com; Fri, 02 Jan 2026 03:04:05 +0000 (network:192.0.2.0/24(0/2))',
      ],
    ],
    reply: { kind: 'continue' },
  })
  bench.handler.endTransaction()
  await attempt(bench, 'a@b.test', 'one@example.com')
  assert.deepEqual(bench.handler.endOfMessage(bench.macros).headers, [])
})

test('a header names the MTA only where that is plain text', async () => {
  for (const name of ['mx\ufffd.example.com', 'two words', '']) {
    const bench = setUp()
    bench.macros.set('CONNECT', [['j', name]])
    connectFrom(bench, '192.0.2.7')
    await attempt(bench, 'a@b.test', 'u@example.com')
    bench.now += 10 * MINUTE
    await attempt(bench, 'a@b.test', 'u@example.com')
    const [header] = bench.handler.endOfMessage(bench.macros).headers
    assert.match(header?.[1] ?? '', /^delayed 00:10:00 by greymx\.example\.com; /)
  }
})

test('the placeholders of the reply are filled, and what they hold cannot break the reply', async () => {
  const bench = setUp('reply: "451 4.7.1 {seconds} {recipient} {domain} {host}"\nexempt: { recipients: [] }')
  connectFrom(bench, '192.0.2.7')
  await bench.handler.mail('<a@b.test>', bench.macros)
  const reply = await bench.handler.rcpt('<"x\r\n250 y"%ю@Example.COM>', bench.macros)
  assert.equal(reply.kind, 'smtp')
  assert.deepEqual(reply.kind === 'smtp' && smtpLines(reply.reply), [
    '451 4.7.1 180 "x??250 y"%?@Example.COM example.com mx.example.com',
  ])
})

test('senders of different invalid bytes are different senders', async () => {
  const bench = setUp('greylist: { max_deferrals: 0 }')
  connectFrom(bench, '192.0.2.7')
  const senders = [[0xff], [0xfe], [0xc3], [0xc3, 0x28], [0xef, 0xbf, 0xbd], [0x5c, 0x78, 0x66, 0x66]].map(
    (bytes) => decodeText(Buffer.from([0x61, ...bytes, 0x40, 0x62])),
  )
  for (const sender of senders) await attempt(bench, sender, 'u@example.com')
  assert.deepEqual(
    bench.outcomes.map(({ reason }) => reason),
    senders.map(() => 'new'),
  )
  for (const sender of senders) await attempt(bench, sender, 'u@example.com')
  assert.deepEqual(
    bench.outcomes.slice(senders.length).map(({ reason }) => reason),
    senders.map(() => 'early'),
  )
})

test('who counts as authenticated, by the macros of both MTAs', async () => {
  const cases: Array<
    [name: string, connect: Record<string, string>, mail: Record<string, string>, passes: boolean]
  > = [
    ['nobody', {}, {}, false],
    ['SMTP AUTH', {}, { auth_type: 'PLAIN', auth_authen: 'joe' }, true],
    ['SMTP AUTH, by its type alone', {}, { auth_type: 'PLAIN' }, true],
    ['SMTP AUTH, by its user alone', {}, { auth_authen: 'joe' }, true],
    ['nobody, in macros that are there', {}, { auth_type: '', auth_authen: '' }, false],
    ['anybody', {}, { auth_type: 'ANONYMOUS', auth_authen: 'anonymous' }, false],
    ['a certificate, by way of AUTH', {}, { auth_type: 'EXTERNAL', auth_authen: '/CN=x' }, false],
    ['Sendmail, verified certificate', { v: '8.17.1.9' }, { verify: 'OK', cert_subject: '/CN=x' }, false],
    ['Postfix, trusted certificate', { v: 'Postfix 3.7.11' }, { cert_subject: 'x' }, false],
  ]
  for (const [name, connect, mail, passes] of cases) {
    const bench = setUp()
    bench.macros.set('CONNECT', Object.entries(connect))
    connectFrom(bench, '192.0.2.7')
    bench.macros.set('MAIL', Object.entries(mail))
    assert.deepEqual(await attempt(bench, 'a@b.test', 'u@example.com'), [passes ? 'c' : '451'], name)
  }
})

test('macros of certificates are asked for, and count, only where there are rules for them', async () => {
  const bench = setUp('exempt: { tls_clients: ["subject:/CN=x issuer:/CN=My CA"] }')
  assert.ok(
    ['verify', 'cert_fp', 'cn_issuer'].every((name) => bench.handler.wants.macros.mail?.includes(name)),
  )
  assert.deepEqual(setUp().handler.wants.macros.mail, ['i', 'auth_type', 'auth_authen'])
  connectFrom(bench, '192.0.2.7')
  const macros = { verify: 'OK', cert_subject: '/CN=x', cert_issuer: '/CN=My+20CA' }
  for (const [changed, code] of [
    [{}, 'c'],
    [{ verify: 'FAIL' }, '451'],
    [{ cert_subject: '/CN=xy' }, '451'],
    [{ cert_issuer: '/CN=Other+20CA' }, '451'],
  ] as const) {
    bench.macros.set('MAIL', Object.entries({ ...macros, ...changed }))
    assert.deepEqual(await attempt(bench, 'a@b.test', 'u@example.com'), [code], JSON.stringify(changed))
  }
  const [first] = bench.outcomes
  assert.deepEqual([first?.reason, first?.rule], ['authenticated', 'subject:/CN=x issuer:/CN=My CA'])
})

test('a host name counts only when the MTA found it confirmed', async () => {
  const cases: Array<[name: string, hostName: string, macros: Record<string, string>, passes: boolean]> = [
    ['confirmed', 'mail.trusted.test', { client_resolve: 'OK' }, true],
    [
      'confirmed, an MTA without {client_resolve}',
      'Mail.Trusted.TEST',
      { _: 'mail.trusted.test [192.0.2.7]' },
      true,
    ],
    ['forged', 'mail.trusted.test', { client_resolve: 'FORGED' }, false],
    ['may be forged', 'mail.trusted.test', { _: 'mail.trusted.test [192.0.2.7] (may be forged)' }, false],
    ['temporary failure', 'mail.trusted.test', { client_resolve: 'TEMP' }, false],
    ['no name', '[192.0.2.7]', { client_resolve: 'FAIL' }, false],
    ['unknown', 'unknown', {}, false],
    ['only ends like it', 'untrusted.test', { client_resolve: 'OK' }, false],
  ]
  for (const [name, hostName, macros, passes] of cases) {
    const bench = setUp('exempt: { clients: [trusted.test] }')
    bench.macros.set('CONNECT', Object.entries(macros))
    connectFrom(bench, '192.0.2.7', hostName)
    assert.deepEqual(await attempt(bench, 'a@b.test', 'u@example.com'), [passes ? 'c' : '451'], name)
  }
})

test('mail whose client has no address passes', async () => {
  const connections: Connection[] = [
    { hostName: 'localhost', family: 'unknown' },
    { hostName: 'localhost', family: 'unix', port: 0, address: '/run/x' },
    { hostName: 'odd', family: 'inet', port: 25, address: 'not an address' },
  ]
  for (const connection of connections) {
    const bench = setUp()
    bench.handler.connect(connection, bench.macros)
    assert.deepEqual(await attempt(bench, 'a@b.test', 'u@example.com'), ['c'])
    assert.equal(bench.outcomes[0]?.rule, 'no-address')
  }
})

test('the recipients of a bounce share one verdict, at DATA', async () => {
  const bench = setUp()
  connectFrom(bench, '192.0.2.7')
  const bounce = async (...recipients: string[]) => {
    assert.deepEqual(
      await attempt(bench, '', ...recipients),
      recipients.map(() => 'c'),
    )
    return codeOf(bench.handler.data(bench.macros))
  }
  assert.equal(await bounce('one@example.com'), '451')
  bench.now += 5 * MINUTE
  assert.equal(await bounce('one@example.com', 'postmaster@example.com'), 'c')
  assert.equal(await bounce('one@example.com', 'two@example.com'), '451')
  assert.deepEqual(
    bench.outcomes.slice(-2).map(({ attempt: { recipient }, verdict }) => [recipient?.text, verdict]),
    [
      ['one@example.com', 'tempfail'],
      ['two@example.com', 'tempfail'],
    ],
  )
  bench.now += 5 * MINUTE
  assert.equal(await bounce('one@example.com', 'two@example.com'), 'c')
})

test('a bounce is told the longest wait of its recipients, in whole seconds, none too few', async () => {
  const settings = 'reply: "451 4.7.1 In {seconds} seconds"\ngreylist: { delay: 3m }'
  for (const recipients of [
    ['early@example.com', 'new@example.com'],
    ['new@example.com', 'early@example.com'],
  ]) {
    const bench = setUp(settings)
    const { handler, macros } = bench
    connectFrom(bench, '192.0.2.7')
    const told = async (...to: string[]) => {
      await attempt(bench, '', ...to)
      const reply = await handler.data(macros)
      return reply.kind === 'smtp' ? reply.reply.lines.join() : reply.kind
    }
    assert.match(String(await told('early@example.com')), /^In 180 seconds/)
    bench.now += 60_500
    assert.match(String(await told('early@example.com')), /^In 120 seconds/)
    assert.match(String(await told(...recipients)), /^In 180 seconds/)
  }
})

// Regression: the reply promised that a retry would pass in 0 seconds.
test('while the store is down, a deferral promises a usual retry interval', async () => {
  const store = Object.assign(new MemoryStore(() => 0), { find: () => Promise.reject(new Error('it burns')) })
  const bench = setUp('reply: "451 4.7.1 In {seconds} seconds"\non_store_error: tempfail', store)
  connectFrom(bench, '192.0.2.7')
  const { handler, macros } = bench
  await handler.mail('<a@example.org>', macros)
  const reply = await handler.rcpt('<b@example.com>', macros)
  assert.deepEqual(reply.kind === 'smtp' && reply.reply.lines, ['In 300 seconds'])
})

test('all recipients of a bounce together take as long as one decision, however slowly the store answers', async (t) => {
  const store = Object.assign(new MemoryStore(() => 0), { find: () => new Promise<never>(() => undefined) })
  const bench = setUp('on_store_error: tempfail', store)
  connectFrom(bench, '192.0.2.7')
  await attempt(bench, '', ...Array.from({ length: 120 }, (_, index) => `u${index}@example.com`))
  let now = 0
  t.mock.method(performance, 'now', () => now)
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const answer = codeOf(bench.handler.data(bench.macros))
  while (bench.outcomes.length === 0 && now < 10_000) {
    now += 100
    t.mock.timers.tick(100)
    await nextTurn()
  }
  assert.equal(await answer, '451')
  assert.deepEqual([...new Set(bench.outcomes.map(({ reason }) => reason))], ['store-error'])
  assert.equal(bench.outcomes.length, 120)
  assert.ok(now >= 2000 && now < 2500, `${now} ms`)
})

test('a bounce is judged at RCPT where that is set, and where the MTA has no DATA stage', async () => {
  const set = setUp('greylist: { null_sender_at: rcpt }')
  connectFrom(set, '192.0.2.7')
  assert.equal(set.handler.wants.stages.data, 'skip')
  assert.deepEqual(await attempt(set, '', 'u@example.com'), ['451'])
  const old = setUp()
  old.handler.negotiated(3)
  connectFrom(old, '192.0.2.7')
  assert.deepEqual(await attempt(old, '', 'u@example.com'), ['451'])
})

test('a callout of a probe sender sees a valid recipient and leaves nothing behind; its mail waits at DATA', async () => {
  for (const sender of [
    'double-bounce@verifying.test',
    'Postmaster@Verifying.TEST',
    'verify-77@probe.test',
  ]) {
    const bench = setUp('greylist: { probe_senders: [double-bounce@, postmaster@, /^verify-/] }')
    connectFrom(bench, '192.0.2.7')
    assert.deepEqual(await attempt(bench, sender, 'u@example.com'), ['c'], sender)
    bench.handler.endTransaction()
    assert.equal(bench.outcomes.length, 0)
    await attempt(bench, sender, 'u@example.com')
    assert.equal(await codeOf(bench.handler.data(bench.macros)), '451', sender)
    assert.equal(bench.outcomes.at(-1)?.reason, 'new')
  }
  for (const settings of ['greylist: { probe_senders: [] }', 'greylist: { null_sender_at: rcpt }']) {
    const bench = setUp(settings)
    connectFrom(bench, '192.0.2.7')
    assert.deepEqual(await attempt(bench, 'postmaster@verifying.test', 'u@example.com'), ['451'], settings)
  }
})

test('with the key [client, sender] the sender is judged at MAIL, and a bounce at DATA', async () => {
  const bench = setUp('greylist: { key: [client, sender] }')
  const { handler, macros } = bench
  connectFrom(bench, '192.0.2.7')
  assert.deepEqual([handler.wants.stages.mail, handler.wants.stages.rcpt], ['answer', 'skip'])
  assert.equal(await codeOf(handler.mail('<a@b.test>', macros)), '451')
  assert.equal(await codeOf(handler.mail('<>', macros)), 'c')
  assert.equal(await codeOf(handler.data(macros)), '451')
  bench.now += 5 * MINUTE
  assert.equal(await codeOf(handler.mail('<a@b.test>', macros)), 'c')
  assert.match(handler.endOfMessage(macros).headers[0]?.[1] ?? '', /^delayed 00:05:00/)
})

/** A memory store with some operations replaced. */
function storeThat(overrides: Partial<Store>): Store {
  return Object.assign(new MemoryStore(() => 0), overrides)
}

const burns = () => Promise.reject(new Error('it burns'))

test('when the store fails, the configured answer is given, and the failure stands in the outcome', async () => {
  for (const [answer, code, verdict] of [
    ['accept', 'c', 'pass'],
    ['tempfail', '451', 'tempfail'],
  ] as const) {
    const bench = setUp(`on_store_error: ${answer}`, storeThat({ find: burns }))
    connectFrom(bench, '192.0.2.7')
    assert.deepEqual(await attempt(bench, 'a@b.test', 'u@example.com'), [code])
    const [outcome] = bench.outcomes
    assert.deepEqual(
      [outcome?.verdict, outcome?.reason, outcome?.error],
      [verdict, 'store-error', 'it burns'],
    )
  }
})

test('a pass that cannot be written down still passes', async () => {
  const find = async (keys: readonly string[]) => keys.map(() => ({ passed: false, age: 10 * MINUTE }))
  const store = storeThat({ find, pass: burns })
  const bench = setUp('on_store_error: tempfail', store)
  connectFrom(bench, '192.0.2.7')
  assert.deepEqual(await attempt(bench, 'a@b.test', 'u@example.com'), ['c'])
  assert.equal(bench.outcomes[0]?.reason, 'retry')
})

test('beyond the limit the last verdict stands for every recipient, and costs nothing', async () => {
  const settings = 'exempt: { recipients: [postmaster@] }\nrecipients: { except: [free@] }'
  let finds = 0
  const store = new MemoryStore(() => bench.now)
  const find = store.find.bind(store)
  store.find = (keys) => {
    finds += 1
    return find(keys)
  }
  const bench = setUp(settings, store)
  const { handler, macros } = bench
  const beyond = (address: string) => codeOf(handler.rcptBeyondLimit(`<${address}>`, macros))
  connectFrom(bench, '192.0.2.7')
  // The first recipient is deferred; the exempt one behind it passes.
  assert.deepEqual(await attempt(bench, 'a@b.test', 'u@example.com', 'postmaster@example.com'), ['451', 'c'])
  assert.deepEqual([await beyond('v@example.com'), await beyond('postmaster@example.com')], ['451', '451'])
  assert.deepEqual([bench.outcomes.length, finds], [2, 1])
  // After the delay the first one passes.
  bench.now += 5 * MINUTE
  assert.deepEqual(await attempt(bench, 'a@b.test', 'u@example.com'), ['c'])
  assert.equal(await beyond('w@example.com'), 'c')
  assert.deepEqual([bench.outcomes.length, finds], [3, 2])
  // As all before are exempt, the first that is not is judged, and its verdict stands for the rest.
  assert.deepEqual(await attempt(bench, 'a@b.test', 'postmaster@example.com', 'free@example.com'), ['c', 'c'])
  assert.deepEqual(
    [await beyond('postmaster@example.com'), await beyond('x@example.com'), await beyond('y@example.com')],
    ['c', '451', '451'],
  )
  assert.equal(finds, 3)
})

test('a bounce to more recipients than the limit holds none of those beyond it, and none of them passes unjudged', async () => {
  const bench = setUp()
  const { handler, macros } = bench
  connectFrom(bench, '192.0.2.7')
  await attempt(bench, '', 'postmaster@example.com')
  const { held } = handler
  const codes = ['u@example.com', 'v@example.com'].map((address) =>
    codeOf(handler.rcptBeyondLimit(`<${address}>`, macros)),
  )
  assert.deepEqual(await Promise.all(codes), ['451', '451'])
  assert.equal(handler.held, held)
  assert.equal(await codeOf(handler.data(macros)), 'c')
})

test('nothing of a transaction outlives it', async () => {
  const bench = setUp()
  connectFrom(bench, '192.0.2.7')
  await attempt(bench, 'a@b.test', 'u@example.com')
  bench.now += 5 * MINUTE
  await attempt(bench, 'a@b.test', 'u@example.com')
  bench.handler.endTransaction()
  assert.deepEqual(bench.handler.endOfMessage(bench.macros).headers, [])
  assert.equal(await codeOf(bench.handler.rcpt('<v@example.com>', bench.macros)), 'c')
  assert.equal(bench.outcomes.length, 2)
})

test('observe defers nothing, adds no header, learns all the same, and tells what would have been', async () => {
  const bench = setUp('greylist: { mode: observe }\non_store_error: tempfail')
  connectFrom(bench, '192.0.2.7')
  assert.deepEqual(await attempt(bench, 'a@b.test', 'u@example.com'), ['c'])
  assert.deepEqual(await attempt(bench, 'a@b.test', 'u@example.com'), ['c'])
  bench.now += 5 * MINUTE
  assert.deepEqual(await attempt(bench, 'a@b.test', 'u@example.com'), ['c'])
  assert.equal(bench.handler.wants.addHeaders, false)
  assert.deepEqual(
    bench.outcomes.map(({ verdict, reason, would }) => [verdict, reason, would]),
    [
      ['pass', 'observe', 'new'],
      ['pass', 'observe', 'early'],
      ['pass', 'retry', undefined],
    ],
  )
})

test('the recipients of a bounce are judged some at a time, and all of them', async () => {
  let open = 0
  let most = 0
  const store = new MemoryStore(() => 0)
  const find = store.find.bind(store)
  store.find = async (keys) => {
    open += 1
    most = Math.max(most, open)
    await new Promise((resolve) => setImmediate(resolve))
    open -= 1
    return find(keys)
  }
  const bench = setUp('', store)
  connectFrom(bench, '192.0.2.7')
  const recipients = Array.from({ length: 500 }, (_, index) => `u${index}@example.com`)
  assert.deepEqual(new Set(await attempt(bench, '', ...recipients)), new Set(['c']))
  assert.ok(bench.handler.held > 500 * 100)
  assert.equal(await codeOf(bench.handler.data(bench.macros)), '451')
  assert.equal(bench.outcomes.length, 500)
  assert.equal(most, 50)
  bench.handler.endTransaction()
  assert.equal(bench.handler.held, 0)
})

// No SMTP command is as long; what a broken MTA sends must not cause work or log lines by the megabyte.
test('of addresses, names and queue ids only so much is looked at as can be one', async () => {
  const bench = setUp()
  const long = 'x'.repeat(100_000)
  connectFrom(bench, '192.0.2.7', `${long}.example`)
  bench.handler.helo(long, bench.macros)
  bench.macros.set('CONNECT', [['j', long]])
  bench.macros.set('RCPT', [['i', long]])
  assert.deepEqual(await attempt(bench, long, long), ['451'])
  const [outcome] = bench.outcomes
  assert.ok(outcome)
  assert.deepEqual(outcome.attempt.client, { ...outcome.attempt.client, name: undefined, helo: undefined })
  assert.equal(outcome.attempt.mta, undefined)
  assert.ok(JSON.stringify(outcome).length < 40_000)
})
