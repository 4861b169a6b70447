// Tests of DNS questions with a real server: what is cached and for how long, and that nobody waits for silence twice.

import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { after, type TestContext, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { type Asker, Dns } from '../src/dns.ts'
import { parseDnsList } from '../src/exempt/dnsfilter.ts'
import { createDnsLists } from '../src/exempt/dnslists.ts'
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
    'long.test': `* TXT ${'"v=spf1 ip4:192.0.2.0/24 and much more of no use to anybody but to make it long, very long indeed" '.repeat(450)}`,
    'wordy.test': `* TXT ${'"site-verification=0123456789abcdef0123456789abcdef0123456789abcdef" '.repeat(60)}`,
    'other.test':
      '7.2.0.192 A 127.0.3.1\n1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2 A 127.0.0.4',
  },
})

const ASKER = askerOf('192.0.2.0/24', 'one.test')

function askerOf(network: string, organisation: string): Asker {
  return { purpose: 'spf', network, organisation, extraQuestions: 0 }
}

function listAskerOf(network: string): Asker {
  return { purpose: 'list', network, extraQuestions: 0 }
}

function anyAskerOf(purpose: Asker['purpose'], network: string, organisation: string): Asker {
  return purpose === 'spf' ? askerOf(network, organisation) : listAskerOf(network)
}

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
 * Starts a resolver for which the servers of the zone `slow` are slow, or by default dead: for names in that zone it
 * answers nothing until `delay` milliseconds after the first question.
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
  assert.deepEqual((await dns.ask('one.test', 'TXT', ASKER, true)).value, [['v=spf1 -all']])
  assert.deepEqual((await dns.ask('SHORT.one.test', 'A', ASKER, true)).value, ['192.0.2.1', '192.0.2.2'])
  assert.deepEqual((await dns.ask('six.one.test', 'AAAA', ASKER, true)).value, ['2001:db8::1'])
  assert.deepEqual(
    (await dns.ask('mx.one.test', 'MX', ASKER, true)).value,
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
    const { value, error } = await dns.ask(name, type, ASKER, true)
    assert.equal(value, undefined)
    assert.ok(error && 'code' in error)
    assert.equal(error.code, code, name)
  }
})

test('an address is remembered for its TTL, and one question is asked once', async (t) => {
  const { dns } = open(t)
  const [first, second] = [
    dns.ask('short.one.test', 'A', ASKER, true),
    dns.ask('Short.One.Test', 'A', ASKER, true),
  ]
  assert.equal(first, second)
  const { expiresAt } = await first
  const left = expiresAt - performance.now()
  assert.ok(left > 5000 && left <= 7000, `${left} ms`)
  assert.equal((await dns.ask('short.one.test', 'A', ASKER, true)).expiresAt, expiresAt)
})

test('silence is noticed, waited for once, and over with the first answer', async (t) => {
  const inner = await scratch(t)
  const frozen = await startDns({ dir: inner, zones: { test: '* TXT "x"' } })
  const { dns, events } = open(t, [frozen.server])
  assert.ok(await dns.withTimeout('first', dns.ask('first.test', 'TXT', ASKER, true)))
  await frozen.pause()
  const startedAt = performance.now()
  assert.equal(await dns.withTimeout('second', dns.ask('second.test', 'TXT', ASKER, true)), undefined)
  const took = performance.now() - startedAt
  assert.ok(took > 1400 && took < 2500, `${took} ms`)
  assert.equal(events.length, 1)
  assert.match(events[0] ?? '', /^silent: /)
  for (const name of ['second', 'third']) {
    const again = performance.now()
    assert.equal(await dns.withTimeout(name, dns.ask(`${name}.test`, 'TXT', ASKER, true)), undefined)
    assert.ok(performance.now() - again < 500)
  }
  assert.ok(
    await dns.withTimeout('first', dns.ask('first.test', 'TXT', ASKER, true)),
    'what is known is used meanwhile',
  )
  frozen.resume()
  await waitFor('an answer', async () => {
    await dns.withTimeout('x', dns.ask(`x${performance.now()}.test`, 'TXT', ASKER, true))
    return events.length > 1
  })
  assert.deepEqual(events.slice(1), ['answering'])
  assert.ok(await dns.withTimeout('third', dns.ask('third-again.test', 'TXT', ASKER, true)))
})

