// The sockets on which MTAs reach the filter: several inet and unix sockets at once, swapped while it runs, and an
// orderly end. One connection's faults never touch another.

import type { Socket } from 'node:net'
import { type ConnectionEvents, Connections } from './connections.ts'
import type { Limits } from './limits.ts'
import { isSameSocket, type Listener, type ListenerEvents, type ListenOn, openListener } from './listener.ts'
import type { Handler } from './session.ts'
import { formatSocketSpec, type SocketSpec } from './socket.ts'

export interface ServerOptions extends ConnectionEvents {
  readonly listen: readonly ListenOn[]
  /** Permission bits of unix sockets. */
  readonly socketMode: number
  readonly limits: Limits
  readonly newHandler: () => Handler
}

/** Listens on all sockets, or on none: rejects with the first that cannot be opened, named in the message. */
export async function startServer(options: ServerOptions): Promise<MilterServer> {
  const server = new MilterServer(options)
  try {
    await server.listen(options.listen, options.socketMode)
  } catch (error) {
    await server.close(0) // an MTA may have come through one that was opened
    throw error
  }
  return server
}

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

  /** Sessions that are open keep the limits of their frames, macros and recipients. */
  useLimits(limits: Limits): void {
    this.#connections.useLimits(limits)
  }

  /** Where it listens; a port given as 0 is the one that was found. */
  get addresses(): readonly SocketSpec[] {
    return this.#listeners.map(({ address }) => address)
  }

  /**
   * Listens on these sockets and no others. Those that are open stay open untouched, new ones are opened before the
   * rest is closed, and connections that came through the rest go on to their end. When one cannot be opened, all is
   * as it was, and the promise rejects with that one named.
   */
  async listen(listen: readonly ListenOn[], socketMode: number): Promise<void> {
    const events: ListenerEvents = {
      onSocket: (socket, address) => this.#accept(socket, address),
      onError: (error, address) =>
        this.#options.onProtocolError('accept', error.message, formatSocketSpec(address)),
    }
    const rest = [...this.#listeners]
    const opened: Listener[] = []
    const wanted: Listener[] = []
    try {
      for (const on of listen) {
        const open = rest.find((listener) => isSameSocket(listener.on, on))
        if (open) rest.splice(rest.indexOf(open), 1)
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
    for (const listener of rest) listener.close()
  }

  /**
   * Takes no more connections and lets the open ones go on, for `graceMs` milliseconds at most, until the MTA has said
   * nothing for `silenceMs` and no transaction is open: an MTA asks a milter for a whole SMTP session, and does without
   * for the rest of one in which the connection closed, between two messages as well.
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

/** When one cannot be set, those before it are set back. */
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
