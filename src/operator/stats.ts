// The call `stats`: what greylisting did in the last hours or days, at each MX and at all of them together, from the
// records that statistics.ts writes.

import { z } from 'zod'
import { messageOf } from '../errors.ts'
import type { RecordStore } from '../store/records.ts'
import { type Call, defineCall, Refusal } from './call.ts'
import {
  addCounts,
  addRecord,
  attemptsIn,
  type Counts,
  deferredIn,
  NAME_LISTS,
  type NameList,
  noCounts,
} from './counts.ts'
import { barsOf, delaysIn, delaysOverAnHour, quantileOf } from './delays.ts'
import { mxsSince } from './directory.ts'
import { lastPeriods, UNITS, type Unit } from './periods.ts'
import { recordOf, type Statistics } from './statistics.ts'
import { ANSWER_TIMEOUT, within } from './within.ts'

const [MAX_HOURS, MAX_DAYS] = [336, 400]
const DEFAULT_HOURS = 24

/** Number of records that are asked for at once. */
const READ_AT_ONCE = 32

/** Most names of each list in an answer. */
const SHOWN_NAMES = 10

const params = z.strictObject({
  hours: z
    .int()
    .min(1)
    .max(MAX_HOURS)
    .optional()
    .describe('the last hours, the present one included; 24 by default'),
  days: z.int().min(1).max(MAX_DAYS).optional().describe('the last days in UTC, today included, instead'),
})

const count = z.int().min(0)

const delays = z
  .strictObject({ p50: count, p90: count, p99: count })
  .describe(
    'how long first passes had waited, in milliseconds, to within 10 %: half, 90 %, 99 % of them at most',
  )

const neverReturned = z
  .strictObject({
    count: count.describe('first attempts that have not come back within the retry window'),
    of: count.describe('first attempts whose retry window is over'),
  })
  .describe('an estimate: the part of an hour or day whose retry window is over counts in proportion')

const named = z.array(z.strictObject({ name: z.string(), count }))

const verdicts = z.array(z.strictObject({ verdict: z.enum(['pass', 'tempfail']), reason: z.string(), count }))

const entry = z.strictObject({
  at: z.iso.datetime().describe('the beginning of the hour or day'),
  attempts: count,
  verdicts,
  tempfails: count,
  deferred: count,
  returned: count,
  neverReturned,
  overAnHour: count,
  delays: delays.optional(),
})

const figures = z.strictObject({
  attempts: count.describe('outcomes: recipients that were asked for, exempt ones included'),
  verdicts,
  observed: z
    .array(z.strictObject({ reason: z.string(), count }))
    .describe(
      'attempts that would have been deferred but for greylist.mode: observe or greymx off, by reason',
    ),
  deferred: count.describe('first attempts that were deferred'),
  returned: count.describe('first passes after a wait'),
  neverReturned,
  overAnHour: count.describe('first passes that had waited for more than an hour'),
  delays: delays.optional().describe('absent when nothing has come back'),
  delayBars: z
    .array(z.strictObject({ upTo: count.optional(), count }))
    .describe(
      'first passes by how long they had waited: longer than the bar before, and upTo milliseconds at most; the last has the longest',
    ),
  busiest: z
    .strictObject({ networks: named, deferredNetworks: named, domains: named, deferredDomains: named })
    .describe('client networks and sender domains with the most attempts, and with the most deferrals'),
  series: z.array(entry).describe('by hour or day; those without an attempt are left out'),
})

const result = z.strictObject({
  unit: z.enum(['hour', 'day']),
  from: z.iso.datetime(),
  to: z.iso.datetime().describe('now, by the clock of the store'),
  retryWindow: z.int().describe('greylist.retry_window, in milliseconds'),
  mxs: z.array(figures.extend({ mx: z.string().describe('host name') })),
  together: figures,
})

/** The answer to the call `stats`. */
export type Stats = z.infer<typeof result>
export type Figures = z.infer<typeof figures>

/** What the call needs: all of it may change with a reload. */
export interface StatsParts {
  /** The counters of this process. */
  readonly statistics: Statistics
  /** The name of this host. */
  readonly mx: string
  readonly records: () => RecordStore
  /** Milliseconds since 1970, by the clock of the store. */
  readonly now: () => number
  /** The setting `greylist.retry_window`, in milliseconds. */
  readonly retryWindow: () => number
  /** Hands outcomes on to the counters that wait for their batch. */
  readonly handOn: () => void
}

export function statsCall(parts: StatsParts): Call {
  return defineCall({
    name: 'stats',
    summary: 'tell what greylisting did in the last hours or days, at each MX and together',
    changes: false,
    params,
    result,
    async run({ hours, days }, _caller, signal): Promise<Stats> {
      if (hours !== undefined && days !== undefined)
        throw new Refusal('unsuited', 'Cannot tell hours and days at once: expected one of them')
      const unit = days === undefined ? 'hour' : 'day'
      return statsOf(parts, unit, days ?? hours ?? DEFAULT_HOURS, signal)
    },
  })
}

