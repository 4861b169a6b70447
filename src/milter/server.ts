// The milter server. It listens on several inet and unix sockets at once, replaces them while it runs, and shuts down
// gracefully. A fault of one connection never affects another. Limits are left to connections.ts, the protocol to
// session.ts.

import type { Socket } from 'node:net'
import { type ConnectionEvents, Connections } from './connections.ts'
import type { Limits } from './limits.ts'
import { isSameSocket, type Listener, type ListenerEvents, type ListenOn, openListener } from './listener.ts'
import type { Handler } from './session.ts'
import { formatSocketSpec, type SocketSpec } from './socket.ts'

/** What a server listens on, its limits, and the handler that it makes for each connection. */
export interface ServerOptions extends ConnectionEvents {
  readonly listen: readonly ListenOn[]
  /** Permission bits of unix sockets. */
  readonly socketMode: number
  readonly limits: Limits
  readonly newHandler: () => Handler
}

/** A server that listens on all its sockets; rejects, with the first that cannot be opened, and then has none open. */
export async function startServer(options: ServerOptions): Promise<MilterServer> {
  const server = new MilterServer(options)
  try {
    await server.listen(options.listen, options.socketMode)
  } catch (error) {
    await server.close(0) // an MTA may have connected to a socket that was opened before the failure
    throw error
  }
  return server
}

/** The listening sockets and the connections that came through them. */
export class MilterServer {
  readonly #options: ServerOptions
  #listeners: readonly Listener[] = []
  #socketMode: number
  readonly #connections: Connections

  constructor(options: ServerOptions) {
    this.#options = options
    this.#socketMode = options.socketMode
    this.#connections = new Connections(options.limits, options)
  }

  /** Replaces the limits; open sessions keep their limits on frames, macros and recipients. */
  useLimits(limits: Limits): void {
    this.#connections.useLimits(limits)
  }

  /** Where it listens; for port 0, with the port that the kernel chose. */
  get addresses(): readonly SocketSpec[] {
    return this.#listeners.map(({ address }) => address)
  }

  /**
   * Listens on these sockets and no others. Sockets that are open stay open, new ones are opened before surplus ones
   * are closed, and connections that came through surplus ones go on. If a socket cannot be opened, or its mode not be
   * set, everything stays as it was, and the promise rejects with that socket in the message.
   */
  async listen(listen: readonly ListenOn[], socketMode: number): Promise<void> {
    const events: ListenerEvents = {
      onSocket: (socket, address) => this.#accept(socket, address),
      onError: (error, address) =>
        this.#options.onProtocolError('accept', error.message, formatSocketSpec(address)),
    }
    const surplus = [...this.#listeners]
    const opened: Listener[] = []
    const wanted: Listener[] = []
    try {
      for (const on of listen) {
        const open = surplus.find((listener) => isSameSocket(listener.on, on))
        if (open) surplus.splice(surplus.indexOf(open), 1)
        else opened.push(await openListener(on, socketMode, events))
        wanted.push(...(open ? [open] : opened.slice(-1)))
      }
      setModes(this.#listeners, this.#socketMode, socketMode)
    } catch (error) {
      for (const listener of opened) listener.close()
      throw error
    }
    this.#listeners = wanted
    this.#socketMode = socketMode
    for (const listener of surplus) listener.close()
  }

  /**
   * Accepts no more connections, and closes each open one when its MTA has said nothing for `silenceMs` milliseconds
   * and no transaction is open; those left after `graceMs` milliseconds are closed at once. An MTA uses one connection
   * for a whole SMTP session: when it closes, even between two messages, the rest of the session goes unfiltered.
   */
  async close(graceMs: number, silenceMs = 0): Promise<void> {
    for (const listener of this.#listeners) listener.close()
    this.#listeners = []
    const closed = this.#connections.closed()
    this.#connections.drain(silenceMs)
    const timer = setTimeout(() => this.#connections.destroy(), graceMs)
    await closed
    clearTimeout(timer)
  }

  #accept(socket: Socket, spec: SocketSpec): void {
    const peerName = `${socket.remoteAddress ?? 'local'} on ${formatSocketSpec(spec)}`
    this.#connections.add(socket, this.#options.newHandler(), peerName)
  }
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
    for (const listener of set) listener.setMode(before)
    throw error
  }
}
