// Tests of what doors make of the text in which an MTA tells of its client.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asHostName, clientOf, isLogin } from '../../src/doors/client.ts'
import { parseNetwork } from '../../src/ip.ts'

test('a text is a host name up to 255 characters', () => {
  const longest = 'x'.repeat(255)
  assert.equal(asHostName(longest), longest)
  assert.equal(asHostName(`${longest}x`), undefined)
  assert.equal(asHostName(undefined), undefined)
})

test('a client behind NAT64 is the IPv4 client, with the form in which it came', () => {
  const prefix = parseNetwork('64:ff9b::/96')
  assert.ok(prefix)
  const behind = clientOf('64:ff9b::c000:207', 'MX.Example.ORG.', [prefix])
  assert.deepEqual(
    [behind.address?.text, behind.ipv6Form?.text, behind.name],
    ['192.0.2.7', '64:ff9b::c000:207', 'mx.example.org'],
  )
  for (const address of ['192.0.2.7', '2001:db8::7']) {
    const client = clientOf(address, undefined, [prefix])
    assert.deepEqual([client.address?.text, 'ipv6Form' in client, client.name], [address, false, undefined])
  }
  for (const address of [undefined, '', 'unknown', '192.0.2'])
    assert.equal(clientOf(address, undefined, []).address, undefined)
})

test('a login needs a mechanism that shows a password, or a user without any mechanism', () => {
  for (const [mechanism, user, expected] of [
    ['PLAIN', 'joe', true],
    ['plain', '', true],
    ['', 'joe', true],
    ['', '', false],
    ['EXTERNAL', 'joe', false],
    ['external', 'joe', false],
    ['Anonymous', '', false],
  ] as const)
    assert.equal(isLogin(mechanism, user), expected, `${mechanism} ${user}`)
})
