// Plays cases against the built daemon over its sockets, many at once, beside an MTA that behaves.

import { readdir } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { framesOf, LIMITS } from '../milter/recording.ts'
import { residentBytes } from '../support/daemon.ts'
import { type Greymx, startGreymx } from '../support/greymx.ts'
import { waitFor } from '../support/scratch.ts'
import { type Case, type Step, stepsOf } from './case.ts'
import { type Expected, expectedOf, faultOf } from './oracle.ts'
import { Violation } from './target.ts'

/** Entries expire soon, so that growth is not that of the store. */
const SETTINGS = `store: "memory:"
greylist: { delay: 2s, retry_window: 4s, lifetime: 4s, max_deferrals: 0 }
log: { level: warn }`

/** Time-out of an answer in milliseconds, far longer than one takes on a busy machine. */
const ANSWER_TIMEOUT = 10_000

/** Messages that the MTA that behaves sends during a round. */
const MESSAGES = 20

export interface Vitals {
  /** Resident memory, in bytes. */
  readonly resident: number
  /** Open file descriptors. */
  readonly descriptors: number
}

/** The fault of one case of a round. */
export class RoundViolation extends Violation {
  readonly input: Case

  constructor(message: string, input: Case) {
    super(`over sockets: ${message}`)
    this.input = input
  }
}

export class DaemonTarget {
  readonly #greymx: Greymx
  #messages = 0
  /** Longest wait of the MTA that behaves for an answer, in milliseconds. */
  longestWait = 0

  private constructor(greymx: Greymx) {
    this.#greymx = greymx
  }

  /** `dir` is a folder of `scratch`. */
  static async start(dir: string): Promise<DaemonTarget> {
    return new DaemonTarget(await startGreymx({ dir, settings: SETTINGS }))
  }

  async vitals(): Promise<Vitals> {
    const { pid } = this.#greymx
    return { resident: await residentBytes(pid), descriptors: (await readdir(`/proc/${pid}/fd`)).length }
  }

  /** Plays all cases at once; throws the first fault. */
  async round(cases: readonly Case[]): Promise<void> {
    const before = (await this.vitals()).descriptors
    await Promise.all([this.#behave(), ...cases.map((input) => this.#play(input))])
    await waitFor('the connections to be gone', async () => (await this.vitals()).descriptors <= before)
    const log = this.#greymx.log().join('\n')
    if (/level=error/.test(log)) throw new Violation(`the daemon logged an error: ${log.slice(-2000)}`)
  }

  async #behave(): Promise<void> {
    const client = await this.#greymx.connect()
    await client.connect({ hostName: 'unknown', family: 'inet', port: 25, address: '192.0.2.77' })
    for (let count = 0; count < MESSAGES; count += 1) {
      this.#messages += 1
      await client.mail(`<someone${this.#messages}@well.example>`)
      const askedAt = performance.now()
      const { code } = await client.rcpt(`<somebody${this.#messages}@example.com>`)
      this.longestWait = Math.max(this.longestWait, performance.now() - askedAt)
      if (code !== 'y') throw new Violation(`an MTA that behaves was answered ${code}, expected y`)
      client.abort()
    }
    client.quit()
  }

  async #play(input: Case): Promise<void> {
    const { port, socketPath } = this.#greymx
    const lanes = input.lanes.map(
      (_, lane) =>
        new SocketLane(connect(lane % 2 === 0 ? { host: '127.0.0.1', port } : { path: socketPath })),
    )
    try {
      for (const step of stepsOf(input)) {
        if (step.kind === 'turn') await new Promise((resolve) => setImmediate(resolve))
        else lanes[step.lane]?.take(step)
      }
      for (const lane of lanes) {
        const fault = await lane.fault()
        if (fault) throw new RoundViolation(fault, input)
      }
    } finally {
      for (const lane of lanes) lane.destroy()
    }
  }
}

class SocketLane {
  readonly #socket: Socket
  readonly #sent: Buffer[] = []
  #received = Buffer.alloc(0)
  #isClosed = false
  #wasDropped = false

  constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk])
    })
    socket.on('error', () => {}) // a reset is one way to be closed
    socket.on('close', () => {
      this.#isClosed = true
    })
  }

  take(step: Exclude<Step, { kind: 'turn' }>): void {
    if (this.#wasDropped) return
    switch (step.kind) {
      case 'send':
        this.#sent.push(step.bytes)
        this.#socket.write(step.bytes)
        return
      case 'stall':
        this.#socket.pause()
        return
      case 'take':
        this.#socket.resume()
        return
      case 'drop':
        this.#wasDropped = true
        this.#socket.destroy()
        return
      case 'silence': // skipped, as the daemon has to go on for other rounds
    }
  }

  /** The fault in the replies, if any, once all have arrived or the connection is closed. */
  async fault(): Promise<string | undefined> {
    this.#socket.resume()
    const until = performance.now() + ANSWER_TIMEOUT
    for (;;) {
      const frames = framesOf(this.#received)
      const expected = this.#expected(frames)
      // A connection that is closed for a fault may lose earlier replies, as a reset overtakes them.
      const isOver = this.#isClosed || this.#wasDropped
      const fault = faultOf(frames, expected, !isOver)
      if (isOver && !fault && !this.#wasDropped && !expected.closes)
        return 'the connection was closed for nothing'
      if (isOver || (!fault && !expected.closes)) return fault
      if (performance.now() > until) return fault ?? 'the connection was not closed'
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #expected(frames: readonly Buffer[]): Expected {
    const [answer] = frames
    const steps = answer?.[0] === 0x4f && answer.length >= 13 ? answer.readUInt32BE(9) : 0
    return expectedOf(Buffer.concat(this.#sent), steps, LIMITS.frame)
  }
}
