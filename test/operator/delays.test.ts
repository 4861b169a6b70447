// Tests the histogram of delays: quantiles within 10 %, and a bound at exactly an hour.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { barsOf, bucketOf, delaysIn, delaysOverAnHour, quantileOf } from '../../src/operator/delays.ts'

const HOUR = 3_600_000

function counted(delays: readonly number[]): Map<number, number> {
  const counts = new Map<number, number>()
  for (const delay of delays) counts.set(bucketOf(delay), (counts.get(bucketOf(delay)) ?? 0) + 1)
  return counts
}

test('a delay of exactly an hour is not over an hour, and one of a millisecond more is', () => {
  assert.equal(delaysOverAnHour(counted([1, HOUR - 1, HOUR])), 0)
  assert.equal(delaysOverAnHour(counted([HOUR, HOUR + 1, 2 * HOUR])), 2)
  assert.equal(delaysIn(counted([HOUR, HOUR + 1, 2 * HOUR])), 3)
})

// Property: whatever the delays are, each quantile is within 10 % of the one that sorting them gives.
test('p50, p90 and p99 are within 10 % of what sorting gives, from a second to 100 days', () => {
  const delay = fc.oneof(
    fc.integer({ min: 1000, max: 100 * 24 * HOUR }),
    fc.integer({ min: 1000, max: 2 * HOUR }),
  )
  fc.assert(
    fc.property(fc.array(delay, { minLength: 1, maxLength: 200 }), (delays) => {
      const sorted = delays.toSorted((one, other) => one - other)
      for (const share of [0.5, 0.9, 0.99]) {
        const exact = sorted[Math.ceil(share * delays.length) - 1] ?? 0
        const found = quantileOf(counted(delays), share) ?? 0
        assert.ok(Math.abs(found - exact) <= 0.1 * exact, `p${100 * share}: ${found}, exactly ${exact}`)
      }
    }),
  )
})

// Property: whatever the delays are, each is in the bar of its length, and in no other.
test('bars have every delay once, and no delay of another length', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 100 * HOUR })), (delays) => {
      let above = -1
      for (const { upTo = Number.POSITIVE_INFINITY, count } of barsOf(counted(delays))) {
        assert.equal(count, delays.filter((delay) => delay > above && delay <= upTo).length, `up to ${upTo}`)
        above = upTo
      }
      assert.equal(above, Number.POSITIVE_INFINITY)
    }),
  )
})

test('delays of no time at all and of a year have a bucket, and no delays have no quantile', () => {
  assert.ok((quantileOf(counted([0]), 0.5) ?? 0) <= 1000)
  assert.ok((quantileOf(counted([366 * 24 * HOUR]), 0.5) ?? 0) > 100 * 24 * HOUR)
  assert.equal(quantileOf(new Map(), 0.5), undefined)
})
