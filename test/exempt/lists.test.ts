// Tests of Postgrey's list files: their meaning by its manual, Debian's lists, and files that are no lists.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from '../../src/address.ts'
import type { Client } from '../../src/attempt.ts'
import { compileAddresses } from '../../src/exempt/addresses.ts'
import { compileClients } from '../../src/exempt/clients.ts'
import {
  parseAddressList,
  parseClientList,
  readAddressLists,
  readClientLists,
} from '../../src/exempt/lists.ts'
import { parseIp } from '../../src/ip.ts'
import { postgreyClients, postgreyRecipients } from '../support/postgrey.ts'
import { scratch } from '../support/scratch.ts'

/** An address, or a confirmed name, and the rule that applies to it. */
type Cases = Array<[subject: string, rule: string | undefined]>

test("parseClientList() means by an entry what Postgrey's manual says", () => {
  const isExempt = clients(
    [
      '# a whole line',
      '',
      ' \t ',
      '198.51.100.7',
      '203.0.113',
      '192.168.1.0/24 # behind an entry',
      '10.20.30.40/16',
      '2001:0DB8:0000::/48',
      '2001:db8:1::5#right behind an entry',
      '  Example.ORG\t',
      'gw.dot.test',
      '/^mx\\d+\\.Pool\\.test$/',
      '/^100\\.64\\./',
    ].join('\n'),
  )
  const cases: Cases = [
    ['198.51.100.7', '198.51.100.7/32'],
    ['198.51.100.8', undefined],
    ['203.0.113.0', '203.0.113.0/24'],
    ['203.0.113.255', '203.0.113.0/24'],
    ['203.0.114.1', undefined],
    ['192.168.1.77', '192.168.1.0/24'],
    ['192.168.2.77', undefined],
    ['10.20.0.1', '10.20.0.0/16'],
    ['10.21.30.40', undefined],
    ['2001:db8::1', '2001:db8::/48'],
    ['2001:db8:1::5', '2001:db8:1::5/128'],
    ['2001:db8:1::6', undefined],
    ['example.org', 'example.org'],
    ['a.mx.example.org', 'example.org'],
    ['badexample.org', undefined],
    ['example.org.test', undefined],
    ['gw.dot.test', 'gw.dot.test'],
    ['gwxdot.test', undefined],
    ['dot.test', undefined],
    ['mx1.pool.test', '/^mx\\d+\\.Pool\\.test$/'],
    ['amx1.pool.test', undefined],
    ['100.64.3.4', '/^100\\.64\\./'],
  ]
  for (const [subject, rule] of cases) assert.equal(isExempt(client(subject)), rule, subject)
})

test("parseAddressList() means by an entry what Postgrey's manual says", () => {
  const isExempt = addresses(
    [
      'Example.ORG  # the domain and all below',
      'Postmaster@',
      'Joe@example.com',
      'ann+lists@example.com',
      '/^list-.*@example\\.net$/',
    ].join('\n'),
  )
  const cases: Cases = [
    ['x@example.org', 'example.org'],
    ['x@mx.EXAMPLE.org', 'example.org'],
    ['x@badexample.org', undefined],
    ['example.org@other.test', undefined],
    ['postmaster@other.test', 'postmaster@'],
    ['POSTMASTER+any@other.test', 'postmaster@'],
    ['postmaster+a+b@other.test', 'postmaster@'],
    ['"postmaster"@other.test', 'postmaster@'],
    ['postmaster', 'postmaster@'],
    ['postmaster+@other.test', undefined],
    ['apostmaster@other.test', undefined],
    ['postmasters@other.test', undefined],
    ['postmaster-x@other.test', undefined],
    ['x+postmaster@other.test', undefined],
    ['joe@example.com', 'joe@example.com'],
    ['JOE+news@Example.Com', 'joe@example.com'],
    ['joe@sub.example.com', undefined],
    ['joe@other.test', undefined],
    ['ann@example.com', undefined],
    ['ann+lists@example.com', 'ann+lists@example.com'],
    ['ann+lists+x@example.com', 'ann+lists@example.com'],
    ['ann+listsx@example.com', undefined],
    ['LIST-9@example.net', '/^list-.*@example\\.net$/'],
    ['x@list-9@example.net', undefined],
    ['<>', undefined],
  ]
  for (const [subject, rule] of cases) assert.equal(isExempt(parseAddress(subject)), rule, subject)
})

