// SPF: what passes and what does not, by small zones in memory; what mailauth alone would get wrong; what a hostile
// record may cost; and once the whole way to a real DNS server. With RFC7208_SUITE set to the file of the public
// test suite for RFC 7208 (rfc7208-tests.yml, which is not part of this repository), all of that suite as well.

import assert from 'node:assert/strict'
import { promises } from 'node:dns'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAllDocuments } from 'yaml'
import {
  checkSpf,
  passesForAnyone,
  type Resolve,
  type SpfAnswer,
  type SpfQuestion,
} from '../../src/identity/spf.ts'
import { parseIp } from '../../src/ip.ts'
import { startDns } from '../support/dns.ts'
import { scratch } from '../support/scratch.ts'

/** What a name has, by type; a string is the code with which each question for the name fails. */
type Zone = Readonly<Record<string, string | Readonly<Record<string, readonly unknown[]>>>>

const IPV4 = '192.0.2.7'
const IPV6 = '2001:db8::7'

test('checkSpf() answers by the record of the domain', async () => {
  const zone: Zone = {
    'mx.example.net': { A: [IPV4], AAAA: [IPV6] },
    'v4.example.net': { A: [IPV4] },
    'near.example.net': { A: ['192.0.2.200'], AAAA: ['2001:db8::99'] },
    'example.net': { A: ['192.0.2.8'], MX: [mx(10, 'none.example.net'), mx(20, 'mx.example.net')] },
    'listed.example.net': txt('v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ?all'),
    'soft.example.net': txt('v=spf1 ~all'),
    'empty.example.net': txt('v=spf1'),
    'open.example.net': txt('v=spf1 +all'),
    'plain.example.net': { TXT: [['some text'], ['v=spf2.0/pra +all']] },
    '7.2.0.192.in.wl.example.net': { A: ['127.0.0.2'] },
    'bob.wl.example.net': { A: ['127.0.0.2'] },
    '7.2.0.192.in-addr.arpa': { PTR: ['elsewhere.example.com', 'mx.example.net'] },
  }
  const cases: Array<[record: string | readonly string[], client: string, answer: SpfAnswer]> = [
    ['v=spf1 ip4:192.0.2.7 -all', IPV4, 'pass'],
    ['v=spf1 ip4:192.0.2.8 -all', IPV4, 'other'],
    ['v=spf1 ip4:192.0.2.0/29 -all', IPV4, 'pass'],
    ['v=spf1 ip4:192.0.2.0/24 -all', IPV6, 'other'],
    ['v=spf1 ip6:2001:db8::/64 -all', IPV6, 'pass'],
    ['v=spf1 ip6:2001:db8:1::/64 -all', IPV6, 'other'],
    ['V=SPF1 +IP4:192.0.2.7 -ALL', IPV4, 'pass'],
    // No other result than pass is one.
    ['v=spf1 -ip4:192.0.2.7 +all', IPV4, 'other'],
    ['v=spf1 ~ip4:192.0.2.7 +all', IPV4, 'other'],
    ['v=spf1 ?ip4:192.0.2.7 +all', IPV4, 'other'],
    ['v=spf1 ip4:192.0.2.8', IPV4, 'other'],
    ['v=spf1', IPV4, 'other'],
    // A record in several strings is their sequence without a space between.
    [['v=spf1 ip4:192.', '0.2.7 -a', 'll'], IPV4, 'pass'],
    [['v=spf1', 'ip4:192.0.2.7 -all'], IPV4, 'none'],
    ['v=spf1 a:v4.example.net -all', IPV4, 'pass'],
    ['v=spf1 a:v4.example.net -all', IPV6, 'other'],
    ['v=spf1 a:mx.example.net. -all', IPV6, 'other'],
    ['v=spf1 a:near.example.net -all', IPV4, 'other'],
    ['v=spf1 a:near.example.net/24//64 -all', IPV4, 'pass'],
    ['v=spf1 a:near.example.net/24//64 -all', IPV6, 'pass'],
    ['v=spf1 mx:example.net -all', IPV4, 'pass'],
    ['v=spf1 mx:example.net -all', IPV6, 'pass'],
    ['v=spf1 mx:none.example.net -all', IPV4, 'other'],
    ['v=spf1 exists:%{ir}.in.wl.%{o2} -all', IPV4, 'other'],
    ['v=spf1 exists:%{ir}.in.wl.example.net -all', IPV4, 'pass'],
    ['v=spf1 exists:%{iR}.in.wl.example.net -all', IPV4, 'pass'],
    ['v=spf1 exists:%{l}.wl.example.net -all', IPV6, 'pass'],
    ['v=spf1 exists:%{h}.wl.example.net -all', IPV4, 'other'],
    ['v=spf1 a:%{h} -all', IPV4, 'pass'],
    ['v=spf1 ptr:example.net -all', IPV4, 'pass'],
    ['v=spf1 ptr:example.com -all', IPV4, 'other'],
    ['v=spf1 include:listed.example.net -all', IPV4, 'pass'],
    ['v=spf1 include:soft.example.net -all', IPV4, 'other'],
    ['v=spf1 -include:listed.example.net +all', IPV4, 'other'],
    ['v=spf1 include:plain.example.net +all', IPV4, 'other'],
    ['v=spf1 redirect=listed.example.net', IPV4, 'pass'],
    ['v=spf1 redirect=soft.example.net', IPV4, 'other'],
    ['v=spf1 redirect=none.example.net', IPV4, 'other'],
    ['v=spf1 redirect=open.example.net -all', IPV4, 'other'],
    // A mistake anywhere, behind what matches too, spoils all of the record.
    ['v=spf1 +all ipv4:192.0.2.7', IPV4, 'other'],
    ['v=spf1 +all ip4:192.0.2.300', IPV4, 'other'],
    ['v=spf1 +all ip4:192.0.2.0/33', IPV4, 'other'],
    ['v=spf1 +all ip4:2001:db8::1', IPV4, 'other'],
    ['v=spf1 +all ip6:2001:db8::/129', IPV4, 'other'],
    ['v=spf1 +all ip6', IPV4, 'other'],
    ['v=spf1 +all exists:%{x}.example.net', IPV4, 'other'],
    ['v=spf1 +all a:100%.example.net', IPV4, 'other'],
  ]
  for (const [record, client, answer] of cases) {
    const resolve = inMemory({ ...zone, 'sender.example.org': { TXT: [[record].flat()] } })
    assert.equal(await checkSpf(question({ client }), resolve), answer, `${record} for ${client}`)
  }
})

