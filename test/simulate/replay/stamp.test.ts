// Times in every form in which they stand before a log line, and the year of those that name none.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readStamp, StampClock } from '../../../src/simulate/replay/stamp.ts'

/** The time of a line and what stands behind it; the time is UTC, or of a zone of its own. */
function read(line: string, year = 2026): [time: string, rest: string] | undefined {
  const stamp = readStamp(line)
  return stamp && [new Date(new StampClock(year).instantOf(stamp)).toISOString(), line.slice(stamp.end)]
}

/** The local time as the tests write it, whatever the zone of the machine. */
function local(...parts: [number, number, number, number, number, number, number?]): string {
  return new Date(...parts).toISOString()
}

test('readStamp() reads what syslog daemons, journalctl and docker write', () => {
  const cases: Array<[line: string, time: string]> = [
    ['2026-11-26T12:36:01.123456+00:00 ', '2026-11-26T12:36:01.123Z'],
    ['2026-11-26T12:36:01.5Z ', '2026-11-26T12:36:01.500Z'],
    ['2026-11-26T12:36:01.123456789Z ', '2026-11-26T12:36:01.123Z'],
    ['2026-11-26T12:36:01-03:30 ', '2026-11-26T16:06:01.000Z'],
    ['2026-11-26T12:36:01+0100 ', '2026-11-26T11:36:01.000Z'],
    ['2026-11-26 12:36:01,123+01:00 ', '2026-11-26T11:36:01.123Z'],
    ['2028-02-29T23:59:60Z ', '2028-03-01T00:00:00.000Z'],
    ['Thu 2026-11-26 12:36:01 UTC ', '2026-11-26T12:36:01.000Z'],
    ['Thu 2026-11-26 12:36:01 CET ', local(2026, 10, 26, 12, 36, 1)],
    ['2026-11-26 12:36:01 ', local(2026, 10, 26, 12, 36, 1)],
    ['2026-11-26T12:36:01.25 ', local(2026, 10, 26, 12, 36, 1, 250)],
    ['Nov 26 12:36:01 ', local(2026, 10, 26, 12, 36, 1)],
    ['Nov  6 02:06:01 ', local(2026, 10, 6, 2, 6, 1)],
    ['Nov 26 12:36:01.123456 ', local(2026, 10, 26, 12, 36, 1, 123)],
    ['1795696561.123456 ', '2026-11-26T12:36:01.123Z'],
  ]
  for (const [line, time] of cases) assert.deepEqual(read(`${line}mx1 x: y`), [time, 'mx1 x: y'], line)
  assert.deepEqual(read('2026-11-26T12:36:01Z'), ['2026-11-26T12:36:01.000Z', ''])
})

test('readStamp() finds no time in what only resembles one', () => {
  const lines = [
    ...[
      '',
      ' ',
      'Nov',
      'Nov 26',
      'Nov 26 12:36:01',
      'Nov 32 12:36:01 ',
      'Nov 26 24:00:00 ',
      'Nov 26 12:60:00 ',
    ],
    ...['Nov  0 12:36:01 ', 'Nov 6 12:36:01 ', 'nov 26 12:36:01 ', 'Dez 26 12:36:01 ', '26. Nov 12:36:01 '],
    ...['Nov 26 12:36:01mx1 ', '2026-11-26T12:36:01Zmx1 ', '2026-13-26T12:36:01Z ', '2026-02-30T12:36:01Z '],
    ...[
      '2026-11-26T12:36 ',
      '2026/11/26 12:36:01 ',
      '1795696561 ',
      '17956965.123456 ',
      'Thu Nov 26 12:36:01 2026 ',
    ],
    ...['2026-11-26T12:36:01+1 ', '٢٠٢٦-11-26T12:36:01Z ', 'Nov ٢٦ 12:36:01 '],
  ]
  for (const line of lines) assert.equal(readStamp(line), undefined, line)
})

test('any text has a time or none', () => {
  const pieces = fc.constantFrom(
    'Nov',
    'Thu',
    ' ',
    '26',
    '2026',
    '-',
    '11',
    'T',
    '12',
    ':',
    '36',
    '.',
    '1',
    '+',
    'Z',
  )
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(pieces).map((parts) => parts.join('')),
  )
  fc.assert(
    fc.property(texts, (text) => {
      const stamp = readStamp(text)
      if (stamp) assert.ok(Number.isFinite(new StampClock(2026).instantOf(stamp)))
    }),
    { numRuns: 2000 },
  )
})

test('lines without a year turn it where months begin anew, and stragglers do not', () => {
  const clock = new StampClock(2025)
  const times: Array<[line: string, year: number]> = [
    ['Nov 30 23:59:59 ', 2025],
    ['Dec  1 00:00:00 ', 2025],
    ['Nov 30 23:59:59 ', 2025],
    ['Dec 31 23:59:59 ', 2025],
    ['Jan  1 00:00:00 ', 2026],
    ['Dec 31 23:59:59 ', 2025],
    ['Jan  1 00:00:01 ', 2026],
    ['Sep  1 00:00:00 ', 2026],
    ['Feb  1 00:00:00 ', 2027],
  ]
  for (const [line, year] of times) {
    const stamp = readStamp(line)
    assert.ok(stamp)
    assert.equal(new Date(clock.instantOf(stamp)).getFullYear(), year, line)
  }
})
