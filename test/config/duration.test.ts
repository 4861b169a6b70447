// Tests of durations, as settings write them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatDuration, parseDuration } from '../../src/config/duration.ts'

test('parseDuration() reads a number and a unit, as whole milliseconds', () => {
  const cases: Array<[text: string, milliseconds: number]> = [
    ['250ms', 250],
    ['0s', 0],
    ['1s', 1000],
    ['4m', 240_000],
    ['1h', 3_600_000],
    ['2d', 172_800_000],
    ['1w', 604_800_000],
    ['1.5h', 5_400_000],
    ['0.25s', 250],
    ['0.1ms', 0],
    ['36 d', 3_110_400_000],
    ['007m', 420_000],
  ]
  for (const [text, milliseconds] of cases) assert.equal(parseDuration(text), milliseconds, text)
})

test('parseDuration() refuses everything else', () => {
  const cases = [
    ...[
      '',
      ' ',
      '4',
      '4.0',
      'm',
      '4x',
      '4M',
      '4min',
      '4 minutes',
      '-4m',
      '+4m',
      '4,5m',
      '.5m',
      '4.m',
      '1e3s',
      '0x4m',
    ],
    ...['4m ', ' 4m', '4  m', '1h30m', '1h 30m', '4m\n', 'Infinityd', '٤m', '4y'],
  ]
  for (const text of cases) assert.equal(parseDuration(text), undefined, JSON.stringify(text))
})

test('formatDuration() shows the largest unit that is exact', () => {
  const cases: Array<[milliseconds: number, text: string]> = [
    [0, '0ms'],
    [1, '1ms'],
    [1001, '1001ms'],
    [90_000, '90s'],
    [240_000, '4m'],
    [86_400_000, '1d'],
    [604_800_000, '1w'],
    [3_110_400_000, '36d'],
  ]
  for (const [milliseconds, text] of cases) assert.equal(formatDuration(milliseconds), text)
})

// Property: parseDuration() undoes formatDuration().
test('durations survive being shown and read', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.nat(),
        fc.nat().map((days) => days * 86_400_000),
      ),
      (milliseconds) => {
        assert.equal(parseDuration(formatDuration(milliseconds)), milliseconds)
      },
    ),
  )
})

// Property: any text is a duration in whole milliseconds, not negative, or is refused.
test('parseDuration() never throws', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'0123459.msh d') })), (text) => {
      const duration = parseDuration(text)
      assert.ok(duration === undefined || (duration >= 0 && Math.round(duration) === duration))
    }),
  )
})