test('checkSpf() tells a domain without record from one with two, and from a failure of the DNS', async () => {
  const cases: Array<[zone: Zone, answer: SpfAnswer]> = [
    [{}, 'none'],
    [{ 'sender.example.org': { A: [IPV4] } }, 'none'],
    [{ 'sender.example.org': txt('no policy at all') }, 'none'],
    [{ 'sender.example.org': txt('v=spf10 +all') }, 'none'],
    [{ 'sender.example.org': { TXT: [['v=spf1 +all'], ['hello'], ['v=spf1 +all']] } }, 'other'],
    ...['ETIMEOUT', 'ESERVFAIL', 'EREFUSED', 'ECONNREFUSED', 'EBADRESP', 'ECANCELLED', 'no code'].flatMap(
      (code): Array<[Zone, SpfAnswer]> => [
        [{ 'sender.example.org': code }, 'error'],
        [{ 'sender.example.org': txt('v=spf1 a:b.example.org +all'), 'b.example.org': code }, 'error'],
        [{ 'sender.example.org': txt('v=spf1 mx:b.example.org +all'), 'b.example.org': code }, 'error'],
        [{ 'sender.example.org': txt('v=spf1 redirect=b.example.org'), 'b.example.org': code }, 'error'],
        [{ 'sender.example.org': txt('v=spf1 include:b.example.org +all'), 'b.example.org': code }, 'error'],
        // mailauth alone took most of these for an include that does not match, and let everything pass.
        [{ 'sender.example.org': txt('v=spf1 -include:b.example.org +all'), 'b.example.org': code }, 'error'],
        // What stands before the failure has already decided.
        [
          { 'sender.example.org': txt('v=spf1 ip4:192.0.2.7 a:b.example.org'), 'b.example.org': code },
          'pass',
        ],
      ],
    ),
    // No list at all, and a list of no strings, are no answers of a DNS.
    [{ 'sender.example.org': { TXT: [undefined, 7, 'v=spf1 +all'] } }, 'none'],
  ]
  for (const [zone, answer] of cases) {
    assert.equal(await checkSpf(question({}), inMemory(zone)), answer, JSON.stringify(zone))
  }
  assert.equal(await checkSpf(question({}), async () => 'v=spf1 +all'), 'error')
  assert.equal(
    await checkSpf(question({}), () => {
      throw new Error('not even a promise')
    }),
    'error',
  )
})

