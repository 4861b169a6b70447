// Tests statistics from outcomes to the answer of the call `stats`, over hours, days, MXs, restarts and outages.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Refusal } from '../../src/operator/call.ts'
import { Statistics } from '../../src/operator/statistics.ts'
import { type Stats, statsCall } from '../../src/operator/stats.ts'
import type { RecordStore } from '../../src/store/records.ts'
import { type FaultyRecords, faultyRecords, outcome, returned } from './records.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** Several MXs with one store and one clock. */
class Fleet {
  now: number
  readonly store: FaultyRecords
  #processes = 0

  constructor(at: string) {
    this.now = Date.parse(at)
    this.store = faultyRecords(() => this.now)
  }

  /** The counters of a new process on a host. */
  start(mx: string): Statistics {
    this.#processes += 1
    return new Statistics({ mx, process: `p${this.#processes}`, now: () => this.now })
  }

  ask(statistics: Statistics, mx: string, params: unknown = {}, records: RecordStore = this.store) {
    const call = statsCall({
      statistics,
      mx,
      records: () => records,
      now: () => this.now,
      retryWindow: () => 20 * HOUR,
      handOn: () => undefined,
    })
    const answer = call.run(call.params.parse(params), { name: 'test' }, new AbortController().signal)
    return (answer as Promise<Stats>).then((stats) => call.result.parse(stats) as Stats)
  }
}

const NOON = '2026-11-27T12:00:00Z'

test('stats tells verdicts, delays, busiest names and hours of what this process has counted a moment ago', async () => {
  const fleet = new Fleet(NOON)
  const mx1 = fleet.start('mx1')
  for (let index = 0; index < 10; index += 1) mx1.take(outcome({ sender: `a${index}@example.org` }))
  mx1.take(outcome({ client: '2001:db8:5:1::9', sender: '' }))
  mx1.take(outcome({ reason: 'early', client: '192.0.2.1' }))
  fleet.now += 5 * MINUTE
  for (const waited of [4 * MINUTE, 5 * MINUTE, 5 * MINUTE, HOUR, HOUR + 1]) mx1.take(returned(waited))
  mx1.take(outcome({ verdict: 'pass', reason: 'known' }))
  mx1.take(outcome({ verdict: 'pass', reason: 'observe', would: 'new' }))
  const { together, mxs, ...rest } = await fleet.ask(mx1, 'mx1')
  assert.deepEqual(rest, {
    unit: 'hour',
    from: '2026-11-26T13:00:00.000Z',
    to: '2026-11-27T12:05:00.000Z',
    retryWindow: 20 * HOUR,
  })
  assert.deepEqual(together.verdicts, [
    { verdict: 'tempfail', reason: 'new', count: 11 },
    { verdict: 'pass', reason: 'retry', count: 5 },
    { verdict: 'tempfail', reason: 'early', count: 1 },
    { verdict: 'pass', reason: 'known', count: 1 },
    { verdict: 'pass', reason: 'observe', count: 1 },
  ])
  assert.deepEqual(together.observed, [{ reason: 'new', count: 1 }])
  assert.equal(together.attempts, 19)
  assert.equal(together.deferred, 11)
  assert.equal(together.returned, 5)
  assert.equal(together.overAnHour, 1)
  assert.deepEqual(
    together.delayBars.filter(({ count }) => count > 0),
    [
      { upTo: 7.5 * MINUTE, count: 3 },
      { upTo: HOUR, count: 1 },
      { upTo: 2 * HOUR, count: 1 },
    ],
  )
  assert.deepEqual(together.series[0]?.verdicts, together.verdicts)
  const { p50 = 0, p99 = 0 } = together.delays ?? {}
  assert.ok(Math.abs(p50 - 5 * MINUTE) < 0.1 * 5 * MINUTE, `${p50}`)
  assert.ok(Math.abs(p99 - HOUR) < 0.1 * HOUR, `${p99}`)
  assert.deepEqual(together.busiest, {
    networks: [
      { name: '198.51.100.0/24', count: 17 },
      { name: '192.0.2.0/24', count: 1 },
      { name: '2001:db8:5::/48', count: 1 },
    ],
    deferredNetworks: [
      { name: '198.51.100.0/24', count: 10 },
      { name: '192.0.2.0/24', count: 1 },
      { name: '2001:db8:5::/48', count: 1 },
    ],
    domains: [
      { name: 'example.org', count: 18 },
      { name: '<>', count: 1 },
    ],
    deferredDomains: [
      { name: 'example.org', count: 11 },
      { name: '<>', count: 1 },
    ],
  })
  const [only] = mxs
  assert.deepEqual({ ...only }, { mx: 'mx1', ...together })
  assert.deepEqual(
    together.series.map(({ at, attempts, tempfails }) => [at, attempts, tempfails]),
    [['2026-11-27T12:00:00.000Z', 19, 12]],
  )
})

