// Tests of records and of the scan of all keys in LMDB: restarts, the sweep, versions of greymx that know no records, and
// values that are damaged. The promises of all stores are in ../conformance.ts.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { open } from 'lmdb'
import { UnreadableEntry } from '../../../src/store/encoding.ts'
import { LmdbFile } from '../../../src/store/lmdb/file.ts'
import { openLmdbStore } from '../../../src/store/lmdb/lmdb.ts'
import type { Operation } from '../../../src/store/lmdb/operation.ts'
import { endWith, scratch } from '../../support/scratch.ts'

const DAY = 86_400_000
const NEVER = new AbortController().signal

function openAt(dir: string, now: () => number) {
  return openLmdbStore(dir, now, { onMovedAside: (problem) => assert.fail(problem) })
}

/** Changes keys as another program would, while no store has the environment open. */
async function edit(dir: string, change: (database: ReturnType<typeof openRaw>) => unknown): Promise<void> {
  const database = openRaw(dir)
  await change(database)
  await database.close()
}

function openRaw(dir: string) {
  return open<string, string>({ path: dir, noSubdir: false, encoding: 'string' })
}

test('records are there after a restart, with what is left of their lifetime', async (t) => {
  const dir = await scratch(t)
  const first = await openAt(dir, () => 1000)
  await first.changeRecord('rules', new Map([['a', '1']]))
  await first.changeRecord('mx1', new Map([['seen', 'now']]), 5000)
  await first.addToRecord('sums', new Map([['a', 7]]), DAY)
  const revision = await first.revisionOf('rules')
  await first.close()
  let now = 5000
  const again = await openAt(dir, () => now)
  endWith(dir, () => again.close())
  assert.equal(await again.revisionOf('rules'), revision)
  assert.deepEqual(await again.readRecord('rules'), new Map([['a', '1']]))
  assert.deepEqual(await again.readRecord('mx1'), new Map([['seen', 'now']]))
  await again.addToRecord('sums', new Map([['a', 1]]), DAY)
  now = 6000
  assert.deepEqual(await again.readRecord('mx1'), new Map())
  assert.deepEqual(await again.readRecord('sums'), new Map([['a', '8']]))
})

test('records that have expired are swept away with all of their fields, and others are not', async (t) => {
  const dir = await scratch(t)
  const file = new LmdbFile(dir, 'entries')
  endWith(dir, () => file.close())
  const change = (name: string, lifetime: number | null, fields: number): Operation => [
    'change record',
    name,
    Array.from({ length: fields }, (_, index) => [`field ${index}`, '1:pending:1000']),
    `revision of ${name}`,
    lifetime,
  ]
  await file.perform([change('kept', null, 300), change('old', 1000, 300), change('later', 9000, 300)], 0)
  assert.equal(file.size, 903)
  const adds = Array.from({ length: 2000 }, (_, index): Operation => ['add', `t:${index}`, DAY, 0])
  await file.perform(adds, 2000)
  assert.equal(file.size, 2000 + 602)
  await file.perform(adds, 10_000)
  const passes = Array.from({ length: 2000 }, (_, index): Operation => ['pass', `t:${index}`, DAY])
  await file.perform(passes, 10_000)
  assert.equal(file.size, 2000 + 301)
  const [answer] = await file.perform([['record whole', 'kept']], 10_000)
  assert.ok(answer && 'value' in answer && Array.isArray(answer.value) && answer.value.length === 300)
})

// Property of a host with little mail: what records leave behind is swept by the writes of records themselves.
test('records alone keep the environment small', async (t) => {
  const dir = await scratch(t)
  const file = new LmdbFile(dir, 'entries')
  endWith(dir, () => file.close())
  for (let hour = 0; hour < 500; hour += 1) {
    const by = Array.from({ length: 50 }, (_, index) => [`reason ${index}`, 1] as const)
    await file.perform([['add to record', `hour ${hour}`, by, 10]], hour)
  }
  assert.ok(file.size < 3 * 10 * 51, `${file.size} keys where 510 are alive`)
})

test('a record whose key a version without records has swept is gone, and begins anew without old fields', async (t) => {
  const dir = await scratch(t)
  const first = await openAt(dir, () => 1000)
  await first.changeRecord('mx1', new Map([['old', '1']]), 5000)
  await first.close()
  await edit(dir, (database) => database.remove('r:3:mx1:'))
  const store = await openAt(dir, () => 2000)
  endWith(dir, () => store.close())
  assert.deepEqual(await store.readRecord('mx1'), new Map())
  assert.equal(await store.revisionOf('mx1'), '')
  assert.equal((await store.countKeys(NEVER)).get('r'), 0)
  await store.addToRecord('mx1', new Map([['new', 2]]), 5000)
  assert.deepEqual(await store.readRecord('mx1'), new Map([['new', '2']]))
})

test('records are counted, and not their fields', async (t) => {
  const dir = await scratch(t)
  const store = await openAt(dir, () => 1000)
  endWith(dir, () => store.close())
  const fields = new Map(Array.from({ length: 50 }, (_, index) => [`field ${index}`, 'x']))
  for (let index = 0; index < 1200; index += 1)
    await store.changeRecord(`${index % 7 ? 'a' : 'b:'}${index}`, fields)
  await store.add('s:a', DAY)
  await store.add('q:a', DAY)
  assert.deepEqual(Object.fromEntries(await store.countKeys(NEVER)), { q: 1, r: 1200, s: 1, other: 0 })
})

test('damaged values fail their own record, with what was found, and the scan leaves them out', async (t) => {
  const dir = await scratch(t)
  const first = await openAt(dir, () => 1000)
  await first.changeRecord('rules', new Map([['a', '1']]))
  await first.changeRecord('other', new Map([['a', '1']]))
  await first.pass('t:a', DAY)
  await first.close()
  await edit(dir, async (database) => {
    await database.put('r:5:rules:a', 'no text of ours')
    await database.put('r:x', 'something')
    await database.put('r:9999:y:', 'something')
    await database.put('t:b', 'something else')
    await database.put('t:c', '9999999999999 2:passed:1000')
  })
  const store = await openAt(dir, () => 2000)
  endWith(dir, () => store.close())
  const unreadable = (error: Error) => {
    assert.ok(error instanceof UnreadableEntry)
    assert.match(error.message, /"a" of the record "rules": expected = and a text, found "no text of ours"/)
    return true
  }
  await assert.rejects(store.readRecord('rules'), unreadable)
  await assert.rejects(store.addToRecord('rules', new Map([['a', 1]]), DAY), unreadable)
  assert.deepEqual(await store.readRecord('other'), new Map([['a', '1']]))
  await store.changeRecord('rules', new Map([['a', '2']]))
  assert.deepEqual(await store.readRecord('rules'), new Map([['a', '2']]))
  assert.equal((await store.countKeys(NEVER)).get('r'), 2)
  const keys: string[] = []
  for await (const batch of store.scanKeys(NEVER)) keys.push(...batch.map(({ key }) => key))
  assert.deepEqual(keys, ['t:a'])
})
