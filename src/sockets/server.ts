// The server: listens on several inet and unix sockets at once, each with a protocol of its own, replaces them while
// it runs, and shuts down gracefully. A fault of one connection never affects another. Limits are left to
// connections.ts, protocols to the sessions.

import type { Socket } from 'node:net'
import type { Change } from '../change.ts'
import { type ConnectionEvents, Connections } from './connections.ts'
import type { ConnectionLimits } from './limits.ts'
import { isSameSocket, type Listener, type ListenOn, openListener } from './listener.ts'
import type { NewSession } from './session.ts'
import { formatSocketSpec, type SocketSpec } from './spec.ts'

/** A socket to listen on, and the protocol that is spoken there. */
export interface Endpoint<Fault extends string> {
  readonly on: ListenOn
  /** The name of the protocol, for `addressesOf`. */
  readonly protocol: string
  readonly newSession: NewSession<Fault>
}

/** All that a server can be told anew while it runs. */
export interface ServerSettings<Fault extends string> {
  readonly endpoints: ReadonlyArray<Endpoint<Fault>>
  /** Permission bits of unix sockets. */
  readonly socketMode: number
  readonly limits: ConnectionLimits
}

/** An endpoint that is open. */
interface OpenEndpoint<Fault extends string> {
  readonly listener: Listener
  /** Changes the protocol of later connections. */
  use(newSession: NewSession<Fault>): void
}

/** An endpoint in use, with the name of its protocol. */
interface EndpointInUse<Fault extends string> {
  readonly protocol: string
  readonly endpoint: OpenEndpoint<Fault>
}

/** The listening sockets and the connections that came through them; listens nowhere until a change is applied. */
export class Server<Fault extends string> {
  readonly #events: ConnectionEvents<Fault>
  readonly #connections: Connections<Fault>
  #endpoints: ReadonlyArray<EndpointInUse<Fault>> = []
  #socketMode = 0

  constructor(limits: ConnectionLimits, events: ConnectionEvents<Fault>) {
    this.#events = events
    this.#connections = new Connections(limits, events)
  }

  /** Where it listens; for port 0, with the port that the kernel chose. */
  get addresses(): readonly SocketSpec[] {
    return this.#endpoints.map(({ endpoint }) => endpoint.listener.address)
  }

  /** Those of `addresses` where this protocol is spoken. */
  addressesOf(protocol: string): readonly SocketSpec[] {
    return this.#endpoints
      .filter((each) => each.protocol === protocol)
      .map(({ endpoint }) => endpoint.listener.address)
  }

  /**
   * Prepares to listen at these endpoints and no others. Sockets that are open stay open, new ones are opened before
   * surplus ones are closed, and connections that came through surplus ones go on. If a socket cannot be opened, or its
   * mode not be set, everything stays as it was, and the promise rejects with that socket in the message.
   */
  async prepare({ endpoints, socketMode, limits }: ServerSettings<Fault>): Promise<Change> {
    const before = this.#endpoints.map(({ endpoint }) => endpoint.listener)
    const modeBefore = this.#socketMode
    const surplus = this.#endpoints.map(({ endpoint }) => endpoint)
    const opened: Array<OpenEndpoint<Fault>> = []
    const wanted: Array<EndpointInUse<Fault> & { readonly newSession: NewSession<Fault> }> = []
    try {
      for (const { on, protocol, newSession } of endpoints) {
        const open = surplus.find(({ listener }) => isSameSocket(listener.on, on))
        if (open) surplus.splice(surplus.indexOf(open), 1)
        else opened.push(await this.#open(on, socketMode, newSession))
        const endpoint = open ?? (opened.at(-1) as OpenEndpoint<Fault>) // just pushed
        wanted.push({ protocol, endpoint, newSession })
      }
      setModes(before, modeBefore, socketMode)
    } catch (error) {
      closeAll(opened)
      throw error
    }
    return {
      apply: async () => {
        this.#endpoints = wanted
        for (const { endpoint, newSession } of wanted) endpoint.use(newSession)
        this.#socketMode = socketMode
        this.#connections.useLimits(limits)
        closeAll(surplus)
      },
      abandon: async () => {
        restoreModes(before, modeBefore)
        closeAll(opened)
      },
    }
  }

  /**
   * Accepts no more connections, and closes each open one when its MTA has said nothing for `silenceMs` milliseconds
   * and no transaction is open; those left after `graceMs` milliseconds are closed at once. An MTA uses one connection
   * for a whole SMTP session: when it closes, even between two messages, the rest of the session goes unfiltered.
   */
  async close(graceMs: number, silenceMs = 0): Promise<void> {
    closeAll(this.#endpoints.map(({ endpoint }) => endpoint))
    this.#endpoints = []
    const closed = this.#connections.closed()
    this.#connections.drain(silenceMs)
    const timer = setTimeout(() => this.#connections.destroy(), graceMs)
    await closed
    clearTimeout(timer)
  }

  async #open(on: ListenOn, socketMode: number, first: NewSession<Fault>): Promise<OpenEndpoint<Fault>> {
    let newSession = first
    const listener = await openListener(on, socketMode, {
      onSocket: (socket, address) => this.#connections.add(socket, newSession, peerName(socket, address)),
      onError: (error, address) => this.#events.onFault('accept', error.message, formatSocketSpec(address)),
    })
    return {
      listener,
      use(next) {
        newSession = next
      },
    }
  }
}

function peerName(socket: Socket, address: SocketSpec): string {
  return `${socket.remoteAddress ?? 'local'} on ${formatSocketSpec(address)}`
}

function closeAll(endpoints: ReadonlyArray<{ readonly listener: Listener }>): void {
  for (const { listener } of endpoints) listener.close()
}

/** Sets the mode of all listeners; when one fails, throws and sets those before it back. */
function setModes(listeners: readonly Listener[], before: number, mode: number): void {
  if (mode === before) return
  const set: Listener[] = []
  try {
    for (const listener of listeners) {
      listener.setMode(mode)
      set.push(listener)
    }
  } catch (error) {
    restoreModes(set, before)
    throw error
  }
}

/** Sets the mode back to what it was; a socket that somebody has removed has none any more. */
function restoreModes(listeners: readonly Listener[], mode: number): void {
  for (const listener of listeners) {
    try {
      listener.setMode(mode)
    } catch {
      // What is not there needs no mode.
    }
  }
}