test('a first attempt whose retry window is over, and that has not come back, has never returned', async () => {
  const fleet = new Fleet(NOON)
  const mx1 = fleet.start('mx1')
  for (let index = 0; index < 10; index += 1) mx1.take(outcome())
  fleet.now += 3 * HOUR
  for (let index = 0; index < 4; index += 1) mx1.take(returned(3 * HOUR))
  for (let index = 0; index < 7; index += 1) mx1.take(outcome())
  const never = async () => {
    const { together, mxs } = await fleet.ask(mx1, 'mx1')
    assert.deepEqual(together.neverReturned, mxs[0]?.neverReturned)
    return together.neverReturned
  }
  assert.deepEqual(await never(), { count: 0, of: 0 }, 'all may still come back')
  fleet.now = Date.parse(NOON) + 20 * HOUR + 30 * MINUTE
  assert.deepEqual(await never(), { count: 3, of: 5 }, 'half of the first hour is decided')
  fleet.now = Date.parse(NOON) + 21 * HOUR
  assert.deepEqual(await never(), { count: 6, of: 10 })
  mx1.take(returned(18 * HOUR))
  assert.deepEqual(await never(), { count: 6, of: 10 }, 'that one was deferred later')
  fleet.now = Date.parse(NOON) + 23 * HOUR
  assert.deepEqual(await never(), { count: 6, of: 10 })
  fleet.now = Date.parse(NOON) + 26 * HOUR
  assert.deepEqual(await never(), { count: 6, of: 7 }, 'the first hour is not among the last 24')
})

test('the MXs of a fleet and several processes of one host add up, and each MX has its own figures', async () => {
  const fleet = new Fleet(NOON)
  const [a, b, c] = [fleet.start('mx1'), fleet.start('mx2'), fleet.start('mx2')]
  a.take(outcome())
  b.take(outcome())
  b.take(outcome())
  c.take(returned(4 * MINUTE))
  c.take(outcome())
  for (const statistics of [b, c]) await statistics.write(fleet.store)
  const { mxs, together } = await fleet.ask(a, 'mx1')
  assert.deepEqual(
    mxs.map(({ mx, attempts, deferred, returned }) => [mx, attempts, deferred, returned]),
    [
      ['mx1', 1, 1, 0],
      ['mx2', 4, 3, 1],
    ],
  )
  assert.equal(together.attempts, 5)
  assert.equal(together.busiest.networks[0]?.count, 5)
})

test('counters survive restarts, of which one was a crash that lost the seconds since the last write', async () => {
  const fleet = new Fleet(NOON)
  for (let start = 0; start < 3; start += 1) {
    const statistics = fleet.start('mx1')
    statistics.take(outcome())
    await statistics.write(fleet.store)
  }
  fleet.start('mx1').take(outcome())
  const { together } = await fleet.ask(fleet.start('mx1'), 'mx1')
  assert.equal(together.deferred, 3)
})

test('in an outage, counts wait and are told as far as they can be; afterwards each is there once', async () => {
  const fleet = new Fleet(NOON)
  const mx1 = fleet.start('mx1')
  for (const fault of ['lost', 'away', 'full', 'lost', 'away'] as const) {
    mx1.take(outcome())
    fleet.store.fault = fault
    await assert.rejects(mx1.write(fleet.store))
    fleet.now += HOUR
  }
  fleet.store.fault = 'full'
  assert.equal((await fleet.ask(mx1, 'mx1')).together.deferred, 5, 'full: what could not be written is told')
  fleet.store.fault = 'away'
  await assert.rejects(
    fleet.ask(mx1, 'mx1'),
    (error) => error instanceof Refusal && error.kind === 'unavailable' && /ECONNREFUSED/.test(error.message),
  )
  fleet.store.fault = 'none'
  await mx1.write(fleet.store)
  const { together } = await fleet.ask(fleet.start('mx9'), 'mx9')
  assert.equal(together.deferred, 5)
  assert.equal(together.series.length, 5)
})

