// Tests of the pairs under which a machine at a provider proves that a domain's mail comes back.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import { isPair, isPairOfHosts, pairsOf } from '../../src/greylist/pairs.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { parseIp } from '../../src/ip.ts'

const NETWORK = 'network:192.0.2.0/24'

function pairs(sender: string, identity: Partial<Identity> = {}): string[] {
  return pairsOf(
    {
      client: { address: parseIp('192.0.2.7') },
      authenticated: false,
      sender: parseAddress(sender),
      recipient: undefined,
    },
    {
      id: NETWORK,
      names: [NETWORK],
      carriers: [],
      network: NETWORK,
      spf: 'none',
      provider: 'hoster.test',
      isNamed: false,
      ...identity,
    },
  )
}

test('a pair is the sender’s domain with the network, and with the provider’s hosts', () => {
  assert.deepEqual(pairs('a@mail.shop.test'), [
    'from:shop.test+hosts:hoster.test',
    'from:shop.test+network:192.0.2.0/24',
  ])
  // Customers below a suffix that a company lets to others are strangers to each other.
  assert.equal(pairs('a@joe.github.io').at(-1), 'from:joe.github.io+network:192.0.2.0/24')
  for (const spf of ['open', 'unasked', 'pass'] as const)
    assert.equal(pairs('a@shop.test', { spf }).length, 2, spf)
})

test('there is no pair of who has a name, of a sender without a domain, or against what SPF says', () => {
  for (const [sender, identity] of [
    ['a@shop.test', { id: 'host:shop.test' }],
    ['a@shop.test', { provider: undefined }],
    ['a@shop.test', { spf: 'fail' }],
    ['a@shop.test', { spf: 'unknown' }],
    ['<>', {}],
    ['root', {}],
    ['a@localhost', {}],
    ['a@[192.0.2.7]', {}],
    ['a@shop+hosts:hoster.test', {}],
    [`a@${'x'.repeat(300)}.test`, {}],
  ] as const)
    assert.deepEqual(pairs(sender, identity), [], sender)
})

test('a pair is told from other names, and that of hosts from that of a network', () => {
  for (const [name, isIt, isOfHosts] of [
    ['from:shop.test+hosts:hoster.test', true, true],
    ['from:shop.test+network:192.0.2.0/24', true, false],
    ['host:shop.test+network:192.0.2.0/24', false, false],
    ['spf:shop.test', false, false],
  ] as const)
    assert.deepEqual([isPair(name), isPairOfHosts(name)], [isIt, isOfHosts])
})
