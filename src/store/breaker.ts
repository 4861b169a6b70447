// The circuit breaker of a store, or of one part of it, such as the keys that one node of a Cluster has. The first
// failure opens the circuit; half-open probes follow each other with backoff until one succeeds. What is asked and how
// long it may take is left to guard.ts.

/** Backoff between probes of a store that is down, in milliseconds: doubles from the first bound to the second. */
const MIN_PROBE_DELAY = 250
const MAX_PROBE_DELAY = 2000

/**
 * Longest backoff of a store that can be read and goes down again and again, in milliseconds: when it is full, what
 * expires makes room for a few writes at a time.
 */
const MAX_FULL_DELAY = 30_000

/** Relapses in a row after which the backoff of such a store grows beyond that of others. */
const QUICK_RELAPSES = 3

/** A store that goes down again within this time, in milliseconds, continues its backoff, so that it flaps less. */
const RELAPSE_WINDOW = 10_000

/** Whether one part of a store can be used, and the probes while it cannot. Closed at first. */
export class Breaker {
  readonly #check: () => Promise<void>
  #problem: string | undefined
  #isReadable = false
  /** When it last opened or closed; not when its first operation succeeded. */
  #changedAt = Number.NEGATIVE_INFINITY
  /** Number of times in a row that it has opened again soon. */
  #relapses = 0
  #probeDelay = MIN_PROBE_DELAY
  #probeTimer: NodeJS.Timeout | undefined
  #isProbing = false
  #isEnded = false

  /** `check` asks the store whether it can be used; the caller calls `close` when it can, and `open` when it cannot. */
  constructor(check: () => Promise<void>) {
    this.#check = check
  }

  /** Why the circuit is open; `undefined` while it is closed. */
  get problem(): string | undefined {
    return this.#problem
  }

  /** Whether reads go to the store while the circuit is open: its last failure was an answer to a write. */
  get isReadable(): boolean {
    return this.#isReadable
  }

  /** Opens the circuit, or changes why it is open. Probes begin anew when reads fail too, as they hurt more. */
  open(problem: string, isReadable: boolean): void {
    const wasOpen = this.#problem !== undefined
    const wasReadable = this.#isReadable
    this.#problem = problem // the latest problem is the most useful to the operator
    this.#isReadable = isReadable
    if (wasOpen) {
      if (!wasReadable || isReadable) return
      this.#probeDelay = MIN_PROBE_DELAY
      this.#probeLater()
      return
    }
    const now = performance.now()
    const isRelapse = now - this.#changedAt < Math.max(RELAPSE_WINDOW, 2 * this.#probeDelay)
    this.#relapses = isRelapse ? this.#relapses + 1 : 0
    const longest = isReadable && this.#relapses > QUICK_RELAPSES ? MAX_FULL_DELAY : MAX_PROBE_DELAY
    this.#probeDelay = isRelapse ? Math.min(this.#probeDelay * 2, longest) : MIN_PROBE_DELAY
    this.#changedAt = now
    this.#probeLater()
  }

  close(): void {
    if (this.#problem === undefined) return
    this.#problem = undefined
    this.#changedAt = performance.now()
  }

  /** Probes now if the circuit is open. Never rejects. */
  async probe(): Promise<void> {
    if (this.#isProbing || this.#problem === undefined || this.#isEnded) return
    clearTimeout(this.#probeTimer)
    this.#isProbing = true
    const isBack = await this.#check().then(
      () => true,
      () => false,
    )
    this.#isProbing = false
    if (isBack) return
    this.#probeDelay = Math.max(this.#probeDelay, Math.min(this.#probeDelay * 2, MAX_PROBE_DELAY))
    this.#probeLater()
  }

  /** Ends the probes. */
  end(): void {
    this.#isEnded = true
    clearTimeout(this.#probeTimer)
  }

  #probeLater(): void {
    clearTimeout(this.#probeTimer)
    if (this.#isEnded) return
    this.#probeTimer = setTimeout(() => void this.probe(), this.#probeDelay)
  }
}
