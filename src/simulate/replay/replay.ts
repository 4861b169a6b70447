// Presents the attempts of logs to judges in virtual time, and counts what they would have decided. What the attempts
// are is read by read.ts, the figures are printed by report.ts, and the judges are the caller's.
//
// A log holds the attempts that clients made after the verdicts of its time. A judge that passes what was deferred
// would have spared a retry that is still in the log, and one that defers what passed would have caused a retry that is
// not. Both are counted, as they bound what the figures can say.

import type { Network } from '../../ip.ts'
import type { Verdict } from '../../outcome.ts'
import type { Judge } from '../judge.ts'
import type { Note } from './findings.ts'
import type { LoggedAttempt, LogSource } from './logged.ts'
import { readLogs } from './read.ts'

export interface ReplaySettings {
  /** NAT64 prefixes, as of the milter door; they apply to the logs of MTAs. */
  readonly nat64Prefixes: readonly Network[]
  /** Receives each attempt before the judges do, for what they cannot see in it. */
  readonly onAttempt?: (logged: LoggedAttempt) => void
  /** Receives how many of all bytes to be read have been read. */
  readonly onProgress?: (done: number, total: number) => void
}

/** The figures of a replay, plain data that JSON can hold. */
export interface ReplayFigures {
  readonly lines: number
  readonly attempts: number
  readonly attemptsBySource: Readonly<Record<LogSource, number>>
  /** Times of the first and of the last attempt (RFC 3339); absent when there is none. */
  readonly first?: string
  readonly last?: string
  readonly judges: readonly JudgeFigures[]
  /** What could not be read, and what the logs do not tell. */
  readonly notes: readonly Note[]
}

export interface JudgeFigures {
  readonly name: string
  /** The attempts that it has judged: not those of callouts, if it judges bounces at DATA. */
  readonly attempts: number
  readonly deferred: number
  /** Absent when no verdicts were logged. */
  readonly agreement?: Agreement
}

/** How the verdicts of a judge compare with those that were logged. */
export interface Agreement {
  /** The attempts whose verdict was logged. */
  readonly compared: number
  readonly agreed: number
  /** The attempts that it passes and that were deferred: their retries are in the log although it spares them. */
  readonly spared: number
  /** The attempts that it defers and that had passed: their retries are not in the log. */
  readonly caused: number
  /** The verdicts that differ, by what was logged, the most frequent first. */
  readonly differences: readonly Difference[]
}

export interface Difference {
  readonly source: LogSource
  readonly logged: Verdict
  /** The reason that greymx logged; absent for an MTA. */
  readonly reason?: string
  readonly count: number
  /** The first line, as FILE:LINE. */
  readonly first: string
}

/**
 * Replays the logs in `files` for all judges. Rejects with a message for the operator when a file cannot be read, and
 * with a judge's error.
 */
export async function replay(
  files: readonly string[],
  judges: readonly Judge[],
  settings: ReplaySettings,
): Promise<ReplayFigures> {
  const { onAttempt } = settings
  const reading = await readLogs(files, settings)
  const tallies = judges.map((judge) => new Tally(judge))
  const attemptsBySource = { greymx: 0, postfix: 0, sendmail: 0 }
  for await (const group of messages(reading.attempts)) {
    for (const logged of group) {
      attemptsBySource[logged.source] += 1
      onAttempt?.(logged)
    }
    for (const tally of tallies) await tally.judge(group)
  }
  const span = reading.span()
  const { greymx, postfix, sendmail } = attemptsBySource
  return {
    lines: reading.lines(),
    attempts: greymx + postfix + sendmail,
    attemptsBySource,
    ...(span
      ? { first: new Date(span.firstAt).toISOString(), last: new Date(span.lastAt).toISOString() }
      : {}),
    judges: tallies.map((tally) => tally.figures()),
    notes: reading.notes(),
  }
}

/** Largest number of recipients of a bounce that are judged together; a real one has one or two. */
const MAX_GROUP = 1000

/** The attempts, with neighbouring recipients of one bounce together, which share a verdict at DATA. */
async function* messages(attempts: AsyncIterable<LoggedAttempt>): AsyncGenerator<readonly LoggedAttempt[]> {
  let group: LoggedAttempt[] = []
  for await (const logged of attempts) {
    if (group[0] && !(isSameBounce(group[0], logged) && group.length < MAX_GROUP)) {
      yield group
      group = []
    }
    group.push(logged)
  }
  if (group.length > 0) yield group
}

function isSameBounce(one: LoggedAttempt, other: LoggedAttempt): boolean {
  const isBounce = one.attempt.sender.text === '' && other.attempt.sender.text === ''
  return isBounce && one.message !== undefined && one.message === other.message && one.source === other.source
}

/** The first line of a difference and its count. */
type Counted = { -readonly [Key in keyof Difference]: Difference[Key] }

/** Counts the verdicts of one judge. */
class Tally {
  readonly #judge: Judge
  readonly #differences = new Map<string, Counted>()
  #attempts = 0
  #deferred = 0
  #compared = 0
  #agreed = 0
  #spared = 0
  #caused = 0

  constructor(judge: Judge) {
    this.#judge = judge
  }

  /** Has the recipients of one message judged: one verdict for all where the judge decides at DATA. */
  async judge(group: readonly LoggedAttempt[]): Promise<void> {
    const [first] = group
    const isAtData = first !== undefined && this.#judge.judgesAtData(first.attempt.sender)
    const judged = isAtData ? group.filter(({ endedBeforeData }) => !endedBeforeData) : group
    const verdicts: Verdict[] = []
    for (const { attempt, at } of judged) verdicts.push(await this.#judge.judge(attempt, at))
    const together = isAtData && verdicts.includes('tempfail') ? 'tempfail' : undefined
    for (const [index, logged] of judged.entries()) this.#count(logged, together ?? verdicts[index] ?? 'pass')
  }

  figures(): JudgeFigures {
    const differences = [...this.#differences.values()].sort((one, other) => other.count - one.count)
    const agreement = {
      compared: this.#compared,
      agreed: this.#agreed,
      spared: this.#spared,
      caused: this.#caused,
      differences,
    }
    return {
      name: this.#judge.name,
      attempts: this.#attempts,
      deferred: this.#deferred,
      ...(this.#compared > 0 ? { agreement } : {}),
    }
  }

  #count({ source, logged, place }: LoggedAttempt, verdict: Verdict): void {
    this.#attempts += 1
    if (verdict === 'tempfail') this.#deferred += 1
    if (!logged) return
    this.#compared += 1
    if (logged.verdict === verdict) {
      this.#agreed += 1
      return
    }
    if (verdict === 'pass') this.#spared += 1
    else this.#caused += 1
    const key = `${source} ${logged.verdict} ${logged.reason}`
    const known = this.#differences.get(key)
    if (known) known.count += 1
    else if (this.#differences.size < MAX_DIFFERENCES) {
      const first = `${place.file}:${place.line}`
      const reason = logged.reason === undefined ? {} : { reason: logged.reason }
      this.#differences.set(key, { source, logged: logged.verdict, ...reason, count: 1, first })
    }
  }
}

/** Largest number of kinds of differences; greymx has some twenty reasons. */
const MAX_DIFFERENCES = 100