test('checkSpf() takes the HELO name as the domain of postmaster, and asks nothing of what is no domain', async () => {
  const asked: string[] = []
  const zone = inMemory({ 'mail.example.org': txt('v=spf1 ip4:192.0.2.7 -all') })
  const resolve: Resolve = (name, type) => {
    asked.push(name)
    return zone(name, type)
  }
  const helo = 'mail.example.org'
  assert.equal(await checkSpf(question({ sender: `postmaster@${helo}`, helo }), resolve), 'pass')
  assert.deepEqual(asked.splice(0), [helo])
  for (const name of [
    'localhost',
    '[192.0.2.7]',
    '[IPv6:2001:db8::7]',
    '',
    'a..b',
    'a b.example.org',
    '-',
    'a\0.org',
  ]) {
    assert.equal(
      await checkSpf(question({ sender: `postmaster@${name}`, helo: name }), resolve),
      'none',
      name,
    )
  }
  assert.deepEqual(asked, [])
})

// Each of these passed with mailauth 4.13 alone.
test('checkSpf() does not pass what only a reading of its own would pass', async () => {
  const wildcard = { A: ['127.0.0.2'] }
  const cases: Array<[why: string, zone: Zone, asked?: Partial<SpfQuestion>]> = [
    [
      'the %{d} of an included record is the included domain',
      {
        'sender.example.org': txt('v=spf1 include:provider.example.net -all'),
        'provider.example.net': txt('v=spf1 exists:%{i}._ok.%{d} -all'),
        '192.0.2.7._ok.sender.example.org': wildcard,
      },
    ],
    [
      'so it is with transformers, which are not evaluated there',
      {
        'sender.example.org': txt('v=spf1 include:provider.example.net -all'),
        'provider.example.net': txt('v=spf1 exists:%{d2r}.list.example.net -all'),
        'org.example.list.example.net': wildcard,
        'sender.example.list.example.net': wildcard,
        'example.sender.list.example.net': wildcard,
      },
    ],
    [
      'a bare ptr in an included record means the included domain',
      {
        'sender.example.org': txt('v=spf1 include:provider.example.net -all'),
        'provider.example.net': txt('v=spf1 ptr -all'),
        '7.2.0.192.in-addr.arpa': { PTR: ['host.sender.example.org'] },
        'host.sender.example.org': { A: [IPV4] },
      },
    ],
    [
      'the validated name of the client is not known, and not the domain',
      {
        'sender.example.org': txt('v=spf1 exists:%{p}.list.example.net'),
        'sender.example.org.list.example.net': wildcard,
      },
    ],
    [
      'an @ within the local part does not begin the domain',
      { 'sender.example.org': txt('v=spf1 a:%{o}'), 'evil.example.net"@sender.example.org': wildcard },
      { sender: '"x@evil.example.net"@sender.example.org', client: ip('127.0.0.2') },
    ],
    [
      'a backslash from the client does not take the dot behind it along',
      { 'sender.example.org': txt('v=spf1 exists:%{l}.list.example.org'), 'x\\.list.example.org': wildcard },
      { sender: 'x\\@sender.example.org' },
    ],
    [
      'an address with a zone is a mistake, not an include without a match',
      {
        'sender.example.org': txt('v=spf1 -include:zone.example.org +all'),
        'zone.example.org': txt('v=spf1 ip6:fe80::1%-x -all'),
      },
      { client: ip(IPV6) },
    ],
    [
      'what the record allows to an explanation only has no place in a name',
      { 'sender.example.org': txt('v=spf1 exists:%{r}.example.net'), 'unknown.example.net': wildcard },
    ],
  ]
  for (const [why, zone, asked] of cases) {
    assert.notEqual(await checkSpf({ ...question({}), ...asked }, inMemory(zone)), 'pass', why)
  }
})

