// When requests leave for a store that is near: those of one turn of the event loop together, and those that come while
// the last ones are being answered together as well. While each turn brings more, they are gathered for half a
// millisecond; a request that nothing follows leaves after two turns. Each departure costs a system call and a switch of
// tasks at both ends, which under load is more than what most requests cost by themselves.
//
// This is Nagle's algorithm (RFC 896), but for a store that takes longer to answer: from there, nothing is waited for.
// If a store that was near has come to a stand, what is held leaves with the next request, or with its answer.

/** How long requests are gathered while more come, in milliseconds. */
const GATHERING = 0.5

/** Departures of one kind of requests. */
export class Departures {
  readonly #send: () => void
  readonly #maxWait: number
  #isDue = false
  /** Whether there was a request since the last turn in which they may have left, and the instant of the first. */
  #hasMore = false
  #gatheredSince: number | undefined
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
    this.#hasMore = true
    this.#gatheredSince ??= performance.now()
    if (this.#isDue || this.#isAnswerNear()) return
    this.#isDue = true
    this.#leaveNextTurn()
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

  #leaveNextTurn(): void {
    setImmediate(() => {
      const mayWait = this.#isNear && this.#hasMore && this.#gatheredFor() < GATHERING
      this.#hasMore = false
      if (mayWait) {
        this.#leaveNextTurn()
        return
      }
      this.#isDue = false
      this.#gatheredSince = undefined
      this.#send()
    })
  }

  #gatheredFor(): number {
    const now = performance.now()
    return now - (this.#gatheredSince ?? now)
  }

  #isAnswerNear(): boolean {
    return this.#unanswered > 0 && this.#isNear && performance.now() - this.#sentAt <= this.#maxWait
  }
}
