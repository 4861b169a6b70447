// When senders try again: each kind of schedule by the times that its server's documentation gives, and what holds for all.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { nextRetry, type Queued, type Schedule } from '../../src/simulate/schedule.ts'

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

const EXIM: Schedule = {
  kind: 'exim',
  rules: [
    { kind: 'F', until: 2 * HOUR, interval: 15 * MINUTE, factor: 1 },
    { kind: 'G', until: 16 * HOUR, interval: HOUR, factor: 1.5 },
    { kind: 'F', until: 4 * DAY, interval: 6 * HOUR, factor: 1 },
  ],
  run: MINUTE,
  until: 4 * DAY,
}
const POSTFIX: Schedule = {
  kind: 'postfix',
  min: 300 * SECOND,
  max: 4000 * SECOND,
  run: 300 * SECOND,
  until: 5 * DAY,
}

/** The ages of a message at its attempts, as long as it is deferred; `limit` of them at most. */
function agesOf(schedule: Schedule, phase = 0, chance = () => 0.5, limit = 1000, firstAt = 0): number[] {
  let queued: Queued = { firstAt, lastAt: firstAt, attempts: 1, interval: 0 }
  const ages = [0]
  while (ages.length < limit) {
    const retry = nextRetry(schedule, queued, phase, chance())
    if (!retry) break
    ages.push(retry.at - firstAt)
    queued = { firstAt, lastAt: retry.at, attempts: queued.attempts + 1, interval: retry.interval }
  }
  return ages
}

test('Postfix waits as long as a message is old, between its bounds, and for the next scan of the queue', () => {
  const minutes = (phase: number) => agesOf(POSTFIX, phase, undefined, 8).map((age) => age / MINUTE)
  assert.deepEqual(minutes(0), [0, 5, 10, 20, 40, 80, 150, 220])
  // A scan 1 minute after the message has come finds it too young; the next one, 6 minutes after, tries it.
  assert.deepEqual(minutes(MINUTE), [0, 6, 16, 36, 76, 146, 216, 286])
})

test('Exim follows its rules: quarters of an hour, intervals that grow by half, quarters of a day', () => {
  const minutes = agesOf(EXIM).map((age) => age / MINUTE)
  assert.deepEqual(minutes.slice(0, 9), [0, 15, 30, 45, 60, 75, 90, 105, 120])
  const gaps = minutes.slice(9).map((minute, index) => minute - (minutes[index + 8] ?? 0))
  // Runs of the queue, a minute apart, come after the instants that are planned: 60, 90, 135, 202.5 minutes, …
  const growing = gaps.slice(0, 6)
  assert.ok(
    growing.every((gap, index) => Math.abs(gap - 60 * 1.5 ** index) < 2),
    growing.join(' '),
  )
  assert.deepEqual(new Set(gaps.slice(6)), new Set([6 * 60]))
  assert.ok((minutes.at(-1) ?? 0) <= 96 * 60)
})

test('a queue that is run each half hour tries everything in it', () => {
  const schedule: Schedule = { kind: 'run', every: 30 * MINUTE, until: 2 * HOUR }
  assert.deepEqual(
    agesOf(schedule, 10 * MINUTE).map((age) => age / MINUTE),
    [0, 10, 40, 70, 100],
  )
})

test('qmail tries after 400 n² seconds', () => {
  assert.deepEqual(
    agesOf({ kind: 'qmail', until: 2 * HOUR }).map((age) => age / SECOND),
    [0, 400, 1600, 3600, 6400],
  )
})

test('a list gives the times, then an interval, and jitter moves each interval by a part of it', () => {
  const at = [0, 5 * MINUTE, 15 * MINUTE]
  const list: Schedule = { kind: 'list', at, every: HOUR, jitter: 0.2, until: 3 * HOUR }
  const minutes = (chance: number) => agesOf(list, 0, () => chance).map((age) => age / MINUTE)
  assert.deepEqual(minutes(0.5), [0, 5, 15, 75, 135])
  assert.deepEqual(minutes(0), [0, 4, 12, 60, 108, 156])
  assert.deepEqual(agesOf({ ...list, every: 0 }).length, 3)
  assert.deepEqual(agesOf({ ...list, at: [0], every: 0, until: 0 }), [0])
})

const duration = fc.integer({ min: 1, max: DAY })
const anySchedule: fc.Arbitrary<Schedule> = fc.oneof(
  fc.record({
    kind: fc.constant('postfix' as const),
    min: duration,
    max: duration,
    run: duration,
    until: duration,
  }),
  fc.record({ kind: fc.constant('run' as const), every: duration, until: duration }),
  fc.record({ kind: fc.constant('qmail' as const), until: duration }),
  fc.record({
    kind: fc.constant('list' as const),
    at: fc.uniqueArray(duration, { maxLength: 5 }).map((times) => [0, ...times.sort((a, b) => a - b)]),
    every: fc.oneof(fc.constant(0), duration),
    jitter: fc.double({ min: 0, max: 1, noNaN: true }),
    until: duration,
  }),
  fc.record({
    kind: fc.constant('exim' as const),
    rules: fc.array(
      fc.record({
        kind: fc.constantFrom('F' as const, 'G' as const),
        until: duration,
        interval: duration,
        factor: fc.double({ min: 1, max: 3, noNaN: true }),
      }),
      { maxLength: 3 },
    ),
    run: duration,
    until: duration,
  }),
)

test('each retry is later than the attempt before, and none comes after the sender has given up', () => {
  fc.assert(
    fc.property(
      anySchedule,
      fc.nat(DAY),
      fc.nat(DAY),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (schedule, phase, firstAt, chance) => {
        const ages = agesOf(schedule, phase, () => chance, 50, firstAt)
        assert.ok(
          ages.every((age, index) => index === 0 || age > (ages[index - 1] ?? 0)),
          ages.join(' '),
        )
        assert.ok(ages.every((age) => age <= schedule.until))
      },
    ),
  )
})
