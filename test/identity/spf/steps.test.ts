// Tests of work that waits only where it has to.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { run, type Steps, settled } from '../../../src/identity/spf/steps.ts'

function* sumOf(values: ReadonlyArray<number | Promise<number>>): Steps<number> {
  let sum = 0
  for (const value of values) sum += yield* settled(value)
  return sum
}

test('work that waits for nothing is done at once, and other work once its promises have resolved', async () => {
  assert.equal(run(sumOf([1, 2, 3])), 6)
  const waiting = run(sumOf([1, Promise.resolve(2), 3, Promise.resolve(4)]))
  assert.ok(waiting instanceof Promise)
  assert.equal(await waiting, 10)
})

test('work rejects when something that it waits for does', async () => {
  await assert.rejects(async () => run(sumOf([1, Promise.reject(new Error('gone'))])), { message: 'gone' })
})
