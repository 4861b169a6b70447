// Tests of envelope addresses: odd ones that real MTAs pass on (test/captures), and the normal form, which all
// spellings of one mailbox share and no two mailboxes do.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { isStandardAddress, normalDomain, parseAddress } from '../src/address.ts'
import { decodeText } from '../src/milter/text.ts'

const normal = (raw: string) => parseAddress(raw).normal

test('parseAddress() reads what Postfix and Sendmail hand on', () => {
  const cases: Array<[raw: string, text: string, local: string, domain: string]> = [
    ['<a@b.test>', 'a@b.test', 'a', 'b.test'],
    ['<>', '', '', ''],
    ['< >', '', '', ''],
    ['', '', '', ''],
    ['<@r1.test,@r2.test:src@route.test>', '@r1.test,@r2.test:src@route.test', 'src', 'route.test'],
    ['<@[IPv6:2001:db8::1]:a@b.test>', '@[IPv6:2001:db8::1]:a@b.test', 'a', 'b.test'],
    ['<"quo ted"@q.test>', '"quo ted"@q.test', '"quo ted"', 'q.test'],
    ['<"plain"@q.test>', '"plain"@q.test', 'plain', 'q.test'],
    ['<"a\\"b"@q.test>', '"a\\"b"@q.test', '"a\\"b"', 'q.test'],
    ['<"a@b"@q.test>', '"a@b"@q.test', '"a@b"', 'q.test'],
    ['<"a@b">', '"a@b"', '"a@b"', ''],
    ['<"R c"@Example.COM>', '"R c"@Example.COM', '"r c"', 'example.com'],
    ['<UPPER@CASE.TEST>', 'UPPER@CASE.TEST', 'upper', 'case.test'],
    ['a@nobrackets.test', 'a@nobrackets.test', 'a', 'nobrackets.test'],
    ['<postmaster>', 'postmaster', 'postmaster', ''],
    ['<Postmaster>', 'Postmaster', 'postmaster', ''],
    ['< sp@ace.test >', 'sp@ace.test', 'sp', 'ace.test'],
    ['  <a@b.test>\t', 'a@b.test', 'a', 'b.test'],
    ['<дм@пример.test>', 'дм@пример.test', 'дм', 'xn--e1afmkfd.test'],
    ['<ю@example.com>', 'ю@example.com', 'ю', 'example.com'],
    ['<a@[192.0.2.7]>', 'a@[192.0.2.7]', 'a', '[192.0.2.7]'],
    ['<a@[IPv6:2001:DB8::1]>', 'a@[IPv6:2001:DB8::1]', 'a', '[ipv6:2001:db8::1]'],
    ['<a!b%c@d.test>', 'a!b%c@d.test', 'a!b%c', 'd.test'],
    ['<a@b@c.test>', 'a@b@c.test', 'a@b', 'c.test'],
    ['<a@b.test> NOTIFY=NEVER', 'a@b.test', 'a', 'b.test'],
    ['<a@b.test>\tORCPT=rfc822;<x@y.test>', 'a@b.test', 'a', 'b.test'],
    ['<> BODY=8BITMIME', '', '', ''],
    ['a@b.test NOTIFY=NEVER', 'a@b.test', 'a', 'b.test'],
    ['"a b"@c.test NOTIFY=NEVER', '"a b"@c.test', '"a b"', 'c.test'],
    ['<"a>b"@c.test>', '"a>b"@c.test', '"a>b"', 'c.test'],
    ['<"a\\">b"@c.test> X=>', '"a\\">b"@c.test', '"a\\">b"', 'c.test'],
    ['<a\\>b@c.test>', 'a\\>b@c.test', 'a\\>b', 'c.test'],
    // These are no addresses by RFC 5321; the quote that has no end is part of the address.
    ['<"a@b.test>', '"a@b.test', '"a', 'b.test'],
    ['<"a@b.test> X=1', '"a@b.test', '"a', 'b.test'],
    ['<a@b.test', '<a@b.test', '<a', 'b.test'],
    ['a@c.test(b', 'a@c.test', 'a', 'c.test'],
    ['<a@c.test>(<b@d.test>', 'a@c.test', 'a', 'c.test'],
    ['a@c.test>,', 'a@c.test>,', 'a', 'c.test'],
    ['\v<a@c.test>', 'a@c.test', 'a', 'c.test'],
  ]
  for (const [raw, text, local, domain] of cases) {
    const { normal: _, ...parts } = parseAddress(raw)
    assert.deepEqual(parts, { text, local, domain }, raw)
  }
})

