// A progress bar on a terminal, for what takes longer than two seconds.

/** Time before the bar is shown, and between two changes of it, in milliseconds. */
const SHOW_AFTER = 2000
const REDRAW_AFTER = 200
const BAR_WIDTH = 30

/** Where a bar is drawn: standard error, if it is a terminal. */
export interface Terminal {
  readonly isTTY?: boolean
  write(text: string): unknown
}

export class Progress {
  readonly #terminal: Terminal
  readonly #now: () => number
  readonly #startedAt: number
  #drawnAt = Number.NEGATIVE_INFINITY

  /** `now` is a monotonic clock in milliseconds. */
  constructor(terminal: Terminal, now: () => number = () => performance.now()) {
    this.#terminal = terminal
    this.#now = now
    this.#startedAt = now()
  }

  /** Shows that this part, from 0 to 1, is done. */
  show(done: number, label: string): void {
    const now = this.#now()
    if (!this.#terminal.isTTY || now - this.#startedAt < SHOW_AFTER || now - this.#drawnAt < REDRAW_AFTER)
      return
    this.#drawnAt = now
    const filled = Math.round(done * BAR_WIDTH)
    const bar = '#'.repeat(filled) + '-'.repeat(BAR_WIDTH - filled)
    this.#terminal.write(`\r[${bar}] ${Math.floor(100 * done)} % ${label}\x1b[K`)
  }

  /** Removes the bar. */
  end(): void {
    if (this.#drawnAt !== Number.NEGATIVE_INFINITY) this.#terminal.write('\r\x1b[K')
  }
}
