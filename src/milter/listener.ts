// One socket on which MTAs are awaited: opened by us at an address, or inherited from whoever started us, open already.

import { lookup } from 'node:dns/promises'
import { chmodSync, existsSync, lstatSync, readFileSync, readlinkSync, unlinkSync } from 'node:fs'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { SOCKET_OPTIONS } from './connections.ts'
import { formatSocketSpec, type SocketSpec } from './socket.ts'

/**
 * A listening socket under a number that it had before we started, as sd_listen_fds(3) has it. Whoever passed it on
 * keeps it open, so that MTAs which connect between our end and the next start wait in its queue.
 */
export interface InheritedSocket {
  readonly kind: 'inherited'
  readonly fd: number
}

export type ListenOn = SocketSpec | InheritedSocket

export interface Listener {
  /** What it was opened on. */
  readonly on: ListenOn
  /** Where it listens; a port given as 0 is the one that was found. */
  readonly address: SocketSpec
  /** Sets the permission bits of a unix socket, where it is ours. Throws when they cannot be set. */
  setMode(mode: number): void
  /** Takes no more connections; those that are open go on. Removes a unix socket, where it is ours. */
  close(): void
}

export interface ListenerEvents {
  readonly onSocket: (socket: Socket, address: SocketSpec) => void
  /** A connection could not be taken; listening goes on. */
  readonly onError: (error: Error, address: SocketSpec) => void
}

/**
 * How many MTAs may wait until they are taken; the kernel's own most (net.core.somaxconn). Beyond, a connect(2) to a unix
 * socket fails at once, and over TCP is tried again after a second.
 */
const BACKLOG = 4096

/** `mode` is for unix sockets. Rejects, naming the socket, when it cannot be opened. */
export async function openListener(on: ListenOn, mode: number, events: ListenerEvents): Promise<Listener> {
  const server = createServer(SOCKET_OPTIONS)
  if (on.kind === 'unix') await removeStaleSocket(on.path)
  const host = on.kind === 'inet' || on.kind === 'inet6' ? await addressOf(on) : undefined
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      reject(new Error(`Cannot listen on ${formatListenOn(on)}: ${error.message}`, { cause: error }))
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
  // None has come: the loop has not turned since.
  server.on('connection', (socket) => events.onSocket(socket, address))
  // accept(2) can fail while listening goes on, for want of memory for one; unheard, it would end the process.
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

/** Whether a listener opened on one of them serves for the other. */
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

/** The path that the kernel knows for a unix socket; the descriptor's own where it tells none. */
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
    // Without /proc it is served all the same.
  }
  return own
}

/** The mode holds from the first moment: bind(2) happens within listen(), under this mask. */
function listenUnix(server: Server, path: string, mode: number): void {
  const previous = process.umask(0o777 & ~mode)
  try {
    server.listen({ path, backlog: BACKLOG })
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
    throw new Error(`Cannot listen on ${formatSocketSpec(spec)}: ${reasonOf(error)}`, { cause: error })
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

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
