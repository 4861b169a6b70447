// When a progress bar is shown, and what it looks like.

import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { Counting, Progress, Waiting } from '../../src/cli/progress.ts'

function open(isTTY: boolean) {
  const clock = { now: 0 }
  const written: string[] = []
  const terminal = { isTTY, write: (text: string) => written.push(text) }
  return { clock, written, progress: new Progress(terminal, () => clock.now) }
}

test('what takes two seconds or less shows no bar', () => {
  const { clock, written, progress } = open(true)
  for (clock.now = 0; clock.now < 2000; clock.now += 100) progress.show(clock.now / 2000, 'one')
  progress.end()
  assert.deepEqual(written, [])
})

test('what takes longer shows a bar, drawn anew five times a second at most, and removes it at the end', () => {
  const { clock, written, progress } = open(true)
  for (clock.now = 0; clock.now <= 3000; clock.now += 50) progress.show(clock.now / 6000, 'one')
  assert.equal(written.length, 6)
  assert.equal(written[0], `\r[${'#'.repeat(10)}${'-'.repeat(20)}] 33 % one\x1b[K`)
  assert.match(written.at(-1) ?? '', / 50 % one/)
  progress.end()
  assert.equal(written.at(-1), '\r\x1b[K')
})

test('where standard error is no terminal, there is no bar', () => {
  const { clock, written, progress } = open(false)
  clock.now = 10_000
  progress.show(0.5, 'one')
  progress.end()
  assert.deepEqual(written, [])
})

test('for how long an answer is awaited is shown from two seconds on, on a terminal, until it is there', () => {
  mock.timers.enable({ apis: ['setInterval'] })
  for (const isTTY of [true, false]) {
    const clock = { now: 0 }
    const written: string[] = []
    const terminal = { isTTY, write: (text: string) => written.push(text) }
    const waiting = new Waiting(
      () => terminal,
      () => clock.now,
    )
    const pass = (milliseconds: number) => {
      for (let passed = 0; passed < milliseconds; passed += 200) {
        clock.now += 200
        mock.timers.tick(200)
      }
    }
    pass(1800)
    assert.deepEqual(written, [])
    pass(1200)
    waiting.end()
    pass(5000)
    const shown = [2, 2, 2, 2, 2, 3].map((seconds) => `\rwaiting for the answer: ${seconds} s\x1b[K`)
    assert.deepEqual(written, isTTY ? [...shown, '\r\x1b[K'] : [])
  }
  mock.timers.reset()
})

test('how many records are done is shown from two seconds on, and again after something else was printed', () => {
  for (const isTTY of [true, false]) {
    const clock = { now: 0 }
    const written: string[] = []
    const counting = new Counting({ isTTY, write: (text) => written.push(text) }, () => clock.now)
    for (clock.now = 0; clock.now < 2000; clock.now += 100) counting.show(clock.now)
    assert.deepEqual(written, [])
    counting.show(7000)
    counting.show(8000)
    counting.end()
    counting.end()
    counting.show(9000)
    const shown = ['\r7000 records, 2 s\x1b[K', '\r\x1b[K', '\r9000 records, 2 s\x1b[K']
    assert.deepEqual(written, isTTY ? shown : [])
  }
})