async function statsOf(parts: StatsParts, unit: Unit, length: number, signal: AbortSignal): Promise<Stats> {
  const { statistics, records } = parts
  const store = records()
  parts.handOn()
  // What was counted in the last seconds is in the store then. If it takes no writes, `unwritten` has it.
  await within(ANSWER_TIMEOUT, statistics.write(store)).catch(() => undefined)
  const now = parts.now()
  const starts = lastPeriods(unit, length, now)
  const [first = now] = starts
  const retryWindow = parts.retryWindow()
  try {
    const mxs = new Set([...(await mxsSince(store, first)), parts.mx])
    const all = emptyPeriods(starts)
    const each: Stats['mxs'] = []
    for (const mx of [...mxs].sort()) {
      const periods = await readPeriods(parts, { unit, starts, mx }, signal)
      for (const [start, counts] of periods) addCounts(all.get(start) ?? noCounts(), counts)
      const found = figuresOf(periods, { unit, now, retryWindow })
      if (found.attempts > 0 || found.returned > 0) each.push({ mx, ...found })
    }
    return {
      unit,
      from: new Date(first).toISOString(),
      to: new Date(now).toISOString(),
      retryWindow,
      mxs: each,
      together: figuresOf(all, { unit, now, retryWindow }),
    }
  } catch (error) {
    throw new Refusal('unavailable', `Cannot read the statistics: ${messageOf(error)}`)
  }
}

/** What was counted, by the start of the hour or day. */
type Periods = ReadonlyMap<number, Counts>

function emptyPeriods(starts: readonly number[]): Periods {
  return new Map(starts.map((start) => [start, noCounts()]))
}

interface Wanted {
  readonly unit: Unit
  readonly starts: readonly number[]
  readonly mx: string
}

async function readPeriods(
  { records, statistics, mx: own }: StatsParts,
  { unit, starts, mx }: Wanted,
  signal: AbortSignal,
): Promise<Periods> {
  const periods = emptyPeriods(starts)
  for (let index = 0; index < starts.length; index += READ_AT_ONCE) {
    signal.throwIfAborted()
    const some = starts.slice(index, index + READ_AT_ONCE)
    const read = (start: number) =>
      within(ANSWER_TIMEOUT, records().readRecord(recordOf(unit, start, mx))).then((fields) =>
        addRecord(periods.get(start) ?? noCounts(), fields),
      )
    await Promise.all(some.map(read))
  }
  if (mx === own) for (const [start, counts] of periods) addRecord(counts, statistics.unwritten(unit, start))
  return periods
}

/** By what figures are reckoned. */
interface Reckoning {
  readonly unit: Unit
  readonly now: number
  readonly retryWindow: number
}

function figuresOf(periods: Periods, reckoning: Reckoning): Figures {
  const sum = noCounts()
  for (const counts of periods.values()) addCounts(sum, counts)
  const series = [...periods].filter(([, counts]) => attemptsIn(counts) > 0)
  return {
    ...headOf(sum),
    verdicts: verdictsIn(sum),
    delayBars: barsOf(sum.delays),
    observed: [...sum.observed]
      .map(([reason, number]) => ({ reason, count: number }))
      .sort((one, other) => other.count - one.count),
    neverReturned: neverReturnedIn(periods, reckoning),
    busiest: Object.fromEntries(
      NAME_LISTS.map((list) => [list, busiest(sum.names[list])]),
    ) as Figures['busiest'],
    series: series.map(([start, counts]) => ({
      at: new Date(start).toISOString(),
      verdicts: verdictsIn(counts),
      tempfails: tempfailsIn(counts),
      ...headOf(counts),
      neverReturned: neverReturnedIn(new Map([[start, counts]]), reckoning),
    })),
  }
}

/** The figures that both a whole and each of its hours or days have. */
function headOf(counts: Counts) {
  const p50 = quantileOf(counts.delays, 0.5)
  const p90 = quantileOf(counts.delays, 0.9)
  const p99 = quantileOf(counts.delays, 0.99)
  const isKnown = p50 !== undefined && p90 !== undefined && p99 !== undefined
  return {
    attempts: attemptsIn(counts),
    deferred: deferredIn(counts),
    returned: delaysIn(counts.delays),
    overAnHour: delaysOverAnHour(counts.delays),
    ...(isKnown ? { delays: { p50, p90, p99 } } : {}),
  }
}

/** How often each verdict was given for each reason, the most frequent first. */
function verdictsIn({ verdicts }: Counts): Figures['verdicts'] {
  return [...verdicts]
    .map(([row, number]) => ({ ...verdictOf(row), count: number }))
    .sort((one, other) => other.count - one.count)
}

function verdictOf(row: string): { verdict: 'pass' | 'tempfail'; reason: string } {
  const space = row.indexOf(' ')
  return { verdict: row.slice(0, space) as 'pass' | 'tempfail', reason: row.slice(space + 1) }
}

function tempfailsIn({ verdicts }: Counts): number {
  let sum = 0
  for (const [row, number] of verdicts) if (row.startsWith('tempfail ')) sum += number
  return sum
}

/**
 * How many of the first attempts whose retry window is over have not come back. A return is counted at the hour of its
 * first attempt. An hour or day in which the retry window is over for a part of the attempts counts for that part, as if
 * they came evenly.
 */
function neverReturnedIn(periods: Periods, { unit, now, retryWindow }: Reckoning) {
  const overUntil = now - retryWindow
  let [of, returned] = [0, 0]
  for (const [start, counts] of periods) {
    const end = Math.min(start + UNITS[unit].length, now)
    const share = Math.min(Math.max((overUntil - start) / (end - start), 0), 1)
    of += share * deferredIn(counts)
    returned += share * Math.min(counts.returned, deferredIn(counts))
  }
  return { count: Math.round(of - returned), of: Math.round(of) }
}

function busiest(names: Counts['names'][NameList]): Array<{ name: string; count: number }> {
  return [...names]
    .map(([name, number]) => ({ name, count: number }))
    .sort((one, other) => other.count - one.count || (one.name < other.name ? -1 : 1))
    .slice(0, SHOWN_NAMES)
}
