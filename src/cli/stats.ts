// greymx stats: prints what greylisting did in the last hours or days, as the running daemon tells it.

import type { Figures, Stats } from '../operator/stats.ts'
import { formatDelay } from '../simulate/table.ts'
import { unreadable } from './args.ts'
import { type CallValues, callDaemon } from './call.ts'
import { terminalWidth } from './columns.ts'
import type { Misuse } from './command.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { cut, formatBeside, formatColumns, formatCount, type Line } from './figures.ts'
import { print } from './output.ts'

export interface StatsValues extends CallValues {
  readonly hours: string | undefined
  readonly days: string | undefined
}

const [MAX_HOURS, MAX_DAYS] = [336, 400]

/** Most hosts that have a column of their own, names of each list, and lines of the series. */
const MAX_HOSTS = 8
const MAX_NAMES = 5
const MAX_LINES = 48

/** Longest names that are shown, in characters. */
const MAX_HOST = 24
const MAX_NAME = 28

const NONE = '–'

/** Returns the exit status, or says which number cannot be read. */
export async function stats(values: StatsValues): Promise<ExitStatus | Misuse> {
  const { hours, days } = values
  if (hours !== undefined && !isNumberUpTo(hours, MAX_HOURS))
    return unreadable('--hours', hours, `a whole number from 1 to ${MAX_HOURS}`, 'stats')
  if (days !== undefined && !isNumberUpTo(days, MAX_DAYS))
    return unreadable('--days', days, `a whole number from 1 to ${MAX_DAYS}`, 'stats')
  const params = {
    ...(hours === undefined ? {} : { hours: Number(hours) }),
    ...(days === undefined ? {} : { days: Number(days) }),
  }
  const asked = await callDaemon(values, 'stats', params)
  if ('status' in asked) return asked.status
  print(
    values.json ? `${JSON.stringify(asked.answer)}\n` : formatStats(asked.answer as Stats, terminalWidth()),
  )
  return EXIT.ok
}

function isNumberUpTo(text: string, most: number): boolean {
  return /^\d{1,4}$/.test(text) && Number(text) >= 1 && Number(text) <= most
}

/** The answer as text, in lines of at most `width` characters if that is not below 60. */
export function formatStats(answer: Stats, width: number): string {
  const { unit, from, to, together, mxs } = answer
  const until = `${minuteOf(from)} to ${minuteOf(to)} UTC`
  if (together.attempts === 0 && together.returned === 0)
    return `No mail was counted from ${until}: statistics begin with the first message.\n`
  const parts = [
    `From ${until}, by ${unit}\n`,
    formatFigures(answer, width),
    formatVerdicts(answer, width),
    formatBusiest(together, width),
    formatSeries(answer, width),
  ]
  const busiest = busiestHosts(mxs)
  if (busiest.length < mxs.length)
    parts.push(`${mxs.length - busiest.length} hosts with less mail are in --json only.\n`)
  return parts.join('\n')
}

/** The columns of the tables: all hosts together, if there are several, and each by itself. */
function columnsOf({ together, mxs }: Stats): Array<readonly [name: string, figures: Figures]> {
  const hosts = busiestHosts(mxs).map(
    ({ mx, ...figures }) => [cut(mx || '(no name)', MAX_HOST), figures] as const,
  )
  return mxs.length === 1 ? hosts : [['together', together], ...hosts]
}

function busiestHosts(mxs: Stats['mxs']): Stats['mxs'] {
  const byMail = mxs.toSorted((one, other) => other.attempts - one.attempts).slice(0, MAX_HOSTS)
  return mxs.filter((mx) => byMail.includes(mx))
}

