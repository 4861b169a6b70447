// Runs the fuzzer for a bounded time: once with a fixed seed, and once with a new one, which is printed.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readCase, writeCase } from './case.ts'
import { SEEDS } from './mutate.ts'
import { fuzz } from './run.ts'

const SECONDS = 5

for (const seed of [1, Math.floor(Math.random() * 2 ** 32)]) {
  test(`whatever is sent from seed ${seed}, greymx answers what it must, or closes`, async (t) => {
    const say = (line: string) => t.diagnostic(line)
    assert.equal(await fuzz({ seconds: SECONDS, seed, scope: t, say }), undefined)
  })
}

test('a case can be written down and read again', () => {
  const input = { settings: 3, schedule: 4_000_000_000, lanes: [SEEDS[0] ?? [], [], [Buffer.from([0, 255])]] }
  assert.deepEqual(readCase(`seed 1 and more\n\n${writeCase(input)}`), input)
})
