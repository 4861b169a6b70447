// Tests of what names have shown, as numbers; how the greylister uses that is tested in greylister.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { comesBack, crowdTimes, DEFERRAL, isCrowd, returnIn, tallyIn } from '../../src/greylist/evidence.ts'

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
