// Tests of the shares of a capacity among strangers, with a clock that the test moves.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { OpenShares, RateShares, type Share } from '../src/shares.ts'

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

// Property: in any order of taking and giving back, no more is held than the capacity, and all of it comes back.
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

const EACH = { burst: 20, perSecond: 2 }

function sharesOf(...keys: readonly string[]): Share[] {
  return keys.map((key) => ({ key, limit: EACH }))
}

test('what was used up comes back with time, to each key and to all together', () => {
  let now = 0
  const shares = new RateShares({ burst: 1000, perSecond: 100 }, () => now)
  assert.equal(
    takeAll(() => shares.take(sharesOf('a'))),
    20,
  )
  now += 5000
  assert.equal(
    takeAll(() => shares.take(sharesOf('a'))),
    10,
  )
  for (let n = 0; n < 2000; n += 1) shares.take(sharesOf(`key ${n}`))
  assert.equal(shares.take(sharesOf('late')), false)
  assert.equal(shares.isInDebt(sharesOf('late')), false)
  now += 1000
  assert.equal(shares.take(sharesOf('late')), true)
})

test('what was used beyond a share is paid back first, and some time it is', () => {
  let now = 0
  const shares = new RateShares({ burst: 1000, perSecond: 100 }, () => now)
  shares.charge(sharesOf('a'), 100)
  assert.equal(shares.isInDebt(sharesOf('a')), true)
  now += 39_000
  assert.equal(shares.isInDebt(sharesOf('a')), true)
  assert.equal(shares.take(sharesOf('a')), false)
  now += 2000
  assert.equal(shares.take(sharesOf('a')), true)
  shares.charge(sharesOf('a'), 1_000_000)
  now += 100_000
  assert.equal(shares.take(sharesOf('a')), true)
  assert.equal(
    takeAll(() => shares.take(sharesOf('b'))),
    20,
  )
})

test('what was well used is given back to one key', () => {
  const shares = new RateShares({ burst: 10_000, perSecond: 0 }, () => 0)
  for (let mail = 0; mail < 100; mail += 1) {
    for (let n = 0; n < 10; n += 1) assert.equal(shares.take(sharesOf('network', `domain ${mail}`)), true)
    const [network] = sharesOf('network')
    assert.ok(network)
    shares.refund(network, 10)
  }
})

// Strangers with many keys that are busy all the time leave a newcomer what is reserved for newcomers.
test('keys that are busy all the time leave to newcomers what is theirs', () => {
  for (const strangers of [20, 50, 200]) {
    let now = 0
    const limit = { burst: 120, perSecond: 30 }
    const shares = new RateShares({ burst: 1000, perSecond: 300 }, () => now)
    const take = (key: string) => shares.take([{ key, limit }])
    let served = 0
    for (let tick = 0; tick < 3000; tick += 1) {
      now += 20
      for (let n = 0; n < strangers; n += 1) take(`stranger ${n}`)
      if (tick < 1000 || tick % 20 > 0) continue
      const honest = `honest ${tick}`
      if ([1, 2, 3, 4].every(() => take(honest))) served += 1
    }
    assert.equal(served, 100, `${strangers} strangers`)
  }
})
