// The open connections, whatever protocol they speak, and the limits on them. Connections that are silent or take no
// replies for too long are closed, and some when there are too many or all together hold too much memory. Listening is
// left to listener.ts, the protocol to the sessions.

import type { Socket } from 'node:net'
import { Chain, type Member } from '../chain.ts'
import { Turns } from '../turns.ts'
import { Arrivals } from './arrivals.ts'
import { connectionsWithin, descriptorLimit } from './descriptors.ts'
import type { ConnectionLimits } from './limits.ts'
import type { NewSession, Peer, Session, Waiting } from './session.ts'

/** The faults that any protocol can have: a limit that a connection exceeded, or `accept`, a failure to accept one. */
export type ConnectionFault = 'connections' | 'memory' | 'slow-writer' | 'slow-reader' | 'idle' | 'accept'

/** What the owner is told: how many connections are open, and each fault with the peer's name. */
export interface ConnectionEvents<Fault extends string> {
  readonly onConnection: (open: number) => void
  readonly onFault: (kind: Fault | ConnectionFault, reason: string, peer: string) => void
}

/**
 * Options of accepted sockets, for `createServer` of node:net. `highWaterMark` bounds what Node keeps of a paused
 * socket's input and of waiting writes, in bytes: an MTA never has more than one command waiting, and a byte that comes
 * in a packet of its own takes 180 bytes of memory.
 *
 * TCP keep-alive finds a peer that vanished without a word some 10 minutes later. The delay is not much lower because
 * libuv gives up after 10 s without an answer, and a network outage of that length should not cost an idle connection.
 *
 * A connection whose peer has closed its half stays open, as Exim closes its half behind a request, and then reads.
 */
export const SOCKET_OPTIONS = {
  allowHalfOpen: true,
  highWaterMark: 64,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: 600_000,
}

/** How many of the oldest connections are searched for one that can be closed: the search itself must stay cheap. */
const MAX_EVICTION_CANDIDATES = 100

/** Connections are checked for silence four times within the shortest time-out, at intervals of 10 ms to 15 s. */
const CHECKS_PER_TIMEOUT = 4
const MAX_CHECK_INTERVAL = 15_000
const MIN_CHECK_INTERVAL = 10

/**
 * When memory runs out, connections are closed until 90 % of the limit is in use, so that the costly search for the
 * largest stays rare.
 */
const MEMORY_LOW_WATER = 0.9

/** One connection, as what its session needs of the socket, and with what is known of both. */
class Connection<Fault extends string> implements Peer<Fault>, Member<Connection<Fault>> {
  before: Connection<Fault> | undefined = undefined
  after: Connection<Fault> | undefined = undefined
  isInChain = false
  readonly socket: Socket
  readonly session: Session
  /** Bytes that it held when it was last measured. */
  held = 0
  /** Whether what arrived has ended it, so that its socket is about to close. */
  isOver = false
  /** The session's `waiting` and `progress` at the last check, and since when both are unchanged. */
  waiting: Waiting = 'frame'
  progress = 0
  since = performance.now()
  /** The name of the peer in messages. */
  readonly #name: string
  readonly #events: ConnectionEvents<Fault>
  readonly #turns: Turns

  constructor(
    socket: Socket,
    newSession: NewSession<Fault>,
    name: string,
    events: ConnectionEvents<Fault>,
    turns: Turns,
  ) {
    this.socket = socket
    this.#name = name
    this.#events = events
    this.#turns = turns
    this.session = newSession(this)
  }

  send(bytes: Buffer): boolean {
    return this.socket.write(bytes) || this.socket.writableLength === 0
  }

  /**
   * The socket is destroyed without waiting for the MTA to close its side: MTAs look at this socket only when they have
   * a command to send, and that may take as long as their client idles. Only replies that the kernel has not taken yet
   * have to go out before.
   */
  end(): void {
    const { socket } = this
    if (socket.writableLength === 0) socket.destroy()
    else socket.end(() => socket.destroy())
  }

  fail(kind: Fault | ConnectionFault, reason: string): void {
    this.#events.onFault(kind, reason, this.#name)
    this.socket.destroy()
  }

  exceeded(kind: Fault, reason: string): void {
    this.#events.onFault(kind, reason, this.#name)
  }

  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  later(action: () => void): void {
    this.#turns.wait(action)
  }
}

/** The open connections. Each is held to the limits, and so are all together. */
export class Connections<Fault extends string> {
  readonly #events: ConnectionEvents<Fault>
  /** The oldest first. */
  readonly #open = new Chain<Connection<Fault>>()
  readonly #arrivals = new Arrivals<Connection<Fault>>((open, chunk) => this.#take(open, chunk))
  readonly #turns = new Turns(() => this.#arrivals.takeAll())
  #limits: ConnectionLimits
  /** The effective limit on connections, and its wording for messages. */
  #maxConnections = 0
  #limitText = ''
  /** Number of connections that are over and not closed yet. */
  #over = 0
  /** Bytes that all connections held when they were last measured. */
  #held = 0
  #checkTimer: NodeJS.Timeout | undefined

  constructor(limits: ConnectionLimits, events: ConnectionEvents<Fault>) {
    this.#limits = limits
    this.#events = events
    this.useLimits(limits)
  }

