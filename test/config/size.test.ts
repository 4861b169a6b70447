// Tests of sizes, as settings write them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatSize, parseSize } from '../../src/config/size.ts'

test('parseSize() reads a number and a unit, as whole bytes', () => {
  const cases: Array<[text: string, bytes: number]> = [
    ['0B', 0],
    ['1000B', 1000],
    ['64KiB', 65_536],
    ['1MiB', 1_048_576],
    ['1.5MiB', 1_572_864],
    ['2 GiB', 2_147_483_648],
  ]
  for (const [text, bytes] of cases) assert.equal(parseSize(text), bytes, text)
})

test('parseSize() refuses everything else', () => {
  const cases = [
    '',
    '64',
    'KiB',
    '64K',
    '64KB',
    '64kib',
    '64 kB',
    '-1KiB',
    '1,5MiB',
    '.5MiB',
    '1TiB',
    '1MiB ',
    ' 1B',
  ]
  for (const text of cases) assert.equal(parseSize(text), undefined, JSON.stringify(text))
})

// Property: parseSize() undoes formatSize().
test('formatSize() writes what parseSize() reads', () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 40 }), (bytes) => {
      assert.equal(parseSize(formatSize(bytes)), bytes)
    }),
  )
  assert.deepEqual([65_536, 1000, 1_048_576, 0].map(formatSize), ['64KiB', '1000B', '1MiB', '0B'])
})
