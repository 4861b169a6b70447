// Outcomes on their way to log and metrics. They are handed on together a moment later: no MTA waits while a line is
// written, and written one after another, lines cost a fraction of what each costs between two answers.

import type { Outcome } from '../outcome.ts'

/** Longest time that an outcome waits, in milliseconds, and how many may wait. */
const HAND_ON_AFTER = 50
const MOST_WAITING = 512

/** `took` is the time in milliseconds that the decision took. */
export type TakeOutcome = (outcome: Outcome, took: number) => void

export class Reporter {
  readonly #takers: readonly TakeOutcome[]
  #waiting: Array<{ readonly outcome: Outcome; readonly took: number }> = []
  #timer: NodeJS.Timeout | undefined

  constructor(takers: readonly TakeOutcome[]) {
    this.#takers = takers
  }

  report(outcome: Outcome, took: number): void {
    this.#waiting.push({ outcome, took })
    if (this.#waiting.length >= MOST_WAITING) this.handOn()
    else this.#timer ??= setTimeout(() => this.handOn(), HAND_ON_AFTER)
  }

  /** Hands on what waits, now. */
  handOn(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const waiting = this.#waiting
    this.#waiting = []
    for (const take of this.#takers) for (const { outcome, took } of waiting) take(outcome, took)
  }
}
