// Tests of UsedKeys: a key counts once, whatever the clocks do. The test moves both clocks.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { UsedKeys } from '../../src/admin/keys.ts'

const START = 1_764_000_000_000
const MINUTE = 60_000

function setUp() {
  const clock = { wall: START, monotonic: 5000 }
  const keys = new UsedKeys(
    () => clock.wall,
    () => clock.monotonic,
  )
  const pass = (milliseconds: number) => {
    clock.wall += milliseconds
    clock.monotonic += milliseconds
  }
  return { clock, pass, keys, take: (key: string | undefined) => keys.take(key)?.kind ?? 'taken' }
}

test('a key is taken once, for as long as its time is near', () => {
  const { take, pass } = setUp()
  const key = `${START}-abcdefgh`
  assert.equal(take(key), 'taken')
  for (let minute = 0; minute < 20; minute += 1) {
    assert.equal(take(key), 'repeated', `after ${minute} minutes`)
    pass(MINUTE)
  }
  assert.equal(take(`${START + 20 * MINUTE}-abcdefgh`), 'taken')
})

test('a key from a clock that is ahead is remembered for as long as it could be taken', () => {
  const { take, pass } = setUp()
  const key = `${START + 5 * MINUTE}-abcdefgh`
  assert.equal(take(key), 'taken')
  for (let minute = 0; minute < 12; minute += 1) {
    assert.equal(take(key), 'repeated', `after ${minute} minutes`)
    pass(MINUTE)
  }
})

test('a key from before the start is refused, and one of the same moment is not', () => {
  const { take } = setUp()
  assert.deepEqual([take(`${START - 1}-abcdefgh`), take(`${START}-abcdefgh`)], ['repeated', 'taken'])
})

test('a clock that is set back an hour does not make new keys old', () => {
  const { take, clock, pass } = setUp()
  pass(MINUTE)
  clock.wall -= 60 * MINUTE
  assert.equal(take(`${clock.wall}-abcdefgh`), 'taken')
  assert.equal(take(`${clock.wall - 2 * MINUTE}-abcdefgh`), 'repeated')
})

test('a key has a time and eight characters', () => {
  const { take } = setUp()
  for (const key of [undefined, '', `${START}`, `${START}-`, `${START}-abcdefg`, `${START}-abcdefg!`])
    assert.equal(take(key), 'malformed', key)
  for (const key of [`${START}-${'a'.repeat(65)}`, `x${START}-abcdefgh`, `1764000000-abcdefgh`])
    assert.equal(take(key), 'malformed', key)
  assert.equal(take(`${START}-${'A-_9'.repeat(16)}`), 'taken')
})

test('memory is bounded: beyond 10000 changes in 11 minutes, further ones have to wait', () => {
  const { take, pass } = setUp()
  for (let count = 0; count < 10_000; count += 1)
    assert.equal(take(`${START}-${count + 10_000_000}`), 'taken')
  assert.equal(take(`${START}-abcdefgh`), 'full')
  assert.equal(take(`${START}-10000000`), 'repeated')
  pass(11 * MINUTE)
  assert.equal(take(`${START + 11 * MINUTE}-abcdefgh`), 'taken')
})

// Property: whatever the order of keys, of time, and of steps of the clock forwards, no key is taken twice.
test('no key is ever taken twice', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('take' as const), age: fc.integer({ min: -6 * MINUTE, max: 6 * MINUTE }) }),
    fc.record({ kind: fc.constant('again' as const), index: fc.nat(20) }),
    fc.record({ kind: fc.constant('pass' as const), time: fc.nat(8 * MINUTE) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const { take, pass, clock } = setUp()
      pass(30 * MINUTE)
      const taken: string[] = []
      for (const each of steps) {
        if (each.kind === 'pass') pass(each.time)
        else if (each.kind === 'again') {
          const key = taken[each.index]
          if (key !== undefined) assert.notEqual(take(key), 'taken')
        } else {
          const key = `${clock.wall - each.age}-${String(taken.length).padStart(8, '0')}`
          if (take(key) === 'taken') taken.push(key)
        }
      }
    }),
  )
})
