// The sockets on which MTAs reach the filter: several inet and unix sockets at once, a session for each connection,
// and an orderly end. One connection's faults never touch another.

import { lookup } from 'node:dns/promises'
import { existsSync, lstatSync, unlinkSync } from 'node:fs'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { type Handler, type Peer, type ProtocolErrorKind, Session } from './session.ts'
import { formatSocketSpec, type SocketSpec } from './socket.ts'

/** libmilter's own default for a silent MTA (smfi_settimeout): SMTP clients may idle for long within a session. */
const IDLE_TIMEOUT = 7_210_000

export interface ServerOptions {
  readonly listen: readonly SocketSpec[]
  /** Permission bits of unix sockets. */
  readonly socketMode: number
  readonly newHandler: () => Handler
  readonly onConnection: (open: number) => void
  readonly onProtocolError: (kind: ProtocolErrorKind, reason: string, peer: string) => void
}

/** Listens on all sockets, or on none: rejects with the first that cannot be opened, named in the message. */
export async function startServer(options: ServerOptions): Promise<MilterServer> {
  const server = new MilterServer(options)
  try {
    for (const spec of options.listen) await server.listen(spec)
  } catch (error) {
    await server.close(0)
    throw error
  }
  return server
}

export class MilterServer {
  readonly #options: ServerOptions
  readonly #listeners: Server[] = []
  readonly #connections = new Map<Socket, Session>()
  readonly #addresses: SocketSpec[] = []

  constructor(options: ServerOptions) {
    this.#options = options
  }

  /** Where it listens; a port given as 0 is the one that was found. */
  get addresses(): readonly SocketSpec[] {
    return this.#addresses
  }

  async listen(spec: SocketSpec): Promise<void> {
    const listener = createServer((socket) => this.#accept(socket, spec))
    if (spec.kind === 'unix') await removeStaleSocket(spec.path)
    const host = spec.kind === 'unix' ? undefined : await addressOf(spec)
    await new Promise<void>((resolve, reject) => {
      listener.once('error', (error) => {
        reject(new Error(`Cannot listen on ${formatSocketSpec(spec)}: ${error.message}`, { cause: error }))
      })
      listener.once('listening', resolve)
      if (spec.kind === 'unix') listenUnix(listener, spec.path, this.#options.socketMode)
      else listener.listen({ host, port: spec.port, ipv6Only: spec.kind === 'inet6' })
    })
    this.#listeners.push(listener)
    const address = listener.address()
    const port = typeof address === 'object' ? address?.port : undefined
    this.#addresses.push(spec.kind === 'unix' || port === undefined ? spec : { ...spec, port })
  }

  /**
   * Takes no more connections, lets open transactions end for `graceMs` milliseconds at most, then closes what is
   * left. Connections without a transaction are closed at once.
   */
  async close(graceMs: number): Promise<void> {
    const closed = [
      ...this.#listeners.map((listener) => new Promise((resolve) => listener.close(resolve))),
      // A listener counts as closed a moment before its sockets have said so to us.
      ...[...this.#connections.keys()].map(
        (socket) => new Promise((resolve) => socket.once('close', resolve)),
      ),
    ]
    for (const session of this.#connections.values()) session.drain()
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

/** The mode holds from the first moment: bind(2) happens within listen(), under this mask. */
function listenUnix(listener: Server, path: string, mode: number): void {
  const previous = process.umask(0o777 & ~mode)
  try {
    listener.listen({ path })
  } finally {
    process.umask(previous)
  }
}

/** The address of a host by name in the family asked for: an MTA told `inet` tries no IPv6. */
async function addressOf(spec: SocketSpec & { kind: 'inet' | 'inet6' }): Promise<string> {
  try {
    const { address } = await lookup(spec.host, { family: spec.kind === 'inet6' ? 6 : 4 })
    return address
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`Cannot listen on ${formatSocketSpec(spec)}: ${reason}`, { cause: error })
  }
}

/** Removes a socket file that nobody serves any more, as kill -9 leaves it; anything else in its place is kept. */
async function removeStaleSocket(path: string): Promise<void> {
  // bind(2) in a folder that is not there is reported by libuv as a lack of permission.
  if (!existsSync(dirname(path))) throw new Error(`Cannot listen on unix:${path}: there is no such folder`)
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (!found) return
  if (!found.isSocket())
    throw new Error(`Cannot listen on unix:${path}: there is a file that is not a socket`)
  if (await answers(path)) throw new Error(`Cannot listen on unix:${path}: another process listens there`)
  unlinkSync(path)
}

/** Only a refused connection means that nobody listens: EAGAIN is a full queue, EACCES another user's socket. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ path })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'))
  })
}
