// Tests of a client's standing with the sender's domain when many ask at once, or when DNS answers differently each
// time.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parseAddress } from '../../../src/address.ts'
import { type Asker, type DnsAnswer, NOT_ASKED } from '../../../src/dns.ts'
import { type SpfDns, type SpfStanding, SpfStandings } from '../../../src/identity/spf/standing.ts'
import { ip } from './support.ts'

type Answers = (name: string, asker: Asker, isFirst: boolean, type: string) => Promise<DnsAnswer> | DnsAnswer

function standingsWith(answers: Answers, now?: () => number): SpfStandings {
  const dns: SpfDns = {
    ask: async (name, type, asker, isFirst = false) => answers(name, asker, isFirst, type),
    withTimeout: (_, answer) => answer,
    refund() {},
  }
  return new SpfStandings(dns, now)
}

/** An answer with the record `text`, which expires at once, so that it is not cached. */
function record(text: string): DnsAnswer {
  return { value: [[text]], expiresAt: 0 }
}

async function standing(
  standings: SpfStandings,
  client: string,
  domain = 'sender.example.org',
): Promise<SpfStanding> {
  return (await standings.of(ip(client), parseAddress(`a@${domain}`), undefined, () => true)).standing
}

test('a record that passes for somebody else each time vouches for nobody in the end', async () => {
  let now = ''
  const standings = standingsWith(() => record(`v=spf1 ip4:${now} -all`))
  const found: SpfStanding[] = []
  for (let bot = 0; bot < 40; bot += 1) {
    now = `10.${bot}.0.1`
    found.push(await standing(standings, now))
  }
  assert.equal(found.filter((each) => each === 'pass').length, 16)
  assert.ok(found.slice(16).every((each) => each === 'open'))
  // The states that came first still count, and other domains are unaffected.
  now = '10.0.0.1'
  assert.equal(await standing(standings, now), 'pass')
  now = '10.200.0.1'
  assert.equal(await standing(standings, now, 'other.example.org'), 'pass')
})

test('so does one whose hosts have another address each time, while what it names goes on counting', async () => {
  let now = ''
  const standings = standingsWith((_name, _asker, _isFirst, type) =>
    type === 'A' ? { value: [now], expiresAt: 0 } : record('v=spf1 ip4:198.51.100.7 a:host.example.org -all'),
  )
  const found: SpfStanding[] = []
  for (let bot = 0; bot < 40; bot += 1) {
    now = `10.${bot}.0.1`
    found.push(await standing(standings, now))
    assert.equal(await standing(standings, '198.51.100.7'), 'pass')
  }
  assert.ok(found.slice(0, 16).every((each) => each === 'pass'))
  assert.ok(found.slice(16).every((each) => each === 'open'))
})

test('a record whose addresses come in another order each time is the same', async () => {
  let turn = 0
  const hosts = Array.from({ length: 30 }, (_, n) => `ip4:10.0.${n}.1`)
  const standings = standingsWith(() => {
    turn += 1
    return record(`v=spf1 ${[...hosts.slice(turn), ...hosts.slice(0, turn)].join(' ')} -all`)
  })
  for (let count = 0; count < 29; count += 1) assert.equal(await standing(standings, '10.0.3.1'), 'pass')
})

test('one network has so many evaluations at once, and no other is refused for it', async () => {
  const waiting: Array<() => void> = []
  const standings = standingsWith(async () => {
    await new Promise<void>((resolve) => waiting.push(resolve))
    return record('v=spf1 ip4:10.0.0.0/16 -all')
  })
  const flood = Array.from({ length: 50 }, (_, n) => standing(standings, `10.0.0.${n}`, `d${n}.example.org`))
  const other = standing(standings, '10.0.1.1')
  const late = standing(standings, '10.0.0.200')
  assert.equal(await late, 'unknown')
  assert.equal(waiting.length, 33)
  for (const answer of waiting.splice(0)) answer()
  assert.equal(await other, 'pass')
  assert.deepEqual(
    (await Promise.all(flood)).map((each) => each === 'pass'),
    flood.map((_, n) => n < 32),
  )
  const again = standing(standings, '10.0.0.201')
  for (const answer of waiting.splice(0)) answer()
  assert.equal(await again, 'pass')
})

