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

/** As `setUp`, of a store that has answered its first request at once. */
async function setUpNear(t: TestContext) {
  const parts = setUp(t)
  parts.ask()
  await nextTurn()
  parts.answer(0)
  return parts
}

/** What was gathered while an answer was awaited leaves two turns after it, if nothing follows. */
async function twoTurns(): Promise<void> {
  await nextTurn()
  await nextTurn()
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
  await twoTurns()
  assert.deepEqual(sent(), [1, 1, 4], 'the second turn has brought nothing')
  answer(2)
  await nextTurn()
  assert.deepEqual(sent(), [1, 1, 4], 'nothing leaves where nothing was asked')
})

test('of a store that is near and busy, requests are gathered for half a millisecond while each turn brings more', async (t) => {
  const { clock, ask, sent, answer } = await setUpNear(t)
  ask()
  await nextTurn()
  ask()
  answer(1)
  for (const now of [0.1, 0.2, 0.3, 0.4]) {
    clock.now = now
    ask()
    await nextTurn()
  }
  assert.deepEqual(sent(), [1, 1])
  clock.now = 0.5
  ask()
  await nextTurn()
  assert.deepEqual(sent(), [1, 1, 6])
  // The time in which the answer is awaited counts.
  ask()
  clock.now = 1
  answer(2)
  await nextTurn()
  assert.deepEqual(sent(), [1, 1, 6, 1])
})

test('an answer that is late is not waited for, nor are those after it until one is in time', async (t) => {
  const { clock, ask, sent, answer } = await setUpNear(t)
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
