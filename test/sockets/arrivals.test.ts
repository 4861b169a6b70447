// Tests of when what arrives on the connections is handled.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Arrivals } from '../../src/sockets/arrivals.ts'

/** Arrivals by a clock that the test moves, and the texts of those that were handled; `.` is the end of an input. */
function setUp(t: TestContext) {
  const clock = { now: 0 }
  t.mock.method(performance, 'now', () => clock.now)
  const texts: string[] = []
  const arrivals = new Arrivals<string>((connection, chunk) => texts.push(`${connection}${chunk ?? '.'}`))
  const arrive = (connection: string, text: string) => arrivals.add(connection, Buffer.from(text))
  return { clock, taken: () => [...texts], arrivals, arrive }
}

test('what arrives alone is handled in the same turn of the event loop', async (t) => {
  const { taken, arrive } = setUp(t)
  arrive('a', '1')
  assert.deepEqual(taken(), [])
  await nextTurn()
  assert.deepEqual(taken(), ['a1'])
  arrive('a', '2')
  await nextTurn()
  assert.deepEqual(taken(), ['a1', 'a2'])
})

test('where a turn brings more, what further turns bring is handled with it, in its order', async (t) => {
  const { taken, arrivals, arrive } = setUp(t)
  arrive('a', '1')
  arrive('b', '1')
  await nextTurn()
  arrive('a', '2')
  await nextTurn()
  arrivals.add('b')
  await nextTurn()
  assert.deepEqual(taken(), [])
  await nextTurn() // it brings nothing
  assert.deepEqual(taken(), ['a1', 'b1', 'a2', 'b.'])
})

test('nothing that arrives waits for longer than 0.4 ms', async (t) => {
  const { clock, taken, arrive } = setUp(t)
  arrive('a', '0')
  for (const now of [0.1, 0.39, 0.4]) {
    assert.deepEqual(taken(), [])
    arrive('a', String(now))
    clock.now = now
    await nextTurn()
  }
  assert.deepEqual(taken(), ['a0', 'a0.1', 'a0.39', 'a0.4'])
})

test('what arrives is not gathered beyond 64 KiB', async (t) => {
  const { taken, arrive } = setUp(t)
  arrive('a', 'x'.repeat(64 * 1024))
  assert.deepEqual(taken(), [])
  arrive('b', '1')
  assert.deepEqual(
    taken().map((text) => text.slice(0, 2)),
    ['ax', 'b1'],
  )
  arrive('a', '2')
  assert.equal(taken().length, 2)
  await nextTurn()
  assert.equal(taken().at(-1), 'a2')
})

test('what has arrived can be handled at once', async (t) => {
  const { taken, arrivals, arrive } = setUp(t)
  arrive('a', '1')
  arrivals.takeAll()
  assert.deepEqual(taken(), ['a1'])
  await nextTurn()
  assert.deepEqual(taken(), ['a1'])
})

test('where one of them throws, all others are handled if the process goes on', async (t) => {
  t.mock.method(performance, 'now', () => 0)
  const taken: string[] = []
  const arrivals = new Arrivals<string>((connection) => {
    taken.push(connection)
    if (connection === 'b') throw new Error('a fault of b')
  })
  for (const connection of ['a', 'b', 'c']) arrivals.add(connection)
  assert.throws(() => arrivals.takeAll(), /a fault of b/)
  assert.deepEqual(taken, ['a', 'b'])
  await nextTurn()
  assert.deepEqual(taken, ['a', 'b', 'c'])
})
