// The open connections of MTAs, a session for each, and the limits on them: who says nothing, or does not take its
// replies, for too long is closed, and so are some where there are too many or they keep too much.

import type { Socket } from 'node:net'
import { Turns } from '../turns.ts'
import { connectionsWithin, descriptorLimit } from './descriptors.ts'
import type { Limits } from './limits.ts'
import { type Handler, type Peer, Session, type SessionFault, type Waiting } from './session.ts'

/** What became of a connection that is not as it should be; the values of the metric's label. */
export type ProtocolErrorKind =
  | SessionFault
  | 'connections'
  | 'memory'
  | 'slow-writer'
  | 'slow-reader'
  | 'idle'
  | 'accept'

export interface ConnectionEvents {
  readonly onConnection: (open: number) => void
  readonly onProtocolError: (kind: ProtocolErrorKind, reason: string, peer: string) => void
}

/**
 * As sockets are accepted. Node keeps what a paused socket has read, and writes that wait, up to so many bytes: MTAs
 * never let more than a command wait, and a byte in a packet of its own takes 180 in memory.
 *
 * A peer that vanished without a word is found by keep-alive, some 10 minutes later; not much sooner, as libuv gives up
 * after 10 s of no answer, and a network that is away for so long should not cost a connection that nobody needs now.
 */
export const SOCKET_OPTIONS = {
  highWaterMark: 64,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: 600_000,
}

/** So many of the oldest connections are looked at for one that can make room: the look itself must not cost much. */
const OLDEST = 100

/** Silence is looked for so often within the shortest time allowed, and every so many milliseconds at least. */
const LOOKS = 4
const LONGEST_LOOK = 15_000
const SHORTEST_LOOK = 10

/** When the memory is used up, so much of it is left in use: that it is looked for who has most stays seldom. */
const SHED_TO = 0.9

interface Open {
  readonly session: Session
  readonly fail: (kind: ProtocolErrorKind, reason: string) => void
  /** What it was last seen to keep. */
  held: number
  /** What it was last seen to wait for, with how many commands behind it, and since when. */
  waiting: Waiting
  progress: number
  since: number
}

export class Connections {
  readonly #events: ConnectionEvents
  readonly #open = new Map<Socket, Open>()
  readonly #turns = new Turns()
  #limits: Limits
  /** How many there may be, and why no more. */
  #most = 0
  #bound = ''
  #held = 0
  #looking: NodeJS.Timeout | undefined

  constructor(limits: Limits, events: ConnectionEvents) {
    this.#limits = limits
    this.#events = events
    this.useLimits(limits)
  }