test('a list of senders may have the null sender', () => {
  const isExempt = addresses('<>\n')
  assert.equal(isExempt(parseAddress('<>')), '<>')
  assert.equal(isExempt(parseAddress('a@example.org')), undefined)
})

test('plusses without end are looked through only as far as a local part can reach', (t) => {
  const isExempt = addresses('joe@\n')
  const has = t.mock.method(Set.prototype, 'has')
  assert.equal(isExempt(parseAddress(`joe${'+a'.repeat(100_000)}@example.org`)), 'joe@')
  assert.equal(isExempt(parseAddress(`${'+'.repeat(100_000)}@example.org`)), undefined)
  assert.ok(has.mock.callCount() < 300, String(has.mock.callCount()))
})

test('an entry of two numbers exempts what the manual says, and warns that Postgrey exempts less', () => {
  const { rules, problems, warnings } = parseClientList('clients', 'a.example\n10.20\n192.168.7\n')
  const isExempt = compileClients(rules)
  assert.deepEqual(problems, [])
  assert.deepEqual(warnings, [
    "clients:2: 10.20 is read as 10.20.0.0/16, as Postgrey's manual says, though Postgrey itself exempts 10.20.0.0/24 only: expected the network that you mean, written in full",
  ])
  assert.equal(isExempt(client('10.20.255.1')), '10.20.0.0/16')
  assert.equal(isExempt(client('10.21.0.1')), undefined)
  // A name of two labels is no network of two numbers.
  assert.deepEqual(parseClientList('clients', 'ibm.com\n1blu.de\n').warnings, [])
})

