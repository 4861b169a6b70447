// Tests of the answers of the door for Exim, with the memory store and a clock that the test moves.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseConfig } from '../../src/config/load.ts'
import { Dns } from '../../src/dns.ts'
import { createAnswers } from '../../src/doors/exim.ts'
import { compileExempt } from '../../src/exempt/exempt.ts'
import { parseRequest } from '../../src/exim/request.ts'
import { createGreylister, observing } from '../../src/greylist/greylister.ts'
import { createInvestigate, type Investigate } from '../../src/greylist/investigate.ts'
import { createIdentify } from '../../src/identity/identity.ts'
import type { Outcome } from '../../src/outcome.ts'
import { MemoryStore } from '../../src/store/memory.ts'

const MINUTE = 60_000
const DEFERRED = /^defer 451 4\.7\.1 Greylisted, please try again later \([\w-]+\)$/

interface Bench {
  readonly outcomes: Outcome[]
  now: number
  /** The answer to a line. */
  ask(line: string): Promise<string>
}

function setUp(settings = '', inquire?: Investigate): Bench {
  const loaded = parseConfig('test', settings)
  if (loaded.kind !== 'config') throw new Error(JSON.stringify(loaded))
  const { config } = loaded
  const bench = { now: 0, outcomes: [] as Outcome[] }
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
    stores: { store: new MemoryStore(() => bench.now) },
  })
  const answer = createAnswers(config.milter, config.limits, {
    reply: config.reply,
    greylister: config.mode === 'observe' ? observing(greylister) : greylister,
    report: (outcome) => bench.outcomes.push(outcome),
    hostName: 'greymx.example.com',
    now: () => new Date(Date.UTC(2026, 0, 2, 3, 4, 5)),
  })
  return Object.assign(bench, { ask: async (line: string) => answer(parseRequest(Buffer.from(line))) })
}

interface Fields {
  readonly [name: string]: string
}

function fieldsOf(fields: Fields): string {
  return Object.entries({
    client: '192.0.2.7',
    sender: 'a@b.test',
    message: '1',
    mta: 'mx.example.com',
    ...fields,
  })
    .map(([name, value]) => `${name}="${value.replace(/["\\]/g, '\\$&')}"`)
    .join(' ')
}

function rcpt(recipient: string, fields: Fields = {}): string {
  return `rcpt ${fieldsOf({ ...fields, recipient })}`
}

function data(recipients: readonly string[], fields: Fields = {}): string {
  return `data ${fieldsOf({ ...fields, recipients: recipients.join(', ') })}`
}

function reasons({ outcomes }: Bench): string[] {
  return outcomes.map(({ verdict, reason }) => `${verdict} ${reason}`)
}

test('a retry after the delay passes, and the message gets its header at DATA', async () => {
  const bench = setUp()
  assert.match(await bench.ask(rcpt('u@example.com')), DEFERRED)
  bench.now += MINUTE
  assert.match(await bench.ask(rcpt('u@example.com', { message: '2' })), DEFERRED)
  bench.now += 4 * MINUTE
  assert.equal(await bench.ask(rcpt('u@example.com', { message: '3' })), 'pass')
  assert.equal(
    await bench.ask(data(['u@example.com'], { message: '3', id: '1abcDE-000001-00' })),
    'pass X-Greylist: delayed 00:05:00 by mx.example.com; Fri, 02 Jan 2026 03:04:05 +0000 (network:192.0.2.0/24(0/1))',
  )
  assert.equal(await bench.ask(data(['u@example.com'], { message: '3' })), 'pass')
  assert.deepEqual(reasons(bench), ['tempfail new', 'tempfail early', 'pass retry'])
})

test('greylistd’s questions are answered as greylistd does', async () => {
  const bench = setUp()
  const triplet = '192.0.2.7 a@b.test u@example.com'
  assert.equal(await bench.ask(`--grey ${triplet}`), 'true')
  assert.equal(await bench.ask(`--black ${triplet}`), 'false')
  assert.equal(await bench.ask(`--white ${triplet}`), 'false')
  assert.equal(await bench.ask(triplet), 'grey')
  bench.now += 5 * MINUTE
  assert.equal(await bench.ask(`update ${triplet}`), 'white')
  assert.equal(await bench.ask(`update --white ${triplet}`), 'true')
  assert.equal(await bench.ask(`--grey ${triplet}`), 'false')
  assert.deepEqual(reasons(bench), [
    ...['tempfail new', 'tempfail early', 'tempfail early'],
    ...['pass retry', 'pass known', 'pass known'],
  ])
})

