// Tests of when requests leave for a store.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Departures } from '../../src/store/departures.ts'

/** Departures that wait for 2 ms at most, by a clock that the test moves, and with what is to be sent. */
function setUp(t: TestContext) {
  const clock = { now: 0 }
  t.mock.method(performance, 'now', () => clock.now)
  let gathered = 0
  const sent: Array<{ readonly requests: number; readonly answer: () => void }> = []
  const departures = new Departures(() => {
    const requests = gathered
    gathered = 0
    const answered = departures.sent()
    sent.push({ requests, answer: () => answered(gathered > 0) })
  }, 2)
  return {
    clock,
    sent: () => sent.map(({ requests }) => requests),
    answer: (index: number) => sent[index]?.answer(),
    ask(requests = 1) {
      for (let request = 0; request < requests; request += 1) {
        gathered += 1
        departures.request()
      }
    },
  }
}

test('requests of one turn leave together, and at once while nothing tells that the store is near', async (t) => {
  const { ask, sent } = setUp(t)
  ask(3)
  assert.deepEqual(sent(), [])
  await nextTurn()
  assert.deepEqual(sent(), [3])
  ask()
  await nextTurn()
  assert.deepEqual(sent(), [3, 1])
})

test('requests to a store that is near leave with the answer to the last ones', async (t) => {
  const { clock, ask, sent, answer } = setUp(t)
  ask()
  await nextTurn()
  clock.now = 1
  answer(0)
  ask()
  await nextTurn()
  for (let request = 0; request < 4; request += 1) {
    ask()
    await nextTurn()
  }
  assert.deepEqual(sent(), [1, 1])
  answer(1)
  await nextTurn()
  assert.deepEqual(sent(), [1, 1, 4])
  answer(2)
  await nextTurn()
  assert.deepEqual(sent(), [1, 1, 4], 'nothing leaves where nothing was asked')
})

test('an answer that is late is not waited for, nor are those after it until one is in time', async (t) => {
  const { clock, ask, sent, answer } = setUp(t)
  ask()
  await nextTurn()
  answer(0)
  ask()
  await nextTurn()
  ask()
  await nextTurn()
  assert.deepEqual(sent(), [1, 1])
  clock.now = 2.5
  ask()
  await nextTurn()
  assert.deepEqual(sent(), [1, 1, 2], 'the late answer is not waited for')
  clock.now = 5
  answer(1)
  for (let request = 0; request < 2; request += 1) {
    ask()
    await nextTurn()
  }
  assert.deepEqual(sent(), [1, 1, 2, 1, 1], 'the store is not near')
})
