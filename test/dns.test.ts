// DNS with a real server: what is remembered and for how long, and that nobody waits for silence twice.

import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { after, type TestContext, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { Dns } from '../src/dns.ts'
import { createDnsLists, reversedName } from '../src/exempt/dnslists.ts'
import { parseIp } from '../src/ip.ts'
import { startDns } from './support/dns.ts'
import { scratch, waitFor } from './support/scratch.ts'

const dir = await scratch({ after })
const server = await startDns({
  dir,
  zones: {
    'one.test': `
      @     TXT "v=spf1 -all"
      short 7 A 192.0.2.1
      short 7 A 192.0.2.2
      six     AAAA 2001:db8::1
      mx      MX 10 mail`,
    'list.test':
      '7.2.0.192 A 127.0.0.2\n8.2.0.192 A 127.0.0.255\n9.2.0.192 A 127.255.255.254\n10.2.0.192 A 203.0.113.1',
    'other.test':
      '7.2.0.192 A 127.0.3.1\n1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2 A 127.0.0.4',
  },
})

function open(t: TestContext, servers = [server.server]): { dns: Dns; events: string[] } {
  const events: string[] = []
  const dns = new Dns(
    { servers },
    { onSilent: (problem) => events.push(`silent: ${problem}`), onAnswering: () => events.push('answering') },
  )
  t.after(() => dns.close())
  return { dns, events }
}

/**
 * A resolver as it is where the servers of `slow`, and of all below it, are slow, or (by default) dead: of these it says
 * nothing until `delay` milliseconds after the first question.
 */
async function startResolver(slow: string, delay = Number.POSITIVE_INFINITY): Promise<string> {
  // RFC 1035 section 3.1
  const name = slow.replace(/([^.]+)\.?/g, (_, label) => String.fromCharCode(label.length) + label)
  const resolver = createSocket('udp4').unref()
  let firstAt: number | undefined
  resolver.on('message', async (question, { port }) => {
    if (question.includes(name)) {
      firstAt ??= performance.now()
      if (delay === Number.POSITIVE_INFINITY) return
      await setTimeout(firstAt + delay - performance.now())
    }
    const upstream = createSocket('udp4').unref()
    upstream.on('message', (answer) => {
      resolver.send(answer, port, '127.0.0.1')
      upstream.close()
    })
    upstream.send(question, server.port, '127.0.0.1')
  })
  await once(resolver.bind(0, '127.0.0.1'), 'listening')
  return `127.0.0.1:${resolver.address().port}`
}

test('answers are as Node gives them, and errors are answers with their code', async (t) => {
  const { dns } = open(t)
  assert.deepEqual((await dns.ask('one.test', 'TXT')).value, [['v=spf1 -all']])
  assert.deepEqual((await dns.ask('SHORT.one.test', 'A')).value, ['192.0.2.1', '192.0.2.2'])
  assert.deepEqual((await dns.ask('six.one.test', 'AAAA')).value, ['2001:db8::1'])
  assert.deepEqual(
    (await dns.ask('mx.one.test', 'MX')).value,
    [{ exchange: 'mail.one.test', priority: 10, type: 'MX' }].map(({ exchange, priority }) => ({
      exchange,
      priority,
    })),
  )
  for (const [name, type, code] of [
    ['none.one.test', 'A', 'ENOTFOUND'],
    ['one.test', 'A', 'ENODATA'],
    ['elsewhere.example', 'A', 'EREFUSED'],
    [`${'x'.repeat(70)}.test`, 'A', 'EBADNAME'],
  ] as const) {
    const { value, error } = await dns.ask(name, type)
    assert.equal(value, undefined)
    assert.ok(error && 'code' in error)
    assert.equal(error.code, code, name)
  }
})

test('an address is remembered for its TTL, and one question is asked once', async (t) => {
  const { dns } = open(t)
  const [first, second] = [dns.ask('short.one.test', 'A'), dns.ask('Short.One.Test', 'A')]
  assert.equal(first, second)
  const { endsAt } = await first
  const left = endsAt - performance.now()
  assert.ok(left > 5000 && left <= 7000, `${left} ms`)
  assert.equal((await dns.ask('short.one.test', 'A')).endsAt, endsAt)
})

test('silence is noticed, waited for once, and over with the first answer', async (t) => {
  const inner = await scratch(t)
  const frozen = await startDns({ dir: inner, zones: { test: '* TXT "x"' } })
  const { dns, events } = open(t, [frozen.server])
  assert.ok(await dns.within('first', dns.ask('first.test', 'TXT')))
  await frozen.pause()
  const startedAt = performance.now()
  assert.equal(await dns.within('second', dns.ask('second.test', 'TXT')), undefined)
  const took = performance.now() - startedAt
  assert.ok(took > 1400 && took < 2500, `${took} ms`)
  assert.equal(events.length, 1)
  assert.match(events[0] ?? '', /^silent: /)
  for (const name of ['second', 'third']) {
    const again = performance.now()
    assert.equal(await dns.within(name, dns.ask(`${name}.test`, 'TXT')), undefined)
    assert.ok(performance.now() - again < 500)
  }
  assert.ok(await dns.within('first', dns.ask('first.test', 'TXT')), 'what is known is used meanwhile')
  frozen.resume()
  await waitFor('an answer', async () => {
    await dns.within('x', dns.ask(`x${performance.now()}.test`, 'TXT'))
    return events.length > 1
  })
  assert.deepEqual(events.slice(1), ['answering'])
  assert.ok(await dns.within('third', dns.ask('third-again.test', 'TXT')))
})

// On a host with little mail, one domain with dead servers made the next mail, of any domain, go without DNS.
test('where one name stays without answer, all others are waited for as before', async (t) => {
  const resolver = await startResolver('dead.test')
  const { dns, events } = open(t, [resolver])
  assert.equal((await dns.within('dead', dns.ask('dead.test', 'TXT')))?.value, undefined)
  assert.ok((await dns.within('one', dns.ask('one.test', 'TXT')))?.value)
  assert.deepEqual(events, [])
})

// c-ares takes the speed of the answers before for what all will have: a slow domain was given up after half a second.
test('an answer that takes its time is waited for, however fast others have been', async (t) => {
  const { dns } = open(t, [await startResolver('one.test', 1100)])
  for (let count = 0; count < 20; count += 1) await dns.ask(`n${count}.other.test`, 'A')
  const others = setInterval(() => void dns.ask(`n${performance.now()}.other.test`, 'A'), 30)
  t.after(() => clearInterval(others))
  const startedAt = performance.now()
  assert.ok((await dns.within('one', dns.ask('one.test', 'TXT')))?.value)
  assert.ok(performance.now() - startedAt > 1000)
})

test('once closed, nothing is asked and nobody is waited for', async (t) => {
  const { dns, events } = open(t, [await startResolver('dead.test')])
  const asked = dns.ask('dead.test', 'TXT')
  dns.close()
  const startedAt = performance.now()
  assert.ok((await asked).error)
  assert.ok((await dns.within('one', dns.ask('one.test', 'TXT')))?.error)
  assert.ok(performance.now() - startedAt < 500)
  assert.deepEqual(events, [])
})

test('a flood of questions is not asked beyond a bound, and nothing of it is remembered', async (t) => {
  const { dns } = open(t, ['127.0.0.1:1'])
  const flood = Array.from({ length: 6000 }, (_, count) => dns.ask(`n${count}.one.test`, 'A'))
  assert.equal((await dns.ask('one.test', 'TXT')).error?.message, 'not asked')
  await Promise.all(flood)
  assert.match((await dns.ask('one.test', 'TXT')).error?.message ?? '', /ECONNREFUSED/)
})

test('a subject that was slow while others answered is not waited for again', async (t) => {
  const { dns, events } = open(t)
  const never = new Promise<undefined>(() => undefined)
  const others = setInterval(() => void dns.ask(`n${performance.now()}.one.test`, 'A'), 100)
  t.after(() => clearInterval(others))
  assert.equal(await dns.within('slow', never), undefined)
  const startedAt = performance.now()
  assert.equal(await dns.within('slow', never), undefined)
  assert.ok(performance.now() - startedAt < 500)
  assert.deepEqual(events, [])
})

test('a port where nobody listens is silence too, at once', async (t) => {
  const { dns, events } = open(t, ['127.0.0.1:1'])
  const startedAt = performance.now()
  assert.ok((await dns.ask('one.test', 'TXT')).error)
  await waitFor('it to be noticed', () => events.length > 0)
  assert.ok(performance.now() - startedAt < 1000)
  assert.match(events.join(), /^silent: .*ECONNREFUSED/)
})

test('a client is on a DNS list when its reversed address has an address in 127/8 there', async (t) => {
  const { dns } = open(t)
  const cases: Array<[address: string, zones: string[], listedBy: string | undefined]> = [
    ['192.0.2.7', ['list.test', 'other.test'], 'list.test'],
    ['192.0.2.7', ['other.test', 'list.test'], 'other.test'],
    ['192.0.2.8', ['list.test', 'other.test'], undefined],
    ['192.0.2.9', ['list.test'], undefined],
    ['192.0.2.10', ['list.test'], undefined],
    ['192.0.2.11', ['list.test'], undefined],
    ['2001:db8::1', ['list.test', 'other.test'], 'other.test'],
    ['192.0.2.7', ['refused.example'], undefined],
    ['192.0.2.7', [], undefined],
  ]
  for (const [text, zones, listedBy] of cases) {
    const address = parseIp(text)
    assert.ok(address)
    assert.equal(await createDnsLists(zones, dns)(address), listedBy, `${text} ${zones}`)
  }
})

test('reversedName() is that of RFC 5782', () => {
  const names = ['192.0.2.99', '2001:db8:1:2:3:4:567:89ab'].map((text) => {
    const address = parseIp(text)
    return address && reversedName(address)
  })
  assert.deepEqual(names, ['99.2.0.192', 'b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2'])
})
