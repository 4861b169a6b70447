// Tests of what names have shown, as numbers; how the greylister uses that is tested in greylister.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from '../../src/address.ts'
import type { Attempt } from '../../src/attempt.ts'
import {
  comesBack,
  crowdTimes,
  DEFERRAL,
  Evidence,
  isCrowd,
  provableNames,
  returnIn,
  tallyIn,
  waitingIn,
} from '../../src/greylist/evidence.ts'
import type { Identity } from '../../src/identity/identity.ts'
import { parseIp } from '../../src/ip.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

test('a count is a tally of deferrals and returns, in any order, and never of more returns than deferrals', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { maxLength: 300 }), (events) => {
      let count = 0
      const expected = { deferred: 0, returned: 0 }
      for (const isReturn of events) {
        count += isReturn ? returnIn(tallyIn(count)) : DEFERRAL
        if (isReturn) expected.returned += 1
        else expected.deferred += 1
        expected.deferred = Math.max(expected.deferred, expected.returned)
        assert.deepEqual(tallyIn(count), expected)
      }
    }),
  )
})

test('a listing holds while four of five come back, or while two wait', () => {
  for (const [deferred, returned, holds] of [
    [0, 0, true],
    [1, 0, true],
    [2, 0, true],
    [3, 0, false],
    [9, 7, true],
    [10, 8, true],
    [11, 8, false],
    [100, 80, true],
    [100, 79, false],
  ] as const)
    assert.equal(comesBack({ deferred, returned }), holds, `${returned} of ${deferred}`)
})

test('a crowd waits for an hour and has six for its retry, or what is left of shorter windows', () => {
  const lifetime = 36 * DAY
  for (const [delay, retryWindow, crowdDelay, crowdWindow] of [
    [3 * MINUTE, 20 * HOUR, HOUR, 6 * HOUR],
    [4 * MINUTE, 2 * DAY, 80 * MINUTE, 8 * HOUR],
    [15 * MINUTE, 20 * HOUR, 200 * MINUTE, 20 * HOUR],
    [2 * HOUR, 6 * HOUR, 2 * HOUR, 6 * HOUR],
    [MINUTE, HOUR, 10 * MINUTE, HOUR],
  ] as const) {
    const times = crowdTimes({ delay, retryWindow, lifetime })
    assert.deepEqual(times, { delay: crowdDelay, retryWindow: crowdWindow, lifetime })
    assert.ok(times.delay < times.retryWindow)
  }
})

test('a crowd is four or more that wait, if fewer have come back', () => {
  const identity = { id: 'n', names: ['n'], carriers: [], network: 'n', isNamed: false }
  const times = { delay: 3 * MINUTE, retryWindow: DAY, lifetime: DAY }
  for (const [deferred, returned, crowds] of [
    [3, 0, false],
    [4, 0, true],
    [7, 3, true],
    [8, 4, false],
    [9, 4, true],
    [9, 6, false],
  ] as const) {
    const tally = { deferred, returned }
    assert.equal(isCrowd(times, { ...identity, spf: 'none' }, tally), crowds, `${returned} of ${deferred}`)
    assert.equal(isCrowd(times, { ...identity, spf: 'pass' }, tally), false)
    assert.equal(isCrowd({ ...times, delay: MINUTE - 1 }, { ...identity, spf: 'none' }, tally), false)
  }
})

test('however many came back, no fewer than none are waiting', () => {
  assert.equal(waitingIn({ deferred: 1, returned: 3 }), 0)
  assert.equal(waitingIn({ deferred: 3, returned: 1 }), 2)
})

test('there are crowds from a delay of a minute on', () => {
  const identity = { id: 'n', names: ['n'], carriers: [], network: 'n', isNamed: false, spf: 'none' } as const
  const times = { delay: MINUTE, retryWindow: DAY, lifetime: DAY }
  assert.equal(isCrowd(times, identity, { deferred: 4, returned: 0 }), true)
})

test('what a name has shown is enough to list it if it would come back with one more return', () => {
  const count = (deferred: number, returned: number): number => {
    let sum = 0
    for (let n = 0; n < deferred; n += 1) sum += DEFERRAL
    for (let n = 0; n < returned; n += 1) sum += returnIn(tallyIn(sum))
    return sum
  }
  for (const [deferred, returned, isEnough, told] of [
    [0, 0, true, 'n'],
    [1, 0, true, 'n(0/1)'],
    [3, 0, true, 'n(0/3)'],
    [4, 0, false, 'n(0/4)'],
    [4, 4, true, 'n(4/4)'],
    [15, 11, true, 'n(11/15)'],
    [16, 11, false, 'n(11/16)'],
  ] as const) {
    const evidence = new Evidence(['other', 'n'], [DEFERRAL, count(deferred, returned)])
    assert.deepEqual([evidence.isEnough('n'), evidence.describe('n')], [isEnough, told])
    assert.equal(evidence.describe('other'), 'other(0/1)')
    assert.equal(evidence.describe('nobody'), 'nobody')
    assert.equal(evidence.isEnough('nobody'), true)
    assert.deepEqual(evidence.tallyOf('nobody'), { deferred: 0, returned: 0 })
  }
})

test('a client proves its names, a host’s only for its own address unless it handles mail', () => {
  const attempt = (address: string): Attempt => ({
    client: { address: parseIp(address) },
    authenticated: false,
    sender: parseAddress('a@example.org'),
    recipient: undefined,
  })
  const identityOf = (network: string, isMail: boolean): Identity => ({
    id: 'spf:example.org',
    names: ['spf:example.org', 'host:farm.example', network],
    carriers: [],
    network,
    spf: 'pass',
    host: { domain: 'farm.example', isMail },
    isNamed: true,
  })
  for (const [address, network, isMail, proven] of [
    ['192.0.2.7', 'network:192.0.2.0/24', false, ['host:farm.example+192.0.2.7']],
    ['2001:db8::7', 'network:2001:db8::/64', false, ['host:farm.example+network:2001:db8::/64']],
    [
      '192.0.2.7',
      'network:192.0.2.0/24',
      true,
      ['host:farm.example+network:192.0.2.0/24', 'host:farm.example'],
    ],
  ] as const)
    assert.deepEqual(provableNames(attempt(address), identityOf(network, isMail)), [
      'spf:example.org',
      ...proven,
      network,
    ])
})
