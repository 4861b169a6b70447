// Prints the figures of a replay for a terminal. As JSON they are printed as they are.

import type { Difference, JudgeFigures, ReplayFigures } from './replay.ts'

/** The figures as a table and sentences, with a line break at the end. */
export function formatReplay(figures: ReplayFigures): string {
  const blocks = [headOf(figures), tableOf(figures), ...figures.judges.map(differencesOf), notesOf(figures)]
  return `${blocks
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n')}\n`
}

function headOf({ lines, attempts, attemptsBySource, first, last }: ReplayFigures): string[] {
  if (first === undefined || last === undefined) return [`No attempts in ${many(lines)} lines with a time.`]
  const sources = [
    ['greymx', attemptsBySource.greymx],
    ['Postfix', attemptsBySource.postfix],
    ['Sendmail', attemptsBySource.sendmail],
  ] as const
  const bySource = sources.flatMap(([name, count]) => (count > 0 ? `${name} ${many(count)}` : []))
  return [
    `${many(attempts)} attempts from ${first} to ${last} (${bySource.join(', ')}) in ${many(lines)} lines.`,
    'Each variant begins with nothing known; what was learnt before the first line is not in the log.',
  ]
}

const HEADER = ['variant', 'attempts', 'deferred', 'deferred %', 'as logged %', 'spared', 'caused']

function tableOf({ judges, attempts }: ReplayFigures): string[] {
  if (attempts === 0) return []
  const rows = [HEADER, ...judges.map(rowOf)]
  const widths = HEADER.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)))
  const lines = rows.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return column === 0 ? cell.padEnd(width) : cell.padStart(width)
      })
      .join('  ')
      .trimEnd(),
  )
  return [
    ...lines,
    '',
    'spared: attempts that pass although they were deferred; the log still has the retries that followed.',
    'caused: attempts that are deferred although they had passed; the log has no retries of them.',
  ]
}

function rowOf({ name, attempts, deferred, agreement }: JudgeFigures): string[] {
  const compared = agreement
    ? [percent(agreement.agreed, agreement.compared), many(agreement.spared), many(agreement.caused)]
    : ['-', '-', '-']
  return [name, many(attempts), many(deferred), percent(deferred, attempts), ...compared]
}

function differencesOf({ name, agreement }: JudgeFigures): string[] {
  if (!agreement || agreement.differences.length === 0) return []
  return [`${name}: verdicts that differ from the logged ones`, ...agreement.differences.map(differenceOf)]
}

function differenceOf({ source, logged, reason, count, first }: Difference): string {
  const by = reason === undefined ? `${source}: ${logged}` : `${source}: ${logged} (${reason})`
  return `  ${many(count)} logged as ${by}, ${logged === 'pass' ? 'deferred' : 'passed'} here; the first is at ${first}`
}

function notesOf({ notes }: ReplayFigures): string[] {
  if (notes.length === 0) return []
  const lines = notes.map(({ sentence, first }) => `- ${sentence} (first: ${first})`)
  return ['What could not be read, and what the log does not tell:', ...lines]
}

function many(count: number): string {
  return count.toLocaleString('en')
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '-' : `${((100 * part) / whole).toFixed(1)}`
}
