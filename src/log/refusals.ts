// Logs requests for operators' calls that were refused, at a bounded rate: the first of a kind and peer has a line at
// once, and those of the following minute share one. However often a stranger tries, the log stays readable.

import type { Log } from './log.ts'

/** Shortest time between two lines of one kind and peer, in milliseconds. */
const REFUSAL_INTERVAL = 60_000

/** Peers that are told apart; all others count as one. */
const MAX_PEERS = 1000

/** Why a request is refused, with the line of the log. */
const MESSAGES = {
  token: 'a call without a valid token was refused: nothing has changed',
  forged: 'a call that a web page may have sent was refused: nothing has changed',
  repeated: 'a call that was made before was refused: nothing has changed',
  malformed: 'a request that is no call was refused: nothing has changed',
  oversized: 'a call that is too large was refused: nothing has changed',
  slow: 'a request that took too long was refused: nothing has changed',
  busy: 'a call was refused, as too many are made at once: nothing has changed',
} as const

type RefusalReason = keyof typeof MESSAGES

interface Since {
  readonly reason: RefusalReason
  readonly peer: string
  /** Refusals since the line. */
  count: number
  readonly timer: NodeJS.Timeout
}

/** Writes refusals as warnings, at most one line a minute for each kind and peer. */
export class RefusalLog {
  readonly #log: Log
  /** Kinds and peers that had a line within the last minute. */
  readonly #since = new Map<string, Since>()

  constructor(log: Log) {
    this.#log = log
  }

  /** Logs a refusal now, or counts it for the next line; `peer` is the address of who asked. */
  note(reason: RefusalReason, peer: string): void {
    const known = this.#since.get(`${reason} ${peer}`)
    if (known) known.count += 1
    else if (this.#since.size < MAX_PEERS || peer === OTHERS) this.#write(reason, peer)
    else this.note(reason, OTHERS)
  }

  /** Logs the refusals that are counted but not logged yet. */
  close(): void {
    for (const { reason, peer, count, timer } of this.#since.values()) {
      clearTimeout(timer)
      if (count > 0) this.#log.event('warn', MESSAGES[reason], { peer, times: count })
    }
    this.#since.clear()
  }

  #write(reason: RefusalReason, peer: string, times?: number): void {
    this.#log.event('warn', MESSAGES[reason], { peer, times })
    const key = `${reason} ${peer}`
    const timer = setTimeout(() => this.#intervalOver(key), REFUSAL_INTERVAL).unref()
    this.#since.set(key, { reason, peer, count: 0, timer })
  }

  /** Logs all refusals that came meanwhile in one line, and begins the next interval. */
  #intervalOver(key: string): void {
    const since = this.#since.get(key)
    this.#since.delete(key)
    if (since && since.count > 0) this.#write(since.reason, since.peer, since.count)
  }
}

/** The peer of all that are too many to be told apart. */
const OTHERS = 'others'
