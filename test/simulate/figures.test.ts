// Figures of a few messages whose fates are written down by hand.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from '../../src/address.ts'
import type { Fate } from '../../src/simulate/engine.ts'
import { DISTRIBUTION_TIMES, figuresOf, quantile } from '../../src/simulate/figures.ts'
import type { Mail } from '../../src/simulate/world/mail.ts'
import { type MailClass, makeWorld, type World } from '../../src/simulate/world/world.ts'
import { sizeOf, worldData } from './world/support.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

const SOURCE = (() => {
  const [mail] = makeWorld(worldData(), sizeOf({ recipients: 5, days: 1 })).mails
  assert.ok(mail)
  return mail.source
})()

/** A message: its class, its organisation, when it came, and after which wait it passed, if it did. */
type Row = readonly [
  className: string,
  organisation: number,
  at: number,
  delay: number | undefined,
  lastDeferred?: number,
]

const CLASSES: readonly MailClass[] = [
  { name: 'letters', kind: 'wanted', changesSender: false, deadline: undefined, isStoppable: false },
  { name: 'codes', kind: 'wanted', changesSender: false, deadline: 10 * MINUTE, isStoppable: false },
  { name: 'callouts', kind: 'callout', changesSender: false, deadline: undefined, isStoppable: false },
  { name: 'bots', kind: 'spam', changesSender: false, deadline: undefined, isStoppable: true },
  { name: 'hacked', kind: 'spam', changesSender: false, deadline: undefined, isStoppable: false },
]

function figures(rows: readonly Row[]) {
  const mails = rows.map(([className, organisation, at]): Mail => {
    const classIndex = CLASSES.findIndex(({ name }) => name === className)
    const recipient = parseAddress('u@example.com')
    return { at, classIndex, organisation, source: SOURCE, seed: 0, sender: 'a@example.org', recipient }
  })
  const fates = rows.map(([, , at, delay, lastDeferred]): Fate => {
    const lastDeferredAfter = lastDeferred ?? (delay === 0 ? undefined : 0)
    return { attempts: 1, passedAt: delay === undefined ? undefined : at + delay, lastDeferredAfter }
  })
  const world = {
    ...makeWorld(worldData(), sizeOf({ recipients: 5, days: 1 })),
    classes: CLASSES,
    mails,
  } satisfies World
  return figuresOf(world, { fates, attempts: 7 }, { keys: 3, bytes: 400 })
}

test('the first message of each organisation has figures of its own, by the time of its first attempt', () => {
  const { first, wanted, organisations, waits, attempts, state } = figures([
    ['letters', 0, 5, 0],
    ['letters', 0, 2, 5 * MINUTE],
    ['letters', 1, 9, 0],
    ['codes', 2, 3, 20 * MINUTE],
    ['codes', 2, 4, undefined],
  ])
  assert.deepEqual([organisations, attempts, state], [3, 7, { keys: 3, bytes: 400 }])
  assert.equal(first.messages, 3)
  assert.equal(first.deferred, 2 / 3)
  assert.equal(first.mean, (25 * MINUTE) / 3)
  assert.deepEqual([wanted.messages, wanted.lost, wanted.deferred], [5, 1, 3 / 5])
  assert.equal(wanted.mean, (25 * MINUTE) / 4)
  assert.equal(wanted.worst, 20 * MINUTE)
  assert.deepEqual(waits, { mean: 1, p90: 2, worst: 2 })
})

test('a lost message is later than any time', () => {
  const { wanted, distribution } = figures([
    ['letters', 0, 0, 0],
    ['letters', 0, 0, 2 * HOUR],
    ['letters', 0, 0, 5 * HOUR],
    ['letters', 0, 0, undefined],
  ])
  assert.deepEqual([wanted.laterThanHour, wanted.laterThanFourHours, wanted.laterThanDay], [0.75, 0.5, 0.25])
  assert.deepEqual([wanted.p50, wanted.p90, wanted.worst], [2 * HOUR, Number.POSITIVE_INFINITY, 5 * HOUR])
  assert.equal(distribution[0], 0.75)
  assert.equal(distribution.at(-1), 0.25)
  assert.equal(distribution.length, DISTRIBUTION_TIMES.length)
})

test('codes are missed by their deadline, callouts are refused, and loops go on for a day', () => {
  const { codes, callouts, loops, spam, stoppable, bots } = figures([
    ['codes', 0, 0, 10 * MINUTE],
    ['codes', 0, 0, 10 * MINUTE + 1],
    ['codes', 0, 0, undefined],
    ['callouts', 0, 0, 0],
    ['callouts', 0, 0, undefined],
    ['letters', 0, 0, 26 * HOUR, DAY],
    ['letters', 0, 0, 26 * HOUR, DAY - 1],
    ['bots', -1, 0, undefined],
    ['bots', -1, 0, DAY],
    ['hacked', -1, 0, 0],
  ])
  assert.deepEqual(codes, { messages: 3, passed: 1 })
  assert.deepEqual(callouts, { messages: 2, passed: 1 })
  assert.equal(loops, 1)
  assert.deepEqual(spam, { messages: 3, passed: 2 })
  assert.deepEqual(stoppable, { messages: 2, passed: 1 })
  assert.deepEqual(bots, [
    { name: 'bots', isStoppable: true, messages: 2, passed: 1 },
    { name: 'hacked', isStoppable: false, messages: 1, passed: 1 },
  ])
})

test('a quantile is the least number that so many do not exceed', () => {
  const numbers = fc.array(fc.integer(), { minLength: 1, maxLength: 30 })
  fc.assert(
    fc.property(numbers, fc.double({ min: 0.01, max: 1, noNaN: true }), (all, part) => {
      const ascending = Float64Array.from(all).sort()
      const value = quantile(ascending, part)
      const least = [...ascending].find(
        (candidate) => ascending.filter((one) => one <= candidate).length >= part * ascending.length,
      )
      assert.equal(value, least)
    }),
  )
})
