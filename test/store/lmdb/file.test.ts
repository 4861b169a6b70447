// Tests of LmdbFile: what operations keep, how it is swept, and how large the file grows.

import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { LmdbFile } from '../../../src/store/lmdb/file.ts'
import type { Operation } from '../../../src/store/lmdb/operation.ts'
import { endWith, scratch } from '../../support/scratch.ts'

const DAY = 86_400_000

async function openFile(t: TestContext) {
  const dir = await scratch(t)
  const file = new LmdbFile(dir, 'entries')
  endWith(dir, () => file.close())
  return { file, size: async () => (await stat(join(dir, 'data.mdb'))).size }
}

test('LmdbFile sweeps what has ended as it is written to', async (t) => {
  const { file } = await openFile(t)
  const add = (name: string): Operation[] =>
    Array.from({ length: 2000 }, (_, index) => ['add', `t:${name} ${index}`, 1000, 0])
  const count = Array.from({ length: 100 }, (_, index): Operation => ['count', `n:${index}`, 1000, 1])
  await file.perform([...add('old'), ...count], 0)
  assert.equal(file.size, 2100)
  await file.perform(add('new'), 2000)
  assert.equal(file.size, 2000)
})

// Most triplets are never seen again, some pass and are used. Entries of clients and counts expire as well.
test('over 380,000 writes, LmdbFile stays a small multiple of what the live entries need', async (t) => {
  const { file, size } = await openFile(t)
  const [perStep, steps, window, lifetime] = [500, 400, 2 * DAY, 4 * DAY]
  const step = DAY / 8 // 16 steps of pending entries are alive at a time, and 32 of passed ones
  let largest = 0
  let halfway = 0
  for (let index = 0; index < steps; index += 1) {
    const operations: Operation[] = []
    for (let each = 0; each < perStep; each += 1) {
      // Keys are in another order than their instants.
      const name = ((index * perStep + each) * 2_654_435_761) % 2 ** 32
      operations.push(['add', `t:network:198.51.100.0/24|${name}@sender.test|user@example.com`, window, 0])
      if (each % 2 === 0) operations.push(['count', `d:${name}|user@example.com`, window, 1])
      if (each % 5 === 0)
        operations.push(['pass', `t:host:mx${name}.test|a@sender.test|u@example.com`, lifetime])
      if (each % 5 === 0) operations.push(['add', `s:host:mx${name}.test`, DAY / 24, 0])
      if (each % 10 === 0) operations.push(['find', [`t:${name}`]])
    }
    await file.perform(operations, index * step)
    largest = Math.max(largest, file.size)
    if (index === steps / 2) halfway = await size()
  }
  const alive = perStep * (1.5 * 16 + 0.2 * 32)
  assert.ok(largest < 2 * alive, `${largest} entries where ${alive} are alive`)
  const grown = await size()
  const needed = alive * 150 // bytes of a key, a value and what LMDB adds
  t.diagnostic(`${largest} entries at most, ${alive} alive; ${halfway} bytes halfway, ${grown} at the end`)
  assert.ok(grown < 5 * needed, `${grown} bytes where ${needed} are needed`)
  assert.ok(grown < 1.1 * halfway, `${grown} bytes after ${halfway} halfway`)
})
