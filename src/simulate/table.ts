// Prints figures as text: a row for each figure, a column for each variant. Columns that do not fit stand below.

import { type Delays, type Figures, type Passing, shareOf } from './figures.ts'

/** Figures under the name of what was simulated. */
export interface Variant {
  readonly name: string
  readonly figures: Figures
}

interface Row {
  readonly label: string
  readonly cells: readonly string[]
}

const GAP = '  '
const INDENT = '  '

/** The table of all figures but those by class of sender, in lines of at most `width` characters if names allow. */
export function formatTable(variants: readonly Variant[], width: number): string {
  const all = variants.map(({ figures }) => figures)
  const row = (label: string, cell: (figures: Figures) => string): Row => ({ label, cells: all.map(cell) })
  const heading = (label: string): Row => ({ label, cells: [] })
  const delayRows = (of: (figures: Figures) => Delays): Row[] =>
    DELAY_ROWS.map(([label, cell]) => row(INDENT + label, (figures) => cell(of(figures))))
  const bots = all[0]?.bots.map(({ name }) => name) ?? []
  const rows = [
    heading('first message of each organisation'),
    ...delayRows(({ first }) => first),
    heading('all wanted mail'),
    ...delayRows(({ wanted }) => wanted),
    row('one-time codes missed', ({ codes }) => formatShare(missed(codes))),
    heading('messages of an organisation that waited'),
    row(`${INDENT}mean`, ({ waits }) => waits.mean.toFixed(1)),
    row(`${INDENT}9 of 10 organisations, at most`, ({ waits }) => String(waits.p90)),
    row(`${INDENT}most`, ({ waits }) => String(waits.worst)),
    row('callouts refused', ({ callouts }) => formatShare(missed(callouts))),
    row('loops', ({ loops }) => String(loops)),
    heading('spam that passed'),
    row(`${INDENT}all`, ({ spam }) => formatShare(shareOf(spam))),
    row(`${INDENT}stoppable`, ({ stoppable }) => formatShare(shareOf(stoppable))),
    ...bots.map((name) =>
      row(`${INDENT}${INDENT}${name}`, (figures) => {
        const bot = figures.bots.find((one) => one.name === name)
        return bot && bot.messages > 0 ? formatShare(shareOf(bot)) : '–'
      }),
    ),
    heading('state, at the end of the fullest day'),
    row(`${INDENT}keys`, ({ state }) => (state ? String(state.keys) : '–')),
    row(`${INDENT}memory of Redis`, ({ state }) => (state ? formatBytes(state.bytes) : '–')),
    row('attempts', ({ attempts }) => String(attempts)),
  ]
  const { headings, legend } = headingsOf(variants)
  return (
    formatColumns(headings, rows, width) +
    legend.map((line) => `\n${line}`).join('') +
    (legend.length > 0 ? '\n' : '')
  )
}

/** Longest name that stands above a column, in characters. */
const MAX_HEADING = 26

/** What stands for each variant where there is little room: its name, or a number that the legend explains. */
export function headingsOf(variants: readonly Variant[]): {
  readonly headings: readonly string[]
  readonly legend: readonly string[]
} {
  const legend: string[] = []
  const headings = variants.map(({ name }, index) => {
    if (name.length <= MAX_HEADING) return name
    const number = `(${index + 1})`
    legend.push(`${number} ${name}`)
    return number
  })
  return { headings, legend }
}

/** The figures of each class of sender, a row for a class. */
export function formatClasses({ name, figures }: Variant): string {
  const columns = [
    ...[
      'organisations',
      'messages',
      'first deferred',
      'first mean',
      'deferred',
      'mean',
      '9 of 10',
      '99 of 100',
    ],
    ...['later 1 h', 'lost', 'codes missed', 'loops'],
  ]
  const rows = figures.senders.map(
    ({ name: label, organisations, first, wanted, codes, loops }): Row => ({
      label: INDENT + label,
      cells: [
        ...[
          String(organisations),
          String(wanted.messages),
          formatShare(first.deferred),
          formatDelay(first.mean),
        ],
        ...[formatShare(wanted.deferred), formatDelay(wanted.mean), formatDelay(wanted.p90)],
        ...[formatDelay(wanted.p99), formatShare(wanted.laterThanHour), String(wanted.lost)],
        ...[codes.messages > 0 ? formatShare(missed(codes)) : '–', String(loops)],
      ],
    }),
  )
  return `${name}\n${formatColumns(columns, rows, Number.POSITIVE_INFINITY)}`
}

const DELAY_ROWS: ReadonlyArray<readonly [label: string, cell: (delays: Delays) => string]> = [
  ['deferred', ({ deferred }) => formatShare(deferred)],
  ['mean delay', ({ mean }) => formatDelay(mean)],
  ['half within', ({ p50 }) => formatDelay(p50)],
  ['9 of 10 within', ({ p90 }) => formatDelay(p90)],
  ['99 of 100 within', ({ p99 }) => formatDelay(p99)],
  ['longest delay', ({ worst }) => formatDelay(worst)],
  ['later than 1 h', ({ laterThanHour }) => formatShare(laterThanHour)],
  ['later than 4 h', ({ laterThanFourHours }) => formatShare(laterThanFourHours)],
  ['later than 24 h', ({ laterThanDay }) => formatShare(laterThanDay)],
  ['lost', ({ lost }) => String(lost)],
]

function formatColumns(names: readonly string[], rows: readonly Row[], width: number): string {
  const labelWidth = Math.max(...rows.map(({ label }) => label.length))
  const widths = names.map((name, column) =>
    Math.max(name.length, ...rows.map(({ cells }) => cells[column]?.length ?? 0)),
  )
  const blocks: string[] = []
  for (let start = 0; start < names.length; ) {
    let end = start
    let used = labelWidth
    do {
      used += GAP.length + (widths[end] ?? 0)
      end += 1
    } while (end < names.length && used + GAP.length + (widths[end] ?? 0) <= width)
    const line = ({ label, cells }: Row) => {
      const padded = cells
        .slice(start, end)
        .map((cell, index) => GAP + cell.padStart(widths[start + index] ?? 0))
      return `${label.padEnd(labelWidth)}${padded.join('')}`.trimEnd()
    }
    blocks.push([{ label: '', cells: names }, ...rows].map((row) => `${line(row)}\n`).join(''))
    start = end
  }
  return blocks.join('\n')
}

function missed(passing: Passing): number {
  return passing.messages === 0 ? 0 : 1 - shareOf(passing)
}

/** A part of 1 in percent, with three digits at most. */
export function formatShare(share: number): string {
  const percent = 100 * share
  return `${percent === 0 || percent >= 99.95 ? percent.toFixed(0) : percent.toFixed(percent < 9.95 ? 2 : 1)} %`
}

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

/** A delay in the unit that leaves the fewest digits. */
export function formatDelay(milliseconds: number): string {
  if (milliseconds === Number.POSITIVE_INFINITY) return 'never'
  if (milliseconds === 0) return '0'
  if (milliseconds < MINUTE) return `${(milliseconds / SECOND).toFixed(0)} s`
  if (milliseconds < 100 * MINUTE) return `${(milliseconds / MINUTE).toFixed(1)} m`
  if (milliseconds < 2 * DAY) return `${(milliseconds / HOUR).toFixed(1)} h`
  return `${(milliseconds / DAY).toFixed(1)} d`
}

function formatBytes(bytes: number): string {
  const mebibytes = bytes / 2 ** 20
  return mebibytes < 1 ? `${(bytes / 2 ** 10).toFixed(0)} KiB` : `${mebibytes.toFixed(1)} MiB`
}
