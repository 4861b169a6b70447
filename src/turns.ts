// A round-robin scheduler for work that would otherwise hold up the event loop, such as connections that sent more
// commands than are handled at once. Actions run in the order in which they came, for a short time slice. Then the
// event loop goes round, so that a connection with a single command has its answer at once.
//
// The slice must be short for the sake of new connections: libuv accepts one each time the loop goes round
// (uv__server_io). With slices of 40 ms, a hundred rubbish connections made an MTA wait for 4 s.

/** Milliseconds in which actions run before the event loop goes round. */
const TIME_SLICE = 2

/** A round-robin queue of actions. */
export class Turns {
  readonly #waiting: Array<() => void> = []
  readonly #first: () => void
  #isRunning = false
  #deadline = 0

  /** `first` is called before each time slice, for what must not wait for one. */
  constructor(first: () => void = () => {}) {
    this.#first = first
  }

  /** Calls `action` when its turn comes, never before `wait` has returned. */
  wait(action: () => void): void {
    this.#waiting.push(action)
    if (this.#isRunning) return
    this.#isRunning = true
    setImmediate(() => this.#begin())
  }

  #begin(): void {
    this.#first()
    this.#deadline = performance.now() + TIME_SLICE
    this.#next()
  }

  #next(): void {
    const action = this.#waiting.shift()
    if (!action) {
      this.#isRunning = false
      return
    }
    action()
    // The next turn begins after all promise callbacks that the action causes, as they belong to its own turn.
    queueMicrotask(() => process.nextTick(() => this.#goOn()))
  }

  #goOn(): void {
    if (performance.now() < this.#deadline) this.#next()
    else setImmediate(() => this.#begin())
  }
}
