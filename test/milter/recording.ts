// Helpers of the tests of a session: a peer and a handler that record what happens to them, and the bytes of an MTA's
// commands.

import { STEPS } from '../../src/milter/codes.ts'
import { type Command, type Connection, encodeCommand } from '../../src/milter/command.ts'
import { FrameReader } from '../../src/milter/frame.ts'
import type { SessionLimits } from '../../src/milter/limits.ts'
import type { Macros } from '../../src/milter/macros.ts'
import type { StageUse, Wants } from '../../src/milter/negotiate.ts'
import type { Reply } from '../../src/milter/reply.ts'
import type { Handler, MessageEnd, Peer, SessionFault } from '../../src/milter/session.ts'
import type { ConnectionLimits } from '../../src/sockets/limits.ts'

/** The offer of Postfix 3.7 and of Sendmail 8.17. */
export const OFFER = { version: 6, actions: 0x1ff, steps: 0x1fffff }

/** An offer in which every stage awaits its reply. */
export const BARE_OFFER = { version: 6, actions: 0, steps: 0 }

/** All limits of a milter server. */
export type Limits = ConnectionLimits & SessionLimits

/** The default limits. */
export const LIMITS: Limits = {
  connections: 10_000,
  memory: 64 * 1024 * 1024,
  frame: 1024 * 1024,
  macros: 500,
  recipients: 10_000,
  stall: 300_000,
  idle: 7_200_000,
  idleInTransaction: 43_200_000,
}

export const CONTINUE: Reply = { kind: 'continue' }

export const CLIENT: Connection = {
  hostName: 'client.example',
  family: 'inet',
  port: 40000,
  address: '192.0.2.7',
}

/** One command of each kind. */
export const COMMAND = {
  OPTNEG: { kind: 'OPTNEG', offer: OFFER },
  MACRO: { kind: 'MACRO', stage: 'MAIL', macros: [['i', 'QUEUEID']] },
  CONNECT: { kind: 'CONNECT', connection: CLIENT },
  HELO: { kind: 'HELO', name: 'client.example' },
  MAIL: { kind: 'MAIL', address: '<s@example.org>', parameters: [] },
  RCPT: { kind: 'RCPT', address: '<r@example.com>', parameters: [] },
  DATA: { kind: 'DATA' },
  HEADER: { kind: 'HEADER' },
  EOH: { kind: 'EOH' },
  BODY: { kind: 'BODY' },
  BODYEOB: { kind: 'BODYEOB' },
  ABORT: { kind: 'ABORT' },
  QUIT: { kind: 'QUIT' },
  QUIT_NC: { kind: 'QUIT_NC' },
  UNKNOWN: { kind: 'UNKNOWN' },
} as const satisfies { readonly [kind in Command['kind']]: Command }

export function mail(address: string): Command {
  return { kind: 'MAIL', address, parameters: [] }
}

export function rcpt(address: string): Command {
  return { kind: 'RCPT', address, parameters: [] }
}

export function encode(...commands: readonly Command[]): Buffer {
  return Buffer.concat(commands.map(encodeCommand))
}

/** `bytes` cut at each of the places, which may come in any order and more than once. */
export function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const cuts = [0, ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return cuts.slice(1).map((end, index) => bytes.subarray(cuts[index], end))
}

/** The frames that fill `bytes`, without their lengths. */
export function framesOf(bytes: Buffer): Buffer[] {
  const reader = new FrameReader()
  reader.push(bytes)
  const frames: Buffer[] = []
  for (let result = reader.next(); result.kind === 'frame'; result = reader.next()) frames.push(result.bytes)
  return frames
}

export class RecordingPeer implements Peer {
  readonly errors: Array<{ readonly kind: SessionFault; readonly reason: string }> = []
  /** Reports of limits at which the connection goes on. */
  readonly met: Array<{ readonly kind: SessionFault; readonly reason: string }> = []
  /** Whether actions given to `later` run at once; otherwise they wait for the test. */
  givesTurns = true
  readonly turns: Array<() => void> = []
  /** Whether the peer takes replies. */
  takesReplies = true
  /** How often the session closed the connection, by `end` or by `fail`. */
  closings = 0
  paused = false
  sentAfterClosing = 0
  readonly #sent: Buffer[] = []