test('questions are asked on behalf of the network and of the domain that somebody has registered', async () => {
  const asked: string[] = []
  const standings = standingsWith((name, { purpose, network, organisation }, isFirst) => {
    asked.push(`${purpose} ${name} ${network} ${organisation} ${isFirst}`)
    return record(name.startsWith('x') ? 'v=spf1 include:a.example.net -all' : 'v=spf1 ?all')
  })
  await standing(standings, '10.0.0.1', 'x1.deep.example.org')
  await standing(standings, '2001:db8:1:2::3', 'x2.example.co.uk')
  // Names below a suffix that a company lets to others are free of charge.
  await standing(standings, '10.0.0.2', 'y3.duckdns.org')
  assert.deepEqual(asked, [
    'spf x1.deep.example.org 10.0.0.0/24 example.org true',
    'spf a.example.net 10.0.0.0/24 example.org false',
    'spf x2.example.co.uk 2001:db8:1::/48 example.co.uk true',
    'spf a.example.net 2001:db8:1::/48 example.co.uk false',
    'spf y3.duckdns.org 10.0.0.0/24 duckdns.org true',
  ])
})

test('nothing is known where nothing was asked, and that is not kept', async () => {
  let isAsked = false
  const standings = standingsWith(() => (isAsked ? record('v=spf1 ip4:10.0.0.1 -all') : NOT_ASKED))
  assert.equal(await standing(standings, '10.0.0.1'), 'unknown')
  isAsked = true
  assert.equal(await standing(standings, '10.0.0.1'), 'pass')
})

test('answers expire, and the states of a record are forgotten after a day, by the clock that is handed in', async () => {
  const clock = { now: 1000 }
  let network = 0
  let asked = 0
  const standings = standingsWith(
    () => {
      asked += 1
      return { value: [[`v=spf1 ip4:10.${network}.0.0/16 -all`]], expiresAt: clock.now + 60_000 }
    },
    () => clock.now,
  )
  const next = (client: number) => standing(standings, `10.${client}.0.1`)
  assert.equal(await next(0), 'pass')
  clock.now = 60_999
  assert.equal(await next(0), 'pass')
  assert.equal(asked, 1)
  clock.now = 61_000
  assert.equal(await next(0), 'pass')
  assert.equal(asked, 2)
  for (network = 1; network < 16; network += 1) assert.equal(await next(network), 'pass')
  assert.equal(await next(16), 'open')
  clock.now = 86_401_001
  network = 17
  assert.equal(await next(17), 'pass')
})

test('carriers are the organisations of others whose records pass the client, and are remembered', async () => {
  const records = new Map([
    ['sender.example.org', 'v=spf1 include:_spf.example.org include:eu.spf.carrier.example -all'],
    ['_spf.example.org', 'v=spf1 ip4:198.51.100.7 -all'],
    ['eu.spf.carrier.example', 'v=spf1 include:net.spf.carrier.example include:backbone.example -all'],
    ['net.spf.carrier.example', 'v=spf1 ip4:192.0.2.0/24 -all'],
    ['backbone.example', 'v=spf1 ip4:203.0.113.0/24 -all'],
  ])
  let asked = 0
  const standings = standingsWith((name) => {
    asked += 1
    return { value: [[records.get(name) ?? '']], expiresAt: Number.POSITIVE_INFINITY }
  })
  const carriersOf = async (client: string) => {
    const { standing, carriers } = await standings.of(
      ip(client),
      parseAddress('a@sender.example.org'),
      undefined,
      () => true,
    )
    return [standing, ...carriers]
  }
  assert.deepEqual(await carriersOf('192.0.2.7'), ['pass', 'carrier.example'])
  assert.deepEqual(await carriersOf('203.0.113.7'), ['pass', 'carrier.example', 'backbone.example'])
  assert.deepEqual(await carriersOf('198.51.100.7'), ['pass'])
  assert.deepEqual(await carriersOf('198.51.100.8'), ['fail'])
  const before = asked
  assert.deepEqual(await carriersOf('203.0.113.7'), ['pass', 'carrier.example', 'backbone.example'])
  assert.equal(asked, before)
})

test('512 evaluations run at once, and the next is not made', async () => {
  const waiting: Array<() => void> = []
  const standings = standingsWith(async () => {
    await new Promise<void>((resolve) => waiting.push(resolve))
    return record('v=spf1 ip4:10.0.0.0/14 -all')
  })
  const asked = Array.from({ length: 513 }, (_, n) => standing(standings, `10.${n >> 8}.${n & 255}.1`))
  assert.equal(await asked.at(-1), 'unknown')
  assert.equal(waiting.length, 512)
  for (const answer of waiting) answer()
  assert.ok((await Promise.all(asked.slice(0, -1))).every((each) => each === 'pass'))
})