test('a bad line is reported with its number, and the others count', () => {
  const forms =
    'expected an IP address, a network like 192.0.2.0/24, a range like 192.0.2.1-192.0.2.9, a host name or a /regex/'
  const cases: Array<[line: string, expected: string]> = [
    ['10', forms],
    ['10.300', forms],
    ['10.1.256', forms],
    ['256.1.1.1', forms],
    ['10.1.2.3/33', forms],
    ['10.1.2/24', forms],
    ['10.1.2.3.4', forms],
    ['10.001.2', forms],
    ['10.1.2.0/255.255.255.0', forms],
    ['2001:db8::/129', forms],
    ['1:2:3', forms],
    ['.example.org', forms],
    ['*.example.org', forms],
    ['user@example.org', forms],
    ['/a/i', forms],
    ['/a#b/', forms],
    ['!example.org', forms],
    ['example.org OK', 'expected one entry a line, without white space in it'],
    ['/a b/', 'expected one entry a line, without white space in it'],
    ['/a(?=b)/', 'error parsing regexp: invalid or unsupported Perl syntax: `(?=`'],
    ['/(a)\\1/', 'error parsing regexp: invalid escape sequence: `\\1`'],
  ]
  for (const [line, expected] of cases) {
    const { rules, problems, warnings } = parseClientList('clients', `good.test\n\n${line}\n192.0.2.1`)
    const shown = JSON.stringify(line.replace(/#.*/, ''))
    assert.deepEqual(problems, [`clients:3: Cannot read ${shown}: ${expected}`])
    assert.deepEqual([rules.length, warnings.length], [2, 0])
  }
})

test('a bad line of an address list is reported likewise', () => {
  const forms = 'expected an address, a domain, a local part with its @ like postmaster@, <> or a /regex/'
  const cases: Array<[line: string, expected: string]> = [
    ['@example.org', forms],
    ['@', forms],
    ['.example.org', forms],
    ['192.0.2.0/24', forms],
    [
      '*@example.org',
      'expected an address, a domain, a local part with its @ like postmaster@, <> or a /regex/, and no *: example.org is all of that domain',
    ],
    ['a@example.org b@example.org', 'expected one entry a line, without white space in it'],
    ['a@example.org\tOK', 'expected one entry a line, without white space in it'],
    ['/(?<!a)b/', 'error parsing regexp: invalid named capture: `(?<!a)b`'],
  ]
  for (const [line, expected] of cases) {
    const { rules, problems } = parseAddressList('recipients', `good@\n${line}\ngood.test\n`)
    assert.deepEqual(problems, [`recipients:2: Cannot read ${JSON.stringify(line)}: ${expected}`])
    assert.equal(rules.length, 2)
  }
})

test('line ends of other systems and a byte order mark are no part of an entry', () => {
  for (const text of ['\ufeffexample.org\r\n192.0.2.1\r\n', '\ufeff# c\r\nexample.org \r\n\r\n192.0.2.1']) {
    const { rules, problems } = parseClientList('clients', text)
    assert.deepEqual([rules.length, problems], [2, []])
    assert.deepEqual(rules[0], { kind: 'name', name: 'example.org' })
  }
  assert.deepEqual(parseAddressList('r', '\ufeffabuse@\r\n').rules, [{ kind: 'extended', mailbox: 'abuse@' }])
})

test('what is not text is reported, however much of it', () => {
  const hostile = [
    'a\0b',
    '\0'.repeat(1 << 20),
    '\u001b[2J@',
    `${'x'.repeat(1 << 20)}.org`,
    `/${'a'.repeat(1 << 20)}/`,
    `${' '.repeat(1 << 20)}a${' '.repeat(1 << 20)}b`,
    `/${'('.repeat(4000)}/`,
    'a\rb',
    '\ufffd.org',
  ]
  for (const parse of [parseClientList, parseAddressList]) {
    for (const line of hostile) {
      const { rules, problems } = parse('list', `${line}\n#${'#'.repeat(1 << 20)}\ngood.test\n`)
      assert.equal(problems.length, 1, line.slice(0, 20))
      assert.match(problems[0] ?? '', /^list:1: Cannot read "[^\p{Cc}]+$/u)
      assert.ok((problems[0] ?? '').length < 500)
      assert.equal(rules.length, 1)
    }
  }
})

test('a file with a problem on every line is told of in a hundred lines and a count', () => {
  const { rules, problems } = parseClientList('junk', 'good.test\n'.concat('a b\n'.repeat(5000)))
  assert.equal(rules.length, 1)
  assert.equal(problems.length, 101)
  assert.equal(problems.at(-1), 'junk:102: 4900 more such lines from here on are not shown')
})

// Property: any file can be read; each line is a rule, a problem or nothing, and its rules match or do not.
test('any text is a list', () => {
  const line = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom(...'ab1.@+/:#* \t\r"<>\\()') }),
    fc.constantFrom('10.1', '10.1.2', 'a.b', '/a/', 'a@', '::1'),
  )
  fc.assert(
    fc.property(fc.array(line, { maxLength: 8 }), line, (lines, subject) => {
      const text = lines.join('\n')
      const count = text.split('\n').length
      const ofClients = parseClientList('f', text)
      const ofAddresses = parseAddressList('f', text)
      for (const { rules, problems, warnings } of [ofClients, ofAddresses]) {
        assert.ok(rules.length + problems.length <= count)
        assert.ok(warnings.length <= rules.length)
      }
      compileClients(ofClients.rules)({ address: parseIp('10.1.2.3'), name: subject })
      compileAddresses(ofAddresses.rules)(parseAddress(subject))
    }),
    { numRuns: 1000 },
  )
})

// Look-ups are counted, as times say more of the machine than of the matcher.
test('ten thousand networks, names and mailboxes take as many look-ups for a decision as ten', (t) => {
  const numbers = (count: number) => Array.from({ length: count }, (_, index) => index)
  const inOctets = (index: number) => `${index >> 8}.${index & 255}`
  const clientLists = (count: number) =>
    numbers(count).flatMap((index) => [
      `10.${inOctets(index)}.${index & 255}/${24 + (index % 5)}`,
      `2001:db8:${index.toString(16)}::/${48 + (index % 5)}`,
      `mx${index}.example.org`,
    ])
  const addressLists = (count: number) =>
    numbers(count).flatMap((index) => [`joe${index}@`, `ann${index}@example.org`, `d${index}.example.net`])

  const lookUps = (count: number) => {
    const isExemptClient = clients(clientLists(count).join('\n'))
    const isExemptAddress = addresses(addressLists(count).join('\n'))
    const has = t.mock.method(Set.prototype, 'has')
    for (const subject of ['10.200.1.2', '2001:db8:ffff::1', 'a.b.mx.example.test'])
      assert.equal(isExemptClient(client(subject)), undefined)
    assert.equal(isExemptAddress(parseAddress('x+y@a.example.test')), undefined)
    const calls = has.mock.callCount()
    has.mock.restore()
    return calls
  }
  const ofTen = lookUps(10)
  assert.ok(ofTen > 10 && ofTen < 40, String(ofTen))
  assert.equal(lookUps(10_000), ofTen)
})

