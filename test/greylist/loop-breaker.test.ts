// Tests of what the loop breaker writes and removes; when it lets a sender through is tested in greylister.test.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parseAddress } from '../../src/address.ts'
import { formerFirstKey, loopKey } from '../../src/greylist/keys.ts'
import { LoopBreaker } from '../../src/greylist/loop-breaker.ts'
import { MemoryStore } from '../../src/store/memory.ts'

const MINUTE = 60_000
const TIMES = { delay: 4 * MINUTE, retryWindow: 1200 * MINUTE, lifetime: 50_000 * MINUTE }
const USER = parseAddress('u@example.com')
const FORM = 'a@example.org'
const LOOP = { form: FORM, recipient: USER, network: '192.0.2.0/24', spf: 'none' } as const

const MARKS = [loopKey('first', FORM, USER), formerFirstKey(FORM, USER)]
const COUNTED = loopKey('counted', FORM, USER)

function setUp(maxDeferrals = 4) {
  const clock = { now: 1 }
  const store = new MemoryStore(() => clock.now)
  return {
    clock,
    store,
    breaker: new LoopBreaker(TIMES, maxDeferrals),
    keys: () => [...store.alive()].map(([key]) => key),
  }
}

test('bounces and what SPF speaks against are not counted, nor anything if it is off', () => {
  for (const [attempt, maxDeferrals, isCounted] of [
    [{}, 1, true],
    [{}, 0, false],
    [{ form: '' }, 4, false],
    [{ spf: 'pass' }, 4, true],
    [{ spf: 'open' }, 4, true],
    [{ spf: 'unasked' }, 4, true],
    [{ spf: 'fail' }, 4, false],
    [{ spf: 'unknown' }, 4, false],
  ] as const)
    assert.equal(setUp(maxDeferrals).breaker.isCounted({ ...LOOP, ...attempt }), isCounted)
})

test('once it has let a sender through, its marks and its count are gone, unless a network waits by the mark', async () => {
  for (const holder of [undefined, '1234567890123456']) {
    const { store, breaker, keys } = setUp()
    for (const key of MARKS) await store.add(key, TIMES.retryWindow)
    await store.count(COUNTED, TIMES.retryWindow)
    const forget = store.forget.bind(store)
    const slow = Object.assign(store, { forget: (key: string) => nextTurn().then(() => forget(key)) })
    const first = { passed: false, age: 5 * MINUTE, ...(holder && { holder }) }
    await breaker.reset(slow, LOOP, first)
    assert.deepEqual(keys(), holder ? [...MARKS, COUNTED] : [])
  }
})

test('a store that cannot remove a key keeps nobody from passing', async () => {
  const { store, breaker, keys } = setUp()
  await store.count(COUNTED, TIMES.retryWindow)
  const forget = store.forget.bind(store)
  const failing = Object.assign(store, {
    forget: (key: string) => (MARKS.includes(key) ? Promise.reject(new Error('it burns')) : forget(key)),
  })
  await breaker.reset(failing, LOOP, { passed: false, age: 5 * MINUTE })
  assert.deepEqual(keys(), [])
})

test('an attempt is counted from a delay after the first one on, once in each delay, and some times for each network', async () => {
  const { clock, store, breaker } = setUp(5)
  assert.equal(breaker.deferralsNeeded, 5)
  const counts = async () => (await store.counts([COUNTED]))[0]
  const countAt = async (network: string, age = TIMES.delay) =>
    breaker.count(store, { ...LOOP, network }, { passed: false, age })
  assert.equal(await countAt('one', TIMES.delay - 1), false)
  assert.equal(await counts(), 0)
  assert.equal(await countAt('one'), false)
  assert.equal(await counts(), 1)
  clock.now += TIMES.delay - 1
  assert.equal(await countAt('one'), false)
  assert.equal(await counts(), 1)
  clock.now += 1
  // The third attempt of a network is one too many, of which two may reach four together.
  assert.equal(await countAt('one'), false)
  assert.equal(await counts(), 1)
  const outcomes: boolean[] = []
  for (const network of ['two', 'two', 'three', 'three', 'four', 'four', 'five', 'five', 'six', 'six']) {
    outcomes.push(await countAt(network))
    clock.now += TIMES.delay
  }
  assert.equal(await counts(), 11)
  // The fifth passes, and then, as the mark stays, each sixth.
  assert.deepEqual(
    outcomes.flatMap((isThrough, index) => (isThrough ? [index + 2] : [])),
    [5, 11],
  )
})