// Regression: on a host with little mail, one domain with dead servers once made the next mail of any domain go without
// DNS.
test('where one name stays without answer, all others are waited for as before', async (t) => {
  const resolver = await startResolver('dead.test')
  const { dns, events } = open(t, [resolver])
  assert.equal((await dns.withTimeout('dead', dns.ask('dead.test', 'TXT', ASKER, true)))?.value, undefined)
  assert.ok((await dns.withTimeout('one', dns.ask('one.test', 'TXT', ASKER, true)))?.value)
  assert.deepEqual(events, [])
})

// Regression: c-ares expects all answers to be as fast as earlier ones, and gave a slow domain up after half a second.
test('an answer that takes its time is waited for, however fast others have been', async (t) => {
  // On a machine so busy that the root's answer is late as well, mail waits less, and the trial begins anew.
  for (let trials = 1; ; trials += 1) {
    const { dns } = open(t, [await startResolver('one.test', 1100)])
    for (let count = 0; count < 20; count += 1) await dns.ask(`n${count}.other.test`, 'A', ASKER, true)
    const others = setInterval(() => void dns.ask(`n${performance.now()}.other.test`, 'A', ASKER, true), 30)
    t.after(() => clearInterval(others))
    const startedAt = performance.now()
    const answer = await dns.withTimeout('one', dns.ask('one.test', 'TXT', ASKER, true))
    clearInterval(others)
    if (!answer?.value && trials < 5) continue
    assert.ok(answer?.value)
    assert.ok(performance.now() - startedAt > 1000)
    return
  }
})

test('once closed, nothing is asked and nobody is waited for', async (t) => {
  const { dns, events } = open(t, [await startResolver('dead.test')])
  const asked = dns.ask('dead.test', 'TXT', ASKER, true)
  dns.close()
  const startedAt = performance.now()
  assert.ok((await asked).error)
  assert.ok((await dns.withTimeout('one', dns.ask('one.test', 'TXT', ASKER, true)))?.error)
  assert.ok(performance.now() - startedAt < 500)
  assert.deepEqual(events, [])
})

/** Questions of strangers other than ASKER: each has a network and a domain of its own, or they share a few. */
function flood(
  dns: Dns,
  purpose: Asker['purpose'],
  strangers: number,
  questions: number,
): Promise<unknown[]> {
  return Promise.all(
    Array.from({ length: strangers * questions }, (_, count) => {
      const asker = anyAskerOf(purpose, `network ${count % strangers}`, `domain ${count % strangers}`)
      return dns.ask(`${purpose}${count}.one.test`, 'A', asker, true)
    }),
  )
}

function isAsked({ error }: { readonly error?: Error }): boolean {
  return error?.message !== 'not asked'
}

test('however many strangers have questions open, the next one’s are asked, and so are those of lists', async (t) => {
  for (const [strangers, questions] of [
    [1, 4500],
    [500, 9],
  ] as const) {
    for (const purpose of ['spf', 'list'] as const) {
      const { dns } = open(t, [await startResolver('one.test')])
      const all = flood(dns, purpose, strangers, questions)
      const other = purpose === 'spf' ? 'list' : 'spf'
      const [network, organisation] = ['192.0.2.0/24', 'two.test']
      // Both get answers, as the resolver is silent about one.test only.
      assert.ok(isAsked(await dns.ask('list.test', 'SOA', anyAskerOf(other, network, organisation), true)))
      assert.ok(isAsked(await dns.ask('other.test', 'SOA', anyAskerOf(purpose, network, organisation), true)))
      dns.close()
      const answers = (await all) as Array<{ error?: Error }>
      const asked = answers.filter(isAsked).length
      assert.ok(asked <= (purpose === 'spf' ? 4000 : 1000), `${asked} asked`)
      assert.ok(asked > 0)
      // A question that was not asked has no answer.
      assert.ok(answers.filter((answer) => !isAsked(answer)).every(({ error }) => error))
    }
  }
})