test('two hundred thousand lines are read', () => {
  const lines = Array.from({ length: 200_000 }, (_, index) =>
    index % 2 === 0 ? `mx${index}.example.org` : `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`,
  )
  const startedAt = performance.now()
  const isExempt = clients(lines.join('\n'))
  // It takes about half a second; quadratic work would take minutes.
  assert.ok(performance.now() - startedAt < 20_000)
  assert.equal(isExempt(client('a.mx199998.example.org')), 'mx199998.example.org')
  assert.equal(isExempt(client('10.3.13.63')), '10.3.13.63/32')
})

test('files are joined, and one that cannot be read is one problem', async (t: TestContext) => {
  const dir = await scratch(t)
  const file = (name: string) => join(dir, name)
  await writeFile(file('a'), 'example.org\nbad one\n')
  await writeFile(file('b'), Buffer.from('# Lo\xefc\n10.20\nL\xf6.test\n192.0.2.1', 'latin1'))
  await mkdir(file('folder'))
  const { rules, problems, warnings } = readClientLists(['a', 'folder', 'gone', 'b'].map(file))
  assert.deepEqual(
    rules.map((rule) => rule.kind),
    ['name', 'network', 'network'],
  )
  assert.deepEqual(problems, [
    `${file('a')}:2: Cannot read "bad one": expected one entry a line, without white space in it`,
    `${file('folder')}: cannot be read: expected a regular file`,
    `${file('gone')}: cannot be read: ENOENT: no such file or directory, stat '${file('gone')}'`,
    `${file('b')}:3: Cannot read "L\ufffd.test": expected text in UTF-8, without control characters`,
  ])
  assert.equal(warnings.length, 1)
  assert.ok(warnings[0]?.startsWith(`${file('b')}:2: 10.20 is read as 10.20.0.0/16`))

  await writeFile(file('r'), 'abuse@\n')
  assert.deepEqual(readAddressLists([file('r'), file('r')]).rules.length, 2)
  assert.deepEqual(readAddressLists([]), { rules: [], problems: [], warnings: [] })
})

