// Tests of addresses and networks: what is read, what is refused, and masks, compared with arithmetic on a bigint.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatNetwork, networkOf, parseBytes, parseIp, parseNetwork, reversedName } from '../src/ip.ts'

test('reversedName() is that of RFC 5782', () => {
  const names = ['192.0.2.99', '2001:db8:1:2:3:4:567:89ab'].map((text) => {
    const address = parseIp(text)
    return address && reversedName(address)
  })
  assert.deepEqual(names, ['99.2.0.192', 'b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2'])
})

test('parseIp() reads each form an MTA or a list writes, into one text', () => {
  const cases: Array<[text: string, kind: 'ipv4' | 'ipv6', normal: string]> = [
    ['192.0.2.7', 'ipv4', '192.0.2.7'],
    ['0.0.0.0', 'ipv4', '0.0.0.0'],
    ['255.255.255.255', 'ipv4', '255.255.255.255'],
    ['2001:db8::7', 'ipv6', '2001:db8::7'],
    ['2001:DB8:0:0:0:0:0:7', 'ipv6', '2001:db8::7'],
    ['2001:db8:0:1:0:0:0:7', 'ipv6', '2001:db8:0:1::7'],
    ['::', 'ipv6', '::'],
    ['1:2:3:4:5:6:7::', 'ipv6', '1:2:3:4:5:6:7:0'],
    ['1:2:3:4:5:6:192.0.2.7', 'ipv6', '1:2:3:4:5:6:c000:207'],
    // An IPv4 address in the IPv6 form of dual-stack sockets is IPv4.
    ['::ffff:192.0.2.7', 'ipv4', '192.0.2.7'],
    ['::FFFF:c000:207', 'ipv4', '192.0.2.7'],
    ['0:0:0:0:0:ffff:192.0.2.7', 'ipv4', '192.0.2.7'],
    // Other IPv6 addresses that contain an IPv4 address are not.
    ['64:ff9b::192.0.2.7', 'ipv6', '64:ff9b::c000:207'],
    ['::192.0.2.7', 'ipv6', '::c000:207'],
    ['::c000:207', 'ipv6', '::c000:207'],
    // Sendmail writes addresses like this in {client_addr} and in address literals.
    ['IPv6:2001:db8::7', 'ipv6', '2001:db8::7'],
    ['ipv6:::1', 'ipv6', '::1'],
    ['IPv6:::ffff:192.0.2.7', 'ipv4', '192.0.2.7'],
    // A zone names the interface, and is no part of the address.
    ['fe80::1%eth0', 'ipv6', 'fe80::1'],
    ['fe80::1%2', 'ipv6', 'fe80::1'],
  ]
  for (const [text, kind, normal] of cases) {
    const address = parseIp(text)
    assert.deepEqual([address?.kind, address?.text], [kind, normal], text)
    assert.equal(address?.bytes.length, kind === 'ipv4' ? 4 : 16, text)
  }
})

test('parseIp() refuses what is no address, and what inet_aton would make one of', () => {
  const cases = [
    '',
    ' ',
    '%',
    'IPv6:',
    'unknown',
    'localhost',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0x7f.0.0.1',
    '0177.0.0.1',
    '010.0.0.1',
    '10.0.0.01',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '1.2.3.-4',
    '1.2.3.4 ',
    ' 1.2.3.4',
    '1.2.3.4\n',
    '1.2.3.4%eth0',
    '1.2.3.4/32',
    '[1.2.3.4]',
    '[::1]',
    ':',
    ':::',
    '1::2::3',
    '12345::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:1.2.3.4',
    'fe80::1%',
    'fe80::1%a b',
    'IPv6:IPv6:::1',
    '::ffff:300.1.1.1',
    '::ffff:1.2.3',
  ]
  for (const text of cases) assert.equal(parseIp(text), undefined, JSON.stringify(text))
})

test('parseIp() refuses octal and hexadecimal numbers in the dotted tail of an IPv6 address as well', () => {
  for (const text of ['::ffff:010.0.0.1', '::ffff:0x7f.0.0.1', '64:ff9b::0300.0.2.7']) {
    assert.equal(parseIp(text), undefined, text)
  }
})

test('parseNetwork() reads networks and single addresses, and drops the bits below the prefix', () => {
  const cases: Array<[text: string, normal: string]> = [
    ['192.0.2.0/24', '192.0.2.0/24'],
    ['192.0.2.77/24', '192.0.2.0/24'],
    ['192.0.2.77/27', '192.0.2.64/27'],
    ['192.0.2.7', '192.0.2.7/32'],
    ['192.0.2.7/32', '192.0.2.7/32'],
    ['192.0.2.7/0', '0.0.0.0/0'],
    ['2001:db8::7', '2001:db8::7/128'],
    ['2001:db8:ffff::/33', '2001:db8:8000::/33'],
    ['2001:db8::7/0', '::/0'],
    ['IPv6:2001:db8::/32', '2001:db8::/32'],
    ['fe80::1%eth0/64', 'fe80::/64'],
    ['::ffff:192.0.2.7/120', '192.0.2.0/24'],
    ['::ffff:0:0/96', '0.0.0.0/0'],
    ['::ffff:192.0.2.7', '192.0.2.7/32'],
  ]
  for (const [text, normal] of cases) {
    const network = parseNetwork(text)
    assert.equal(network && formatNetwork(network), normal, text)
  }
})