test('the states of a record are forgotten a day after the first of them, to the millisecond', async () => {
  for (const [elapsed, expected] of [
    [86_400_000, 'open'],
    [86_400_001, 'pass'],
  ] as const) {
    const clock = { now: 1000 }
    let network = 0
    const standings = standingsWith(
      () => record(`v=spf1 ip4:10.${network}.0.0/16 -all`),
      () => clock.now,
    )
    for (network = 0; network < 16; network += 1)
      assert.equal(await standing(standings, `10.${network}.0.1`), 'pass')
    clock.now += elapsed
    assert.equal(await standing(standings, '10.16.0.1'), expected)
  }
})

test('a record whose states are too many in one family still counts in the other', async () => {
  let named = ''
  const standings = standingsWith(() => record(`v=spf1 ${named} -all`))
  for (let bot = 0; bot < 17; bot += 1) {
    named = `ip4:10.${bot}.0.1`
    await standing(standings, `10.${bot}.0.1`)
  }
  named = 'ip4:10.99.0.1 ip6:2001:db8::/32'
  assert.equal(await standing(standings, '10.99.0.1'), 'open')
  assert.equal(await standing(standings, '2001:db8::1'), 'pass')
})

test('an answer is kept for all clients of a family that the record does not tell apart', async () => {
  for (const [text, asked] of [
    ['v=spf1 ip4:10.0.0.0/8 -all', 2],
    ['v=spf1 ip4:10.0.0.0/31 -all', 3],
    ['v=spf1 -all', 2],
    ['no record', 2],
    // One question for the record, and one for the name of each client.
    ['v=spf1 exists:%{i}.example.net -all', 10],
    // Whether the address of a host vouches for a client depends on the client's network as well.
    ['v=spf1 a:host.example.net/24 -all', 8],
  ] as const) {
    let count = 0
    const standings = standingsWith(
      (_name, _asker, _isFirst, type) => {
        count += 1
        return { value: type === 'TXT' ? [[text]] : type === 'A' ? ['10.0.0.1'] : [], expiresAt: 2000 }
      },
      () => 1000,
    )
    for (const client of ['10.0.0.1', '10.0.0.2', '2001:db8::1', '10.0.0.1', '10.0.0.3', '2001:db8::2'])
      await standing(standings, client)
    assert.equal(count, asked, text)
  }
})

test('a domain whose record tells too many clients apart begins anew', async () => {
  // Each of 40 clients is in a block that passes nobody, behind which 100 more blocks are compared.
  const negative = Array.from({ length: 40 }, (_, n) => `-ip4:10.0.0.${n}`).join(' ')
  const others = Array.from({ length: 100 }, (_, n) => `ip4:10.0.1.${n}`).join(' ')
  let count = 0
  const standings = standingsWith(
    (name) => {
      if (name === 'sender.example.org') count += 1
      const text =
        name === 'inner.test' ? `v=spf1 ${negative} -all` : `v=spf1 include:inner.test ${others} -all`
      return { value: [[text]], expiresAt: 2000 }
    },
    () => 1000,
  )
  const askedFor = async (clients: number) => {
    const before = count
    for (let n = 0; n < clients; n += 1) await standing(standings, `10.0.0.${n}`)
    return count - before
  }
  assert.equal(await askedFor(15), 15)
  assert.equal(await askedFor(15), 0)
  assert.equal(await askedFor(40), 25)
  const again = await askedFor(40)
  assert.ok(again > 0 && again <= 40, `${again}`)
})

test('an answer is kept until the first of those expires by which it was found, whatever others are kept', async () => {
  const expiries = new Map([
    ['sender.example.org', 4000],
    ['early.test', 2000],
  ])
  const both = ['sender.example.org', 'early.test']
  for (const clients of [
    ['10.0.0.1', '10.0.0.2', '10.0.0.3'],
    ['10.0.0.3', '10.0.0.2', '10.0.0.1'],
  ]) {
    const clock = { now: 1000 }
    let asked: string[] = []
    const standings = standingsWith(
      (name) => {
        asked.push(name)
        const text =
          name === 'early.test' ? 'v=spf1 ip4:10.0.0.2 -all' : 'v=spf1 -ip4:10.0.0.1 include:early.test -all'
        return { value: [[text]], expiresAt: expiries.get(name) ?? 0 }
      },
      () => clock.now,
    )
    const askedFor = async (...some: readonly string[]) => {
      asked = []
      for (const client of some) await standing(standings, client)
      return asked
    }
    assert.equal((await askedFor(...clients)).length, 5)
    clock.now = 1999
    assert.deepEqual(await askedFor(...clients), [])
    clock.now = 2000
    assert.deepEqual(await askedFor('10.0.0.1'), [])
    assert.deepEqual(await askedFor('10.0.0.2'), both)
    clock.now = 3999
    assert.deepEqual(await askedFor('10.0.0.1'), [])
    clock.now = 4000
    assert.deepEqual(await askedFor('10.0.0.1'), ['sender.example.org'])
  }
})

