// Tests of how much of the address space counts as too much for a record to vouch for its clients, at the limits.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Coverage, coverageOf } from '../../../src/identity/spf/coverage.ts'
import { parseNetwork } from '../../../src/ip.ts'

function coverage(family: 'ipv4' | 'ipv6', ...networks: readonly string[]): Coverage {
  const blocks = networks.map((text) => {
    const network = parseNetwork(text) ?? assert.fail(text)
    return { bytes: network.address.bytes, prefix: network.prefix }
  })
  return coverageOf(blocks, family)
}

const hosts = (count: number, text: (index: number) => string) =>
  Array.from({ length: count }, (_, n) => text(n))

test('a record may cover a /11 of IPv4 and a /28 of IPv6, and no address more', () => {
  for (const [isTooMuch, family, networks] of [
    [false, 'ipv4', ['10.0.0.0/11']],
    [true, 'ipv4', ['10.0.0.0/11', '192.0.2.7/32']],
    [false, 'ipv4', ['10.0.0.0/11', '10.31.255.255/32']],
    [true, 'ipv4', ['10.0.0.0/11', '10.32.0.0/32']],
    [
      false,
      'ipv4',
      ['10.0.0.0/12', '11.0.0.0/13', '12.0.0.0/14', '13.0.0.0/15', '14.0.0.0/16', '15.0.0.0/16'],
    ],
    [
      true,
      'ipv4',
      ['10.0.0.0/12', '11.0.0.0/13', '12.0.0.0/14', '13.0.0.0/15', '14.0.0.0/15', '15.0.0.0/32'],
    ],
    [false, 'ipv6', ['2001:db0::/28']],
    [true, 'ipv6', ['2001:db0::/28', '2001:a00:1::/48']],
    [false, 'ipv6', ['2001:db0::/28', '2001:db8::/48']],
    [true, 'ipv6', ['2001:da0::/27']],
    [false, 'ipv4', []],
  ] as const)
    assert.equal(coverage(family, ...networks).isTooMuch, isTooMuch, networks.join(' '))
})

test('a record may pass in 150 regions, /16 of IPv4 or /32 of IPv6, however few addresses it has in each', () => {
  for (const count of [150, 151]) {
    assert.equal(coverage('ipv4', ...hosts(count, (n) => `10.${n}.0.1/32`)).isTooMuch, count > 150)
    assert.equal(coverage('ipv6', ...hosts(count, (n) => `2a00:${n}::1/128`)).isTooMuch, count > 150)
  }
  assert.equal(coverage('ipv4', ...hosts(400, (n) => `10.${n % 2}.${n >> 1}.1/32`)).isTooMuch, false)
  assert.equal(coverage('ipv6', ...hosts(400, (n) => `2a00:1:${n.toString(16)}::1/128`)).isTooMuch, false)
  for (const family of ['ipv4', 'ipv6'] as const) {
    const region = (n: number) => (family === 'ipv4' ? `10.${n}` : `2a00:${n}`)
    const at = (n: number, half: number) =>
      family === 'ipv4' ? `${region(n)}.${128 * half}.1/32` : `${region(n)}:${half === 0 ? 0 : '8000'}::1/128`
    // Both halves of a region are one region, and two neighbours are two.
    const halves = [0, 1].flatMap((half) => hosts(150, (n) => at(n, half)))
    const firsts = hosts(150, (n) => (family === 'ipv4' ? `${region(n)}.0.0/32` : `${region(n)}::/128`))
    assert.equal(coverage(family, ...halves, ...firsts).isTooMuch, false)
    assert.equal(coverage(family, ...halves).isTooMuch, false)
    assert.equal(coverage(family, ...halves, at(150, 1)).isTooMuch, true)
  }
  // The first region counts as any other.
  assert.equal(coverage('ipv4', '0.0.0.1/32', ...hosts(150, (n) => `10.${n}.0.1/32`)).isTooMuch, true)
})

// Property: the order of blocks does not matter, nor do blocks within others or addresses below a prefix.
test('the digest is that of what is covered', () => {
  const block = fc
    .tuple(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 255 }), fc.integer({ min: 20, max: 32 }))
    .map(([third, last, prefix]) => `192.0.${third}.${last}/${prefix}`)
  fc.assert(
    fc.property(fc.array(block, { minLength: 1, maxLength: 6 }), fc.nat(5), (networks, index) => {
      const { digest } = coverage('ipv4', ...networks)
      const again = networks[index % networks.length] ?? ''
      const within = `${again.slice(0, again.indexOf('/'))}/32`
      assert.equal(coverage('ipv4', ...networks.toReversed(), again, within).digest, digest)
      assert.notEqual(coverage('ipv4', ...networks, '198.51.100.7/32').digest, digest)
    }),
  )
})

test('the digest tells networks of another size or place apart, in both families', () => {
  const records = [
    [],
    ['0.0.0.0/32'],
    ['128.0.0.0/32'],
    ['192.0.2.0/24'],
    ['192.0.2.0/25'],
    ['192.0.2.0/25', '192.0.3.0/25'],
    ['192.0.3.0/24'],
    ['192.0.2.0/24', '192.0.3.0/24'],
    ['192.0.2.1/32', '192.0.2.2/32'],
    ['192.0.2.1/32', '192.0.2.3/32'],
  ]
  const records6 = [
    ['2001:db8::/32'],
    ['2001:db8::/33'],
    ['2001:db9::/32'],
    ['2001:db8:1::/48'],
    ['2001:db8:2::/48'],
    ['2001:db8:1::/48', '2001:db8:2::/48'],
    ['2000:db8::/32'],
    ['3001:db8::/32'],
    ['2001:db8::/32', '3001:db8::/32'],
  ]
  const digests = [
    ...records.map((networks) => coverage('ipv4', ...networks).digest),
    ...records6.map((networks) => coverage('ipv6', ...networks).digest),
  ]
  assert.equal(new Set(digests).size, digests.length)
  // Bits behind the prefix say nothing.
  const [even, odd] = ['192.0.2.6/31', '192.0.2.7/31'].map((network) => coverage('ipv4', network).digest)
  assert.equal(odd, even)
})
