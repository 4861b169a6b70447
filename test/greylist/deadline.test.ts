// Tests of what a decision waits for.

import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { DECISION_TIMEOUT, settledWithin, untilWritten, withDeadline } from '../../src/greylist/deadline.ts'

const never = new Promise<never>(() => undefined)

/** Whether a promise has settled, without waiting for it. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  const note = () => {
    settled = true
  }
  promise.then(note, note)
  for (let turn = 0; turn < 10; turn += 1) await undefined
  return settled
}

test('an answer counts until the deadline, and is not waited for any longer', async () => {
  assert.equal(await withDeadline(Promise.resolve('answer'), performance.now() + 1000), 'answer')
  await assert.rejects(withDeadline(Promise.reject(new Error('out of memory')), performance.now() + 1000), {
    message: 'out of memory',
  })
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    const late = withDeadline(never, performance.now() + DECISION_TIMEOUT)
    const rejected = assert.rejects(late, {
      message: 'the store took too long: a decision takes 2000ms at most',
    })
    mock.timers.tick(DECISION_TIMEOUT - 500)
    assert.equal(await isSettled(late), false)
    mock.timers.tick(500)
    assert.equal(await isSettled(late), true)
    await rejected
  } finally {
    mock.timers.reset()
  }
})

test('work is waited for until it has ended, or until the time is over', async () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    await settledWithin(50, Promise.resolve())
    const waiting = settledWithin(50, never)
    mock.timers.tick(49)
    assert.equal(await isSettled(waiting), false)
    mock.timers.tick(1)
    await waiting
  } finally {
    mock.timers.reset()
  }
})

test('once the answer is there, nothing keeps the process alive until the deadline', async () => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  await withDeadline(Promise.resolve(), performance.now() + 60_000)
  await assert.rejects(withDeadline(Promise.reject(new Error('gone')), performance.now() + 60_000))
  await settledWithin(60_000, Promise.resolve())
  await new Promise((resolve) => setImmediate(resolve))
  assert.equal(timers(), before)
})

test('writes are waited for until the deadline, whatever becomes of them', async () => {
  let isWritten = false
  const write = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
    isWritten = true
  })
  await untilWritten([false, write], performance.now() + 60_000)
  assert.equal(isWritten, true)
  await untilWritten([Promise.reject(new Error('disk full')), false], performance.now() + 60_000)
  await untilWritten([never], performance.now())
})

test('where nothing is written, nothing is waited for, even past the deadline', async () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    assert.equal(await isSettled(untilWritten([false, false], performance.now() - 1)), true)
    assert.equal(await isSettled(untilWritten([], performance.now() - 1)), true)
  } finally {
    mock.timers.reset()
  }
})
