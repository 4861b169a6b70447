// The keys by which a change that is sent twice is found, so that it is done once (the header Idempotency-Key). A key
// begins with the time at which it was made: one that is older than what is remembered is refused as well, and so is one
// from before the last start.

/** How far the time of a key may be from our clock, in milliseconds. */
const MAX_SKEW = 5 * 60_000

/**
 * How long a key is remembered, in milliseconds: as long as its time can be near enough, and a minute more, as clocks do
 * not run alike while one is corrected.
 */
const REMEMBERED = 2 * MAX_SKEW + 60_000

/** Number of keys that are remembered. While there are as many, changes are refused. */
const MAX_KEYS = 10_000

/** The time in milliseconds since 1970, and something that no other key has. */
const FORM = /^(\d{13})-[\w-]{8,64}$/

/** Why a key is not taken. */
export interface KeyProblem {
  /** `repeated`: the request was made before, or may have been. */
  readonly kind: 'malformed' | 'repeated' | 'full'
  readonly message: string
}

/** The keys of the last minutes. */
export class UsedKeys {
  readonly #now: () => number
  readonly #monotonic: () => number
  readonly #startedAt: number
  /** Keys in the order in which they came, each with its expiry by the monotonic clock. */
  readonly #expiries = new Map<string, number>()

  /** `now` is the clock of the host, `monotonic` one that nobody sets; both in milliseconds. */
  constructor(now: () => number = Date.now, monotonic: () => number = () => performance.now()) {
    this.#now = now
    this.#monotonic = monotonic
    this.#startedAt = monotonic()
  }

  /** Remembers a key, or returns why it is not taken. */
  take(key: string | undefined): KeyProblem | undefined {
    if (key === undefined) return malformed('expected the header Idempotency-Key with every change')
    const made = Number(FORM.exec(key)?.[1])
    if (Number.isNaN(made))
      return malformed(
        'expected Idempotency-Key to be milliseconds since 1970, a hyphen, and 8 random characters',
      )
    const monotonic = this.#monotonic()
    const now = this.#now()
    if (Math.abs(now - made) > MAX_SKEW)
      return repeated(
        'Idempotency-Key is not from the last 5 minutes by the clock of greymx: expected a new one',
      )
    // Counting back from now, a clock that was set meanwhile does not make new keys seem old.
    if (made < Math.floor(now - (monotonic - this.#startedAt)))
      return repeated('Idempotency-Key is from before greymx was started: expected a new one')
    this.#forget(monotonic)
    if (this.#expiries.has(key))
      return repeated('this request was made before, and is not done again: expected a new Idempotency-Key')
    if (this.#expiries.size >= MAX_KEYS)
      return { kind: 'full', message: `more than ${MAX_KEYS} changes within 11 minutes: expected it later` }
    this.#expiries.set(key, monotonic + REMEMBERED)
    return undefined
  }

  #forget(monotonic: number): void {
    for (const [key, expiresAt] of this.#expiries) {
      if (expiresAt > monotonic) return
      this.#expiries.delete(key)
    }
  }
}

function malformed(message: string): KeyProblem {
  return { kind: 'malformed', message }
}

function repeated(message: string): KeyProblem {
  return { kind: 'repeated', message }
}