test('bytes that are no UTF-8 stay apart from each other and from what they might be read as', () => {
  const spellings = [
    [0xe9], // é in Latin-1
    [0xe8],
    [0xc3, 0xa9], // é in UTF-8
    [0xef, 0xbf, 0xbd], // U+FFFD
    [0xed, 0xb3, 0xa9], // the UTF-8 form of the surrogate that stands for 0xe9
    [0xff],
  ].map((bytes) => normal(decodeText(Buffer.from([0x3c, ...bytes, 0x40, 0x62, 0x3e]))))
  assert.equal(new Set(spellings).size, spellings.length, JSON.stringify(spellings))
})

test('spellings of one mailbox share a normal form', () => {
  const cases: string[][] = [
    ['a@b.test', '<a@b.test>', 'A@B.TEST', '"a"@b.test', '"\\a"@b.test', '@r.test:a@b.test', 'a@b.test.'],
    ['"a b"@c.test', '"a\\ b"@c.test', '"A B"@c.test'],
    ['"a\\"b"@c.test', '"\\a\\"\\b"@c.test'],
    ['"a\\\\b"@c.test', '"A\\\\B"@c.test'],
    ['a@пример.test', 'a@ПРИМЕР.test', 'a@xn--e1afmkfd.test', 'a@XN--E1AFMKFD.TEST', 'a@пример.test.'],
    ['a@straße.test', 'a@xn--strae-oqa.test'],
    ['a@bücher.test', 'a@bu\u0308cher.test', 'a@xn--bcher-kva.test'],
    ['élan@b.test', 'ÉLAN@b.test'],
  ]
  for (const [first = '', ...others] of cases) {
    for (const other of others) assert.equal(normal(other), normal(first), `${other} is ${first}`)
  }
})

// Postfix 3.7 and Sendmail 8.17 passed each of these spellings on to the next server as the same address.
test('what MTAs drop of an argument makes no other mailbox of it', () => {
  const spellings = [
    ...[
      'u@example.com',
      '<u@example.com>',
      '<u@example.com>foo',
      'foo<u@example.com>',
      '"foo"<u@example.com>',
    ],
    ...[
      '(x)u@example.com',
      'u@example.com(x)',
      'u(x)@example.com',
      '<u@example.com(x)>',
      '<u@(x)example.com>',
    ],
    ...[
      '<u(x>y)@example.com>',
      '<u@example.com>(x)',
      '<u@example.com>(<v@example.com>)',
      '<(a(b)c)u@example.com>',
    ],
    ...[
      '(<v@example.com>)<u@example.com>',
      '<u@example.com>"<v@example.com>"',
      '"<v@example.com>"<u@example.com>',
    ],
    ...[
      '<u @example.com>',
      '<u@ example. com>',
      '<<u@example.com>>',
      '<x <u@example.com>>',
      '<<u@example.com>v@x.y>',
    ],
    ...['u:u@example.com;', 'v@example.net:u@example.com;', '<u@example.com>x NOTIFY=NEVER'],
    ...[
      '<v@example.com>,<u@example.com>',
      'v@x.com,<u@example.com>',
      '<v@x.y><u@example.com>',
      '<v@x.y>[<u@example.com>]',
    ],
  ]
  for (const spelling of spellings) assert.equal(normal(spelling), 'u@example.com', spelling)
  for (const spelling of ['"u"."v"@c.test', 'u."v"@c.test', '<"u.v" @c.test>']) {
    assert.equal(normal(spelling), 'u.v@c.test', spelling)
  }
})

