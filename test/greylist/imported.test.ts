// Tests of the keys that only an import makes.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import { domainInNetwork, isOfImport } from '../../src/greylist/imported.ts'
import { tripletKey, whitelistKeys } from '../../src/greylist/keys.ts'

const NETWORK = 'network:192.0.2.0/24'

test('senders without a domain have a name in a network, and what no DNS can have has none', () => {
  assert.equal(domainInNetwork('mail.shop.test', NETWORK), 'domain:mail.shop.test+network:192.0.2.0/24')
  assert.equal(domainInNetwork('', NETWORK), 'domain:+network:192.0.2.0/24')
  for (const domain of ['localhost', '[192.0.2.7]', 'shop+network:x.test', `${'x'.repeat(300)}.test`])
    assert.equal(domainInNetwork(domain, NETWORK), undefined, domain)
})

test('a key of an import is told from those that greymx makes', () => {
  const to = parseAddress('<u@example.com>')
  const long = `${'x'.repeat(64)}@${'y'.repeat(60)}.test`
  for (const [key, expected] of [
    [tripletKey(NETWORK, 'a@example.org', undefined), true],
    [tripletKey(NETWORK, '', undefined), true],
    [tripletKey(NETWORK, 'a@example.org', to), false],
    [tripletKey(NETWORK, '', to), false],
    [tripletKey(NETWORK, long, to), false],
    [whitelistKeys(domainInNetwork('example.org', NETWORK) ?? '').listed, true],
    [whitelistKeys(domainInNetwork('', NETWORK) ?? '').listed, true],
    [whitelistKeys(NETWORK).listed, false],
    [whitelistKeys('host:domain.test').listed, false],
    [whitelistKeys('spf:domain.test').passes, false],
    ['o:network:192.0.2.0/24', false],
  ] as const)
    assert.equal(isOfImport(key), expected, key)
})