test("Debian's list of clients loads unchanged, each of its entries, and matches", () => {
  const { rules, problems, warnings } = readClientLists([postgreyClients])
  assert.deepEqual([problems, warnings], [[], []])
  const entries = readFileSync(postgreyClients, 'utf8').split('\n').map(withoutComment).filter(Boolean)
  assert.equal(rules.length, entries.length)
  assert.ok(entries.length > 100)

  const isExempt = compileClients(rules)
  const cases: Cases = [
    // These entries are names, which include all names below them.
    ['debian.org', 'debian.org'],
    ['bendel.debian.org', 'debian.org'],
    ['notdebian.org', undefined],
    ['debian.org.evil.test', undefined],
    ['org', undefined],
    ['mail-wr1-f54.google.com', 'google.com'],
    ['google.com.test', undefined],
    ['vger.kernel.org', 'vger.kernel.org'],
    ['kernel.org', undefined],
    ['isp.belgacom.be', 'isp.belgacom.be'],
    ['relay.isp.belgacom.be', 'isp.belgacom.be'],
    ['belgacom.be', undefined],
    // The file has a space behind this entry.
    ['mx.dgfip.finances.gouv.fr', 'dgfip.finances.gouv.fr'],
    ['finances.gouv.fr', undefined],
    // These entries are addresses, three numbers of an address, and networks.
    ['66.216.126.174', '66.216.126.174/32'],
    ['66.216.126.175', undefined],
    ['193.191.218.143', '193.191.218.143/32'],
    ['193.191.218.144', undefined],
    ['195.235.39.1', '195.235.39.0/24'],
    ['195.235.39.255', '195.235.39.0/24'],
    ['195.235.40.1', undefined],
    ['51.4.80.31', '51.4.80.0/27'],
    ['51.4.80.32', undefined],
    ['205.201.143.255', '205.201.128.0/20'],
    ['205.201.144.0', undefined],
    ['148.105.200.3', '148.105.0.0/16'],
    ['148.106.0.1', undefined],
    ['2a01:4180:4051:800::25', '2a01:4180:4051:800::/64'],
    ['2a01:4180:4051:801::25', undefined],
    // These entries are patterns.
    ['ms-smtp-03.nyroc.rr.com', '/^ms-smtp.*\\.rr\\.com$/'],
    ['xms-smtp-03.nyroc.rr.com', undefined],
    ['sc001pub.verizon.net', '/^s[cv]\\d+pub\\.verizon\\.net$/'],
    ['sx001pub.verizon.net', undefined],
    ['smtp21.orange.fr', '/^smtp\\d+\\.orange\\.fr$/'],
    ['smtp.orange.fr', undefined],
    ['smtp2-g21.free.fr', '/^(?:smtp\\w*|postfix)[0-9]+-g[0-9]+\\.free\\.fr$/'],
    ['free.fr', undefined],
    ['mta1.siol.net', '/^mta[12].siol.net$/'],
    ['mta3.siol.net', undefined],
    ['mail.example.org', undefined],
    ['198.51.100.1', undefined],
  ]
  for (const [subject, rule] of cases) assert.equal(isExempt(client(subject)), rule, subject)
  // A client without a confirmed name has no name, whatever it calls itself.
  assert.equal(isExempt({ address: parseIp('198.51.100.1') }), undefined)
})

test("every plain name of Debian's list is exempt with all below it, and with nothing else before or behind", () => {
  const { rules } = readClientLists([postgreyClients])
  const isExempt = compileClients(rules)
  const names = rules.flatMap((rule) => (rule.kind === 'name' ? [rule.name] : []))
  for (const name of names) {
    assert.equal(isExempt(client(name)), name)
    assert.equal(isExempt(client(`a.b.${name}`)), name)
    assert.equal(isExempt(client(`z${name}`)), undefined)
    assert.equal(isExempt(client(`${name}.test`)), undefined)
  }
})

test("Debian's list of recipients loads unchanged, and exempts postmaster and abuse at any domain", () => {
  const { rules, problems, warnings } = readAddressLists([postgreyRecipients])
  assert.deepEqual([rules.length, problems, warnings], [2, [], []])
  const isExempt = compileAddresses(rules)
  const cases: Cases = [
    ['<postmaster@example.org>', 'postmaster@'],
    ['<PostMaster@Sub.Example.ORG>', 'postmaster@'],
    ['<postmaster>', 'postmaster@'],
    ['<postmaster+ticket@example.org>', 'postmaster@'],
    ['<abuse@example.org>', 'abuse@'],
    ['<abuse+x@example.org>', 'abuse@'],
    ['<notabuse@example.org>', undefined],
    ['<abused@example.org>', undefined],
    ['<abuse-desk@example.org>', undefined],
    ['<joe+abuse@example.org>', undefined],
    ['<joe@abuse>', undefined],
    ['<joe@postmaster.example.org>', undefined],
    ['<>', undefined],
  ]
  for (const [subject, rule] of cases) assert.equal(isExempt(parseAddress(subject)), rule, subject)
})

function clients(text: string): ReturnType<typeof compileClients> {
  const { rules, problems } = parseClientList('clients', text)
  assert.deepEqual(problems, [])
  return compileClients(rules)
}

function addresses(text: string): ReturnType<typeof compileAddresses> {
  const { rules, problems } = parseAddressList('addresses', text)
  assert.deepEqual(problems, [])
  return compileAddresses(rules)
}

/** The client with this address, or with another address and this name. */
function client(subject: string): Client {
  const address = parseIp(subject)
  return address ? { address } : { address: parseIp('198.51.100.99'), name: subject }
}

function withoutComment(line: string): string {
  return line.replace(/#.*/, '').trim()
}