test('mailboxes that only look alike do not share a normal form', () => {
  const cases: Array<[string, string]> = [
    ['a@b.test', 'a@b.tes'],
    ['a@b.test', 'a @b.test'],
    ['a@b.test', 'a.@b.test'],
    ['a@b.test', 'a'],
    ['a b@c.test', '"a  b"@c.test'],
    ['"a b"@c.test', 'a b@c.test'],
    ['"a@b"@c.test', 'a@b@c.test'],
    ['"a@b"', 'a@b'],
    ['"a\\\\b"@c.test', '"a\\b"@c.test'],
    ['""@c.test', '@c.test'],
    ['""', ''],
    ['k@b.test', '\u212a@b.test'], // Kelvin
    ['"k"@b.test', '"\u212a"@b.test'],
    ['s@b.test', '\u017f@b.test'], // long s
    ['i@b.test', 'ı@b.test'], // dotless i
    ['e\u0301@b.test', 'e@b.test'],
    ['a@straße.test', 'a@strasse.test'],
    ['a@[192.0.2.7]', 'a@192.0.2.7'],
    ['a+b@c.test', 'a@c.test'],
    ['a@b..', 'a@b.'],
    ['a@b.test', 'a%b.test'],
  ]
  for (const [one, other] of cases) assert.notEqual(normal(one), normal(other), `${one} is not ${other}`)
})

test('an @ without a domain is not the same as none, nor is a route to nowhere the null sender', () => {
  const spellings = ['', 'a', 'a@', 'a@.', 'a@..', '@', '@.', '@r.test:', 'a@b', 'a@b@', 'a@b@.', '@b']
  const forms = spellings.map(normal)
  assert.equal(new Set(forms).size, forms.length, JSON.stringify(forms))
})

test('space that is not ASCII is part of an internationalised address', () => {
  for (const space of ['\u00a0', '\u2003', '\u3000', '\ufeff', '\u2028']) {
    assert.notEqual(normal(`<${space}a@b.test>`), normal('<a@b.test>'), codePoint(space))
    assert.notEqual(normal(`<a${space}@b.test>`), normal('<a@b.test>'), codePoint(space))
  }
})

test('an ASCII domain is only folded, whatever a URL would make of it', () => {
  for (const domain of [
    '0x7f.1',
    '127.1',
    '1.2',
    '2130706433',
    '010.0.0.1',
    'ex%41mple.org',
    'a%2eb',
    'a/b',
    'a?b',
    'a#b',
    'a:25',
    'a\\b',
    'a\tb',
    'a b',
    'a_b.test',
    '-a-.test',
    'xn--.test',
    'xn--a.test',
    '[::1]',
    'user@b',
    'a..b',
    `${'a'.repeat(300)}.test`,
  ]) {
    assert.equal(normalDomain(domain), domain)
    assert.equal(normalDomain(domain.toUpperCase()), domain.toLowerCase())
  }
})

test('a domain that is not ASCII is not cut, decoded or counted as a URL would do it', () => {
  const plain = normalDomain('ю.test')
  for (const domain of [
    'ю.test/x',
    'ю.test?x',
    'ю.test#x',
    'ю.test\\x',
    'ю.test:80',
    'ю\t.test',
    'ю\n.test',
    'x@ю.test',
  ]) {
    assert.notEqual(normalDomain(domain), plain, JSON.stringify(domain))
  }
  assert.notEqual(normalDomain('ю%41.test'), normalDomain('юa.test'))
  assert.notEqual(normalDomain('１.2'), '1.0.0.2')
  assert.notEqual(normalDomain('０x7f.1'), '127.0.0.1')
})

// Property: any bytes give an address, and its text is no longer than they are.
test('parseAddress() never throws', () => {
  const odd = fc
    .array(
      fc.oneof(fc.constantFrom(...Buffer.from('aA"\\@.<>:,[] \t%/')), fc.integer({ min: 0x80, max: 0xff })),
    )
    .map((bytes) => Buffer.from(bytes))
  fc.assert(
    fc.property(
      fc.oneof(
        odd,
        fc.uint8Array().map((bytes) => Buffer.from(bytes)),
      ),
      (bytes) => {
        const raw = decodeText(bytes)
        assert.ok(parseAddress(raw).text.length <= raw.length)
      },
    ),
    { numRuns: 2000 },
  )
})