  /** Sessions that are open keep the limits of their frames, macros and recipients. */
  useLimits(limits: Limits): void {
    this.#limits = limits
    const affordable = connectionsWithin(descriptorLimit())
    this.#most = Math.min(limits.connections, affordable)
    const cause = affordable < limits.connections ? ', which is what file descriptors allow' : ''
    this.#bound = `more than ${this.#most} connections${cause}`
    clearInterval(this.#looking)
    const shortest = Math.min(limits.stall, limits.idle, limits.idleInTransaction)
    const period = Math.min(LONGEST_LOOK, Math.max(SHORTEST_LOOK, shortest / LOOKS))
    this.#looking = setInterval(() => this.#look(), period).unref()
  }

  /** `name` is that of the peer in messages. */
  add(socket: Socket, handler: Handler, name: string): void {
    const fail = (kind: ProtocolErrorKind, reason: string) => {
      this.#events.onProtocolError(kind, reason, name)
      socket.destroy()
    }
    const peer: Peer = {
      send: (bytes) => socket.write(bytes) || socket.writableLength === 0,
      // MTAs look at this socket only when they have a command to send: waiting for their side to close may take as
      // long as their client idles.
      end: () => socket.end(() => socket.destroy()),
      fail,
      exceeded: (kind, reason) => this.#events.onProtocolError(kind, reason, name),
      pause: () => socket.pause(),
      resume: () => socket.resume(),
      later: (action) => this.#turns.wait(action),
    }
    const session = new Session(handler, peer, this.#limits)
    const open: Open = { session, fail, held: 0, waiting: 'frame', progress: 0, since: performance.now() }
    this.#open.set(socket, open)
    this.#events.onConnection(this.#open.size)
    socket.on('data', (chunk: Buffer) => {
      session.receive(chunk)
      this.#measure(socket, open)
      if (this.#held > this.#limits.memory) this.#freeMemory()
    })
    socket.on('drain', () => session.replied())
    // A connection that breaks is an ordinary end: the MTA has already decided what to do without us.
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      session.disconnected()
      this.#open.delete(socket)
      this.#held -= open.held
      this.#events.onConnection(this.#open.size)
    })
    if (this.#open.size > this.#most) this.#makeRoomFor(open)
  }

  /**
   * Ends each connection once its MTA has said nothing for `silence` milliseconds and no transaction is open. From now
   * on nobody is closed for silence of any other kind: `destroy` is to end what is left.
   */
  drain(silence: number): void {
    clearInterval(this.#looking)
    for (const [socket, { session }] of this.#open) {
      socket.setTimeout(Math.max(1, silence))
      socket.on('timeout', () => session.endIfIdle()) // comes once in each silence
    }
  }

  destroy(): void {
    for (const socket of this.#open.keys()) socket.destroy()
  }

  /** Resolves when all that are open now are closed. */
  async closed(): Promise<void> {
    await Promise.all(
      [...this.#open.keys()].map((socket) => new Promise((resolve) => socket.once('close', resolve))),
    )
  }

  #makeRoomFor(newest: Open): void {
    let looked = 0
    for (const [socket, open] of this.#open) {
      if (socket.destroyed) continue
      if (looked === OLDEST) break
      looked += 1
      const { waiting } = open.session
      if (open === newest || waiting === 'us' || waiting === 'transaction') continue
      open.fail('connections', `${this.#bound}: this one, without a transaction, made room`)
      return
    }
    newest.fail('connections', `${this.#bound}, all in transactions`)
  }

  #measure(socket: Socket, open: Open): void {
    const held = socket.destroyed ? 0 : open.session.held + socket.writableLength + socket.readableLength
    this.#held += held - open.held
    open.held = held
  }

  #freeMemory(): void {
    for (const [socket, open] of this.#open) this.#measure(socket, open)
    const { memory } = this.#limits
    if (this.#held <= memory) return
    const byHeld = [...this.#open].sort(([, a], [, b]) => b.held - a.held)
    for (const [socket, open] of byHeld) {
      if (this.#held <= memory * SHED_TO) return
      const { held } = open
      open.fail(
        'memory',
        `more than ${memory} bytes kept for all connections: this one, with ${held}, made room`,
      )
      this.#measure(socket, open)
    }
  }

  #look(): void {
    const now = performance.now()
    for (const [socket, open] of this.#open) {
      const { waiting, progress } = open.session
      if (waiting !== open.waiting || progress !== open.progress)
        Object.assign(open, { waiting, progress, since: now })
      else this.#closeIfSilent(open, now - open.since)
      this.#measure(socket, open)
    }
  }

  #closeIfSilent({ waiting, fail }: Open, silence: number): void {
    const { stall, idle, idleInTransaction } = this.#limits
    switch (waiting) {
      case 'us':
        return
      case 'frame':
        if (silence >= stall) fail('slow-writer', `no whole command for ${stall} ms`)
        return
      case 'reader':
        if (silence >= stall) fail('slow-reader', `no reply taken for ${stall} ms`)
        return
      case 'transaction':
        if (silence >= idleInTransaction)
          fail('idle', `no command for ${idleInTransaction} ms in a transaction`)
        return
      case 'idle':
        if (silence >= idle) fail('idle', `no command for ${idle} ms`)
    }
  }
}