test('greylistd’s question is about the same triplet as Exim’s other ones', async () => {
  for (const [triplet, recipient, sender] of [
    ['192.0.2.0/24 a@b.test u@example.com', 'u@example.com', 'a@b.test'],
    ['192.0.2.7 "a b"@b.test u v@example.com', '"u v"@example.com', '"a b"@b.test'],
  ] as const) {
    const bench = setUp()
    assert.equal(await bench.ask(`--grey ${triplet}`), 'true')
    bench.now += 5 * MINUTE
    assert.equal(await bench.ask(rcpt(recipient, { sender })), 'pass')
  }
  const bench = setUp()
  assert.match(await bench.ask(rcpt('u@example.com', { client: '2001:db8::7' })), DEFERRED)
  bench.now += 5 * MINUTE
  const masked = '2001.0db8.0000.0000.0000.0000.0000.0000/64'
  assert.equal(await bench.ask(`--grey ${masked} a@b.test u@example.com`), 'false')
})

test('greylistd’s question about a bounce is one about all recipients', async () => {
  const bench = setUp()
  assert.equal(await bench.ask('--grey 192.0.2.7 u@example.com'), 'true')
  bench.now += 5 * MINUTE
  assert.equal(await bench.ask('--grey 192.0.2.7 u@example.com, v@example.com'), 'true')
  bench.now += 5 * MINUTE
  assert.equal(await bench.ask('--grey 192.0.2.7 u@example.com, v@example.com'), 'false')
})

test('mail that may be a callout is judged at DATA, for all recipients together', async () => {
  for (const sender of ['', 'postmaster@b.test']) {
    const bench = setUp()
    const both = ['u@example.com', 'v@example.com']
    const attempt = async (message: string) => {
      for (const recipient of both)
        assert.equal(await bench.ask(rcpt(recipient, { sender, message })), 'pass')
      return bench.ask(data(both, { sender, message }))
    }
    assert.equal(await bench.ask(rcpt('u@example.com', { sender, message: 'callout' })), 'pass')
    assert.deepEqual(bench.outcomes, [])
    assert.match(await attempt('1'), DEFERRED)
    bench.now += 5 * MINUTE
    assert.match(await attempt('2'), /^pass X-Greylist: delayed 00:05:00 by mx\.example\.com; /)
    assert.deepEqual(reasons(bench), ['tempfail new', 'tempfail new', 'pass retry', 'pass retry'])
  }
})

test('with null_sender_at: rcpt, a bounce is judged at RCPT and not again at DATA', async () => {
  const bench = setUp('greylist: { null_sender_at: rcpt }')
  assert.match(await bench.ask(rcpt('u@example.com', { sender: '' })), DEFERRED)
  assert.equal(await bench.ask(data(['u@example.com'], { sender: '' })), 'pass')
  assert.deepEqual(reasons(bench), ['tempfail new'])
})

test('a key without recipient is judged once for a message', async () => {
  const bench = setUp('greylist: { key: [client, sender] }')
  const first = await bench.ask(rcpt('u@example.com'))
  assert.match(first, DEFERRED)
  assert.equal(await bench.ask(rcpt('v@example.com')), first)
  assert.deepEqual(reasons(bench), ['tempfail new'])
  bench.now += 5 * MINUTE
  for (const recipient of ['u@example.com', 'v@example.com', 'w@example.com'])
    assert.equal(await bench.ask(rcpt(recipient, { message: '2' })), 'pass')
  assert.deepEqual(reasons(bench), ['tempfail new', 'pass retry'])
  assert.match(await bench.ask(data(['u@example.com'], { sender: '', message: '3' })), DEFERRED)
  assert.equal(bench.outcomes.at(-1)?.attempt.recipient, undefined)
})

