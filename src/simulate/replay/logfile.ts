// Reads one log file, from its bytes to lines that have a time. Lines whose time has nothing to do with that of their
// neighbours are left out, as a single one of them would put all that follow to another time.

import type { Findings } from './findings.ts'
import { HeadReader, type LogLine } from './heads.ts'
import { type LogFile, readLines } from './lines.ts'
import { StampClock } from './stamp.ts'

/** A line is left out when it is so much later than both its neighbours, in milliseconds. */
const MAX_LEAP = 86_400_000

/**
 * The lines of a file that have a time, in batches, in the order of the file. `firstYear` is the year of the first line
 * that names none; `onRead` receives the number of bytes of each piece.
 */
export async function* readLogFile(
  file: LogFile,
  firstYear: number,
  findings: Findings,
  onRead: (bytes: number) => void,
): AsyncGenerator<readonly LogLine[]> {
  const heads = new HeadReader(file.path, new StampClock(firstYear), findings)
  const leaps = new LeapFilter(findings)
  let read = 0
  let number = 0
  const watch = {
    onRead: (bytes: number) => {
      onRead(bytes - read)
      read = bytes
    },
    onDamage: () => findings.count('damage', { file: file.path, line: number }),
  }
  for await (const batch of readLines(file, watch)) {
    number = batch.at(-1)?.number ?? number
    const lines: LogLine[] = []
    for (const fileLine of batch) {
      const line = heads.read(fileLine)
      if (line) lines.push(...leaps.pass(line))
    }
    yield lines
  }
  yield leaps.end()
}

/** Holds a line that leaps ahead until the next one tells whether time has gone on from there. */
class LeapFilter {
  readonly #findings: Findings
  #lastAt = Number.NEGATIVE_INFINITY
  #held: LogLine | undefined

  constructor(findings: Findings) {
    this.#findings = findings
  }

  pass(line: LogLine): LogLine[] {
    const passed: LogLine[] = []
    if (this.#held) {
      if (line.at < this.#held.at - MAX_LEAP) this.#findings.count('outlier', this.#held.place)
      else passed.push(this.#held)
    }
    this.#lastAt = passed[0]?.at ?? this.#lastAt
    this.#held = line.at > this.#lastAt + MAX_LEAP ? line : undefined
    if (this.#held) return passed
    this.#lastAt = line.at
    passed.push(line)
    return passed
  }

  end(): LogLine[] {
    return this.#held ? [this.#held] : []
  }
}
