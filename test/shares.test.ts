// How a capacity is shared among strangers, with a clock moved by hand.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { OpenShares, RateShares } from '../src/shares.ts'

function takeAll(take: () => boolean, most = 10_000): number {
  let taken = 0
  while (taken < most && take()) taken += 1
  return taken
}

test('one key has its own bound, and keys that take all they can leave room for the next', () => {
  const shares = new OpenShares({ all: 1000, each: 50 })
  assert.equal(
    takeAll(() => shares.take(['a'])),
    50,
  )
  const held = Array.from({ length: 100 }, (_, n) => takeAll(() => shares.take([`key ${n}`])))
  assert.ok(held.reduce((sum, each) => sum + each) + 50 < 1000)
  assert.ok(takeAll(() => shares.take(['newcomer'])) > 0)
})

test('what is held under two keys counts for both, and is given back to both', () => {
  const shares = new OpenShares({ all: 1000, each: 5 })
  assert.equal(
    takeAll(() => shares.take(['network', 'domain'])),
    5,
  )
  assert.equal(shares.take(['network', 'other']), false)
  assert.equal(shares.take(['other', 'domain']), false)
  shares.giveBack(['network', 'domain'])
  assert.equal(shares.take(['other', 'domain']), true)
  assert.equal(shares.take(['network']), true)
})

// Whoever takes and gives back in whatever order: no more is ever held than there is, and all of it comes back.
test('the capacity is never exceeded, nor lost', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(20), fc.nat(20), fc.boolean())), (steps) => {
      const shares = new OpenShares({ all: 40, each: 10 })
      const held: string[][] = []
      for (const [one, other, gives] of steps) {
        const keys = [`a${one}`, `b${other}`]
        const last = gives ? held.pop() : undefined
        if (last) shares.giveBack(last)
        else if (shares.take(keys)) held.push(keys)
        assert.ok(held.length <= 40)
      }
      for (const keys of held) shares.giveBack(keys)
      assert.equal(
        takeAll(() => shares.take(['a0'])),
        4,
      )
    }),
  )
})

test('what was used up comes back with time, to each key and to all together', () => {
  let now = 0
  const shares = new RateShares({ all: 1000, each: 20 }, { all: 100, each: 2 }, () => now)
  assert.equal(
    takeAll(() => shares.take(['a'])),
    20,
  )
  now += 5000
  assert.equal(
    takeAll(() => shares.take(['a'])),
    10,
  )
  for (let n = 0; n < 2000; n += 1) shares.take([`key ${n}`])
  assert.equal(shares.take(['late']), false)
  assert.equal(shares.isInDebt(['late']), false)
  now += 1000
  assert.equal(shares.take(['late']), true)
})

test('what was used beyond a share is paid back first', () => {
  let now = 0
  const shares = new RateShares({ all: 1000, each: 20 }, { all: 100, each: 2 }, () => now)
  shares.charge(['a'], 100)
  assert.equal(shares.isInDebt(['a']), true)
  now += 39_000
  assert.equal(shares.isInDebt(['a']), true)
  assert.equal(shares.take(['a']), false)
  now += 2000
  assert.equal(shares.take(['a']), true)
})