// Property: whatever hours the attempts are in, hours and days add up to the same, over any end of a month or year.
test('each attempt is in one hour and one day of UTC, over ends of months and years and a leap day', async () => {
  const at = fc.constantFrom(
    ...[
      '2027-12-31T23:59:59.999Z',
      '2028-01-01T00:00:00.000Z',
      '2028-02-28T23:30:00Z',
      '2028-02-29T00:00:00Z',
    ],
    ...['2028-02-29T23:59:59.999Z', '2028-03-01T00:00:00Z', '2028-03-26T01:30:00Z', '2028-10-29T01:30:00Z'],
  )
  await fc.assert(
    fc.asyncProperty(
      at,
      fc.array(fc.integer({ min: 0, max: 90 * MINUTE }), { maxLength: 40 }),
      async (start, steps) => {
        const fleet = new Fleet(start)
        const mx1 = fleet.start('mx1')
        const [hours, days] = [new Map<string, number>(), new Map<string, number>()]
        for (const step of steps) {
          mx1.take(outcome())
          const label = new Date(fleet.now).toISOString()
          for (const [counts, name] of [
            [hours, `${label.slice(0, 13)}:00:00.000Z`],
            [days, `${label.slice(0, 10)}T00:00:00.000Z`],
          ] as const)
            counts.set(name, (counts.get(name) ?? 0) + 1)
          fleet.now += step
        }
        for (const [params, counts] of [
          [{ hours: 336 }, hours],
          [{ days: 400 }, days],
        ] as const) {
          const { together } = await fleet.ask(mx1, 'mx1', params)
          assert.deepEqual(new Map(together.series.map(({ at, attempts }) => [at, attempts])), counts)
          assert.equal(together.attempts, steps.length)
        }
      },
    ),
  )
})

test('a clock that goes back counts on in the hour that it shows', async () => {
  const fleet = new Fleet('2026-11-27T12:00:05Z')
  const mx1 = fleet.start('mx1')
  mx1.take(outcome())
  fleet.now -= 10_000
  mx1.take(outcome())
  fleet.now += 10_000
  const { together } = await fleet.ask(mx1, 'mx1')
  assert.deepEqual(
    together.series.map(({ at, attempts }) => [at.slice(0, 13), attempts]),
    [
      ['2026-11-27T11', 1],
      ['2026-11-27T12', 1],
    ],
  )
})

test('hours are kept for 14 days and days for 400, and what is older is gone from the store', async () => {
  const fleet = new Fleet(NOON)
  const mx1 = fleet.start('mx1')
  mx1.take(outcome())
  await mx1.write(fleet.store)
  const later = async (passed: number, params: unknown) => {
    fleet.now = Date.parse(NOON) + passed
    return (await fleet.ask(fleet.start('mx1'), 'mx1', params)).together.deferred
  }
  assert.equal(await later(13.9 * DAY, { hours: 336 }), 1)
  assert.equal(await later(15 * DAY, { hours: 336 }), 0)
  assert.equal(await later(399 * DAY, { days: 400 }), 1)
  assert.equal((await fleet.store.readRecord('stats:d:2026-11-27:mx1')).size > 0, true)
  assert.equal(await later(401 * DAY + HOUR, { days: 400 }), 0)
  assert.equal((await fleet.store.readRecord('stats:d:2026-11-27:mx1')).size, 0)
  assert.equal((await fleet.store.readRecord('stats:h:2026-11-27T12:mx1')).size, 0)
})

test('names of hosts may be anything', async () => {
  const fleet = new Fleet(NOON)
  const names = ['mx:1', 'mx 2 {a}', 'café', '../x%41', '\u0007bell', '', '__proto__']
  for (const name of names) {
    const statistics = fleet.start(name)
    statistics.take(outcome())
    await statistics.write(fleet.store)
  }
  const { mxs, together } = await fleet.ask(fleet.start('mx9'), 'mx9')
  assert.deepEqual(
    mxs.map(({ mx }) => mx),
    names.toSorted(),
  )
  assert.equal(together.deferred, names.length)
})

