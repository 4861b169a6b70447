// Tests of Turns: actions run in their order, one at a time with all promise callbacks, and the event loop turns.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turns } from '../src/turns.ts'

test('each action has its turn in order, behind whatever the one before it settled', async () => {
  const turns = new Turns()
  const seen: string[] = []
  await new Promise<void>((resolve) => {
    for (const name of ['a', 'b', 'c']) {
      turns.wait(() => {
        seen.push(name)
        void (async () => {
          for (let count = 0; count < 5; count += 1) await undefined
          seen.push(`${name} settled`)
          if (name === 'c') resolve()
        })()
      })
    }
    seen.push('nobody yet')
  })
  assert.deepEqual(seen, ['nobody yet', 'a', 'a settled', 'b', 'b settled', 'c', 'c settled'])
})

// The event loop turns even if each action asks for its next turn at once.
test('however many wait, the event loop goes round in between', { timeout: 10_000 }, async () => {
  const turns = new Turns()
  let isOver = false
  let given = 0
  const again = () => {
    given += 1
    if (!isOver) turns.wait(again)
  }
  for (let count = 0; count < 100; count += 1) turns.wait(again)
  for (let count = 0; count < 5; count += 1) await new Promise((resolve) => setTimeout(resolve, 1))
  isOver = true
  await new Promise((resolve) => setTimeout(resolve, 20))
  assert.ok(given > 100)
})

test('what must not wait for a time slice is done before each', async () => {
  let slices = 0
  const turns = new Turns(() => {
    slices += 1
  })
  const seen: number[] = []
  for (let count = 0; count < 3; count += 1)
    await new Promise<void>((resolve) => {
      turns.wait(() => {
        seen.push(slices)
        // Longer than a slice, so that the next action has another one.
        for (const end = performance.now() + 3; performance.now() < end; );
      })
      turns.wait(() => {
        seen.push(slices)
        resolve()
      })
    })
  assert.deepEqual(seen, [1, 2, 2, 3, 3, 4])
})
