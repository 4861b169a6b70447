// Tests of keys across kinds and hosts: no key is read as another kind's, and all hosts make the same ones.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import {
  attemptRef,
  creditKey,
  creditSinceKey,
  expectKey,
  holderOf,
  hostsInNetwork,
  KEY_KINDS,
  loopKey,
  loopNetworkKey,
  repliesKey,
  replyKey,
  slotKeys,
  tallyKey,
  tripletDigest,
  tripletKey,
  whitelistKeys,
  witnessKeys,
} from '../../src/greylist/keys.ts'
import { parseIp } from '../../src/ip.ts'
import { RECORD_KIND } from '../../src/store/records.ts'

const [sender, recipient] = [parseAddress('a@example.org'), parseAddress('u@example.com')]
const [name, network] = ['host:example.org', '198.51.100.0/24']

function slotsOf(text: string, slot: number) {
  return slotKeys(parseIp(text) ?? assert.fail(text), slot)
}

test('each kind of key begins with a letter of its own, and metrics call it by its word', () => {
  const kinds: Record<string, readonly string[]> = {
    triplet: [tripletKey(name, sender.normal, recipient), tripletKey(name, '', undefined)],
    first: [loopKey('first', sender.normal, recipient)],
    'deferral-spacing': [loopKey('spacing', sender.normal, recipient)],
    deferrals: [loopKey('counted', sender.normal, recipient)],
    'network-deferrals': [loopNetworkKey(network, sender.normal, recipient)],
    expected: [expectKey(recipient), expectKey(recipient, 'example.org')],
    reply: [replyKey(recipient, sender)],
    replies: [repliesKey(recipient)],
    credit: [creditKey(name)],
    'credit-kept': [creditSinceKey(name)],
    slot: [slotsOf('192.0.2.7', 3).entry, slotsOf('2001:db8::7', 3).entry],
    'slot-holder': [slotsOf('192.0.2.7', 3).holder, slotsOf('2001:db8::7', 3).holder],
    tally: [tallyKey(name), tallyKey(hostsInNetwork(name, network))],
    listed: [whitelistKeys(name).listed],
    passes: [whitelistKeys(name).passes],
    'pass-spacing': [whitelistKeys(name).spacing],
    ...Object.fromEntries(
      Object.entries(witnessKeys(name, 'networks', network)).map(([kind, key]) => [
        kind === 'witness' ? kind : `witness-${kind}`,
        [key, witnessKeys(name, 'senders', 'example.org')[kind as 'witness' | 'count' | 'enough']],
      ]),
    ),
  }
  const letters = new Map<string, string>([[RECORD_KIND, 'record']]) // the stores' own
  for (const [kind, keys] of Object.entries(kinds)) {
    assert.equal(new Set(keys).size, keys.length, keys.join(' '))
    for (const key of keys) {
      assert.match(key, /^[a-z]:/)
      const letter = key.charAt(0)
      assert.equal(letters.get(letter) ?? kind, kind, key)
      letters.set(letter, kind)
    }
  }
  assert.equal(letters.size, Object.keys(kinds).length + 1)
  assert.deepEqual(KEY_KINDS, Object.fromEntries(letters))
})

test('an IPv4 address has slots of its own, and so have the addresses of one /56 together', () => {
  assert.notEqual(slotsOf('192.0.2.7', 3).entry, slotsOf('192.0.2.6', 3).entry)
  assert.notEqual(slotsOf('192.0.2.7', 3).entry, slotsOf('192.0.2.7', 4).entry)
  assert.match(slotsOf('192.0.2.7', 3).entry, /192\.0\.2\.7\/32/)
  assert.deepEqual(slotsOf('2001:db8:0:a0ff::1', 3), slotsOf('2001:db8:0:a001::2', 3))
  assert.notDeepEqual(slotsOf('2001:db8:0:a0ff::1', 3), slotsOf('2001:db8:0:a1ff::1', 3))
})

// All hosts of a fleet share one store, also while they are upgraded one by one, and the operator finds the lines of a
// deferral in the logs of all of them.
test('references and digests are the same on every host, of whatever version', () => {
  assert.equal(attemptRef('a@example.org', recipient), '5a46107e') // FNV-1a
  assert.equal(attemptRef('a12@example.org', recipient), '06affc49')
  assert.equal(tripletDigest('a@example.org', recipient), 74180017543453) // the first 48 bits of SHA-256, plus 1
  // The first 52 bits of SHA-256, plus 10^15; the first 20 and 22 characters of it in base64url.
  assert.equal(holderOf('network:192.0.2.0/24', 'a@example.org', recipient), '4517852329495970')
  assert.equal(loopKey('first', 'a@example.org', recipient), 'f:Q3dhmFkclXQFCmfVxsqm')
  const long = tripletKey('network:192.0.2.0/24', `${'x'.repeat(130)}@example.org`, recipient)
  assert.equal(long, 't:network:192.0.2.0/24|\\OXPpCMcisXENisz0tP2Lst')
})
