// Passes outcomes to log and metrics in batches, a moment after the answer: no MTA waits while a line is written, and a
// line in a batch costs a fraction of one that is written between two answers.

import type { Outcome } from '../outcome.ts'

/** Longest time that an outcome waits, in milliseconds. */
const HAND_ON_AFTER = 50
/** A batch is passed on at once when it has this many outcomes. */
const MAX_BATCH = 512

/** Takes one outcome; `took` is the time in milliseconds that the decision took. */
export type TakeOutcome = (outcome: Outcome, took: number) => void

/** Passes each outcome to all takers, in the order in which they were reported. */
export class Reporter {
  readonly #takers: readonly TakeOutcome[]
  #waiting: Array<{ readonly outcome: Outcome; readonly took: number }> = []
  #timer: NodeJS.Timeout | undefined

  constructor(takers: readonly TakeOutcome[]) {
    this.#takers = takers
  }

  report(outcome: Outcome, took: number): void {
    this.#waiting.push({ outcome, took })
    if (this.#waiting.length >= MAX_BATCH) this.handOn()
    else this.#timer ??= setTimeout(() => this.handOn(), HAND_ON_AFTER)
  }

  /** Passes on all outcomes that wait. */
  handOn(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const waiting = this.#waiting
    this.#waiting = []
    for (const take of this.#takers) for (const { outcome, took } of waiting) take(outcome, took)
  }
}
