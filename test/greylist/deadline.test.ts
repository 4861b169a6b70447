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

/** A clock for timers and for performance.now(), which the test moves, and what is known of several waits. */
function setUpClock() {
  const clock = { now: 0 }
  mock.timers.enable({ apis: ['setTimeout'] })
  const { mock: clockMock } = mock.method(performance, 'now', () => clock.now)
  const over = new Set<string>()
  return {
    over: async () => {
      for (let turn = 0; turn < 10; turn += 1) await undefined
      return [...over].sort()
    },
    /** Waits for an answer that comes when the returned function is called. */
    wait(name: string, deadline: number): () => void {
      const { promise, resolve } = withResolvers()
      const end = () => void over.add(name)
      withDeadline(promise, deadline).then(end, end)
      return resolve
    },
    /** Moves the timers' clock to an instant, and the other clock to this one or another. */
    moveTo(instant: number, now = instant): void {
      const elapsed = instant - clock.now
      clock.now = now
      mock.timers.tick(elapsed)
    },
    reset() {
      mock.timers.reset()
      clockMock.restore()
    },
  }
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}

test('each of several that wait is given up at its own deadline, whatever becomes of the others', async () => {
  const { wait, moveTo, over, reset } = setUpClock()
  try {
    wait('third', 3000)
    wait('first', 1000)
    wait('also first', 1000)
    const answer = wait('answered', 1500)
    wait('second', 2000)
    moveTo(999)
    assert.deepEqual(await over(), [])
    moveTo(1000)
    assert.deepEqual(await over(), ['also first', 'first'])
    answer()
    assert.deepEqual(await over(), ['also first', 'answered', 'first'])
    wait('between', 2500)
    moveTo(1999)
    assert.deepEqual(await over(), ['also first', 'answered', 'first'])
    moveTo(2000)
    assert.deepEqual(await over(), ['also first', 'answered', 'first', 'second'])
    moveTo(2500)
    assert.deepEqual(await over(), ['also first', 'answered', 'between', 'first', 'second'])
    moveTo(2999)
    assert.deepEqual(await over(), ['also first', 'answered', 'between', 'first', 'second'])
    moveTo(3000)
    assert.deepEqual(await over(), ['also first', 'answered', 'between', 'first', 'second', 'third'])
    // Once nobody waits any more, the next deadline is the first one again.
    wait('alone', 9000)
    moveTo(8999)
    assert.equal((await over()).includes('alone'), false)
    moveTo(9000)
    assert.equal((await over()).includes('alone'), true)
  } finally {
    reset()
  }
})

test('the deadline of an answer that came in time gives up nobody else', async () => {
  const { wait, moveTo, over, reset } = setUpClock()
  try {
    wait('answered', 1000)()
    assert.deepEqual(await over(), ['answered'])
    wait('later', 3000)
    moveTo(2999)
    assert.deepEqual(await over(), ['answered'])
    moveTo(3000)
    assert.deepEqual(await over(), ['answered', 'later'])
  } finally {
    reset()
  }
})

test('a timer that fires a little early or much too late gives up all whose deadline it is', async () => {
  const { wait, moveTo, over, reset } = setUpClock()
  try {
    wait('early', 1000)
    wait('long', 2000)
    moveTo(1000, 999.5)
    assert.deepEqual(await over(), ['early'])
    wait('overdue', 2400)
    moveTo(2000, 2500)
    assert.deepEqual(await over(), ['early', 'long', 'overdue'])
  } finally {
    reset()
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
  await assert.rejects(withDeadline(never, performance.now()))
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
