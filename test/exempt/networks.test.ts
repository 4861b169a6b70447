// Tests of lists of networks.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compileNetworks } from '../../src/exempt/networks.ts'
import { type IpAddress, type Network, parseIp, parseNetwork } from '../../src/ip.ts'

test('compileNetworks() names the narrowest network that contains the address', () => {
  const inNetworks = compileNetworks(
    [
      '10.0.0.0/8',
      '10.1.0.0/16',
      '10.1.2.3',
      '0.0.0.0/0',
      '2001:db8::/32',
      '2001:db8::1',
      '::ffff:192.0.2.0/120',
    ].map(network),
  )
  const cases: Array<[address: string, found: string | undefined]> = [
    ['10.1.2.3', '10.1.2.3/32'],
    ['10.1.2.4', '10.1.0.0/16'],
    ['10.2.0.1', '10.0.0.0/8'],
    ['11.0.0.1', '0.0.0.0/0'],
    ['192.0.2.9', '192.0.2.0/24'],
    ['::ffff:10.1.2.3', '10.1.2.3/32'],
    ['2001:db8::1', '2001:db8::1/128'],
    ['2001:db8:ffff::', '2001:db8::/32'],
    ['2001:db9::', undefined],
    // A network of all IPv4 addresses contains no IPv6 address.
    ['::', undefined],
    ['::10.1.2.3', undefined],
  ]
  for (const [text, found] of cases) assert.equal(inNetworks(address(text)), found, text)
})

test('an empty list contains nothing, and ::/0 no IPv4 address', () => {
  assert.equal(compileNetworks([])(address('10.0.0.1')), undefined)
  assert.equal(compileNetworks([network('::/0')])(address('10.0.0.1')), undefined)
  assert.equal(compileNetworks([network('::/0')])(address('::1')), '::/0')
})

// Few bits differ, so that networks nest and addresses fall into them.
const BYTE = fc.constantFrom(0, 1, 128, 255)
const IPV4 = fc.array(BYTE, { minLength: 4, maxLength: 4 }).map((bytes) => bytes.join('.'))
const IPV6 = fc
  .array(fc.constantFrom('0', '1', '8000', 'ffff'), { minLength: 7, maxLength: 7 })
  .map((groups) => `2001:${groups.join(':')}`)
const NETWORK = fc
  .oneof(fc.tuple(IPV4, fc.nat(32)), fc.tuple(IPV6, fc.nat(128)))
  .map(([ip, bits]) => `${ip}/${bits}`)

// Property: the matcher finds the network with the longest prefix among those that contain the address.
test('compileNetworks() agrees with looking at each network in turn', () => {
  fc.assert(
    fc.property(fc.array(NETWORK, { maxLength: 12 }), fc.oneof(IPV4, IPV6), (texts, ip) => {
      const networks = texts.map(network)
      const subject = address(ip)
      const containing = networks
        .filter((candidate) => contains(candidate, subject))
        .sort((a, b) => b.prefix - a.prefix)
      const found = compileNetworks(networks)(subject)
      assert.equal(found === undefined, containing.length === 0)
      if (found === undefined) return
      const longest = network(found)
      assert.equal(longest.prefix, containing[0]?.prefix)
      assert.ok(contains(longest, subject))
    }),
    { numRuns: 2000 },
  )
})

function contains(network: Network, address: IpAddress): boolean {
  const leading = (ip: IpAddress) =>
    ip.bytes
      .map((byte) => byte.toString(2).padStart(8, '0'))
      .join('')
      .slice(0, network.prefix)
  return network.address.kind === address.kind && leading(network.address) === leading(address)
}

function network(text: string): Network {
  const read = parseNetwork(text)
  assert.ok(read, text)
  return read
}

function address(text: string): IpAddress {
  const read = parseIp(text)
  assert.ok(read, text)
  return read
}
