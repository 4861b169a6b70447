// Tests of the slots of an address whose network has no room for first attempts: who has one, and for how long.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { parseAddress } from '../../src/address.ts'
import type { Times } from '../../src/greylist/decide.ts'
import { decideBySlot } from '../../src/greylist/overflow.ts'
import { parseIp } from '../../src/ip.ts'
import { MemoryStore } from '../../src/store/memory.ts'

const MINUTE = 60_000
const TIMES: Times = { delay: 4 * MINUTE, retryWindow: 60 * MINUTE, lifetime: 3600 * MINUTE }

function setUp() {
  const clock = { now: 0 }
  const store = new MemoryStore(() => clock.now)
  const recipient = parseAddress('u@example.com')
  return {
    store,
    wait(milliseconds: number) {
      clock.now += milliseconds
    },
    async attempt(form: string, address = '192.0.2.7'): Promise<string> {
      const decision = await decideBySlot(
        store,
        { address: parseIp(address) ?? assert.fail(address), form, recipient },
        TIMES,
      )
      return `${decision.reason} ${decision.waited / MINUTE}`
    },
  }
}

/** Two senders whose triplets want the same slot of an address. */
async function rivals(): Promise<readonly [one: string, other: string]> {
  const { attempt, wait } = setUp()
  const one = 'a0@example.org'
  await attempt(one)
  wait(MINUTE)
  for (let n = 1; ; n += 1) {
    const other = `a${n}@example.org`
    await attempt(other)
    if ((await attempt(other)) === 'new 0') return [one, other]
  }
}

test('a triplet has its slot until it passes, and another one gets it when it is free', async () => {
  const [one, other] = await rivals()
  const { attempt, wait } = setUp()
  assert.equal(await attempt(one), 'new 0')
  wait(MINUTE)
  assert.equal(await attempt(one), 'early 1')
  assert.equal(await attempt(other), 'new 0')
  wait(MINUTE)
  // The slot is taken, so that the other's wait has not begun.
  assert.equal(await attempt(other), 'new 0')
  assert.equal(await attempt(other, '192.0.2.8'), 'new 0')
  wait(MINUTE)
  assert.equal(await attempt(other, '192.0.2.8'), 'early 1')
  wait(MINUTE)
  assert.equal(await attempt(one), 'retry 4')
})

test('no triplet takes over the wait of another one', async () => {
  const [one, other] = await rivals()
  const { attempt, wait } = setUp()
  await attempt(one)
  // The entry is gone, and its holder is kept for a minute more.
  wait(60 * MINUTE)
  assert.equal(await attempt(other), 'new 0')
  wait(MINUTE - 1)
  assert.equal(await attempt(other), 'new 0')
  wait(1)
  assert.equal(await attempt(other), 'new 0')
  wait(MINUTE)
  assert.equal(await attempt(other), 'early 1')
})

test('an address has 16 slots', async () => {
  const { attempt, store } = setUp()
  for (let n = 0; n < 500; n += 1) assert.equal(await attempt(`a${n}@example.org`), 'new 0')
  // An entry and a holder for each.
  assert.equal(store.size, 2 * 16)
})

test('a slot is taken before the MTA has its answer', async () => {
  const bench = setUp()
  const add = bench.store.add.bind(bench.store)
  const count = bench.store.count.bind(bench.store)
  Object.assign(bench.store, {
    add: (...args: Parameters<typeof add>) => nextTurn().then(() => add(...args)),
    count: (...args: Parameters<typeof count>) => nextTurn().then(() => count(...args)),
  })
  await bench.attempt('a@example.org')
  assert.equal(bench.store.size, 2)
})
