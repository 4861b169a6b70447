// GuardedStore bounds and counts what the store does, and says once when it goes down and comes back.

import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { UnreadableEntry } from '../../src/store/encoding.ts'
import { GuardedStore } from '../../src/store/guard.ts'
import { MemoryStore } from '../../src/store/memory.ts'

function guard(add: () => Promise<never>) {
  const events: string[] = []
  const store = new MemoryStore(() => 0)
  store.add = add
  const guarded = new GuardedStore(store, 250, {
    onOperation: (operation, result) => events.push(`${operation} ${result}`),
    onUp: () => events.push('up'),
    onDown: (problem) => events.push(`down: ${problem}`),
  })
  return { guarded, events }
}

test('an operation that is not answered ends with its time, and its late answer is ignored', async () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  // performance.now() stands for the clock that the timers of this test do not move.
  const clock = mock.method(performance, 'now', () => 0)
  try {
    const lateAnswers: Array<(error: Error) => void> = []
    const { guarded, events } = guard(() => new Promise((_, reject) => lateAnswers.push(reject)))
    const first = guarded.add('a', 1)
    clock.mock.mockImplementation(() => 100)
    mock.timers.tick(100)
    const second = guarded.add('b', 1)
    clock.mock.mockImplementation(() => 250)
    mock.timers.tick(150)
    await assert.rejects(first, /the store did not answer add within 250ms/)
    assert.deepEqual(events, ['add timeout', 'down: the store did not answer add within 250ms'])
    clock.mock.mockImplementation(() => 350)
    mock.timers.tick(100)
    await assert.rejects(second, /within 250ms/)
    for (const answer of lateAnswers) answer(new Error('late'))
    await guarded.check()
    assert.deepEqual(events.slice(2), ['add timeout', 'check ok', 'up'])
  } finally {
    clock.mock.restore()
    mock.timers.reset()
  }
})

test('a failing store is reported down once, and up once when it answers', async () => {
  const { guarded, events } = guard(() => Promise.reject(new Error('it burns')))
  await assert.rejects(guarded.add('a', 1), /it burns/)
  await assert.rejects(guarded.add('a', 1), /it burns/)
  guarded.markDown('the connection was closed')
  await guarded.check()
  guarded.markUp()
  assert.deepEqual(events, ['add error', 'down: it burns', 'add error', 'check ok', 'up'])
})

test('an entry that cannot be read says nothing about the store', async () => {
  const { guarded, events } = guard(() => Promise.reject(new UnreadableEntry('what is this')))
  await guarded.check()
  await assert.rejects(guarded.add('a', 1), UnreadableEntry)
  assert.deepEqual(events, ['check ok', 'up', 'add error'])
})