test('parseNetwork() refuses prefixes that the address does not have, and what is no network', () => {
  const cases = [
    '',
    '/',
    '/24',
    '192.0.2.0/',
    '192.0.2.0/33',
    '192.0.2.0/-1',
    '192.0.2.0/2.5',
    '192.0.2.0/255.255.255.0',
    '192.0.2.0/24/24',
    '192.0.2.0 /24',
    '192.0.2/24',
    '10/8',
    '::1/129',
    '::1/1280',
    '::ffff:0:0/95',
    'example.org/24',
  ]
  for (const text of cases) assert.equal(parseNetwork(text), undefined, text)
})

const ANY_IP = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }),
  fc.uint8Array({ minLength: 16, maxLength: 16 }),
)

// Property: an address written in full is read as its bytes, unless it is the IPv6 form of an IPv4 address.
test('parseIp() gives back the bytes that were written', () => {
  fc.assert(
    fc.property(ANY_IP, (bytes) => {
      const address = parseIp(written(bytes))
      const isMapped = bytes.length === 16 && asNumber(bytes) >> 32n === 0xffffn
      assert.deepEqual(address?.bytes, [...(isMapped ? bytes.subarray(12) : bytes)])
      assert.deepEqual(parseIp(address.text)?.bytes, address.bytes)
    }),
  )
})

// Property: any run of zeros may be left out, and the last two groups may be a dotted quad.
test('parseBytes() reads IPv6 in every form it can be written in', () => {
  const group = fc.oneof(fc.constant(0), fc.nat(0xffff))
  fc.assert(
    fc.property(
      fc.array(group, { minLength: 8, maxLength: 8 }),
      fc.nat(8),
      fc.nat(8),
      fc.boolean(),
      (groups, start, count, isDotted) => {
        const end = Math.min(start + count, isDotted ? 6 : 8)
        const all = groups.map((value, index) => (index >= start && index < end ? 0 : value))
        const bytes = all.flatMap((value) => [value >> 8, value & 255])
        const texts = all.map((value) => value.toString(16))
        if (isDotted) texts.splice(6, 2, bytes.slice(12).join('.'))
        const head = texts.slice(0, start).join(':')
        const text = end > start ? `${head}::${texts.slice(end).join(':')}` : texts.join(':')
        const isMapped = all.slice(0, 6).join() === '0,0,0,0,0,65535'
        assert.deepEqual(parseBytes(text), isMapped ? bytes.slice(12) : bytes, text)
      },
    ),
    { numRuns: 2000 },
  )
})

// Property: a network is the address as a bigint, with the bits behind the prefix cleared.
test('networkOf() keeps the leading bits and no other', () => {
  fc.assert(
    fc.property(ANY_IP, fc.nat(128), (bytes, wish) => {
      const address = parseIp(written(bytes))
      assert.ok(address)
      const bits = BigInt(address.bytes.length * 8)
      const prefix = Math.min(wish, Number(bits))
      const below = bits - BigInt(prefix)
      const network = networkOf(address, prefix)
      assert.equal(asNumber(network.address.bytes), (asNumber(address.bytes) >> below) << below)
      assert.deepEqual([network.prefix, network.address.kind], [prefix, address.kind])
    }),
  )
})

// Property: parseIp() and parseNetwork() never throw, and what they read can be written and read again.
test('any text is an address or none', () => {
  const odd = fc.string({ unit: fc.constantFrom(...'0129afxF:.%/[] '), maxLength: 24 })
  fc.assert(
    fc.property(fc.oneof(odd, fc.string()), (text) => {
      const address = parseIp(text)
      if (address) assert.deepEqual(parseIp(address.text), address)
      const network = parseNetwork(text)
      if (network) assert.deepEqual(parseNetwork(formatNetwork(network)), network)
    }),
    { numRuns: 1000 },
  )
})

function written(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  return (
    Buffer.from(bytes)
      .toString('hex')
      .match(/.{4}/g)
      ?.map((group) => group.replace(/^0+(?=.)/, ''))
      .join(':') ?? ''
  )
}

function asNumber(bytes: Iterable<number>): bigint {
  let number = 0n
  for (const byte of bytes) number = number * 256n + BigInt(byte)
  return number
}
