// MemoryStore runs the conformance suite. The other test is about how it sweeps.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryStore } from '../../src/store/memory.ts'
import { describeRecordStore, describeSharedStore } from './conformance.ts'

async function openEmpty() {
  let now = 0
  const store = new MemoryStore(() => now)
  return {
    store,
    other: store,
    records: store,
    otherRecords: store,
    async advance(milliseconds: number) {
      now += milliseconds
    },
  }
}

describeSharedStore('MemoryStore', 0, openEmpty)
describeRecordStore('MemoryStore', 0, openEmpty)

test('MemoryStore counts records as a kind of their own, and drops those that have ended', async () => {
  let now = 0
  const store = new MemoryStore(() => now)
  const { signal } = new AbortController()
  await store.add('t:a', 1000)
  assert.deepEqual(await store.countKeys(signal), new Map([['t', 1]]))
  for (let index = 0; index < 100; index += 1) {
    await store.changeRecord(`stats ${index}`, new Map([['a', '1']]), 1000)
    now += 500
  }
  assert.equal((await store.countKeys(signal)).get('r'), 2)
})

test('MemoryStore sweeps what has ended as it is written to', async () => {
  let now = 0
  const store = new MemoryStore(() => now)
  for (let index = 0; index < 5000; index += 1) {
    await store.add(`old ${index}`, 1000)
    now += 1
  }
  now += 1000
  for (let index = 0; index < 5000; index += 1) await store.add(`new ${index}`, 1_000_000)
  assert.ok(store.size < 5100, `${store.size} entries are kept for 5000 live ones`)
})

test('MemoryStore tells what it holds, without what has ended', async () => {
  let now = 0
  const store = new MemoryStore(() => now)
  await store.add('ends', 1000)
  await store.add('pending', 5000)
  await store.pass('passed', 9000)
  await store.count('counted', 5000)
  await store.count('counted', 5000)
  now = 1000
  assert.deepEqual(
    [...store.alive()],
    [
      ['pending', '1:pending:5000'],
      ['passed', '1:passed:9000'],
      ['counted', '2'],
    ],
  )
})
