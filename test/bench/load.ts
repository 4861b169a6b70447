// Connections that speak the raw milter protocol as Postfix does. The commands that one step of an SMTP client causes
// are sent in one write, and the next step waits for the reply if there is one.

import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { REPLIES, STEPS } from '../../src/milter/codes.ts'
import { encodeCommand } from '../../src/milter/command.ts'
import { FrameReader } from '../../src/milter/frame.ts'
import type { SocketSpec } from '../../src/sockets/spec.ts'
import { type Attempt, type Expected, Model } from './model.ts'

/** What a connection sends, and what is right to answer. */
export interface Plan {
  /** The next attempt; absent when there is none left. */
  next(now: number): Attempt | undefined
  /** The name of the client of the next connection. */
  hostName?(): string
  expected(attempt: Attempt, sentAt: number, answeredAt: number): Expected
  answered(attempt: Attempt, passed: boolean, answeredAt: number): void
  forget(attempt: Attempt): void
}

export interface Tally {
  decisions: number
  readonly byKind: Map<string, number>
  /** Attempts so close to the end of the delay that both answers are right. */
  either: number
  /** Attempts during a disturbance, when any answer is right. */
  disturbed: number
  /** Descriptions of wrong answers. */
  readonly wrong: string[]
  /** Times from RCPT to its answer, in milliseconds. */
  readonly latencies: number[]
}

export interface LoadOptions {
  readonly socket: SocketSpec
  readonly connections: number
  /** Messages of each connection, with one recipient each. */
  readonly messages: number
  readonly seed: number
  /** greymx's delay, in milliseconds. */
  readonly delay: number
  /** Whether answers are checked as those of greymx; the other filter passes everything and gets the same load. */
  readonly isJudged: boolean
  /** Pause between two messages of a connection, in milliseconds; none by default. */
  readonly pause?: number
  /** Whether any answer is right that was sent for and received at these instants of performance.now(). */
  readonly isDisturbed?: (sentAt: number, answeredAt: number) => boolean
  /** The plan of all connections; without it each has a `Model` of its own. */
  readonly plan?: Plan
}

const OFFER = encodeCommand({ kind: 'OPTNEG', offer: { version: 6, actions: 0x1ff, steps: 0x1fffff } })
const HOST = 'mail.example.org'
const CONNECT_MACROS = encodeCommand({
  kind: 'MACRO',
  stage: 'CONNECT',
  macros: [
    ['j', 'mx1.example.com'],
    ['v', 'Postfix 3.7.11'],
    ['_', 'mail.example.org [198.51.100.7]'],
    ['client_resolve', 'OK'],
  ],
})
const MAIL_MACROS = encodeCommand({ kind: 'MACRO', stage: 'MAIL', macros: [] })
const RCPT_MACROS = encodeCommand({ kind: 'MACRO', stage: 'RCPT', macros: [] })
const END_STEP = Buffer.concat([
  encodeCommand({ kind: 'MACRO', stage: 'BODYEOB', macros: [['i', '4gKx3z1Xq9zB2']] }),
  encodeCommand({ kind: 'BODYEOB' }),
])
const DATA_STEP = encodeCommand({ kind: 'DATA' })
const ABORT = encodeCommand({ kind: 'ABORT' })
const ADD_HEADER = REPLIES.addHeader.charCodeAt(0)
const QUIT = Buffer.concat([ABORT, encodeCommand({ kind: 'QUIT' })])

export function newTally(): Tally {
  return { decisions: 0, byKind: new Map(), either: 0, disturbed: 0, wrong: [], latencies: [] }
}

export class Load {
  readonly #lanes: readonly Lane[]

  constructor(options: LoadOptions) {
    this.#lanes = Array.from({ length: options.connections }, (_, index) => new Lane(options, index))
  }

