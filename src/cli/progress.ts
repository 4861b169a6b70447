// What a terminal shows while something takes longer than two seconds: a progress bar, or how long it takes by now.

/** Time before the bar is shown, and between two changes of it, in milliseconds. */
const SHOW_AFTER = 2000
const REDRAW_AFTER = 200
const BAR_WIDTH = 30

/** Where a bar is drawn: standard error, if it is a terminal. */
export interface Terminal {
  readonly isTTY?: boolean
  write(text: string): unknown
}

/** A line on a terminal that is drawn anew while something goes on, and not too often. */
class StatusLine {
  readonly #terminal: Terminal
  readonly #now: () => number
  readonly #startedAt: number
  #drawnAt = Number.NEGATIVE_INFINITY

  constructor(terminal: Terminal, now: () => number) {
    this.#terminal = terminal
    this.#now = now
    this.#startedAt = now()
  }

  /** Draws what `textOf` returns for the milliseconds since the start, if it is time for that. */
  draw(textOf: (elapsed: number) => string): void {
    const now = this.#now()
    const elapsed = now - this.#startedAt
    if (!this.#terminal.isTTY || elapsed < SHOW_AFTER || now - this.#drawnAt < REDRAW_AFTER) return
    this.#drawnAt = now
    this.#terminal.write(`\r${textOf(elapsed)}\x1b[K`)
  }

  /** Removes the line, if it is there. */
  remove(): void {
    if (this.#drawnAt !== Number.NEGATIVE_INFINITY) this.#terminal.write('\r\x1b[K')
    this.#drawnAt = Number.NEGATIVE_INFINITY
  }
}

export class Progress {
  readonly #line: StatusLine

  /** `now` is a monotonic clock in milliseconds. */
  constructor(terminal: Terminal, now: () => number = () => performance.now()) {
    this.#line = new StatusLine(terminal, now)
  }

  /** Shows that this part, from 0 to 1, is done. */
  show(done: number, label: string): void {
    this.#line.draw(() => {
      const filled = Math.round(done * BAR_WIDTH)
      const bar = '#'.repeat(filled) + '-'.repeat(BAR_WIDTH - filled)
      return `[${bar}] ${Math.floor(100 * done)} % ${label}`
    })
  }

  /** Removes the bar. */
  end(): void {
    this.#line.remove()
  }
}

/** Shows how many records are done of which nobody knows how many there are. */
export class Counting {
  readonly #line: StatusLine

  /** `now` is a monotonic clock in milliseconds. */
  constructor(terminal: Terminal, now: () => number = () => performance.now()) {
    this.#line = new StatusLine(terminal, now)
  }

  /** Shows that so many are done by now. */
  show(count: number): void {
    this.#line.draw((elapsed) => `${count} records, ${Math.floor(elapsed / 1000)} s`)
  }

  /** Removes what is shown. */
  end(): void {
    this.#line.remove()
  }
}

/** Shows for how long an answer is awaited of which nobody knows how far it is. The caller ends it. */
export class Waiting {
  readonly #terminal: () => Terminal
  readonly #now: () => number
  readonly #startedAt: number
  readonly #timer: NodeJS.Timeout
  #isShown = false

  /** `terminal` is called once something is to be shown; `now` is a monotonic clock in milliseconds. */
  constructor(terminal: () => Terminal, now: () => number = () => performance.now()) {
    this.#terminal = terminal
    this.#now = now
    this.#startedAt = now()
    this.#timer = setInterval(() => this.#show(), REDRAW_AFTER)
    this.#timer.unref()
  }

  /** Removes what is shown. */
  end(): void {
    clearInterval(this.#timer)
    if (this.#isShown) this.#terminal().write('\r\x1b[K')
    this.#isShown = false
  }

  #show(): void {
    const took = this.#now() - this.#startedAt
    if (took < SHOW_AFTER) return
    const terminal = this.#terminal()
    if (!terminal.isTTY) return
    this.#isShown = true
    terminal.write(`\rwaiting for the answer: ${Math.floor(took / 1000)} s\x1b[K`)
  }
}
