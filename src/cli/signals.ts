// Turns signals into requests that the caller takes one at a time, and loses none: SIGHUP is a reload, SIGTERM and
// SIGINT are a stop. A stop can also be awaited apart, by whoever waits for something else meanwhile.

export class Signals {
  #stop = false
  #reload = false
  #wake: (() => void) | undefined
  #resolveStopped: () => void = () => undefined
  /** Resolves at the first stop. */
  readonly stopped = new Promise<void>((resolve) => {
    this.#resolveStopped = resolve
  })

  /** Installs the handlers: from now on none of these signals ends the process by itself. */
  constructor() {
    process.on('SIGHUP', () => {
      this.#reload = true
      this.#wake?.()
    })
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        this.#stop = true
        this.#resolveStopped()
        this.#wake?.()
      })
    }
  }

  /**
   * Resolves to the request that came since the last call, or else to the next one. A stop precedes reloads, and
   * several reloads are one.
   */
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