/**
 * Every character that means something in an address; strangers may fill long arguments with them, or pairs of them.
 */
const MARKS = [...'a "\\()<>@[]:;.é\u212a']
const PAIRS = MARKS.flatMap((one, index) => MARKS.slice(index + 1).map((other) => one + other))
/** Ideographs that all differ, as punycode writes each difference down and so takes longest for them. */
const IDEOGRAPHS = Array.from({ length: 4096 }, (_, index) =>
  String.fromCodePoint(0x4e00 + ((index * 7919) % 20_000)),
).join('')
const FILLINGS = [...MARKS, ...PAIRS, '[a]', '"a"', '<a>', IDEOGRAPHS]
const BEGINNINGS = ['', '<"', '@[', '<a@', 'a:']
const ENDS = ['', 'b >', '"@b;']

// Eight times the length may take eight times the work, or a little more; quadratic work would be 64 times as much.
// Work of less than half a millisecond is too short to be compared.
test('what an argument costs grows with its length, not with the square of it', () => {
  const costly: string[] = []
  for (const beginning of BEGINNINGS) {
    for (const filling of FILLINGS) {
      for (const end of ENDS) {
        const ofLength = (length: number) => beginning + filling.repeat(4096).slice(0, length) + end
        const [short, long] = [ofLength(512), ofLength(4096)]
        if (leastTime(long, 1) < 0.5) continue
        const [one, eight] = [leastTime(short, 5), leastTime(long, 5)]
        if (eight > 0.5 && eight > 24 * one)
          costly.push(JSON.stringify([beginning, filling.slice(0, 2), end]))
      }
    }
  }
  assert.deepEqual(costly, [])
})

/** The least time of several readings, in milliseconds; the other readings include what else the machine does. */
function leastTime(raw: string, readings: number): number {
  let least = Number.POSITIVE_INFINITY
  for (let reading = 0; reading < readings; reading += 1) {
    const startedAt = performance.now()
    isStandardAddress(parseAddress(raw))
    least = Math.min(least, performance.now() - startedAt)
  }
  return least
}

test('a domain that is too long for one is only folded, and not by the book', () => {
  const label = 'ю'.repeat(20)
  const domain = (labels: number) => `${`${label}.`.repeat(labels)}test`
  const [long, longer] = [parseAddress(`a@${domain(11)}`), parseAddress(`a@${domain(12).toUpperCase()}`)]
  assert.ok(long.domain.startsWith('xn--') && isStandardAddress(parseAddress(`a@${domain(1)}`)))
  assert.equal(longer.domain, domain(12))
  assert.ok(!isStandardAddress(longer))
  assert.ok(!isStandardAddress(parseAddress(`a@${'a.'.repeat(126)}test`)))
  assert.ok(isStandardAddress(parseAddress(`a@${'a.'.repeat(125)}test`)))
})

test('long rows of marks are read as short ones are', () => {
  const many = 4096
  const cases: Array<[raw: string, normal: string]> = [
    [`<${' '.repeat(many)}a@b.test${' \t'.repeat(many)}>`, 'a@b.test'],
    [`<"a${' '.repeat(many)}b"@c.test>`, `"a${' '.repeat(many)}b"@c.test`],
    [`<${'"a".'.repeat(many)}b@c.test>`, `${'a.'.repeat(many)}b@c.test`],
    [`<"${'\\a'.repeat(many)}"@c.test>`, `${'a'.repeat(many)}@c.test`],
    [`<"${'\\"'.repeat(many)}@c.test>`, `"${'\\"'.repeat(many)}@c.test`],
    [`${'(('.repeat(many)}${'))'.repeat(many)}<a@b.test>`, 'a@b.test'],
    [`${'"a:"'.repeat(many)}:a@b.test;`, 'a@b.test'],
    [`${'<x@y.test>'.repeat(many)}<a@b.test>`, 'a@b.test'],
  ]
  for (const [raw, expected] of cases) assert.equal(normal(raw), expected, raw.slice(0, 20))
})

