// What the process is told to do by signals, one thing at a time and none of them lost: SIGHUP reloads, SIGTERM and
// SIGINT stop.

export class Signals {
  #stop = false
  #reload = false
  #wake: (() => void) | undefined

  /** From now on none of them ends the process by itself, however often it comes. */
  constructor() {
    process.on('SIGHUP', () => {
      this.#reload = true
      this.#wake?.()
    })
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        this.#stop = true
        this.#wake?.()
      })
    }
  }

  /** What came since the last call, or comes next. A stop goes before reloads, of which many are one. */
  async next(): Promise<'reload' | 'stop'> {
    while (!this.#stop && !this.#reload) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    if (this.#stop) return 'stop'
    this.#reload = false
    return 'reload'
  }
}
