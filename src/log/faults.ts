// Peers that broke the protocol or met a limit, on their way to the log: of each kind the first has a line at once, and
// those of the minute after it have one together. However many bad peers there are, the log stays readable.

import type { ProtocolErrorKind } from '../milter/connections.ts'
import type { Log } from './log.ts'

/** Milliseconds in which a kind of fault has one line. */
const TOGETHER = 60_000

const BROKEN = 'connection closed: the MTA broke the milter protocol'
const CLOSED = 'connection closed: the MTA met a limit'
const GOES_ON = 'the MTA met a limit'

const MESSAGES: { readonly [kind in ProtocolErrorKind]: string } = {
  length: BROKEN,
  malformed: BROKEN,
  order: BROKEN,
  version: BROKEN,
  connections: CLOSED,
  memory: CLOSED,
  'slow-writer': CLOSED,
  'slow-reader': CLOSED,
  idle: CLOSED,
  macros: GOES_ON,
  recipients: GOES_ON,
  accept: 'cannot take a connection',
}

interface Fault {
  readonly reason: string
  readonly mta: string
}

export class FaultLog {
  readonly #log: Log
  /** The kinds that had a line within the last minute, with what has come since. */
  readonly #since = new Map<
    ProtocolErrorKind,
    { count: number; last?: Fault; readonly timer: NodeJS.Timeout }
  >()

  constructor(log: Log) {
    this.#log = log
  }

  note(kind: ProtocolErrorKind, reason: string, mta: string): void {
    const since = this.#since.get(kind)
    if (since) {
      since.count += 1
      since.last = { reason, mta }
      return
    }
    this.#write(kind, { reason, mta })
  }

  /** Says what has not been said yet. */
  close(): void {
    for (const [kind, { count, last, timer }] of this.#since) {
      clearTimeout(timer)
      if (last) this.#log.event('warn', MESSAGES[kind], { kind, ...last, times: count })
    }
    this.#since.clear()
  }

  #write(kind: ProtocolErrorKind, fault: Fault, times?: number): void {
    this.#log.event('warn', MESSAGES[kind], { kind, ...fault, times })
    this.#since.set(kind, { count: 0, timer: setTimeout(() => this.#minuteOver(kind), TOGETHER).unref() })
  }

  /** A kind that came again has a line for all, with the last of them, and its next minute. */
  #minuteOver(kind: ProtocolErrorKind): void {
    const since = this.#since.get(kind)
    this.#since.delete(kind)
    if (since?.last) this.#write(kind, since.last, since.count)
  }
}
