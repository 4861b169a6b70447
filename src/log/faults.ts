// Logs MTAs that broke the protocol or met a limit, at a bounded rate: the first fault of a kind has a line at once,
// and those of the following minute share one. However many bad MTAs connect, the log stays readable. Detecting faults
// is left to sockets/ and the rooms of the protocols.

import type { EximFault } from '../exim/session.ts'
import type { SessionFault } from '../milter/session.ts'
import type { PolicyFault } from '../policy/session.ts'
import type { ConnectionFault } from '../sockets/connections.ts'
import type { Log } from './log.ts'

/** The faults of the doors' protocols. */
export type DoorFault = SessionFault | PolicyFault | EximFault

/** How an MTA broke a protocol, or which limit its connection met; values of the metric's label. */
export type ProtocolErrorKind = DoorFault | ConnectionFault

/** Shortest time between two lines of one kind of fault, in milliseconds. */
const FAULT_INTERVAL = 60_000

/** What the MTA does with mail when its milter closes the connection. */
const CONSEQUENCE = 'the MTA takes its default action for the rest of the SMTP session'
const CLOSED_BROKEN = `connection closed, as it broke the milter protocol: ${CONSEQUENCE}`
const CLOSED_BROKEN_POLICY =
  'connection closed, as it broke the policy protocol: Postfix takes the default action of check_policy_service for the recipient'
const LETS_PASS = 'Exim lets the recipient, or the bounce, pass'
const CLOSED_BY_LIMIT = `connection closed, as it exceeded one of the limits: ${CONSEQUENCE}`
const LIMITED = 'connection exceeded one of the limits and goes on'

const MESSAGES: { readonly [kind in ProtocolErrorKind]: string } = {
  length: CLOSED_BROKEN,
  malformed: CLOSED_BROKEN,
  order: CLOSED_BROKEN,
  version: CLOSED_BROKEN,
  connections: CLOSED_BY_LIMIT,
  memory: CLOSED_BY_LIMIT,
  'slow-writer': CLOSED_BY_LIMIT,
  'slow-reader': CLOSED_BY_LIMIT,
  idle: CLOSED_BY_LIMIT,
  macros: LIMITED,
  recipients: LIMITED,
  'policy-malformed': CLOSED_BROKEN_POLICY,
  'policy-length': CLOSED_BROKEN_POLICY,
  'policy-recipients': LIMITED,
  'exim-malformed': `a line of Exim's cannot be answered: ${LETS_PASS}`,
  'exim-length': `connection closed, as a line of Exim's is too long: ${LETS_PASS}`,
  accept: 'cannot accept a connection: the MTA takes its default action',
}

/** All kinds of faults. */
export const PROTOCOL_ERROR_KINDS = Object.keys(MESSAGES) as ProtocolErrorKind[]

interface Fault {
  readonly reason: string
  readonly mta: string
}

/** Writes faults as warnings, at most one line a minute for each kind. */
export class FaultLog {
  readonly #log: Log
  /** Kinds that had a line within the last minute: the number of faults since then, and the last of these. */
  readonly #since = new Map<
    ProtocolErrorKind,
    { count: number; last?: Fault; readonly timer: NodeJS.Timeout }
  >()

  constructor(log: Log) {
    this.#log = log
  }

  /** Logs a fault now, or counts it for the next line of its kind; `mta` names the peer. */
  note(kind: ProtocolErrorKind, reason: string, mta: string): void {
    const since = this.#since.get(kind)
    if (since) {
      since.count += 1
      since.last = { reason, mta }
      return
    }
    this.#write(kind, { reason, mta })
  }

  /** Logs the faults that are counted but not logged yet. */
  close(): void {
    for (const [kind, { count, last, timer }] of this.#since) {
      clearTimeout(timer)
      if (last) this.#log.event('warn', MESSAGES[kind], { kind, ...last, times: count })
    }
    this.#since.clear()
  }

  #write(kind: ProtocolErrorKind, fault: Fault, times?: number): void {
    this.#log.event('warn', MESSAGES[kind], { kind, ...fault, times })
    this.#since.set(kind, {
      count: 0,
      timer: setTimeout(() => this.#intervalOver(kind), FAULT_INTERVAL).unref(),
    })
  }

  /** Logs all faults that came meanwhile in one line, with the last of them, and begins the next interval. */
  #intervalOver(kind: ProtocolErrorKind): void {
    const since = this.#since.get(kind)
    this.#since.delete(kind)
    if (since?.last) this.#write(kind, since.last, since.count)
  }
}