test('checkSpf() writes out the domain of an included record, and joins delimiters in any order', async () => {
  const cases: Array<[zone: Zone, asked?: Partial<SpfQuestion>]> = [
    [
      {
        'sender.example.org': txt('v=spf1 include:provider.example.net -all'),
        'provider.example.net': txt('v=spf1 exists:%{ir}._ok.%{D} -all'),
        '7.2.0.192._ok.provider.example.net': { A: ['127.0.0.2'] },
      },
    ],
    [
      {
        'sender.example.org': txt('v=spf1 redirect=provider.example.net'),
        'provider.example.net': txt('v=spf1 ptr -all'),
        '7.2.0.192.in-addr.arpa': { PTR: ['host.provider.example.net'] },
        'host.provider.example.net': { A: [IPV4] },
      },
    ],
    [
      {
        'sender.example.org': txt('v=spf1 exists:%{lr=-+}.example.net'),
        'c.b.a.x.example.net': { A: ['127.0.0.2'] },
      },
      { sender: 'x-a+b=c@sender.example.org' },
    ],
    [
      // Labels beyond 253 characters in all are cut off from the left (RFC 7208 section 7.3).
      {
        'sender.example.org': txt('v=spf1 exists:%{l}.example.net'),
        [`${'abcdefghi.'.repeat(24)}example.net`]: { A: ['127.0.0.2'] },
      },
      { sender: `${'abcdefghi.'.repeat(29)}abcdefghi@sender.example.org` },
    ],
  ]
  for (const [zone, asked] of cases) {
    assert.equal(await checkSpf({ ...question({}), ...asked }, inMemory(zone)), 'pass', JSON.stringify(zone))
  }
})

test('checkSpf() does not change the answers it is given', async () => {
  const hosts = [mx(20, 'b.example.org'), mx(10, 'a.example.org')]
  const zone = inMemory({ 'sender.example.org': { ...txt('v=spf1 mx -all'), MX: hosts } })
  assert.equal(await checkSpf(question({}), zone), 'other')
  assert.deepEqual(hosts, [mx(20, 'b.example.org'), mx(10, 'a.example.org')])
})

test('checkSpf() bounds what a hostile record costs', async () => {
  const records: Array<[why: string, record: (name: string) => readonly (readonly string[])[]]> = [
    ['a loop', (name) => [[`v=spf1 include:${name}`]]],
    ['a loop by redirect', (name) => [[`v=spf1 redirect=${name}`]]],
    ['an endless chain', (name) => [[`v=spf1 ${'ip4:198.51.100.1 '.repeat(200)}include:x${name}`]]],
    ['many hosts', () => [[`v=spf1 ${[...'abcdefghi'].map((x) => `mx:${x}.example.org`).join(' ')} -all`]]],
    ['too long', () => [[`v=spf1 ${'ip4:198.51.100.1 '.repeat(4000)}`]]],
    ['many strings', () => [['v=spf1 ', ...Array.from({ length: 20_000 }, () => 'x')]]],
    ['many records', () => Array.from({ length: 20_000 }, () => ['v=spf1 a'])],
    ['a name of letters', () => [[`v=spf1 include:x.${'a'.repeat(4000)}!`]]],
    ['a name of many macros', () => [[`v=spf1 redirect=x.${'%{s}'.repeat(900)}!`]]],
    ['macros that do not end', () => [[`v=spf1 a:${'%{'.repeat(2000)}`]]],
    ['slashes', () => [[`v=spf1 a:${'/1'.repeat(480)}x ip6:${':'.repeat(900)} ip4:${'1.'.repeat(480)}`]]],
    ['bytes', () => [['v=spf1 \0\xff\n\u2028 +all', '\ud800'.repeat(1000)]]],
    ['modifiers', () => [[`v=spf1 ${'a=b '.repeat(1000)}`]]],
  ]
  for (const [why, record] of records) {
    for (const client of [IPV4, IPV6]) {
      let asked = 0
      const resolve: Resolve = async (name, type) => {
        asked++
        if (type === 'TXT') return record(name)
        if (type === 'MX') return Array.from({ length: 50 }, (_, index) => mx(index, `m${index}.${name}`))
        return type === 'A' ? ['198.51.100.9'] : []
      }
      const began = performance.now()
      const sender = `${'a'.repeat(480)}@sender.example.org`
      assert.notEqual(await checkSpf(question({ client, sender }), resolve), 'pass', why)
      // Measured: 20 ms at most. Without the bounds, a name of 60 000 letters alone took two seconds.
      assert.ok(performance.now() - began < 1000, why)
      assert.ok(asked <= 60, `${why}: ${asked} questions`)
    }
  }
})

