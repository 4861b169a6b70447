// Tests of special ranges of addresses.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseIp, parseNetwork } from '../src/ip.ts'
import { ipv4Within, isPrivate, NAT64_PREFIXES } from '../src/ranges.ts'

test('isPrivate() knows the addresses that mean another host in each network', () => {
  const edges: Array<[inside: string, outside: string]> = [
    ['10.0.0.0', '9.255.255.255'],
    ['10.255.255.255', '11.0.0.0'],
    ['172.16.0.0', '172.15.255.255'],
    ['172.31.255.255', '172.32.0.0'],
    ['192.168.255.255', '192.169.0.0'],
    ['100.64.0.0', '100.63.255.255'],
    ['100.127.255.255', '100.128.0.0'],
    ['169.254.1.1', '169.255.0.0'],
    ['127.0.0.1', '128.0.0.0'],
    ['::ffff:10.1.2.3', '::ffff:198.51.100.7'],
    ['fd00::1', 'fe00::1'],
    ['fc00::1', 'fbff::1'],
    ['fe80::1', 'ff02::1'],
    ['::1', '2001:db8::1'],
  ]
  for (const [inside, outside] of edges) {
    for (const [text, expected] of [
      [inside, true],
      [outside, false],
    ] as const) {
      const address = parseIp(text)
      assert.ok(address, text)
      assert.equal(isPrivate(address), expected, text)
    }
  }
})

test('ipv4Within() reads the addresses of RFC 6052 section 2.4, and those of 6to4', () => {
  const cases: Array<[text: string, prefix: string]> = [
    ['2001:db8:c000:221::', '2001:db8::/32'],
    ['2001:db8:1c0:2:21::', '2001:db8:100::/40'],
    ['2001:db8:122:c000:2:2100::', '2001:db8:122::/48'],
    ['2001:db8:122:3c0:0:221::', '2001:db8:122:300::/56'],
    ['2001:db8:122:344:c0:2:2100::', '2001:db8:122:344::/64'],
    ['2001:db8:122:344::192.0.2.33', '2001:db8:122:344::/96'],
    ['64:ff9b::192.0.2.33', '64:ff9b::/96'],
    ['::ffff:0:192.0.2.33', '::ffff:0:0:0/96'],
    ['2002:c000:221::1', '64:ff9b::/96'],
    ['2002:c000:221:ffff:ffff:ffff:ffff:ffff', '64:ff9b::/96'],
  ]
  for (const [text, prefix] of cases) assert.equal(within(text, prefix), '192.0.2.33', `${text} ${prefix}`)
  assert.equal(within('2001:db8:122:344::192.0.2.33', '2001:db8::/32', '2001:db8:122:344::/96'), '192.0.2.33')
})

test('ipv4Within() finds none in any other address', () => {
  const wellKnown = '64:ff9b::/96'
  for (const text of [
    '192.0.2.33',
    '::ffff:192.0.2.33', // is an IPv4 address already
    '::192.0.2.33', // IPv4-compatible, an obsolete form
    '::1',
    '::',
    '::ffff:0:192.0.2.33', // IPv4-translated; a site with such a translator names it in the settings
    '2001:0:4136:e378:8000:63bf:3fff:fdd2', // Teredo: the address within is that of the client's router
    '2001:db8::5efe:192.0.2.33', // ISATAP: the prefix is the site's
    '64:ff9b:1::192.0.2.33',
    '2001:db8::192.0.2.33',
  ]) {
    assert.equal(within(text, wellKnown), undefined, text)
  }
  assert.equal(within('64:ff9b::192.0.2.33'), undefined, 'no prefix')
  assert.equal(within('2001:db8:122:344:1c0:2:2100::', '2001:db8:122:344::/64'), undefined, 'u octet')
})

// exempt.clients has 127.0.0.0/8 by default, and often private networks of the site.
test('ipv4Within() believes nobody to be loopback, nor from the Internet to be private', () => {
  for (const ipv4 of ['127.0.0.1', '0.0.0.0', '169.254.1.1', '224.0.0.1', '255.255.255.255']) {
    for (const prefix of ['64:ff9b::', '2001:db8::'])
      assert.equal(within(`${prefix}${ipv4}`, '64:ff9b::/96', '2001:db8::/96'), undefined)
  }
  for (const ipv4 of ['10.0.0.1', '172.16.0.1', '192.168.1.1', '100.64.0.1']) {
    assert.equal(within(`64:ff9b::${ipv4}`, '64:ff9b::/96'), undefined, ipv4)
    assert.equal(within(`2001:db8::${ipv4}`, '2001:db8::/96'), ipv4, 'behind a translator of the site')
  }
  for (const text of ['2002:7f00:1::1', '2002:a00:1::1', '2002:c0a8:101::1', '2002::1']) {
    assert.equal(within(text), undefined, text)
  }
})

// Property: for every prefix of a translator, the IPv4 address that was embedded is found again.
test('ipv4Within() undoes what RFC 6052 section 2.2 does', () => {
  const publicByte = fc.integer({ min: 11, max: 99 })
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 12, maxLength: 12 }),
      fc.constantFrom(...NAT64_PREFIXES),
      fc.array(publicByte, { minLength: 4, maxLength: 4 }),
      (prefixBytes, length, ipv4) => {
        const bytes = [0x20, 0x01, ...prefixBytes.slice(2, length / 8)]
        for (const byte of ipv4) {
          if (bytes.length === 8) bytes.push(0)
          bytes.push(byte)
        }
        while (bytes.length < 16) bytes.push(0)
        const words = Array.from({ length: 8 }, (_, index) =>
          (((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0)).toString(16),
        )
        const text = words.join(':')
        assert.equal(within(text, `${text}/${length}`), ipv4.join('.'), `${text}/${length}`)
      },
    ),
  )
})

function within(text: string, ...prefixes: string[]): string | undefined {
  const address = parseIp(text)
  assert.ok(address, text)
  const networks = prefixes.map((prefix) => {
    const network = parseNetwork(prefix)
    assert.ok(network, prefix)
    return network
  })
  return ipv4Within(address, networks)?.text
}