  /** Replaces the limits, for open connections too. */
  useLimits(limits: ConnectionLimits): void {
    this.#limits = limits
    const affordable = connectionsWithin(descriptorLimit())
    this.#maxConnections = Math.min(limits.connections, affordable)
    const cause = affordable < limits.connections ? ', which is what file descriptors allow' : ''
    this.#limitText = `more than ${this.#maxConnections} connections${cause}`
    clearInterval(this.#checkTimer)
    const shortest = Math.min(limits.stall, limits.idle, limits.idleInTransaction)
    const period = Math.min(MAX_CHECK_INTERVAL, Math.max(MIN_CHECK_INTERVAL, shortest / CHECKS_PER_TIMEOUT))
    this.#checkTimer = setInterval(() => this.#checkSilence(), period).unref()
  }

  /** Takes over an accepted socket; `name` is the name of the peer in messages. */
  add(socket: Socket, newSession: NewSession<Fault>, name: string): void {
    const open = new Connection(socket, newSession, name, this.#events, this.#turns)
    const { session } = open
    this.#open.add(open)
    this.#events.onConnection(this.#open.size)
    socket.on('data', (chunk: Buffer) => this.#arrivals.add(open, chunk))
    socket.on('end', () => this.#arrivals.add(open))
    socket.on('drain', () => session.replied())
    // A connection that breaks is an ordinary end: the MTA has already decided what to do without us.
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      session.disconnected()
      this.#open.delete(open)
      if (open.isOver) this.#over -= 1
      this.#held -= open.held
      this.#events.onConnection(this.#open.size)
    })
    if (this.#open.size > this.#maxConnections) this.#evictFor(open)
  }

  /**
   * Ends each connection once its MTA has said nothing for `silence` milliseconds and no transaction is open. No other
   * time-out applies from now on; the caller ends what is left with `destroy`.
   */
  drain(silence: number): void {
    clearInterval(this.#checkTimer)
    for (const { socket, session } of this.#open.members()) {
      socket.setTimeout(Math.max(1, silence))
      // Emitted once in each silence.
      socket.on('timeout', () => {
        this.#arrivals.takeAll()
        session.endIfIdle()
      })
    }
  }

  destroy(): void {
    for (const { socket } of this.#open.members()) socket.destroy()
  }

  /** Resolves when all connections that are open now are closed. */
  async closed(): Promise<void> {
    await Promise.all(
      this.#open.members().map(({ socket }) => new Promise((resolve) => socket.once('close', resolve))),
    )
  }

  /** Handles what has arrived on a connection: a chunk, or the end of its input. */
  #take(open: Connection<Fault>, chunk: Buffer | undefined): void {
    const { socket, session } = open
    if (socket.destroyed) return
    if (chunk) session.receive(chunk)
    else session.inputOver()
    if (socket.destroyed) {
      open.isOver = true
      this.#over += 1
    }
    this.#measure(open)
    if (this.#held > this.#limits.memory) this.#shedMemory()
  }

  #evictFor(newest: Connection<Fault>): void {
    // Handling what has arrived tells what each connection waits for, and may end some, which makes room.
    this.#arrivals.takeAll()
    if (this.#open.size - this.#over <= this.#maxConnections) return
    let candidates = 0
    for (let open = this.#open.first; open; open = open.after) {
      if (open.socket.destroyed) continue
      if (candidates === MAX_EVICTION_CANDIDATES) break
      candidates += 1
      const { waiting } = open.session
      if (open === newest || waiting === 'us' || waiting === 'transaction') continue
      open.fail('connections', `${this.#limitText}: this one had no transaction open, and made room`)
      return
    }
    newest.fail('connections', `${this.#limitText}, all with a transaction open`)
  }

  #measure(open: Connection<Fault>): void {
    const { socket } = open
    const held = socket.destroyed ? 0 : open.session.held + socket.writableLength + socket.readableLength
    this.#held += held - open.held
    open.held = held
  }

  #shedMemory(): void {
    const all = this.#open.members()
    for (const open of all) this.#measure(open)
    const { memory } = this.#limits
    if (this.#held <= memory) return
    for (const open of all.sort((a, b) => b.held - a.held)) {
      if (this.#held <= memory * MEMORY_LOW_WATER) return
      const { held } = open
      open.fail(
        'memory',
        `more than ${memory} bytes are kept for all connections: this one, with ${held}, made room`,
      )
      this.#measure(open)
    }
  }

  #checkSilence(): void {
    this.#arrivals.takeAll() // a connection on which something has arrived is not silent
    const now = performance.now()
    for (const open of this.#open.members()) {
      const { waiting, progress } = open.session
      if (waiting !== open.waiting || progress !== open.progress)
        Object.assign(open, { waiting, progress, since: now })
      else this.#closeIfSilent(open, now - open.since)
      this.#measure(open)
    }
  }

  #closeIfSilent(open: Connection<Fault>, silence: number): void {
    const { stall, idle, idleInTransaction } = this.#limits
    switch (open.waiting) {
      case 'us':
        return
      case 'frame':
        if (silence >= stall) open.fail('slow-writer', `the MTA completed no command for ${stall} ms`)
        return
      case 'reader':
        if (silence >= stall) open.fail('slow-reader', `the MTA took no reply for ${stall} ms`)
        return
      case 'transaction':
        if (silence >= idleInTransaction)
          open.fail('idle', `the MTA sent no command for ${idleInTransaction} ms in a transaction`)
        return
      case 'idle':
        if (silence >= idle) open.fail('idle', `the MTA sent no command for ${idle} ms`)
    }
  }
}
