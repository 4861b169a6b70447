// What greymx keeps of what a peer remembers, and that an attempt finds it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Remembered } from '../../src/import/remembered.ts'
import { type TranslationSettings, translate } from '../../src/import/translate.ts'
import { parseNetwork } from '../../src/ip.ts'
import { storedBy } from '../../src/operator/stored.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const NOW = Date.UTC(2026, 10, 27)
const TIMES = { delay: 240_000, retryWindow: 2 * DAY, lifetime: 36 * DAY }

const SETTINGS: TranslationSettings = {
  times: TIMES,
  prefixes: { ipv4: 24, ipv6: 64 },
  nat64Prefixes: [parseNetwork('64:ff9b::/96') ?? assert.fail()],
  judgesRecipients: true,
  listedFor: 36 * DAY,
  stored: storedBy({ normalizeSender: true }),
}

const WAITING = {
  kind: 'waiting',
  client: '198.51.100.7',
  sender: 'Joe+tag@Example.org',
  recipient: 'B@example.com',
  firstSeen: NOW - HOUR,
} as const
const PASSED = {
  kind: 'passed',
  client: '198.51.100.0/24',
  sender: 'a@example.org',
  recipient: 'b@example.com',
  lastUsed: NOW - DAY,
} as const
const LISTED = { kind: 'listed', client: '2001:db8::1', lastUsed: NOW - 2 * DAY } as const

function translated(remembered: Remembered, settings: Partial<TranslationSettings> = {}) {
  return translate(remembered, 'record 1', NOW, { ...SETTINGS, ...settings })
}

test('translate() keeps a wait, a pass and a listing with what is left of them by the settings of greymx', () => {
  assert.deepEqual(translated(WAITING), {
    kind: 'key',
    key: 't:network:198.51.100.0/24|joe@example.org|b@example.com',
    learnt: { passed: false, ttl: 2 * DAY, left: 2 * DAY - HOUR },
  })
  assert.deepEqual(translated(PASSED), {
    kind: 'key',
    key: 't:network:198.51.100.0/24|a@example.org|b@example.com',
    learnt: { passed: true, ttl: 36 * DAY, left: 35 * DAY },
  })
  assert.deepEqual(translated(LISTED), {
    kind: 'key',
    key: 'w:network:2001:db8::/64',
    learnt: { passed: true, ttl: 36 * DAY, left: 34 * DAY },
  })
})

test('translate() leaves out what is expired, by greymx or by the peer', () => {
  assert.deepEqual(translated({ ...WAITING, firstSeen: NOW - 2 * DAY }), { kind: 'expired' })
  assert.deepEqual(translated({ ...PASSED, lastUsed: NOW - 36 * DAY }), { kind: 'expired' })
  assert.deepEqual(translated({ ...PASSED, expiresAt: NOW }), { kind: 'expired' })
  assert.deepEqual(translated({ ...LISTED, expiresAt: NOW - 1 }), { kind: 'expired' })
})

test('translate() takes an instant of a clock that is ahead for now', () => {
  const found = translated({ ...PASSED, lastUsed: NOW + DAY })
  assert.deepEqual(found.kind === 'key' && found.learnt, { passed: true, ttl: 36 * DAY, left: 36 * DAY })
})

test('translate() knows a client by the networks, NAT64 and key that greymx has', () => {
  const keyOf = (remembered: Remembered, settings: Partial<TranslationSettings> = {}) => {
    const found = translated(remembered, settings)
    return found.kind === 'key' ? found.key : found.kind
  }
  const cases = [
    [{ client: '198.51.100.128/25' }, {}, 't:network:198.51.100.0/24|a@example.org|b@example.com'],
    [{ client: '64:ff9b::c633:6407' }, {}, 't:network:198.51.100.0/24|a@example.org|b@example.com'],
    [{ client: '::ffff:198.51.100.7' }, {}, 't:network:198.51.100.0/24|a@example.org|b@example.com'],
    [{}, { judgesRecipients: false }, 't:network:198.51.100.0/24|a@example.org'],
    [{ sender: '' }, {}, 't:network:198.51.100.0/24||b@example.com'],
    [{ client: '198.51.0.0/16' }, {}, 'unknowable'],
    [{}, { prefixes: { ipv4: 32, ipv6: 64 } }, 'unknowable'],
    [{ client: '198.51.100' }, {}, 'broken'],
    [{ sender: 'a\nb@example.org' }, {}, 'broken'],
    [{ sender: 'a'.repeat(1001) }, {}, 'broken'],
    [{ recipient: '' }, {}, 'broken'],
    [{ lastUsed: Number.NaN }, {}, 'broken'],
  ] as const
  for (const [given, settings, expected] of cases)
    assert.equal(keyOf({ ...PASSED, ...given }, settings), expected, JSON.stringify([given, settings]))
  const { recipient: _, ...ofAll } = PASSED
  for (const judgesRecipients of [true, false])
    assert.equal(keyOf(ofAll, { judgesRecipients }), 't:network:198.51.100.0/24|a@example.org')
  const ofDomain = { ...LISTED, client: '192.0.2.7' }
  for (const [senderDomain, expected] of [
    ['Example.ORG', 'w:domain:example.org+network:192.0.2.0/24'],
    ['', 'w:domain:+network:192.0.2.0/24'],
    ['localhost', 'unknowable'],
  ] as const)
    assert.equal(keyOf({ ...ofDomain, senderDomain }), expected)
  assert.equal(keyOf({ ...LISTED, client: '10.0.0.1' }), 'unknowable')
  const { listedFor: __, ...unlisted } = SETTINGS
  assert.equal(translate(LISTED, 'record 1', NOW, unlisted).kind, 'unknowable')
})

test('translate() writes no address where privacy asks for hashes', () => {
  const stored = storedBy({ normalizeSender: true, privacy: ['k'.repeat(32)] })
  const found = translated(PASSED, { stored })
  assert.match(
    found.kind === 'key' ? found.key : '',
    /^t:network:198\.51\.100\.0\/24\|#[\w-]{22}\|#[\w-]{22}$/,
  )
})
