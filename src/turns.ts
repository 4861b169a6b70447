// Whose turn it is, among connections that have sent more commands than are handled at once. Each has its turn in order,
// for a short time together; then the event loop goes round, and who has sent but one command has its answer at once.
//
// How short matters most for new connections: of those that wait to be accepted, libuv takes one each time the loop
// goes round (uv__server_io). With turns of 40 ms, a hundred rubbish connections made an MTA wait for 4 s.

/** Milliseconds for which turns are given, until the loop goes round. */
const TOGETHER = 2

export class Turns {
  readonly #waiting: Array<() => void> = []
  #isRunning = false
  #until = 0

  /** Calls `action` when it is its turn, never at once. */
  wait(action: () => void): void {
    this.#waiting.push(action)
    if (this.#isRunning) return
    this.#isRunning = true
    setImmediate(() => this.#begin())
  }

  #begin(): void {
    this.#until = performance.now() + TOGETHER
    this.#next()
  }

  #next(): void {
    const action = this.#waiting.shift()
    if (!action) {
      this.#isRunning = false
      return
    }
    action()
    // Behind all promises that the action settles, which belong to its turn.
    queueMicrotask(() => process.nextTick(() => this.#goOn()))
  }

  #goOn(): void {
    if (performance.now() < this.#until) this.#next()
    else setImmediate(() => this.#begin())
  }
}