test('a login, a verified certificate and a confirmed name are taken from their fields', async () => {
  const bench = setUp(`exempt:
  clients: [trusted.test]
  tls_clients: ["subject:mail.b.test issuer:Some CA", "fingerprint:${'ab'.repeat(32)}"]`)
  for (const [fields, reason] of [
    [{ auth: 'plain_server', user: 'joe' }, 'authenticated'],
    [{ user: 'joe' }, 'new'],
    [{ auth: 'external', user: 'joe' }, 'new'],
    [{ name: 'mx.trusted.test' }, 'exempt-client'],
    [{ helo: 'mx.trusted.test' }, 'new'],
    [{ verified: '1', subject: 'mail.b.test', issuer: 'Some CA' }, 'authenticated'],
    [{ verified: '0', subject: 'mail.b.test', issuer: 'Some CA' }, 'new'],
    [{ subject: 'mail.b.test', issuer: 'Some CA' }, 'new'],
    [{ verified: '0', fingerprint: 'AB'.repeat(32) }, 'authenticated'],
    [{ client: '' }, 'exempt-client'],
  ] as const) {
    const recipient = `${bench.outcomes.length}@example.com`
    await bench.ask(rcpt(recipient, { ...fields, message: recipient }))
    assert.equal(bench.outcomes.at(-1)?.reason, reason, JSON.stringify(fields))
  }
})

test('the reply is one line without anything that could end it', async () => {
  const bench = setUp('reply: "451 {recipient} first\\nand {domain} second"')
  assert.equal(
    await bench.ask(rcpt('"4.7.1 ü\\\r\\\n%$"@exämple.com')),
    'defer 451 "4.7.1 ?\\?\\?%$"@ex?mple.com first and xn--exmple-cua.com second',
  )
})

/** An investigation that never ends; it records what was asked, and whether the caller still waits. */
function recordingInquiries() {
  const inquiries: Array<{ readonly sender: string; readonly isWanted: () => boolean }> = []
  const inquire: Investigate = (_, sender, isWanted) => {
    inquiries.push({ sender: sender.text, isWanted })
    return new Promise(() => undefined)
  }
  return { inquiries, inquire }
}

test('DNS is asked once for the recipients of one message, until its end', async () => {
  const { inquiries, inquire } = recordingInquiries()
  const bench = setUp('', inquire)
  void bench.ask(rcpt('postmaster@example.com'))
  assert.equal(inquiries.length, 0)
  for (const recipient of ['u', 'v', 'w']) void bench.ask(rcpt(`${recipient}@example.com`))
  assert.equal(inquiries.length, 1)
  await bench.ask(data(['u@example.com']))
  assert.equal(inquiries[0]?.isWanted(), false)
})

test('a message is no other client’s, whatever name Exim gives it', () => {
  const { inquiries, inquire } = recordingInquiries()
  const bench = setUp('', inquire)
  const origins = [
    {},
    { client: '192.0.2.8' },
    { sender: 'c@b.test' },
    { helo: 'x' },
    { auth: 'plain' },
    { name: 'x' },
  ]
  for (const origin of [...origins, ...origins]) void bench.ask(rcpt('u@example.com', origin))
  assert.equal(inquiries.length, origins.length - 1) // the login is exempt
  for (const _ of [1, 2]) void bench.ask(rcpt('u@example.com', { message: '' }))
  assert.equal(inquiries.length, origins.length + 1)
})

test('the oldest of many messages is forgotten', () => {
  const { inquiries, inquire } = recordingInquiries()
  const bench = setUp('', inquire)
  for (let count = 0; count <= 1000; count += 1)
    void bench.ask(rcpt('u@example.com', { message: String(count) }))
  assert.equal(inquiries.length, 1001)
  assert.deepEqual(
    inquiries.flatMap(({ isWanted }, index) => (isWanted() ? [] : index)),
    [0],
  )
  void bench.ask(rcpt('v@example.com', { message: '1' }))
  assert.equal(inquiries.length, 1001)
})

test('recipients beyond the limit get the last verdict', async () => {
  const bench = setUp('limits: { recipients: 100 }')
  const recipients = Array.from({ length: 120 }, (_, index) => `u${index}@example.com`)
  for (const recipient of recipients) assert.match(await bench.ask(rcpt(recipient)), DEFERRED)
  assert.equal(bench.outcomes.length, 100)
  assert.match(await bench.ask(data(recipients, { sender: '' })), DEFERRED)
  assert.equal(bench.outcomes.length, 200)
})

test('observe lets everything pass', async () => {
  const bench = setUp('greylist: { mode: observe }')
  assert.equal(await bench.ask(rcpt('u@example.com')), 'pass')
  assert.equal(await bench.ask('--grey 192.0.2.7 a@b.test v@example.com'), 'false')
  assert.deepEqual(reasons(bench), ['pass observe', 'pass observe'])
})

test('what cannot be read lets mail pass', async () => {
  const bench = setUp()
  assert.equal(await bench.ask('rcpt client=192.0.2.7'), 'pass')
  assert.equal(await bench.ask('--grey x y'), 'false')
  assert.deepEqual(bench.outcomes, [])
})
