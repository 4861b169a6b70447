// Tests of keys and refs: they are readable, never shared by two triplets, and never too long for a store.

import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from '../../src/address.ts'
import {
  attemptRef,
  formerFirstKey,
  holderOf,
  loopKey,
  loopNetworkKey,
  tripletKey,
  tripletKeys,
  whitelistKeys,
  witnessKeys,
} from '../../src/greylist/keys.ts'
import { decodeText } from '../../src/milter/text.ts'

const NETWORK = 'network:198.51.100.0/24'
/** Longest key of LMDB, in bytes. */
const MAX_KEY_BYTES = 1978

const key = (sender: string, recipient?: string, identity = NETWORK) =>
  tripletKey(
    identity,
    parseAddress(sender).normal,
    recipient === undefined ? undefined : parseAddress(recipient),
  )

test('tripletKey() is readable text of identity, sender and recipient in normal form', () => {
  const cases: Array<[actual: string, expected: string]> = [
    [key('<A@Example.ORG>', '<"b"@example.com>'), 't:network:198.51.100.0/24|a@example.org|b@example.com'],
    [key('<>', '<b@example.com>'), 't:network:198.51.100.0/24||b@example.com'],
    [key('<a@example.org>'), 't:network:198.51.100.0/24|a@example.org'],
    [key('<>'), 't:network:198.51.100.0/24|'],
    [key('a@b', '<postmaster>', 'network:2001:db8::/64'), 't:network:2001:db8::/64|a@b|postmaster'],
    [key('a|b@c', 'd\\e@f'), 't:network:198.51.100.0/24|a\\u007cb@c|d\\u005ce@f'],
    [key('{x}a@b', 'c}@d'), 't:network:198.51.100.0/24|\\u007bx\\u007da@b|c\\u007d@d'],
    [key('a@b', 'c@d', 'spf:{x}.b'), 't:spf:\\u007bx\\u007d.b|a@b|c@d'],
    [whitelistKeys('spf:{x}.b').listed, 'w:spf:\\u007bx\\u007d.b'],
    [loopKey('counted', '{x}.b', parseAddress('c@d')), 'd:|\\u007bx\\u007d.b|c@d'],
    [loopNetworkKey('2001:db8::/48', 'a@b', undefined), 'n:2001:db8::/48|a@b'],
    [witnessKeys('host:b', 'senders', '{x}.c').witness, 'm:host:b|senders|\\u007bx\\u007d.c'],
    [key('ю@c', '\u001b[31m@f'), 't:network:198.51.100.0/24|ю@c|\\u001b[31m@f'],
    [key(decodeText(Buffer.from([0xe9, 0x40, 0x63]))), 't:network:198.51.100.0/24|\\udce9@c'],
  ]
  for (const [actual, expected] of cases) assert.equal(actual, expected)
})

test('attemptRef() is eight hexadecimal digits, the same for the same attempt and another for its neighbours', () => {
  const recipient = parseAddress('b@example.com')
  for (const sender of ['', 'a@example.org', 'ю'.repeat(598), 'x'.repeat(700)]) {
    assert.match(attemptRef(sender, recipient), /^[0-9a-f]{8}$/)
    assert.equal(attemptRef(sender, recipient), attemptRef(`${sender}`, parseAddress('B@Example.com')))
    assert.notEqual(attemptRef(sender, recipient), attemptRef(sender, undefined))
  }
  const neighbours = Array.from({ length: 1000 }, (_, index) =>
    attemptRef('a@example.org', parseAddress(`b${index}@example.com`)),
  )
  assert.ok(new Set(neighbours).size >= 999, `${new Set(neighbours).size} of 1000`)
})

test('triplets that only look alike have keys of their own', () => {
  const keys = [
    key('a|b', 'c'),
    key('a', 'b|c'),
    key('a', 'b'),
    key('a|b'),
    key('a\\u007cb'),
    key('a'),
    key('a', ''),
    key('', 'a'),
    key('', ''),
    key(''),
    key('a\u0000b'),
    key('a\\u0000b'),
    key('a', 'b', 'network:198.51.100.0/25'),
  ]
  assert.equal(new Set(keys).size, keys.length)
})

test('nobody can write a sender whose key is the digest of a longer one', () => {
  const long = `${'x'.repeat(700)}@example.org`
  const longKey = key(long)
  const digest = createHash('sha256').update(`t:${NETWORK}|${long}`).digest('base64url').slice(0, 22)
  assert.ok(longKey.endsWith(digest), longKey)
  assert.notEqual(key(digest), longKey)
  assert.notEqual(key(`\\${digest}`), longKey)
})

