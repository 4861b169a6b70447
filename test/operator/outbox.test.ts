// Tests that each number reaches its record exactly once, whatever the store does, and that what waits is bounded.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Outbox } from '../../src/operator/outbox.ts'
import { type FaultyRecords, faultyRecords } from './records.ts'

const END = 1_000_000

function make(process = 'p1') {
  let now = 0
  const store = faultyRecords(() => now)
  const outbox = new Outbox(
    process,
    () => now,
    () => [],
  )
  const moveTo = (at: number) => {
    now = at
  }
  return { store, outbox, moveTo }
}

async function countOf(store: FaultyRecords, field: string): Promise<number> {
  store.fault = 'none'
  return Number((await store.readRecord('r')).get(field) ?? 0)
}

// Property: after any outages, full stores and lost answers, the record has what was added, once the store works.
test('outages, a full store and lost answers lose no number, and count none twice', async () => {
  const fault = fc.constantFrom('none', 'away', 'full', 'lost')
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fault, fc.integer({ min: 1, max: 9 })), { maxLength: 30 }),
      async (steps) => {
        const { store, outbox } = make()
        let sum = 0
        for (const [next, by] of steps) {
          outbox.add('r', END, 'f', by)
          sum += by
          store.fault = next
          await outbox.write(store).catch(() => undefined)
        }
        store.fault = 'none'
        await outbox.write(store)
        assert.equal(await countOf(store, 'f'), sum)
        assert.ok(outbox.isEmpty)
      },
    ),
  )
})

test('two processes that write to one record add up, though one loses answers', async () => {
  const { store, outbox } = make('p1')
  const other = new Outbox(
    'p2',
    () => 0,
    () => [],
  )
  for (const fault of ['lost', 'none', 'lost', 'lost', 'none'] as const) {
    outbox.add('r', END, 'f', 1)
    other.add('r', END, 'f', 10)
    store.fault = fault
    await outbox.write(store).catch(() => undefined)
    store.fault = 'none'
    await other.write(store)
  }
  await outbox.write(store)
  assert.equal(await countOf(store, 'f'), 55)
})

test('a record that was given up in between has each number once, though an answer is lost', async () => {
  const { store, outbox } = make()
  outbox.add('r', END, 'f', 1)
  await outbox.write(store)
  for (let index = 0; index < 300; index += 1) outbox.add(`hour ${index}`, END, 'f', 1)
  await outbox.write(store)
  outbox.add('r', END, 'f', 10)
  store.fault = 'full'
  await assert.rejects(outbox.write(store))
  store.fault = 'none'
  await outbox.write(store)
  assert.equal(await countOf(store, 'f'), 11)
})

test('what waits can be read meanwhile', async () => {
  const { store, outbox } = make()
  store.fault = 'full'
  outbox.add('r', END, 'f', 2)
  await assert.rejects(outbox.write(store), /OOM/)
  outbox.add('r', END, 'f', 3)
  assert.equal(outbox.waiting('r').get('f'), '5')
  assert.equal(outbox.waiting('other').size, 0)
})

test('the record expires when it was to, however late it was written; nothing is written after that', async () => {
  const { store, outbox, moveTo } = make()
  outbox.add('r', END, 'f', 1)
  outbox.add('r2', END, 'f', 1)
  moveTo(END - 10)
  await outbox.write(store)
  assert.equal(await countOf(store, 'f'), 1)
  outbox.add('r', END, 'f', 1)
  moveTo(END)
  assert.equal(await countOf(store, 'f'), 0)
  await outbox.write(store)
  outbox.add('r', END, 'f', 1)
  await outbox.write(store)
  assert.equal(await countOf(store, 'f'), 0)
})

test('in a long outage, the records that wait longest are given up, and a record takes up no more than 1000 fields', async () => {
  const { store, outbox } = make()
  for (let index = 0; index < 300; index += 1) outbox.add(`hour ${index}`, END, 'f', 1)
  for (let index = 0; index < 3000; index += 1) outbox.add('r', END, `name ${index}`, 1)
  outbox.add('r', END, 'name 0', 1)
  await outbox.write(store)
  assert.equal((await store.readRecord('hour 0')).size, 0)
  assert.equal((await store.readRecord('hour 299')).get('f'), '1')
  const fields = await store.readRecord('r')
  assert.equal(fields.size, 1001)
  assert.equal(fields.get('name 0'), '2')
})

test('a record is relieved of superfluous fields, and of the marks of processes that ended', async () => {
  const { store } = make()
  for (let index = 0; index < 100; index += 1) {
    const outbox = new Outbox(
      `p${index}`,
      () => 0,
      (fields) => [...fields.keys()].filter((field) => field === 'f'),
    )
    outbox.add('r', END, 'f', 1)
    outbox.add('r', END, 'g', 1)
    await outbox.write(store)
  }
  const fields = await store.readRecord('r')
  assert.equal(fields.get('f'), undefined)
  assert.equal(fields.get('g'), '100')
  assert.ok(fields.size < 40, `${fields.size} fields`)
})
