// Reads logs of greymx, Postfix and Sendmail, and yields the attempts in them in order of time. Files may be given in
// any order, rotated, compressed with gzip and of several hosts: their lines are merged by time. Each file is read
// twice, and never held in memory; timeline.ts bounds what is held until a message is complete.
//
// Where greymx's own lines are among them, the MTAs' lines of the same time count nothing, as both tell of the same
// attempts.

import type { Network } from '../../ip.ts'
import type { ReaderParts } from './fields.ts'
import { type FindingKind, Findings, type Note } from './findings.ts'
import { addOutcome, readOutcome } from './greymx.ts'
import { type LogFile, openLogFile } from './lines.ts'
import { readLogFile } from './logfile.ts'
import type { LoggedAttempt } from './logged.ts'
import { mergeLines } from './merge.ts'
import { isPostfix, PostfixReader } from './postfix.ts'
import { isSendmail, SendmailReader } from './sendmail.ts'
import { type SurveyedFile, survey } from './survey.ts'
import { type Draft, MAX_WAIT, type Slot, Timeline } from './timeline.ts'

export interface ReadSettings {
  /** NAT64 prefixes; a client in one of them is the IPv4 client whose address its own contains. */
  readonly nat64Prefixes: readonly Network[]
  /** Receives how many of all bytes have been read. */
  readonly onProgress?: (done: number, total: number) => void
}

/** Attempts in order of time, and what was found beside them. */
export interface LogReading {
  readonly attempts: AsyncGenerator<LoggedAttempt>
  /** The number of lines read so far. */
  lines(): number
  /** The instants of the first and of the last attempt so far, in milliseconds since 1970. */
  span(): { readonly firstAt: number; readonly lastAt: number } | undefined
  /** What could not be read, and what the logs do not tell, so far. */
  notes(): readonly Note[]
}

/** Opens the logs. Rejects with a message for the operator when one of the files cannot be read. */
export async function readLogs(paths: readonly string[], settings: ReadSettings): Promise<LogReading> {
  const files = await Promise.all(paths.map(openLogFile))
  const reading = new Reading(files, settings)
  return {
    attempts: reading.attempts(),
    lines: () => reading.lines,
    span: () => reading.timeline.span,
    notes: () => reading.findings.notes(),
  }
}

/** What a syslog daemon writes in place of lines that are the same. */
const REPEATED = /^message repeated \d+ times: \[|(?:^|\s)last message repeated \d+ times$/

class Reading {
  readonly findings = new Findings()
  readonly timeline = new Timeline(this.findings, (draft, slot) => this.#noteMissing(draft, slot))
  lines = 0
  readonly #files: readonly LogFile[]
  readonly #settings: ReadSettings
  readonly #total: number
  #done = 0

  constructor(files: readonly LogFile[], settings: ReadSettings) {
    this.#files = files
    this.#settings = settings
    this.#total = 2 * files.reduce((sum, { size }) => sum + size, 0)
  }

  async *attempts(): AsyncGenerator<LoggedAttempt> {
    const surveyed = await survey(this.#files, (bytes) => this.#progress(bytes))
    const parts: ReaderParts = {
      timeline: this.timeline,
      findings: this.findings,
      nat64Prefixes: this.#settings.nat64Prefixes,
      isCovered: coveredBy(surveyed),
    }
    const postfix = new PostfixReader(parts)
    const sendmail = new SendmailReader(parts)
    for (const { file } of surveyed.filter(({ isCopy }) => isCopy)) {
      this.findings.count('duplicate', { file: file.path, line: 1 })
    }
    const logs = surveyed
      .filter(({ isCopy }) => !isCopy)
      .map(({ file, firstYear, firstAt }) => ({
        firstAt,
        open: () => readLogFile(file, firstYear, this.findings, (bytes) => this.#progress(bytes)),
      }))
    for await (const lines of mergeLines(logs)) {
      for (const line of lines) {
        this.lines += 1
        const outcome = readOutcome(line.text)
        if (outcome === 'malformed') this.findings.count('malformed', line.place)
        else if (outcome) addOutcome(line, outcome, parts)
        else if (isPostfix(line.program)) postfix.read(line)
        else if (isSendmail(line.program)) sendmail.read(line)
        if (REPEATED.test(line.text)) this.findings.count('repeated', line.place)
        yield* this.timeline.take(line.at)
      }
    }
    yield* this.timeline.takeRest()
  }

  #progress(bytes: number): void {
    this.#done += bytes
    this.#settings.onProgress?.(this.#done, this.#total)
  }

  /** Counts what is not known of an attempt. */
  #noteMissing({ attempt, source, logged, identity, endedBeforeData }: Draft, { stamp, place }: Slot): void {
    const { client, sender, recipient } = attempt
    const note = (kind: FindingKind, isMissing: boolean) => {
      if (isMissing) this.findings.count(kind, place)
    }
    const isOfMta = source !== 'greymx'
    const hasPassed = logged?.verdict === 'pass'
    note('yearless', stamp.kind === 'local' && stamp.year === undefined)
    note('zoneless', stamp.kind === 'local')
    note('whole-seconds', stamp.isWholeSecond)
    note('accepted-late', source === 'sendmail' && hasPassed)
    note('filtered', isOfMta && logged?.verdict === 'tempfail')
    note('no-recipient', recipient === undefined)
    note('unnamed', client.name === undefined)
    note('no-spf', isOfMta || identity === undefined)
    note('no-helo', sender.text === '' && client.helo === undefined)
    note('rewritten', isOfMta && hasPassed)
    note('replaced', source === 'postfix' && `${sender.text}${recipient?.text}`.includes('?'))
    note('callout', sender.text === '' && endedBeforeData)
  }
}

/** Whether greymx's own lines tell of the attempts of an instant; MAX_WAIT more, as MTAs log messages when they are complete. */
function coveredBy(files: readonly SurveyedFile[]): (at: number) => boolean {
  const spans = files.flatMap(({ outcomes }) => outcomes ?? [])
  if (spans.length === 0) return () => false
  const from = Math.min(...spans.map(({ firstAt }) => firstAt)) - MAX_WAIT
  const to = Math.max(...spans.map(({ lastAt }) => lastAt)) + MAX_WAIT
  return (at) => at >= from && at <= to
}