// Separators, escapes and text like digests are mixed with ordinary characters; some texts are very long.
const PIECE = fc.constantFrom(
  ...[
    'a',
    'b',
    '@',
    '.',
    '|',
    '\\',
    '\\u007c',
    'u007c',
    '"',
    ' ',
    'sha256:',
    '{',
    '}',
    't:',
    '\0',
    '\n',
    '\u001b',
    '\u0085',
  ],
  ...['\udc80', '\udcff', 'ю', '\u{1f600}', '%', '*', 'x'.repeat(300), 'ю'.repeat(400), '\udc80'.repeat(300)],
)
const ADDRESS = fc.string({ unit: PIECE, maxLength: 4 })
const TRIPLET = fc.record({
  identity: fc.constantFrom(NETWORK, 'network:198.51.100.0/25', 'network:2001:db8::/64'),
  sender: ADDRESS,
  recipient: fc.option(ADDRESS, { nil: undefined }),
})

const parts = ({
  identity,
  sender,
  recipient,
}: {
  identity: string
  sender: string
  recipient: string | undefined
}) =>
  JSON.stringify([
    identity,
    parseAddress(sender).normal,
    recipient === undefined ? null : parseAddress(recipient).normal,
  ])

// Property: two triplets share a key exactly if identity, sender and recipient are the same in normal form.
test('keys are one per triplet', () => {
  fc.assert(
    fc.property(TRIPLET, TRIPLET, (one, other) => {
      const isSame = parts(one) === parts(other)
      const keys = [one, other].map(({ identity, sender, recipient }) => key(sender, recipient, identity))
      assert.equal(keys[0] === keys[1], isSame, keys.join('\n'))
    }),
    { numRuns: 5000 },
  )
})

// Property: whatever the bytes of the address, the key is short enough for every store and survives UTF-8.
test('keys fit into every store', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 2000 }),
    fc.uint8Array({ minLength: 580, maxLength: 620 }),
  )
  fc.assert(
    fc.property(
      fc.oneof(
        ADDRESS,
        bytes.map((raw) => decodeText(Buffer.from(raw))),
      ),
      ADDRESS,
      (sender, recipient) => {
        const made = key(sender, recipient)
        const stored = Buffer.from(made, 'utf8')
        assert.ok(stored.length <= MAX_KEY_BYTES, `${stored.length} bytes`)
        assert.equal(stored.toString('utf8'), made)
        assert.ok(made.startsWith(`t:${NETWORK}|`))
        assert.doesNotMatch(made, /[{}\p{Cc}\p{Cs}]/u)
      },
    ),
    { numRuns: 1000 },
  )
})

test('the longest key that is not digested fits, and the next is digested', () => {
  const room = 128 - `t:${NETWORK}|`.length
  assert.equal(Buffer.byteLength(key('ю'.repeat(room))), 128 + room)
  assert.equal(Buffer.byteLength(key('\uffee'.repeat(room))), 128 + 2 * room)
  assert.equal(Buffer.byteLength(key('ю'.repeat(room + 1))), `t:${NETWORK}|`.length + 23)
  const count = (length: number) => loopKey('counted', 'ю'.repeat(length), undefined)
  assert.equal(Buffer.byteLength(count(600 - 'd:|'.length)), 2 * 600 - 'd:|'.length)
  assert.ok(Buffer.byteLength(count(601 - 'd:|'.length)) < 100)
})

test('a triplet has the key of earlier versions, unless it is long', () => {
  const recipient = parseAddress('someone@example.com')
  const short = 'x'.repeat(80)
  assert.deepEqual(tripletKeys(NETWORK, short, recipient), {
    key: `t:${NETWORK}|${short}|someone@example.com`,
    former: `t:${NETWORK}|${short}|someone@example.com`,
  })
  const long = 'x'.repeat(90)
  const { key: now, former } = tripletKeys(NETWORK, long, recipient)
  assert.equal(former, `t:${NETWORK}|${long}|someone@example.com`)
  assert.match(now, /^t:network:198\.51\.100\.0\/24\|\\[\w-]{22}$/)
  assert.match(tripletKeys(NETWORK, 'x'.repeat(600), recipient).former, /\|\\sha256:[0-9a-f]{64}$/)
})

// With Redis's prefix, such a key takes 32 bytes, however long the addresses are.
test('the key of a first attempt is short and none of earlier versions, and so is its holder', () => {
  for (const sender of ['a@b', '\u001b{x}', `${'x'.repeat(300)}@example.org`]) {
    const recipient = parseAddress('c@d')
    assert.match(loopKey('first', sender, recipient), /^f:[\w-]{20}$/)
    assert.match(formerFirstKey(sender, recipient), /^f:\|/)
    const holder = holderOf(NETWORK, sender, recipient)
    assert.match(holder, /^[1-8]\d{15}$/)
    assert.notEqual(holderOf('network:198.51.101.0/24', sender, recipient), holder)
    assert.notEqual(holderOf(NETWORK, `${sender}x`, recipient), holder)
    assert.notEqual(holderOf(NETWORK, sender, undefined), holder)
  }
})