test('a client network and a sender domain have their share each, whatever the other is', async (t) => {
  const { dns } = open(t, [await startResolver('one.test')])
  const ask = (name: string, network: string, domain: string) =>
    dns.ask(name, 'A', askerOf(network, domain), true)
  const open1 = Array.from({ length: 300 }, (_, n) => ask(`a${n}.one.test`, 'network', `domain ${n}`))
  const open2 = Array.from({ length: 300 }, (_, n) => ask(`b${n}.one.test`, `network ${n}`, 'domain'))
  assert.ok(!isAsked(await ask('c.other.test', 'network', 'another')))
  assert.ok(!isAsked(await ask('d.other.test', 'another', 'domain')))
  assert.ok(isAsked(await ask('e.other.test', 'another', 'another domain')))
  dns.close()
  await Promise.all([...open1, ...open2])
  const reopened = open(t).dns
  assert.ok(isAsked(await reopened.ask('f.other.test', 'A', ASKER, true)))
})

/** The number of questions that are asked, out of `count` further ones. */
async function further(dns: Dns, asker: Asker, name: string, count: number): Promise<number> {
  let asked = 0
  for (let n = 0; n < count; n += 1)
    if (isAsked(await dns.ask(`${name}${n}.other.test`, 'A', asker))) asked += 1
  return asked
}

test('what is cached or asked already needs no share', async (t) => {
  const { dns } = open(t)
  await dns.ask('one.test', 'TXT', ASKER, true)
  const spent = askerOf('spent', 'spent.test')
  const asked = await further(dns, spent, 'a', 100)
  assert.ok(asked >= 40 && asked < 60, `${asked} asked`)
  assert.equal(spent.extraQuestions, asked)
  assert.ok(isAsked(await dns.ask('first.other.test', 'A', spent, true)))
  assert.deepEqual((await dns.ask('one.test', 'TXT', spent)).value, [['v=spf1 -all']])
  assert.ok(isAsked(await dns.ask('late.other.test', 'A', listAskerOf('spent'))))
})

test('one network does not use up the share of another’s domain, nor one domain that of a network', async (t) => {
  const { dns } = open(t)
  const [network, organisation] = ['192.0.2.0/24', 'victim.test']
  await further(dns, askerOf('stranger', organisation), 'a', 500)
  assert.equal(await further(dns, askerOf(network, organisation), 'b', 20), 20)
  await further(dns, askerOf(network, 'stranger.test'), 'c', 500)
  assert.equal(await further(dns, askerOf(network, 'other.test'), 'd', 20), 20)
})

test('what a network has asked for mail that is vouched for, it has back', async (t) => {
  const { dns } = open(t)
  for (let n = 0; n < 100; n += 1) {
    const asker = askerOf('192.0.2.0/24', `d${n}.test`)
    assert.equal(await further(dns, asker, `x${n}y`, 5), 5)
    dns.refund(asker)
  }
})

// A busy network whose senders' domains have much text was in debt after a few of them, though SPF passed for it.
test('what long answers cost a network, it has back for mail that is vouched for, but for the longest', async (t) => {
  const { dns } = open(t)
  const network = '192.0.2.0/24'
  for (let n = 0; n < 100; n += 1) {
    const asker = askerOf(network, `d${n}.test`)
    assert.ok((await dns.ask(`${n}.wordy.test`, 'TXT', asker, true)).value)
    assert.ok(asker.extraQuestions >= 8, `${asker.extraQuestions}`)
    dns.refund(asker)
  }
  const asker = askerOf(network, 'long.test')
  await dns.ask('1.long.test', 'TXT', asker, true)
  dns.refund(asker)
  await dns.ask('2.long.test', 'TXT', askerOf(network, 'longer.test'), true)
  assert.ok(!isAsked(await dns.ask('3.long.test', 'TXT', askerOf(network, 'longest.test'), true)))
})

test('the first question of a message is asked, whatever others have had asked beyond theirs', async (t) => {
  const { dns } = open(t)
  const all = await Promise.all(
    Array.from({ length: 4000 }, async (_, n) => {
      await setTimeout(n / 20) // spread over time, so that the limit of open questions is not reached
      return dns.ask(`x${n}.other.test`, 'A', askerOf(`${n}`, `${n}.test`))
    }),
  )
  const asked = all.filter(isAsked).length
  assert.ok(asked >= 500 && asked < 2500, `${asked} asked`)
  assert.ok(isAsked(await dns.ask('first.other.test', 'A', ASKER, true)))
})