const ATOM_BYTES = [
  ...Buffer.from('abcxyzABCXYZ0123456789!#$%&*+-/=?^_`{|}~.'),
  0x80,
  0xa9,
  0xbf,
  0xc3,
  0xe9,
  0xff,
]

// Property: an unquoted local part names another mailbox once one byte is exchanged for one that is not its other case.
test('local parts that differ in one byte are two mailboxes', () => {
  const local = fc.array(fc.constantFrom(...ATOM_BYTES), { minLength: 1, maxLength: 12 })
  fc.assert(
    fc.property(local, fc.nat(), fc.constantFrom(...ATOM_BYTES), (bytes, place, other) => {
      const index = place % bytes.length
      fc.pre(asciiLower(bytes[index] ?? 0) !== asciiLower(other))
      const changed = bytes.with(index, other)
      // Two changed bytes may make one letter of another case, as É and é, which is the same mailbox.
      const [one, two] = [bytes, changed].map((all) => decodeText(Buffer.from(all))) as [string, string]
      fc.pre(one.toLowerCase() !== two.toLowerCase())
      assert.notEqual(normal(`<${one}@b.test>`), normal(`<${two}@b.test>`))
    }),
    { numRuns: 2000 },
  )
})

/** Characters by upper case, with their lower case. */
const CASELESS: Record<string, string> = { A: 'a', K: 'k', É: 'é', Ю: 'ю' }
const CHARACTERS = [...'aAkK.éÉюЮ"\\ @:<>', '\u212a', '\udc80', '\udce9']
const UNQUOTED = /^[^"\\ @:<>]+$/
const DOMAINS: Record<string, string> = {
  'b.test': 'b.test',
  'B.Test': 'b.test',
  'b.test.': 'b.test',
  'ю.test': 'ю.test',
  'Ю.TEST': 'ю.test',
  'xn--31a.test': 'ю.test',
  'b.b.test': 'b.b.test',
  '[192.0.2.7]': '[192.0.2.7]',
}

interface Spelling {
  readonly mailbox: string
  readonly raw: string
}

const SPELLING: fc.Arbitrary<Spelling> = fc
  .record({
    content: fc.string({ unit: fc.constantFrom(...CHARACTERS), minLength: 1, maxLength: 4 }),
    domain: fc.option(fc.constantFrom(...Object.keys(DOMAINS))),
    quote: fc.boolean(),
    needlessBackslashes: fc.boolean(),
    brackets: fc.boolean(),
    route: fc.constantFrom('', '@r.test:', '@r.test,@b.test:'),
  })
  .map(({ content, domain, quote, needlessBackslashes, brackets, route }) => {
    const escaped = content.replace(needlessBackslashes ? /./gs : /["\\]/g, '\\$&')
    const local = quote || !UNQUOTED.test(content) ? `"${escaped}"` : content
    const address = domain === null ? local : `${route}${local}@${domain}`
    const meant = [...content].map((character) => CASELESS[character] ?? character).join('')
    return {
      mailbox: JSON.stringify([meant, domain === null ? null : DOMAINS[domain]]),
      raw: brackets ? `<${address}>` : address,
    }
  })

// Property: two spellings share a normal form exactly if they name one mailbox. Quotes, backslashes, case, routes,
// brackets, a final dot and A-labels are spelling, and nothing else is.
test('the normal form is one per mailbox', () => {
  fc.assert(
    fc.property(SPELLING, SPELLING, (one, other) => {
      assert.equal(normal(one.raw) === normal(other.raw), one.mailbox === other.mailbox)
    }),
    { numRuns: 5000 },
  )
})

// Property: an address stays the same whatever SMTP parameters or words follow it.
test('nothing behind an address makes another of it', () => {
  const behind = fc.string({ unit: fc.constantFrom(...'aA=;,@> "\\()[]:.\t'), maxLength: 20 })
  fc.assert(
    fc.property(SPELLING, fc.constantFrom(' ', '\t'), behind, ({ raw }, space, text) => {
      assert.equal(normal(`<${raw.replace(/^<|>$/g, '')}>${space}${text}`), normal(raw))
    }),
    { numRuns: 5000 },
  )
})

function asciiLower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte
}

function codePoint(character: string): string {
  return `U+${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}
