// prepareAll(): all parts are exchanged, or none.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Change, prepareAll } from '../src/change.ts'

/** Part number `index`, which writes down what is done to it. */
function part(index: number, noted: string[]): Change {
  return {
    async apply() {
      noted.push(`apply ${index}`)
    },
    async abandon() {
      noted.push(`abandon ${index}`)
    },
  }
}

test('all parts are exchanged within one turn of the event loop', async () => {
  const noted: string[] = []
  const change = await prepareAll([0, 1, 2].map((index) => async () => part(index, noted)))
  assert.deepEqual(noted, [])
  const applied = change.apply()
  assert.deepEqual(noted, ['apply 0', 'apply 1', 'apply 2'])
  await applied
})

test('apply() ends when every old part is closed', async () => {
  let close = () => {}
  const slow: Change = {
    apply: () =>
      new Promise((resolve) => {
        close = resolve
      }),
    abandon: async () => {},
  }
  const change = await prepareAll([() => slow, () => part(1, [])])
  let isDone = false
  const applied = change.apply().then(() => {
    isDone = true
  })
  await new Promise(setImmediate)
  assert.equal(isDone, false)
  close()
  await applied
})

test('whichever part cannot be prepared, those before it are abandoned, the last first, and none is applied', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(5), fc.nat(5), async (before, after) => {
      const noted: string[] = []
      const fails = () => Promise.reject(new Error('no room'))
      const later = Array.from({ length: after }, () => () => assert.fail('prepared after the failure'))
      const earlier = Array.from({ length: before }, (_, index) => () => part(index, noted))
      await assert.rejects(prepareAll([...earlier, fails, ...later]), /^Error: no room$/)
      assert.deepEqual(
        noted,
        Array.from({ length: before }, (_, index) => `abandon ${before - 1 - index}`),
      )
    }),
  )
})

test('a change of several parts is abandoned as one', async () => {
  const noted: string[] = []
  const change = await prepareAll([() => part(0, noted), () => part(1, noted)])
  await change.abandon()
  assert.deepEqual(noted, ['abandon 1', 'abandon 0'])
})
