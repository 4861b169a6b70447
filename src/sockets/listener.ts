// One listening socket for MTAs: opened by us at an address, or inherited, already open, from the service manager.
// Several sockets together are left to server.ts, accepted connections to connections.ts.
// Source: unix(7), listen(2); systemd, sd_listen_fds(3); proc(5), /proc/net/unix.

import { lookup } from 'node:dns/promises'
import { chmodSync, existsSync, lstatSync, readFileSync, readlinkSync, unlinkSync } from 'node:fs'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { withHolder } from '../taken-port.ts'
import { SOCKET_OPTIONS } from './connections.ts'
import { formatSocketSpec, type SocketSpec } from './spec.ts'

/**
 * A listening socket that was open before we started, by its descriptor (sd_listen_fds(3)). The service manager keeps
 * it open, so that MTAs that connect between our end and the next start wait in its queue.
 */
export interface InheritedSocket {
  readonly kind: 'inherited'
  readonly fd: number
}

/** What a listener is opened on. */
export type ListenOn = SocketSpec | InheritedSocket

/** An open listening socket. */
export interface Listener {
  readonly on: ListenOn
  /** Where it listens; for port 0, with the port that the kernel chose. */
  readonly address: SocketSpec
  /** Sets the permission bits of a unix socket that we opened. Throws when they cannot be set. */
  setMode(mode: number): void
  /** Accepts no more connections; open ones go on. Removes a unix socket that we opened. */
  close(): void
}

/** What the owner is told: accepted connections, and failures to accept one. */
export interface ListenerEvents {
  readonly onSocket: (socket: Socket, address: SocketSpec) => void
  /** A connection could not be accepted; listening goes on. */
  readonly onError: (error: Error, address: SocketSpec) => void
}

/**
 * How many connections may wait to be accepted: as many as the kernel allows by default (net.core.somaxconn). Beyond,
 * connect(2) to a unix socket fails at once, and TCP retries after a second.
 */
const BACKLOG = 4096

/**
 * A listener on `on`; `mode` is for unix sockets. Rejects with the socket in the message when it cannot be opened. A
 * `server` may be given that handles its connections by itself, such as one of node:http.
 */
export async function openListener(
  on: ListenOn,
  mode: number,
  events: ListenerEvents,
  server: Server = createServer(SOCKET_OPTIONS),
): Promise<Listener> {
  if (on.kind === 'unix') await removeStaleSocket(on.path)
  const host = on.kind === 'inet' || on.kind === 'inet6' ? await addressOf(on) : undefined
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      const reason = 'port' in on ? withHolder(error, on.port) : error.message
      reject(new Error(`Cannot listen on ${formatListenOn(on)}: ${reason}`, { cause: error }))
    })
    server.once('listening', resolve)
    switch (on.kind) {
      case 'inherited':
        server.listen({ fd: on.fd }, BACKLOG)
        break
      case 'unix':
        listenUnix(server, on.path, mode)
        break
      default:
        server.listen({ host, port: on.port, ipv6Only: on.kind === 'inet6', backlog: BACKLOG })
    }
  })
  const address = foundAddress(server, on)
  // No connection can have been missed: we are still in the same turn of the event loop.
  server.on('connection', (socket) => events.onSocket(socket, address))
  // accept(2) can fail while listening goes on, for example for lack of memory; unhandled, the event ends the process.
  server.on('error', (error) => events.onError(error, address))
  return {
    on,
    address,
    setMode(mode) {
      if (on.kind !== 'unix') return
      try {
        chmodSync(on.path, mode)
      } catch (error) {
        throw new Error(`Cannot set the mode of ${formatListenOn(on)}: ${reasonOf(error)}`, { cause: error })
      }
    },
    close() {
      server.close()
    },
  }
}

/** Whether a listener opened on `one` also serves `other`. */
export function isSameSocket(one: ListenOn, other: ListenOn): boolean {
  return formatListenOn(one) === formatListenOn(other)
}

function formatListenOn(on: ListenOn): string {
  return on.kind === 'inherited' ? `inherited descriptor ${on.fd}` : formatSocketSpec(on)
}

function foundAddress(server: Server, on: ListenOn): SocketSpec {
  const found = server.address()
  const isInet = typeof found === 'object' && found !== null
  switch (on.kind) {
    case 'unix':
      return on
    case 'inherited': {
      // Node does not know the path of a unix socket that it did not bind itself.
      if (!isInet) return { kind: 'unix', path: pathOfInherited(on.fd) }
      return { kind: found.family === 'IPv6' ? 'inet6' : 'inet', host: found.address, port: found.port }
    }
    default:
      return isInet ? { ...on, port: found.port } : on
  }
}

/** The path that the kernel has for a unix socket; if it has none, that of the descriptor in /proc. */
function pathOfInherited(fd: number): string {
  const own = `/proc/self/fd/${fd}`
  try {
    const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(own))?.[1]
    // num refcount protocol flags type state inode path (proc(5))
    for (const line of readFileSync('/proc/self/net/unix', 'utf8').split('\n')) {
      const [, found, path] = /^(?:\S+ +){6}(\d+) +(\S.*)$/.exec(line) ?? []
      if (path !== undefined && found === inode) return path
    }
  } catch {
    // Without /proc the path is unknown, but the socket can be served all the same.
  }
  return own
}

/** Listens with `mode` from the first moment: listen() calls bind(2) before it returns, under this umask. */
function listenUnix(server: Server, path: string, mode: number): void {
  const previous = process.umask(0o777 & ~mode)
  try {
    server.listen({ path, backlog: BACKLOG })
  } finally {
    process.umask(previous)
  }
}

/** The address of `spec.host` in the family of `spec`: an MTA that is told `inet` does not try IPv6. */
async function addressOf(spec: SocketSpec & { kind: 'inet' | 'inet6' }): Promise<string> {
  try {
    const { address } = await lookup(spec.host, { family: spec.kind === 'inet6' ? 6 : 4 })
    return address
  } catch (error) {
    throw new Error(`Cannot listen on ${formatSocketSpec(spec)}: ${reasonOf(error)}`, { cause: error })
  }
}

/** Removes a socket file that no process serves, as kill -9 leaves one; rejects if anything else is in its place. */
async function removeStaleSocket(path: string): Promise<void> {
  // For bind(2) in a missing folder, libuv reports a lack of permission.
  if (!existsSync(dirname(path))) throw new Error(`Cannot listen on unix:${path}: there is no such folder`)
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (!found) return
  if (!found.isSocket())
    throw new Error(`Cannot listen on unix:${path}: there is a file that is not a socket`)
  if (await isServed(path)) throw new Error(`Cannot listen on unix:${path}: another process listens there`)
  unlinkSync(path)
}

/** Whether a process listens. Only a refusal says no: EAGAIN is a full queue, EACCES another user's socket. */
function isServed(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ path })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'))
  })
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