// Whatever the DNS has under whatever name, and whatever the client says, there is an answer.
test('checkSpf() answers whatever the record is made of', async () => {
  const pieces = [
    ...[
      'ip4:',
      'ip6:',
      'a',
      'mx',
      'ptr',
      'exists:',
      'include:',
      'redirect=',
      'exp=',
      'x=',
      'all',
      '-',
      '~',
      '?',
      '+',
    ],
    ...[
      '192.0.2.7',
      '::1',
      'fe80::1',
      '::ffff:192.0.2.7',
      '/24',
      '//64',
      '/',
      ':',
      '.',
      ' ',
      '%{d}',
      '%{l-}',
      '%{i',
      '}',
    ],
    ...['%%', '%_', '%-', '%', 'b.example.org', '\0', '\xff', '"', '\\'],
  ]
  const record = fc
    .array(fc.constantFrom(...pieces), { maxLength: 10 })
    .map((some) => `v=spf1 ${some.join('')}`)
  await fc.assert(
    fc.asyncProperty(record, record, fc.string(), fc.string(), async (first, second, local, helo) => {
      const resolve: Resolve = async (name, type) => {
        if (type === 'TXT') return [[name === 'sender.example.org' ? first : second]]
        return (
          { A: [IPV4], AAAA: [IPV6], MX: [mx(1, 'b.example.org')], PTR: ['b.example.org', '\0'] }[type] ?? []
        )
      }
      const answer = await checkSpf(question({ sender: `${local}@sender.example.org`, helo }), resolve)
      assert.ok(['pass', 'other', 'none', 'error'].includes(answer))
    }),
    { numRuns: 500 },
  )
})