test('strangers who make up a name for each attempt fill no record, and hide no busy name', async () => {
  const fleet = new Fleet(NOON)
  const mx1 = fleet.start('mx1')
  for (let write = 0; write < 60; write += 1) {
    for (let index = 0; index < 500; index += 1) {
      const number = 500 * write + index
      const client = `10.${number >> 8}.${number & 255}.1`
      mx1.take(outcome({ client, sender: `a@random${number}.example` }))
      if (index % 25 === 0) mx1.take(outcome({ client: '192.0.2.9', sender: 'a@busy.example' }))
    }
    await mx1.write(fleet.store)
    fleet.now += 10_000
  }
  const { together } = await fleet.ask(mx1, 'mx1')
  assert.equal(together.attempts, 60 * 520)
  assert.equal(together.busiest.deferredNetworks[0]?.name, '192.0.2.0/24')
  assert.equal(together.busiest.domains[0]?.name, 'busy.example')
  assert.ok((together.busiest.domains[0]?.count ?? 0) >= 0.9 * 60 * 20)
  for (const record of ['stats:h:2026-11-27T12:mx1', 'stats:d:2026-11-27:mx1']) {
    const fields = await fleet.store.readRecord(record)
    assert.ok(fields.size < 400, `${record} has ${fields.size} fields`)
    const bytes = [...fields].reduce((sum, [name, value]) => sum + name.length + value.length, 0)
    assert.ok(bytes < 16_000, `${record} has ${bytes} bytes`)
  }
})

test('domains that are too long or cannot be shown are not counted as names, but the attempts are', async () => {
  const fleet = new Fleet(NOON)
  const mx1 = fleet.start('mx1')
  const odd = ['a@\u0007.example', 'a@[2J', 'a@ex\u202eample.org', `a@${'x'.repeat(200)}.example`, 'local']
  for (const sender of odd) mx1.take(outcome({ sender }))
  mx1.take(outcome({ sender: `${'x'.repeat(400)}@example.org` }))
  mx1.take(outcome({ sender: 'a@bücher.example' }))
  mx1.take(outcome({ sender: 'a@[192.0.2.1]' }))
  const { together } = await fleet.ask(mx1, 'mx1')
  assert.equal(together.attempts, odd.length + 3)
  assert.deepEqual(
    together.busiest.domains.map(({ name }) => name),
    ['[192.0.2.1]', 'xn--bcher-kva.example'],
  )
})

test('counting asks the store for nothing, and nothing is written while nothing was counted', async () => {
  const fleet = new Fleet(NOON)
  const mx1 = fleet.start('mx1')
  for (let index = 0; index < 5000; index += 1) mx1.take(outcome())
  assert.deepEqual(fleet.store.asked, [])
  await mx1.write(fleet.store)
  const { length } = fleet.store.asked
  assert.ok(length <= 8, fleet.store.asked.join())
  mx1.take(outcome())
  await mx1.write(fleet.store)
  assert.equal(fleet.store.asked.length, length + 2, 'one for the hour, one for the day')
  await mx1.write(fleet.store)
  assert.equal(fleet.store.asked.length, length + 2)
})

test('hours and days together are refused, and so are more than are kept', async () => {
  const fleet = new Fleet(NOON)
  const mx1 = fleet.start('mx1')
  await assert.rejects(
    fleet.ask(mx1, 'mx1', { hours: 1, days: 1 }),
    (error) => error instanceof Refusal && error.kind === 'unsuited',
  )
  for (const params of [{ hours: 0 }, { hours: 337 }, { days: 401 }, { days: 1.5 }, { weeks: 1 }])
    assert.throws(() => fleet.ask(mx1, 'mx1', params))
})

test('no more than 256 MXs are known, and those without mail for the longest time leave', async () => {
  const fleet = new Fleet(NOON)
  for (let index = 0; index < 300; index += 1) {
    const statistics = fleet.start(`pod-${index}`)
    statistics.take(outcome())
    await statistics.write(fleet.store)
    if (index % 50 === 49) fleet.now += DAY
  }
  const directory = await fleet.store.readRecord('stats:mxs')
  assert.equal(directory.size, 256)
  assert.ok(directory.has('mx:pod-299'))
  const { mxs } = await fleet.ask(fleet.start('mx1'), 'mx1', { days: 400 })
  assert.equal(mxs.length, 256)
})
