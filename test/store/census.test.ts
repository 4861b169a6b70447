// Tests of the census of a store: when keys are counted, and what is known meanwhile. What the stores count is tested
// with each of them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Census } from '../../src/store/census.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import type { KeyCounts } from '../../src/store/store.ts'

const MINUTE = 60_000

test('the figures of a small store are known at once, and are counted anew after a minute', async () => {
  let now = 0
  const store = new MemoryStore(() => now)
  const census = new Census(store, () => now)
  await store.add('t:a', 10 * MINUTE)
  await store.count('o:a', 10 * MINUTE)
  const first = new Map([
    ['t', 1],
    ['o', 1],
  ])
  assert.deepEqual(await census.counts(), first)
  await store.add('t:b', 10 * MINUTE)
  now = MINUTE - 1
  assert.deepEqual(await census.counts(), first)
  now = MINUTE
  assert.deepEqual(await census.counts(), first.set('t', 2))
})

test('nobody waits for a slow count, and there is one at a time', async () => {
  let now = 0
  const counts: Array<(counts: KeyCounts) => void> = []
  const census = new Census({ countKeys: () => new Promise((resolve) => counts.push(resolve)) }, () => now)
  assert.equal(await census.counts(), undefined)
  now = 2 * MINUTE
  assert.equal(await census.counts(), undefined)
  assert.equal(counts.length, 1)
  counts[0]?.(new Map([['t', 7]]))
  assert.deepEqual(await census.counts(), new Map([['t', 7]]))
  assert.deepEqual(await census.counts(), new Map([['t', 7]]))
  assert.equal(counts.length, 2)
})

test('after a count that failed, the figures are unknown until the next one, a minute later', async () => {
  let now = 0
  const answers = [new Map([['t', 1]]), new Error('gone'), new Map([['t', 3]])]
  const census = new Census(
    {
      async countKeys() {
        const answer = answers.shift()
        if (answer instanceof Error) throw answer
        return answer
      },
    },
    () => now,
  )
  assert.deepEqual(await census.counts(), new Map([['t', 1]]))
  now += MINUTE
  assert.equal(await census.counts(), undefined)
  now += MINUTE
  assert.deepEqual(await census.counts(), new Map([['t', 3]]))
})

test('a store that refuses to be counted is asked once an hour', async () => {
  let now = 0
  let asked = 0
  const census = new Census(
    {
      async countKeys() {
        asked += 1
        return undefined
      },
    },
    () => now,
  )
  for (; now < 60 * MINUTE; now += MINUTE) assert.equal(await census.counts(), undefined)
  assert.equal(asked, 1)
  await census.counts()
  assert.equal(asked, 2)
})

test('closing a census ends the count that is under way', async () => {
  const store = new MemoryStore(() => 0)
  for (let index = 0; index < 20_000; index += 1) await store.add(`t:${index}`, MINUTE)
  const ended: unknown[] = []
  const census = new Census(
    {
      countKeys: (signal) =>
        store.countKeys(signal).catch((error: Error) => {
          ended.push(error.name)
          throw error
        }),
    },
    () => 0,
  )
  const counting = census.counts()
  census.close()
  assert.equal(await counting, undefined)
  assert.deepEqual(ended, ['AbortError'])
})
