// When requests leave for a store that is near: those of one turn of the event loop together, and those that come while
// the last ones are being answered together as well. Each departure costs a system call and a switch of tasks at both
// ends, which under load is more than what most requests cost by themselves.

/** Departures of one kind of requests. */
export class Departures {
  readonly #leave: () => void
  readonly #patience: number
  #isDue = false
  /** Number of departures that are not answered yet, and the instant of the last. */
  #unanswered = 0
  #leftAt = 0
  /** Whether the last answer came within the patience. */
  #isNear = false

  /** `leave` sends what has been gathered; an answer is waited for `patience` milliseconds at most. */
  constructor(leave: () => void, patience: number) {
    this.#leave = leave
    this.#patience = patience
  }

  /** There is something to send: has it leave with the next departure. */
  await(): void {
    if (this.#isDue || this.#isAnswerNear()) return
    this.#isDue = true
    setImmediate(() => {
      this.#isDue = false
      this.#leave()
    })
  }

  /**
   * What was gathered leaves now. The caller calls what this returns once it is answered, or never will be, and says
   * whether more was gathered since.
   */
  left(): (isMore: boolean) => void {
    const leftAt = performance.now()
    this.#leftAt = leftAt
    this.#unanswered += 1
    return (isMore) => {
      this.#unanswered -= 1
      this.#isNear = performance.now() - leftAt <= this.#patience
      if (isMore) this.await()
    }
  }

  #isAnswerNear(): boolean {
    return this.#unanswered > 0 && this.#isNear && performance.now() - this.#leftAt <= this.#patience
  }
}
