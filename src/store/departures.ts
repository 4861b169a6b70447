// When requests leave for a store that is near: those of one turn of the event loop together, and those that come while
// the last ones are being answered together as well. Each departure costs a system call and a switch of tasks at both
// ends, which under load is more than what most requests cost by themselves.
//
// This is Nagle's algorithm (RFC 896), but for a store that takes longer to answer: from there, nothing is waited for.
// If a store that was near has come to a stand, what is held leaves with the next request, or with its answer.

/** Departures of one kind of requests. */
export class Departures {
  readonly #send: () => void
  readonly #maxWait: number
  #isDue = false
  /** Number of departures that are not answered yet, and the instant of the last. */
  #unanswered = 0
  #sentAt = 0
  /** Whether the last answer took no longer than `maxWait`. */
  #isNear = false

  /** `send` sends what has been gathered; requests wait for an answer that takes `maxWait` milliseconds at most. */
  constructor(send: () => void, maxWait: number) {
    this.#send = send
    this.#maxWait = maxWait
  }

  /** There is something to send: has it leave with the next departure. */
  request(): void {
    if (this.#isDue || this.#isAnswerNear()) return
    this.#isDue = true
    setImmediate(() => {
      this.#isDue = false
      this.#send()
    })
  }

  /**
   * The caller has sent what was gathered. It calls the returned function once that is answered, or never will be, and
   * says whether more was gathered since.
   */
  sent(): (isMore: boolean) => void {
    const sentAt = performance.now()
    this.#sentAt = sentAt
    this.#unanswered += 1
    return (isMore) => {
      this.#unanswered -= 1
      this.#isNear = performance.now() - sentAt <= this.#maxWait
      if (isMore) this.request()
    }
  }

  #isAnswerNear(): boolean {
    return this.#unanswered > 0 && this.#isNear && performance.now() - this.#sentAt <= this.#maxWait
  }
}