test('passesForAnyone() knows a record for everyone from a long list', async () => {
  const lists = {
    'wild.example.net': { A: ['127.0.0.2'] },
    'all.example.net': txt('v=spf1 +all'),
    'some.example.net': txt(
      'v=spf1 ip4:40.92.0.0/15 ip4:104.47.0.0/17 ip4:209.85.128.0/17 ip6:2a00:1450:4000::/36 ~all',
    ),
  }
  const cases: Array<[record: string, ipv4: boolean, ipv6: boolean]> = [
    ['v=spf1 +all', true, true],
    ['v=spf1 all', true, true],
    ['v=spf1 ~all', false, false],
    ['v=spf1 ?all', false, false],
    ['v=spf1 -ip4:192.0.2.1 all', true, true],
    ['v=spf1 ip4:0.0.0.0/0 -all', true, false],
    ['v=spf1 ip6:2000::/3 -all', false, true],
    ['v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all', true, false],
    ['v=spf1 ip4:0.0.0.0/1 -all', true, false],
    ['v=spf1 ip4:128.0.0.0/1 -all', true, false],
    ['v=spf1 ip4:0.0.0.0/2 ip4:64.0.0.0/2 ip4:192.0.0.0/2 -all', true, false],
    ['v=spf1 ip4:64.0.0.0/3 ip4:192.0.0.0/3 -all', true, false],
    ['v=spf1 ip6:2000::/4 -all', false, true],
    ['v=spf1 ip6:2400::/6 ip6:2800::/6 -all', false, true],
    ['v=spf1 a:wild.example.net/0 -all', true, false],
    ['v=spf1 exists:wild.example.net -all', true, true],
    ['v=spf1 include:all.example.net -all', true, true],
    ['v=spf1 redirect=all.example.net', true, true],
    ['v=spf1 include:some.example.net -all', false, false],
    ['v=spf1 ip4:5.0.0.0/8 ip4:40.0.0.0/8 ip4:77.0.0.0/8 ip4:185.0.0.0/8 ip4:209.0.0.0/8 -all', false, false],
    ['v=spf1 ip6:2a00::/12 ip6:2600::/12 ip6:2620::/16 -all', false, false],
    ['v=spf1 a mx ptr -all', false, false],
    ['v=spf1 a:gone.example.net +all', true, true],
    ['no policy', false, false],
  ]
  for (const [record, ipv4, ipv6] of cases) {
    const resolve = inMemory({ ...lists, 'sender.example.org': txt(record) })
    const answers = [IPV4, IPV6].map((client) => passesForAnyone(question({ client }), resolve))
    assert.deepEqual(await Promise.all(answers), [ipv4, ipv6], record)
  }
})

test('passesForAnyone() sees through names made of the address, and takes failures for no pass', async () => {
  const wildcard =
    (zone: Resolve): Resolve =>
    async (name, type) =>
      type === 'A' && name.endsWith('.any.example.net') ? ['127.0.0.2'] : zone(name, type)
  const made = wildcard(inMemory({ 'sender.example.org': txt('v=spf1 exists:%{i}.any.example.net -all') }))
  assert.equal(await passesForAnyone(question({}), made), true)
  const client = ip(IPV6)
  assert.equal(await passesForAnyone({ ...question({}), client }, made), true)

  const failing = { 'sender.example.org': txt('v=spf1 a:b.example.org +all'), 'b.example.org': 'ESERVFAIL' }
  assert.equal(await passesForAnyone(question({}), inMemory(failing)), false)
})

test('SPF is evaluated with what a real DNS server says', async (t) => {
  const dns = await startDns({
    dir: await scratch(t),
    zones: {
      'example.org': `
        @      TXT  "v=spf1 mx include:lists.example.org exi" "sts:%{i}._ok.%{d} -all"
               MX   10 mail
        mail   A    192.0.2.7
        lists  TXT  "v=spf1 ip6:2001:db8::/64 -all"
        *._ok  A    127.0.0.2
        twice  TXT  "v=spf1 +all"
               TXT  "v=spf1 +all "
        lost   TXT  "v=spf1 -include:example.com +all"
        long   TXT  "v=spf1 " ${'"ip4:198.51.100.1 " '.repeat(150)} "ip4:192.0.2.7 -all"
        closed TXT  "v=spf1 ip4:192.0.2.7 -all"
      `,
    },
  })
  const resolver = new promises.Resolver({ timeout: 300, tries: 1 })
  resolver.setServers([dns.server])
  const resolve: Resolve = (name, type) => resolver.resolve(name, type)
  const ask = (domain: string, client = IPV4) =>
    checkSpf(question({ sender: `a@${domain}`, client }), resolve)

  assert.equal(await ask('example.org'), 'pass')
  assert.equal(await ask('example.org', IPV6), 'pass')
  assert.equal(await ask('closed.example.org', '192.0.2.8'), 'other')
  assert.equal(await ask('twice.example.org'), 'other')
  assert.equal(await ask('long.example.org'), 'pass', 'a record that UDP has no room for')
  assert.equal(await ask('mail.example.org'), 'none')
  assert.equal(await ask('absent.example.org'), 'none')
  // The server refuses what it does not know.
  assert.equal(await ask('example.net'), 'error')
  assert.equal(await ask('lost.example.org'), 'error')
  assert.equal(await passesForAnyone(question({ sender: 'a@example.org' }), resolve), true)
  assert.equal(await passesForAnyone(question({ sender: 'a@closed.example.org' }), resolve), false)
  await dns.pause()
  assert.equal(await ask('closed.example.org'), 'error')
  dns.resume()
  assert.equal(await ask('closed.example.org'), 'pass')
  await dns.kill9()
  assert.equal(await ask('closed.example.org'), 'error')
})

