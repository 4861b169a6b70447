// `greymx/milter`: the milter protocol as a library, for filters that are no greylisting. It joins the protocol (milter/)
// with the sockets (sockets/) that greymx itself listens on; README.md is the guide.

import type { Connection } from '../milter/command.ts'
import type { SessionLimits } from '../milter/limits.ts'
import type { Macros } from '../milter/macros.ts'
import type { Wants } from '../milter/negotiate.ts'
import { CONTINUE, type Reply } from '../milter/reply.ts'
import { type Handler, type MessageEnd, Session, type SessionFault } from '../milter/session.ts'
import type { ConnectionFault } from '../sockets/connections.ts'
import type { ConnectionLimits } from '../sockets/limits.ts'
import { Server } from '../sockets/server.ts'
import type { Peer } from '../sockets/session.ts'
import { formatSocketSpec, parseSocketSpec, SOCKET_SPEC_FORMS } from '../sockets/spec.ts'

export type { Connection } from '../milter/command.ts'
export type { SessionLimits } from '../milter/limits.ts'
export type { Macros } from '../milter/macros.ts'
export type { StageUse, Wants } from '../milter/negotiate.ts'
export type { Header, Reply, SmtpReply } from '../milter/reply.ts'
export { CONTINUE } from '../milter/reply.ts'
export type { Handler, MessageEnd, SessionFault } from '../milter/session.ts'
export type { ConnectionFault } from '../sockets/connections.ts'
export type { ConnectionLimits } from '../sockets/limits.ts'

/** The limits on a connection and on all of them. */
export type Limits = ConnectionLimits & SessionLimits

/** The limits that greymx has by default. Times are in milliseconds. */
export const DEFAULT_LIMITS: Limits = {
  connections: 10_000,
  memory: 64 * 1024 * 1024,
  frame: 1024 * 1024,
  macros: 500,
  recipients: 10_000,
  stall: 5 * 60_000,
  idle: 2 * 3_600_000,
  idleInTransaction: 12 * 3_600_000,
}

/** Permission bits of a unix socket by default. */
const DEFAULT_SOCKET_MODE = 0o660

/** What a filter wants that looks at nothing; CONNECT and MAIL cannot be left out. */
export const WANTS_NOTHING: Wants = {
  stages: { connect: 'note', helo: 'skip', mail: 'note', rcpt: 'skip', data: 'skip' },
  macros: {},
  addHeaders: false,
}

/** A filter that lets everything pass. A subclass says what it wants, and overrides the stages that it has a part in. */
export class Filter implements Handler {
  readonly wants: Wants = WANTS_NOTHING
  readonly held: number = 0

  negotiated(_version: number): void {}

  connect(_connection: Connection, _macros: Macros): Reply | Promise<Reply> {
    return CONTINUE
  }

  helo(_name: string, _macros: Macros): Reply | Promise<Reply> {
    return CONTINUE
  }

  mail(_address: string, _macros: Macros): Reply | Promise<Reply> {
    return CONTINUE
  }

  rcpt(_address: string, _macros: Macros): Reply | Promise<Reply> {
    return CONTINUE
  }

  rcptBeyondLimit(_address: string, _macros: Macros): Reply | Promise<Reply> {
    return CONTINUE
  }

  data(_macros: Macros): Reply | Promise<Reply> {
    return CONTINUE
  }

  endOfMessage(_macros: Macros): MessageEnd {
    return { headers: [], reply: CONTINUE }
  }

  endTransaction(): void {}
}

/** Where and how a filter is served. */
export interface MilterOptions {
  /** One socket or several, each `inet:PORT@HOST`, `inet6:PORT@HOST` or `unix:/PATH`; port 0 is any free one. */
  readonly listen: string | readonly string[]
  /** Makes the filter of a new connection. */
  readonly newFilter: () => Handler
  /** Permission bits of unix sockets, 0o660 by default. */
  readonly socketMode?: number
  /** Limits that differ from `DEFAULT_LIMITS`. */
  readonly limits?: Partial<Limits>
  /** Told how an MTA broke the protocol, or which limit it reached; `peer` names its socket. */
  readonly onFault?: (kind: SessionFault | ConnectionFault, reason: string, peer: string) => void
}

/** A filter that is being served. */
export interface Milter {
  /** Where it listens, as `MilterOptions.listen` has it; for port 0, with the port that the kernel chose. */
  readonly addresses: readonly string[]
  /** Stops listening, lets open messages end for `grace` milliseconds at most, 8000 by default, and closes all. */
  close(grace?: number): Promise<void>
}

/** How long a connection without a message may be silent before `close` ends it, in milliseconds. */
const CLOSING_SILENCE = 2000

/** Serves a filter to MTAs. Rejects when a socket cannot be opened, naming it, and then listens nowhere. */
export async function serveMilter(options: MilterOptions): Promise<Milter> {
  const { listen, newFilter, socketMode = DEFAULT_SOCKET_MODE, onFault = () => undefined } = options
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const server = new Server<SessionFault>(limits, { onConnection: () => undefined, onFault })
  const newSession = (peer: Peer<SessionFault>) => new Session(newFilter(), peer, limits)
  const endpoints = [listen].flat().map((text) => {
    const on = parseSocketSpec(text)
    if (!on) throw new Error(`Cannot listen on ${JSON.stringify(text)}: expected ${SOCKET_SPEC_FORMS}`)
    return { on, protocol: 'milter', newSession }
  })
  const change = await server.prepare({ endpoints, socketMode, limits })
  await change.apply()
  return {
    addresses: server.addresses.map(formatSocketSpec),
    close: (grace = 8000) => server.close(grace, CLOSING_SILENCE),
  }
}