function formatFigures(answer: Stats, width: number): string {
  const columns = columnsOf(answer)
  const row = (label: string, cell: (figures: Figures) => string): Line => ({
    label,
    cells: columns.map(([, figures]) => cell(figures)),
  })
  const delay = (share: 'p50' | 'p90' | 'p99') => (figures: Figures) => {
    const delays = figures.delays?.[share]
    return delays === undefined ? NONE : formatDelay(delays)
  }
  const isObserved = columns.some(([, { observed }]) => observed.length > 0)
  const observedIn = ({ observed }: Figures) => observed.reduce((sum, { count }) => sum + count, 0)
  return formatColumns(
    columns.map(([name]) => name),
    [
      row('attempts', ({ attempts }) => formatCount(attempts)),
      row('first attempts deferred', ({ deferred }) => formatCount(deferred)),
      ...(isObserved ? [row('would have been deferred', (figures) => formatCount(observedIn(figures)))] : []),
      row('returned', ({ returned }) => formatCount(returned)),
      row('  half had waited up to', delay('p50')),
      row('  9 of 10, up to', delay('p90')),
      row('  99 of 100, up to', delay('p99')),
      row('  over an hour', ({ overAnHour }) => formatCount(overAnHour)),
      row('never returned, so far', ({ neverReturned }) => formatNever(neverReturned)),
    ],
    width,
  )
}

/** Of first attempts, only those whose retry window is over can be said not to have returned. */
function formatNever({ count, of }: Figures['neverReturned']): string {
  return of === 0 ? NONE : `${formatCount(count)} of ${formatCount(of)}`
}

function formatVerdicts(answer: Stats, width: number): string {
  const columns = columnsOf(answer)
  const rows = answer.together.verdicts.map(
    ({ verdict, reason }): Line => ({
      label: `${verdict} ${reason}`,
      cells: columns.map(([, { verdicts }]) => {
        const found = verdicts.find((one) => one.verdict === verdict && one.reason === reason)
        return formatCount(found?.count ?? 0)
      }),
    }),
  )
  return formatColumns(
    columns.map(([name]) => name),
    rows,
    width,
  )
}

function formatBusiest({ busiest }: Figures, width: number): string {
  const list = (title: string, names: Figures['busiest']['networks']) => {
    const shown = names
      .slice(0, MAX_NAMES)
      .map(({ name, count }) => [cut(name, MAX_NAME), formatCount(count)] as const)
    const nameWidth = Math.max(0, ...shown.map(([name]) => name.length))
    const countWidth = Math.max(0, ...shown.map(([, count]) => count.length))
    const lines = shown.map(([name, count]) => `  ${name.padEnd(nameWidth)}  ${count.padStart(countWidth)}`)
    return [title, ...(lines.length > 0 ? lines : [`  ${NONE}`])]
  }
  return [
    formatBeside(
      list('networks, all attempts', busiest.networks),
      list('networks, deferrals', busiest.deferredNetworks),
      width,
    ),
    formatBeside(
      list('sender domains, all attempts', busiest.domains),
      list('sender domains, deferrals', busiest.deferredDomains),
      width,
    ),
  ].join('\n')
}

function formatSeries({ unit, together: { series } }: Stats, width: number): string {
  const shown = series.slice(-MAX_LINES)
  const rows = shown.map(
    ({ at, attempts, deferred, returned, overAnHour, neverReturned, delays }): Line => ({
      label: unit === 'hour' ? minuteOf(at) : at.slice(0, 10),
      cells: [
        ...[formatCount(attempts), formatCount(deferred), formatCount(returned)],
        ...[delays ? formatDelay(delays.p90) : NONE, formatCount(overAnHour)],
        neverReturned.of === 0 ? NONE : formatCount(neverReturned.count),
      ],
    }),
  )
  const headings = ['attempts', 'deferred', 'returned', '9 of 10', 'over 1 h', 'never']
  const more = series.length - shown.length
  const omitted = more > 0 ? `${more} earlier ${unit}s are in --json only.\n` : ''
  return formatColumns(headings, rows, width) + omitted
}

/** `2026-11-27T12:05:00.000Z` → `2026-11-27 12:05`. */
function minuteOf(instant: string): string {
  return instant.slice(0, 16).replace('T', ' ')
}