test('a long answer counts as many questions, and nobody else pays for it', async (t) => {
  const { dns } = open(t)
  const long = askerOf('long', 'long.test')
  assert.ok((await dns.ask('1.long.test', 'TXT', long, true)).value)
  assert.ok(!isAsked(await dns.ask('2.long.test', 'TXT', long, true)))
  for (let count = 3; count < 30; count += 1)
    assert.ok(isAsked(await dns.ask(`${count}.long.test`, 'TXT', askerOf(`${count}`, `${count}.test`), true)))
  assert.equal(await further(dns, askerOf('another', 'another.test'), 'z', 20), 20)
})

test('a subject that was slow while others answered is not waited for again', async (t) => {
  const { dns, events } = open(t)
  const never = new Promise<undefined>(() => undefined)
  const others = setInterval(() => void dns.ask(`n${performance.now()}.one.test`, 'A', ASKER, true), 100)
  t.after(() => clearInterval(others))
  assert.equal(await dns.withTimeout('slow', never), undefined)
  const startedAt = performance.now()
  assert.equal(await dns.withTimeout('slow', never), undefined)
  assert.ok(performance.now() - startedAt < 500)
  assert.deepEqual(events, [])
})

test('a port where nobody listens is silence too, at once', async (t) => {
  const { dns, events } = open(t, ['127.0.0.1:1'])
  const startedAt = performance.now()
  assert.ok((await dns.ask('one.test', 'TXT', ASKER, true)).error)
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
    ['192.0.2.7', [], undefined],
  ]
  for (const [text, zones, listedBy] of cases) {
    const address = parseIp(text)
    assert.ok(address)
    const expected = listedBy === undefined ? { kind: 'not listed' } : { kind: 'listed', zone: listedBy }
    const lists = zones.map((zone) => parseDnsList(zone, 'trusted'))
    assert.deepEqual(await createDnsLists(lists, dns)(address), expected, `${text} ${zones}`)
  }
})

test('a list that does not say has not said that the client is not on it', async (t) => {
  const address = parseIp('192.0.2.7')
  assert.ok(address)
  const lists = [parseDnsList('other.test', 'trusted')]
  const { dns } = open(t, [await startResolver('one.test')])
  const flooded = Array.from({ length: 200 }, (_, n) =>
    dns.ask(`n${n}.one.test`, 'A', listAskerOf('192.0.2.0/24')),
  )
  assert.deepEqual(await createDnsLists(lists, dns)(address), { kind: 'not known' })
  dns.close()
  await Promise.all(flooded)

  const slow = open(t, [await startResolver('7.2.0.192.other.test')]).dns
  assert.deepEqual(await createDnsLists(lists, slow)(address), { kind: 'not known' })
  // The other lists are waited for.
  const [listed, unlisted] = ['2001:db8::1', '192.0.2.8'].map((text) => parseIp(text))
  assert.ok(listed && unlisted)
  assert.deepEqual(await createDnsLists(lists, slow)(listed), { kind: 'listed', zone: 'other.test' })
  assert.deepEqual(await createDnsLists(lists, slow)(unlisted), { kind: 'not listed' })
})

test('where there is no such list, nobody is on it', async (t) => {
  const { dns } = open(t)
  const address = parseIp('192.0.2.7')
  assert.ok(address)
  const lists = [parseDnsList('refused.example', 'trusted')]
  assert.deepEqual(await createDnsLists(lists, dns)(address), { kind: 'not listed' })
})

test('while DNS is silent as a whole, mail goes on as if there were no list', async (t) => {
  const { dns, events } = open(t, ['127.0.0.1:1'])
  const address = parseIp('192.0.2.7')
  assert.ok(address)
  const ask = createDnsLists([parseDnsList('other.test', 'trusted')], dns)
  await ask(address)
  await waitFor('the silence to be noticed', () => events.length > 0)
  assert.deepEqual(await ask(address), { kind: 'not listed' })
})
