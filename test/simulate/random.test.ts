// Chance that repeats itself, and that has the distributions it promises.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { logNormal, randomOf, roundedBy, seedOf, unitAt, weighted } from '../../src/simulate/random.ts'

const DRAWS = 20_000

function meanOf(draw: () => number): number {
  let sum = 0
  for (let count = 0; count < DRAWS; count += 1) sum += draw()
  return sum / DRAWS
}

test('the same seed draws the same numbers, from 0 to below 1', () => {
  fc.assert(
    fc.property(fc.integer(), fc.nat(1000), (seed, place) => {
      const [one, other] = [randomOf(seed), randomOf(seed)]
      for (let count = 0; count < 20; count += 1) {
        const drawn = one()
        assert.equal(drawn, other())
        assert.ok(drawn >= 0 && drawn < 1)
      }
      const there = unitAt(seed, place)
      assert.equal(there, unitAt(seed, place))
      assert.ok(there >= 0 && there < 1)
    }),
  )
})

test('a seed depends on each of its parts and on where one ends', () => {
  const seeds = [
    seedOf(1, 'a'),
    seedOf(1, 'b'),
    seedOf(2, 'a'),
    seedOf('1a'),
    seedOf(1, 'a', 0),
    seedOf('a', 1),
  ]
  assert.equal(new Set(seeds).size, seeds.length)
  assert.equal(seedOf(1, 'a'), seedOf('1', 'a'))
})

test('numbers at neighbouring places and of neighbouring seeds are spread evenly', () => {
  for (const draw of [
    (at: number) => unitAt(7, at),
    (at: number) => unitAt(at, 3),
    (at: number) => randomOf(at)(),
  ]) {
    const tenths = new Array<number>(10).fill(0)
    for (let at = 0; at < DRAWS; at += 1) {
      const tenth = Math.floor(10 * draw(at))
      tenths[tenth] = (tenths[tenth] ?? 0) + 1
    }
    for (const count of tenths) assert.ok(Math.abs(count / DRAWS - 0.1) < 0.01, tenths.join(' '))
  }
})

test('distributions have their means', () => {
  const random = randomOf(5)
  assert.ok(Math.abs(meanOf(() => roundedBy(random, 2.3)) - 2.3) < 0.02)
  assert.ok(Math.abs(meanOf(() => logNormal(random, 4, 1)) - 4) < 0.2)
  const draw = weighted([1, 0, 3])
  const drawn = [0, 0, 0]
  for (let count = 0; count < DRAWS; count += 1) {
    const index = draw(random)
    drawn[index] = (drawn[index] ?? 0) + 1
  }
  assert.equal(drawn[1], 0)
  assert.ok(Math.abs((drawn[0] ?? 0) / DRAWS - 0.25) < 0.02)
})