const suite = process.env.RFC7208_SUITE
if (suite !== undefined) {
  // Names of the cases that are known to end otherwise than the suite has it; none.
  const KNOWN_DIFFERENCES: readonly string[] = []

  test('the public test suite for RFC 7208 passes and does not pass as it says', async () => {
    const scenarios = parseAllDocuments(await readFile(suite, 'utf8')).map((document) => document.toJS())
    const differences: string[] = []
    let count = 0
    for (const { tests, zonedata } of scenarios.filter((scenario) => scenario?.tests)) {
      for (const [name, { host, helo, mailfrom, result }] of Object.entries<SuiteCase>(tests)) {
        const sender = mailfrom || `postmaster@${helo}`
        const answer = await checkSpf({ client: ip(host), sender, helo }, ofSuite(zonedata))
        const expected = [result].flat().map((one) => (one === 'pass' ? 'pass' : 'not pass'))
        if (!expected.includes(answer === 'pass' ? 'pass' : 'not pass')) differences.push(name)
        count++
      }
    }
    assert.deepEqual(differences, KNOWN_DIFFERENCES)
    assert.equal(count, 203)
  })
}

interface SuiteCase {
  readonly host: string
  readonly helo: string
  readonly mailfrom?: string
  readonly result: string | readonly string[]
}

/** The suite's zones: records of type SPF stand for TXT where a name has no TXT; `TIMEOUT` for all that is not there. */
function ofSuite(zonedata: Readonly<Record<string, readonly (string | Record<string, unknown>)[]>>): Resolve {
  const zone = new Map(Object.entries(zonedata).map(([name, records]) => [name.toLowerCase(), records]))
  return async function resolve(name, type): Promise<unknown> {
    const records = zone.get(name.toLowerCase())
    if (records === undefined) throw failure('ENOTFOUND')
    const valuesOf = (wanted: string) =>
      records.flatMap((record) => (typeof record === 'object' && wanted in record ? [record[wanted]] : []))
    const [alias] = valuesOf('CNAME')
    if (typeof alias === 'string') return resolve(alias, type)

    const own = valuesOf(type)
    const values = (own.length === 0 && type === 'TXT' ? valuesOf('SPF') : own).filter(
      (value) => value !== 'NONE',
    )
    if (values.length === 0) throw failure(records.includes('TIMEOUT') ? 'ETIMEOUT' : 'ENODATA')
    if (type === 'TXT') return values.map((value) => [value].flat())
    if (type === 'MX')
      return values.flatMap((value) => (Array.isArray(value) ? [mx(value[0], value[1])] : []))
    return values
  }
}

function question(asked: { client?: string; sender?: string; helo?: string }): SpfQuestion {
  const { client = IPV4, sender = 'bob@sender.example.org', helo = 'mx.example.net' } = asked
  return { client: ip(client), sender, helo }
}

function ip(text: string) {
  const address = parseIp(text)
  assert.ok(address, text)
  return address
}

function txt(record: string) {
  return { TXT: [[record]] }
}

function mx(priority: number, exchange: string) {
  return { priority, exchange }
}

function inMemory(zone: Zone): Resolve {
  return async (name, type) => {
    const records = zone[name]
    if (records === undefined) throw failure('ENOTFOUND')
    if (typeof records === 'string') throw failure(records)
    const values = records[type]
    if (values === undefined) throw failure('ENODATA')
    return values
  }
}

function failure(code: string): Error {
  return Object.assign(new Error(code), { code })
}