test('what a changed record says replaces what it said before', async () => {
  const clock = { now: 1000 }
  let text = 'v=spf1 ip4:10.0.0.0/24 -all'
  const standings = standingsWith(
    () => ({ value: [[text]], expiresAt: clock.now + 1000 }),
    () => clock.now,
  )
  assert.equal(await standing(standings, '10.0.0.1'), 'pass')
  assert.equal(await standing(standings, '192.0.2.1'), 'fail')
  clock.now = 2000
  text = 'v=spf1 ?ip4:10.0.0.0/24 ip4:192.0.2.0/24 -all'
  assert.equal(await standing(standings, '192.0.2.1'), 'pass')
  assert.equal(await standing(standings, '10.0.0.1'), 'fail')
  assert.equal(await standing(standings, '10.0.0.2'), 'fail')
})

test('an answer is kept for its client alone if a part of the record was left out, as it came late', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  let isLate = true
  let count = 0
  const standings = standingsWith(
    (name) => {
      if (name === 'sender.example.org') count += 1
      if (name === 'late.test' && isLate) return new Promise(() => undefined)
      const text =
        name === 'late.test' ? 'v=spf1 ip4:0.0.0.0/1 -all' : 'v=spf1 ip4:10.0.0.0/24 include:late.test -all'
      return { value: [[text]], expiresAt: 2000 }
    },
    () => 1000,
  )
  const first = standing(standings, '10.0.0.1')
  for (let turn = 0; turn < 10; turn += 1) await nextTurn()
  t.mock.timers.tick(500)
  assert.equal(await first, 'pass')
  isLate = false
  assert.equal(await standing(standings, '10.0.0.2'), 'open')
  assert.equal(await standing(standings, '10.0.0.1'), 'open')
  assert.equal(count, 2)
})

test('so it is if the record had too much without it, and a domain without a record is not late', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  // The addresses of 160 regions are too many, unless a block of sixteen regions covers some of them.
  const scattered = Array.from({ length: 160 }, (_, n) => `ip4:10.${n}.0.0/24`).join(' ')
  const wide = 'a:late.test/12'
  for (const [terms, isAnswered, expected] of [
    [`${scattered} ${wide}`, false, ['open', 'pass']],
    ['ip4:10.0.0.0/24 include:none.test', true, ['pass', 'pass']],
  ] as const) {
    let isLate = !isAnswered
    let count = 0
    const standings = standingsWith(
      (name, _asker, _isFirst, type) => {
        if (name === 'sender.example.org') count += 1
        if (name === 'late.test' && isLate) return new Promise(() => undefined)
        if (name === 'none.test')
          return { error: Object.assign(new Error(), { code: 'ENOTFOUND' }), expiresAt: 2000 }
        return { value: type === 'TXT' ? [[`v=spf1 ${terms} -all`]] : ['10.0.0.0'], expiresAt: 2000 }
      },
      () => 1000,
    )
    const first = standing(standings, '10.0.0.1')
    for (let turn = 0; turn < 10; turn += 1) await nextTurn()
    t.mock.timers.tick(500)
    isLate = false
    assert.deepEqual([await first, await standing(standings, '10.0.0.2')], expected)
    assert.equal(count, isAnswered ? 1 : 2)
  }
})

