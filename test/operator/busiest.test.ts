// Tests the search for the busiest names: it finds them among any number of others, in bounded memory.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { BusiestNames } from '../../src/operator/busiest.ts'

test('a name that makes up a hundredth of all is found among a million names that come once', () => {
  const names = new BusiestNames<string>(256)
  for (let index = 0; index < 1_000_000; index += 1) {
    names.count(`random${index}.example`)
    if (index % 100 === 0) names.count('busy.example')
    assert.ok(names.size <= 512)
  }
  const [busiest] = names.fresh(1)
  assert.equal(busiest?.[0], 'busy.example')
  assert.ok((busiest?.[1] ?? 0) > 9_000, `${busiest?.[1]}`)
})

// Property: no name is counted more often than it came, and with room for all, each is counted exactly.
test('no count is above the truth, and counts are exact while there is room', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 40 }), { maxLength: 400 }), (stream) => {
      const [narrow, wide] = [new BusiestNames<number>(8), new BusiestNames<number>(64)]
      const exact = new Map<number, number>()
      for (const name of stream) {
        narrow.count(name)
        wide.count(name)
        exact.set(name, (exact.get(name) ?? 0) + 1)
      }
      for (const [name, count] of narrow.fresh(100)) assert.ok(count <= (exact.get(name) ?? 0))
      assert.deepEqual(new Map(wide.fresh(100)), exact)
    }),
  )
})

test('what was taken is counted from 0 again, and what was not goes on', () => {
  const names = new BusiestNames<string>(8)
  for (const name of ['a', 'a', 'a', 'b', 'b', 'c']) names.count(name)
  assert.deepEqual(names.takeFresh(2), [
    ['a', 3],
    ['b', 2],
  ])
  names.count('c')
  assert.deepEqual(names.takeFresh(2), [['c', 2]])
  names.count('a')
  names.dropFresh()
  assert.deepEqual(names.fresh(8), [])
})