  /** The replies as text, `y451 4.7.1 …` or one letter; the answer to an offer as `O`. */
  get replies(): string[] {
    return framesOf(Buffer.concat(this.#sent)).map((frame) =>
      frame[0] === 0x4f ? 'O' : frame.toString('latin1').replace(/\0$/, ''),
    )
  }

  /** The letters of the replies, in order. */
  get codes(): string {
    return this.replies.map((reply) => reply.charAt(0)).join('')
  }

  send(bytes: Buffer): boolean {
    if (this.closings > 0) this.sentAfterClosing += 1
    this.#sent.push(bytes)
    return this.takesReplies
  }

  end(): void {
    this.closings += 1
  }

  fail(kind: SessionFault, reason: string): void {
    this.closings += 1
    this.errors.push({ kind, reason })
  }

  exceeded(kind: SessionFault, reason: string): void {
    this.met.push({ kind, reason })
  }

  later(action: () => void): void {
    if (this.givesTurns) action()
    else this.turns.push(action)
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
  }
}

export type Stage = 'connect' | 'helo' | 'mail' | 'rcpt' | 'beyond' | 'data'

/** The same use for all stages, except that CONNECT and MAIL are never skipped. */
export function wantsAll(use: StageUse): Wants {
  const seen = use === 'skip' ? 'note' : use
  return {
    stages: { connect: seen, helo: use, mail: seen, rcpt: use, data: use },
    macros: {},
    addHeaders: true,
  }
}

/** A handler that notes each call as one line, and answers as the test says. */
export class RecordingHandler implements Handler {
  readonly held = 0
  readonly events: string[] = []
  wants: Wants = wantsAll('answer')
  answer: (stage: Stage, subject: string) => Reply | Promise<Reply> = () => CONTINUE
  messageEnd: MessageEnd = { headers: [], reply: CONTINUE }
  /** If set, each noted line ends with the value of this macro. */
  macro: string | undefined

  count(event: string): number {
    return this.events.filter((line) => line.startsWith(event)).length
  }

  negotiated(version: number): void {
    this.events.push(`negotiated ${version}`)
  }

  connect({ hostName, address }: Connection, macros: Macros): Reply | Promise<Reply> {
    return this.#stage('connect', `${hostName} ${address}`, macros)
  }

  helo(name: string, macros: Macros): Reply | Promise<Reply> {
    return this.#stage('helo', name, macros)
  }

  mail(address: string, macros: Macros): Reply | Promise<Reply> {
    return this.#stage('mail', address, macros)
  }

  rcpt(address: string, macros: Macros): Reply | Promise<Reply> {
    return this.#stage('rcpt', address, macros)
  }

  rcptBeyondLimit(address: string, macros: Macros): Reply | Promise<Reply> {
    return this.#stage('beyond', address, macros)
  }

  data(macros: Macros): Reply | Promise<Reply> {
    return this.#stage('data', '', macros)
  }

  endOfMessage(macros: Macros): MessageEnd {
    this.#note('endOfMessage', macros)
    return this.messageEnd
  }

  endTransaction(): void {
    this.events.push('endTransaction')
  }

  #stage(stage: Stage, subject: string, macros: Macros): Reply | Promise<Reply> {
    this.#note(subject === '' ? stage : `${stage} ${subject}`, macros)
    return this.answer(stage, subject)
  }

  #note(event: string, macros: Macros): void {
    const value = this.macro === undefined ? undefined : macros.get(this.macro)
    this.events.push(value === undefined ? event : `${event} [${value}]`)
  }
}

/** The step that waives the reply to each command that has one. */
export const NO_REPLY: { readonly [kind in Command['kind']]?: number } = {
  CONNECT: STEPS.NR_CONN,
  HELO: STEPS.NR_HELO,
  MAIL: STEPS.NR_MAIL,
  RCPT: STEPS.NR_RCPT,
  DATA: STEPS.NR_DATA,
  HEADER: STEPS.NR_HDR,
  EOH: STEPS.NR_EOH,
  BODY: STEPS.NR_BODY,
  UNKNOWN: STEPS.NR_UNKN,
}
