// Tests of entries as text: what is written is read again, and what a clock that was set back makes of ages.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ageEntry, decodeEntry, encodeEntry, hasTooMuchLeft } from '../../src/store/encoding.ts'

test('an entry is read as it was written', () => {
  for (const passed of [false, true])
    for (const ttl of [1, 172_800_000, 999_999_999_999_999])
      assert.deepEqual(decodeEntry('key', encodeEntry({ passed, ttl })), { passed, ttl })
})

test('the age of an entry is what has passed of its time, and never less than nothing', () => {
  const entry = { passed: false, ttl: 1000 }
  for (const [remaining, age] of [
    [1000, 0],
    [999, 1],
    [0, 1000],
    [1001, 0],
    [90_000_000, 0],
  ] as const)
    assert.deepEqual(ageEntry(entry, remaining), { passed: false, age })
  assert.deepEqual([hasTooMuchLeft(1050, 1000), hasTooMuchLeft(1051, 1000)], [false, true])
})
