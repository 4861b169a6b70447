// The sockets on which MTAs reach the filter: several inet and unix sockets at once, a session for each connection,
// and an orderly end. One connection's faults never touch another.

import type { Socket } from 'node:net'
import { isSameSocket, type Listener, type ListenOn, openListener } from './listener.ts'
import { type Handler, type Peer, type ProtocolErrorKind, Session } from './session.ts'
import { formatSocketSpec, type SocketSpec } from './socket.ts'

/** libmilter's own default for a silent MTA (smfi_settimeout): SMTP clients may idle for long within a session. */
const IDLE_TIMEOUT = 7_210_000

export interface ServerOptions {
  readonly listen: readonly ListenOn[]
  /** Permission bits of unix sockets. */
  readonly socketMode: number
  readonly newHandler: () => Handler
  readonly onConnection: (open: number) => void
  readonly onProtocolError: (kind: ProtocolErrorKind, reason: string, peer: string) => void
}

/** Listens on all sockets, or on none: rejects with the first that cannot be opened, named in the message. */
export async function startServer(options: ServerOptions): Promise<MilterServer> {
  const server = new MilterServer(options)
  await server.listen(options.listen, options.socketMode)
  return server
}

export class MilterServer {
  readonly #options: ServerOptions
  #listeners: readonly Listener[] = []
  #socketMode: number
  readonly #connections = new Map<Socket, Session>()

  constructor(options: ServerOptions) {
    this.#options = options
    this.#socketMode = options.socketMode
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
    const accept = (socket: Socket, address: SocketSpec) => this.#accept(socket, address)
    const rest = [...this.#listeners]
    const opened: Listener[] = []
    const wanted: Listener[] = []
    try {
      for (const on of listen) {
        const open = rest.find((listener) => isSameSocket(listener.on, on))
        if (open) rest.splice(rest.indexOf(open), 1)
        else opened.push(await openListener(on, socketMode, accept))
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
    const closed = [...this.#connections.keys()].map(
      (socket) => new Promise((resolve) => socket.once('close', resolve)),
    )
    for (const [socket, session] of this.#connections) {
      socket.removeAllListeners('timeout')
      socket.setTimeout(Math.max(1, silenceMs))
      socket.on('timeout', () => session.endIfIdle()) // comes once in each silence
    }
    const timer = setTimeout(() => {
      for (const socket of this.#connections.keys()) socket.destroy()
    }, graceMs)
    await Promise.all(closed)
    clearTimeout(timer)
  }

  #accept(socket: Socket, spec: SocketSpec): void {
    const peerName = `${socket.remoteAddress ?? 'local'} on ${formatSocketSpec(spec)}`
    const peer: Peer = {
      send: (bytes) => socket.write(bytes),
      // MTAs look at this socket only when they have a command to send: waiting for their side to close may take as
      // long as their client idles.
      end: () => socket.end(() => socket.destroy()),
      fail: (kind, reason) => {
        this.#options.onProtocolError(kind, reason, peerName)
        socket.destroy()
      },
      pause: () => socket.pause(),
      resume: () => socket.resume(),
    }
    const session = new Session(this.#options.newHandler(), peer)
    this.#connections.set(socket, session)
    this.#options.onConnection(this.#connections.size)
    socket.setNoDelay(true)
    socket.setTimeout(IDLE_TIMEOUT, () => socket.destroy())
    socket.on('data', (chunk: Buffer) => {
      session.receive(chunk)
      if (!socket.writableNeedDrain) return
      // An MTA that does not read its replies sends no more commands until it does.
      socket.pause()
      socket.once('drain', () => socket.resume())
    })
    // A connection that breaks is an ordinary end: the MTA has already decided what to do without us.
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      session.disconnected()
      this.#connections.delete(socket)
      this.#options.onConnection(this.#connections.size)
    })
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
