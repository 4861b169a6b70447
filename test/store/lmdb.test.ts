// LmdbStore runs the conformance suite; below it, what only a store on disk has to show.

import assert from 'node:assert/strict'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { open } from 'lmdb'
import { UnreadableEntry } from '../../src/store/encoding.ts'
import { openLmdbStore } from '../../src/store/lmdb.ts'
import { describeSharedStore } from './conformance.ts'

const DAY = 86_400_000

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'greymx-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}

describeSharedStore('LmdbStore', 0, async (t) => {
  let now = 1_700_000_000_000
  const store = openLmdbStore(await folder(t), () => now)
  t.after(() => store.close())
  return {
    store,
    other: store,
    async advance(milliseconds) {
      now += milliseconds
    },
  }
})

test('LmdbStore finds what it kept when it is opened again', async (t) => {
  const dir = join(await folder(t), 'made', 'by.itself')
  const first = openLmdbStore(dir, () => 1000)
  await first.add('pending', DAY)
  await first.pass('passed', DAY)
  await first.close()
  const again = openLmdbStore(dir, () => 2000)
  assert.deepEqual(await again.find(['pending', 'passed']), [
    { passed: false, age: 1000 },
    { passed: true, age: 1000 },
  ])
  await again.close()
  assert.equal((await stat(dir)).mode & 0o777, 0o700)
})

test('LmdbStore sweeps what has ended as it is written to', async (t) => {
  const dir = await folder(t)
  let now = 0
  const store = openLmdbStore(dir, () => now)
  await Promise.all(Array.from({ length: 2000 }, (_, index) => store.add(`old ${index}`, 1000)))
  now = 2000
  await Promise.all(Array.from({ length: 2000 }, (_, index) => store.add(`new ${index}`, DAY)))
  assert.equal(store.size, 2000)
  await store.close()
})

test('LmdbStore refuses contents that are none of its own, key by key, and keeps them', async (t) => {
  const dir = await folder(t)
  const database = open({ path: dir, noSubdir: false, encoding: 'string' })
  await database.put('foreign', 'something else')
  await database.put('newer', '9999999999999 2:passed:1000:more')
  await database.close()
  const store = openLmdbStore(dir, () => 1000)
  for (const key of ['foreign', 'newer']) {
    await assert.rejects(store.find([key]), (error: Error) => {
      return (
        error instanceof UnreadableEntry &&
        error.message.includes(`"${key}"`) &&
        /expected 1:pending:MS/.test(error.message)
      )
    })
  }
  await assert.rejects(store.count('foreign', DAY), /expected a count, found/)
  await assert.rejects(store.merge('foreign', { counted: 1, left: DAY }), UnreadableEntry)
  await assert.rejects(store.merge('newer', { passed: true, ttl: DAY, left: DAY }), UnreadableEntry)
  assert.equal(await store.add('ours', DAY), true)
  assert.equal(store.size, 3)
  await store.close()
})

test('openLmdbStore names the directory that it cannot use', async (t) => {
  const file = join(await folder(t), 'file')
  await writeFile(file, '')
  assert.throws(() => openLmdbStore(file, Date.now), {
    message: new RegExp(`^Cannot open the LMDB store in ${file}: `),
  })
})