test('what is kept is bounded by the comparisons in it, and long paths are kept for one client each', async () => {
  const asked: string[] = []
  const standings = standingsWith(
    (name) => {
      asked.push(name)
      const blocks = name.startsWith('long') ? 201 : 200
      const terms = Array.from({ length: blocks }, (_, n) => `ip4:10.0.0.${n}`).join(' ')
      return { value: [[`v=spf1 ${terms} -all`]], expiresAt: 2000 }
    },
    () => 1000,
  )
  const isAsked = async (client: string, domain: string) => {
    asked.length = 0
    await standing(standings, client, domain)
    return asked.length > 0
  }
  await standing(standings, '192.0.2.1', 'first.test')
  assert.equal(await isAsked('192.0.2.2', 'first.test'), false)
  await standing(standings, '192.0.2.1', 'long.test')
  assert.equal(await isAsked('192.0.2.1', 'long.test'), false)
  assert.equal(await isAsked('192.0.2.2', 'long.test'), true)
  for (let n = 0; n < 1000; n += 1) await standing(standings, '192.0.2.1', `long${n}.test`)
  assert.equal(await isAsked('192.0.2.2', 'first.test'), false, 'long paths drive nobody out')
  for (let n = 0; n < 800; n += 1) await standing(standings, '192.0.2.1', `d${n}.test`)
  assert.equal(await isAsked('192.0.2.2', 'first.test'), true)
})

test('an answer that depends on the sender is kept for nobody', async () => {
  let count = 0
  const standings = standingsWith(
    (name) => {
      count += 1
      return {
        value: name.startsWith('a.') ? ['127.0.0.2'] : [['v=spf1 exists:%{l}.example.net -all']],
        expiresAt: 2000,
      }
    },
    () => 1000,
  )
  for (let time = 0; time < 2; time += 1) await standing(standings, '10.0.0.1')
  assert.equal(count, 4)
})

test('what a client says in HELO is asked for as it says it, and as nothing if it says nothing', async () => {
  for (const [helo, asked] of [
    ['MX.Example.Net', 'mx.example.net.h.test'],
    [undefined, undefined],
  ] as const) {
    const names: string[] = []
    const standings = standingsWith((name) => {
      names.push(name)
      return record('v=spf1 exists:%{h}.h.test -all')
    })
    await standings.of(ip('192.0.2.7'), parseAddress('a@sender.example.org'), helo, () => true)
    // A name with an empty label is none.
    assert.deepEqual(names, ['sender.example.org', ...(asked === undefined ? [] : [asked])])
  }
})

test('a sender without a local part is postmaster, and so is a bounce', async () => {
  for (const [sender, domain] of [
    ['bob@sender.example.org', 'bob'],
    ['@sender.example.org', 'postmaster'],
    ['<>', 'postmaster'],
  ] as const) {
    const names: string[] = []
    const standings = standingsWith((name) => {
      names.push(name)
      return record('v=spf1 exists:%{l}.l.test -all')
    })
    await standings.of(ip('192.0.2.7'), parseAddress(sender), 'sender.example.org', () => true)
    assert.deepEqual(names, ['sender.example.org', `${domain}.l.test`])
  }
})

test('a domain whose DNS fails is asked again at once', async () => {
  let count = 0
  const standings = standingsWith(
    () => {
      count += 1
      return { error: new Error('SERVFAIL'), expiresAt: 2000 }
    },
    () => 1000,
  )
  for (let time = 0; time < 2; time += 1) assert.equal(await standing(standings, '10.0.0.1'), 'unknown')
  assert.equal(count, 2)
})

test('questions for a domain that vouches for its client are given back to the client’s network', async () => {
  const refunded: string[] = []
  const standings = new SpfStandings({
    ask: async (name) => record(name === 'own.example.org' ? 'v=spf1 ip4:10.0.0.1 -all' : 'v=spf1 +all'),
    withTimeout: (_, answer) => answer,
    refund: ({ network, organisation }) => refunded.push(`${network} ${organisation}`),
  })
  assert.equal(await standing(standings, '10.0.0.1', 'open.example.org'), 'open')
  assert.deepEqual(refunded, [])
  assert.equal(await standing(standings, '10.0.0.1', 'own.example.org'), 'pass')
  assert.deepEqual(refunded, ['10.0.0.0/24 example.org'])
})

test('a time-out is shared by the clients of one network that ask for one organisation', async () => {
  const subjects: string[] = []
  const standings = new SpfStandings({
    ask: async () => record('v=spf1 -all'),
    withTimeout: (subject) => {
      subjects.push(subject)
      return Promise.resolve(undefined)
    },
    refund() {},
  })
  assert.equal(await standing(standings, '10.0.0.1', 'a.example.org'), 'unknown')
  assert.equal(await standing(standings, '10.0.0.2', 'b.example.org'), 'unknown')
  assert.equal(await standing(standings, '10.0.1.2', 'b.example.org'), 'unknown')
  assert.equal(new Set(subjects).size, 2)
  assert.equal(subjects[0], subjects[1])
})
