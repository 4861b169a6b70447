// Puts what became of the mutants into a table, and says what is wrong.

import { sourceOf } from './equivalent.ts'
import type { Report, Trial } from './run.ts'

/** Share of the mutants that may survive, save those that are listed as equivalent. */
const MAX_SURVIVING = 0.05

/** Longest text of a line that is shown. */
const MAX_SHOWN = 110

/** The table, by file, and below it each survivor that is not listed. */
export function formatReport({ trials }: Report): string {
  const files = [...new Set(trials.map(({ mutant }) => sourceOf(mutant.file)))]
  const rows = files.map((file) =>
    rowOf(
      file,
      trials.filter(({ mutant }) => sourceOf(mutant.file) === file),
    ),
  )
  const width = Math.max(...files.map((file) => file.length), 'all'.length)
  const lines = [['', 'made', 'killed', 'equivalent', 'survived', '%'], ...rows, rowOf('all', trials)].map(
    ([name = '', ...cells]) => [name.padEnd(width), ...cells.map((cell) => cell.padStart(10))].join(' '),
  )
  return [...lines, '', ...trials.filter(hasSurvived).map(describeTrial)].join('\n')
}

/** What is wrong: too many survivors, or entries of equivalent.yaml that are not equivalent or not made. */
export function problemsOf({ trials, unmade }: Report): string[] {
  const share = survivingShare(trials)
  return [
    ...(share > MAX_SURVIVING
      ? [`${percent(share)} % survive: expected ${percent(MAX_SURVIVING)} % at most`]
      : []),
    ...trials
      .filter(({ isEquivalent, isKilled }) => isEquivalent && isKilled)
      .map((trial) => `listed in equivalent.yaml, but killed: ${describeTrial(trial)}`),
    ...unmade.map(
      ({ file, before, after }) => `listed in equivalent.yaml, but not made: ${file}  ${before} → ${after}`,
    ),
  ]
}

function rowOf(name: string, trials: readonly Trial[]): string[] {
  const numbers = [
    trials.length,
    trials.filter(({ isKilled }) => isKilled).length,
    trials.filter(({ isEquivalent }) => isEquivalent).length,
    trials.filter(hasSurvived).length,
  ]
  return [name, ...numbers.map(String), percent(survivingShare(trials))]
}

function survivingShare(trials: readonly Trial[]): number {
  const counted = trials.filter(({ isEquivalent }) => !isEquivalent)
  return counted.length === 0 ? 0 : counted.filter(hasSurvived).length / counted.length
}

/** Whether a mutant counts against the tests. */
export function hasSurvived({ isKilled, isEquivalent }: Trial): boolean {
  return !isKilled && !isEquivalent
}

function percent(share: number): string {
  return (100 * share).toFixed(1)
}

/** The place of a mutant, and its text where it differs from the code. */
export function describeTrial({ mutant, isReached }: Trial): string {
  const { before, after, line } = mutant
  const note = isReached ? '' : '  (no test gets there)'
  return `${sourceOf(mutant.file)}:${line}  ${shown(before, after)} → ${shown(after, before)}${note}`
}

/** The text, or the part of it around its difference from `other` if it is long. */
function shown(text: string, other: string): string {
  if (text.length <= MAX_SHOWN) return text
  let same = 0
  while (same < text.length && text[same] === other[same]) same += 1
  const start = Math.max(0, same - MAX_SHOWN / 2)
  const part = text.slice(start, start + MAX_SHOWN)
  return `${start > 0 ? '…' : ''}${part}${start + MAX_SHOWN < text.length ? '…' : ''}`
}
