// Runs the fuzzer from beginning to end: against this process and a daemon in turns, with a report on both.

import { type Scope, scratch } from '../support/scratch.ts'
import { DaemonTarget, RoundViolation, type Vitals } from './daemon.ts'
import { describeFailure, Fuzzer, growthOf, mib, summaryOf } from './fuzzer.ts'

export interface FuzzOptions {
  readonly seconds: number
  readonly seed: number
  /** The daemon ends with this scope. */
  readonly scope: Scope
  readonly say: (line: string) => void
}

/** Cases that the daemon gets at once, and seconds between two such rounds. */
const ROUND = 40
const ROUND_EVERY = 10

/** Largest growth of the daemon's memory after its first rounds, in bytes, that is no fault. */
const MAX_GROWTH = 256 * 1024 * 1024

/** Resolves to the fault that was found, if any. */
export async function fuzz({ seconds, seed, scope, say }: FuzzOptions): Promise<string | undefined> {
  const daemon = await DaemonTarget.start(await scratch(scope))
  const fuzzer = new Fuzzer(seed)
  const vitals: Vitals[] = []
  let rounds = 0
  const round = async () => {
    await daemon.round(Array.from({ length: ROUND }, () => fuzzer.next()))
    rounds += 1
    vitals.push(await daemon.vitals())
  }
  let unhandled: unknown
  const onUnhandled = (reason: unknown) => {
    unhandled ??= reason
  }
  process.on('unhandledRejection', onUnhandled)
  try {
    const findings = await fuzzer.run(seconds, { every: Math.min(ROUND_EVERY, seconds / 4), run: round })
    say(summaryOf(findings, seconds))
    const [first, last] = [vitals[Math.min(1, vitals.length - 1)], vitals.at(-1)]
    if (first && last) {
      say(
        `${rounds} rounds of ${ROUND} cases against the daemon; longest wait beside them ` +
          `${daemon.longestWait.toFixed(1)} ms; resident ${mib(first.resident)} to ${mib(last.resident)}, ` +
          `descriptors ${first.descriptors} to ${last.descriptors}`,
      )
    }
    if (findings.failure) return describeFailure(findings.failure, seed)
    if (unhandled)
      return `an unhandled rejection: ${unhandled instanceof Error ? unhandled.stack : unhandled}`
    if (first && last && last.resident - first.resident > MAX_GROWTH) {
      return `the daemon grew from ${mib(first.resident)} to ${mib(last.resident)}`
    }
    return growthOf(findings)
  } catch (error) {
    if (error instanceof RoundViolation) return describeFailure({ error, input: error.input }, seed)
    throw error
  } finally {
    process.off('unhandledRejection', onUnhandled)
  }
}
