// The first reading of all logs: which time each file is about, so that rotated files can be given in any order; the
// year of lines that name none; and the time of which greymx's own lines tell, whose attempts are not to be counted
// once more from an MTA's lines. The second reading is read.ts.

import { Findings } from './findings.ts'
import { readOutcome } from './greymx.ts'
import type { LogLine } from './heads.ts'
import type { LogFile } from './lines.ts'
import { readLogFile } from './logfile.ts'
import { yearsLater } from './stamp.ts'

/** What the second reading has to know of a file. */
export interface SurveyedFile {
  readonly file: LogFile
  /** The year of its first line that names none. */
  readonly firstYear: number
  /** Instant of its first line with a time, in milliseconds since 1970; 0 if there is none. */
  readonly firstAt: number
  /** Instants of its first and last outcome of greymx; absent without one. */
  readonly outcomes?: Span | undefined
  /** Whether another file has the same lines, as a copy has. */
  readonly isCopy: boolean
}

interface Span {
  readonly firstAt: number
  readonly lastAt: number
}

const DAY = 86_400_000
/** A leap year, so that every date exists in it. */
const ANY_YEAR = 2000

/** Reads the files once. `onRead` receives the bytes read of each piece. */
export async function survey(
  files: readonly LogFile[],
  onRead: (bytes: number) => void,
): Promise<SurveyedFile[]> {
  const surveyed: SurveyedFile[] = []
  const known = new Set<string>()
  for (const file of files) {
    const { fingerprint, ...found } = await surveyFile(file, onRead)
    const isCopy = known.has(file.id) || known.has(fingerprint)
    known.add(file.id).add(fingerprint)
    surveyed.push({ ...found, isCopy })
  }
  return surveyed
}

interface Found extends Omit<SurveyedFile, 'isCopy'> {
  /** The first and the last line and the number of lines, which two files share only if one is a copy. */
  readonly fingerprint: string
}

async function surveyFile(file: LogFile, onRead: (bytes: number) => void): Promise<Found> {
  // What cannot be read is counted by the second reading.
  let [first, last, lastYearless, firstOutcome, lastOutcome]: Array<LogLine | undefined> = []
  let lines = 0
  for await (const batch of readLogFile(file, ANY_YEAR, new Findings(), onRead)) {
    lines += batch.length
    for (const line of batch) {
      first ??= line
      last = line
      if (isYearless(line)) lastYearless = line
      if (typeof readOutcome(line.text) !== 'object') continue
      firstOutcome ??= line
      lastOutcome = line
    }
  }
  if (!first || !last) return { file, firstYear: ANY_YEAR, firstAt: 0, fingerprint: file.id }
  const years = lastYearless ? yearsUntil(lastYearless.at, file.writtenAt) : 0
  const instantOf = (line: LogLine) => (isYearless(line) ? yearsLater(line.at, years) : line.at)
  const outcomes = firstOutcome &&
    lastOutcome && { firstAt: instantOf(firstOutcome), lastAt: instantOf(lastOutcome) }
  return {
    file,
    firstYear: ANY_YEAR + years,
    firstAt: instantOf(first),
    outcomes,
    fingerprint: JSON.stringify([lines, contentOf(first), contentOf(last)]),
  }
}

function contentOf({ at, host, program, process, text }: LogLine): unknown {
  return { at, host, program, process, text }
}

function isYearless({ stamp }: LogLine): boolean {
  return stamp.kind === 'local' && stamp.year === undefined
}

/**
 * The number of years by which the last line of a file is later than `at`, which is right but for the year: the largest
 * that does not make it later than the file, save for a day by which two clocks may differ.
 */
function yearsUntil(at: number, writtenAt: number): number {
  let years = new Date(writtenAt).getFullYear() + 1 - new Date(at).getFullYear()
  while (yearsLater(at, years) > writtenAt + DAY) years -= 1
  return years
}