  /** Runs for `milliseconds`; resolves with the last answers, and rejects when a connection breaks. */
  async run(milliseconds: number, tally: Tally): Promise<void> {
    const until = performance.now() + milliseconds
    await Promise.all(this.#lanes.map((lane) => lane.run(until, tally)))
  }

  close(): void {
    for (const lane of this.#lanes) lane.close()
  }
}

/** Makes one connection after another, each with its messages. */
class Lane {
  readonly #options: LoadOptions
  readonly #index: number
  readonly #plan: Plan
  #socket: Socket | undefined
  #asksData = false
  #left = 0
  #reader = new FrameReader()
  #take: (frame: Buffer) => void = () => undefined
  #fail: (error: Error) => void = () => undefined

  constructor(options: LoadOptions, index: number) {
    this.#options = options
    this.#index = index
    this.#plan = options.plan ?? new Model(`s${options.seed}-c${index}`, options.seed + index, options.delay)
  }

  async run(until: number, tally: Tally): Promise<void> {
    while (performance.now() < until) {
      const attempt = this.#plan.next(performance.now())
      if (!attempt) break
      if (this.#left === 0) await this.#open()
      await this.#message(attempt, tally)
      this.#left -= 1
      if (this.#left === 0) this.close()
      if (this.#options.pause !== undefined) await sleep(this.#options.pause)
    }
    if (this.#options.plan) this.close()
  }

  close(): void {
    this.#fail = () => undefined
    this.#socket?.end(QUIT)
    this.#socket = undefined
    this.#left = 0
  }

  async #open(): Promise<void> {
    const spec = this.#options.socket
    const socket =
      spec.kind === 'unix'
        ? connect({ path: spec.path })
        : connect({ host: spec.host, port: spec.port, noDelay: true })
    this.#socket = socket
    this.#reader = new FrameReader()
    socket.on('data', (chunk: Buffer) => this.#received(chunk))
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => {
      if (this.#socket === socket) this.#fail(new Error('the filter closed a connection'))
    })
    const answer = await this.#step(OFFER)
    this.#asksData = (answer.readUInt32BE(9) & STEPS.NODATA) === 0
    const address = `198.${18 + (this.#index % 2)}.${this.#index}.7`
    const hostName = this.#plan.hostName?.() ?? HOST
    const connection = { hostName, family: 'inet', port: 25, address } as const
    socket.write(
      Buffer.concat([CONNECT_MACROS, encodeCommand({ kind: 'CONNECT', connection }), this.#hello(answer)]),
    )
    await nextTurn()
    this.#left = this.#options.messages
  }

  async #message(attempt: Attempt, tally: Tally): Promise<void> {
    const mail = encodeCommand({ kind: 'MAIL', address: `<${attempt.triplet.sender}>`, parameters: [] })
    this.#socket?.write(Buffer.concat([MAIL_MACROS, mail]))
    // The MTA answers MAIL by itself, and its client's RCPT comes a moment later, in a packet of its own.
    await nextTurn()
    const rcpt = encodeCommand({ kind: 'RCPT', address: `<${attempt.triplet.recipient}>`, parameters: [] })
    const rcptStep = Buffer.concat([RCPT_MACROS, rcpt])
    const sentAt = performance.now()
    const code = (await this.#step(rcptStep)).toString('latin1', 0, 1)
    this.#judge(attempt, code, sentAt, performance.now(), tally)
    // The null milter passes everything, but gets the same commands as greymx.
    const isDelivered = this.#options.isJudged ? code === 'c' : attempt.triplet.passed
    if (!isDelivered) {
      this.#socket?.write(ABORT)
      return
    }
    if (this.#asksData) await this.#step(DATA_STEP)
    await this.#step(END_STEP)
  }

  /** The HELO command, if the filter asked for that stage. */
  #hello(negotiated: Buffer): Buffer {
    const isWanted = (negotiated.readUInt32BE(9) & STEPS.NOHELO) === 0
    return isWanted ? encodeCommand({ kind: 'HELO', name: HOST }) : Buffer.alloc(0)
  }

  /** Writes the bytes, and waits for the reply. */
  #step(bytes: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#take = resolve
      this.#fail = reject
      this.#socket?.write(bytes)
    })
  }

  #received(chunk: Buffer): void {
    this.#reader.push(chunk)
    for (let read = this.#reader.next(); read.kind === 'frame'; read = this.#reader.next()) {
      if (read.bytes[0] !== ADD_HEADER) this.#take(read.bytes)
    }
  }

  #judge(attempt: Attempt, code: string, sentAt: number, answeredAt: number, tally: Tally): void {
    const expected = this.#plan.expected(attempt, sentAt, answeredAt)
    tally.decisions += 1
    tally.latencies.push(answeredAt - sentAt)
    tally.byKind.set(attempt.kind, (tally.byKind.get(attempt.kind) ?? 0) + 1)
    if (this.#options.isDisturbed?.(sentAt, answeredAt)) {
      tally.disturbed += 1
      this.#plan.forget(attempt)
      return
    }
    const passed = this.#options.isJudged ? code === 'c' : expected === 'pass'
    this.#plan.answered(attempt, passed, answeredAt)
    if (!this.#options.isJudged) return
    if (expected === 'either') tally.either += 1
    else if (expected !== (code === 'c' ? 'pass' : code === 'y' ? 'tempfail' : code)) {
      tally.wrong.push(`${attempt.kind} ${attempt.triplet.sender}: expected ${expected}, got ${code}`)
    }
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
