// Runs greymx within this process, from the bytes of an MTA to the replies, with a store in memory that is sometimes
// slow or broken. Beside the MTAs of a case there is one that behaves, and must get its answers as if it were alone.

import { parseConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'
import { Dns } from '../../src/dns.ts'
import { createHandlers } from '../../src/doors/milter.ts'
import { compileExempt } from '../../src/exempt/exempt.ts'
import { createGreylister, observing } from '../../src/greylist/greylister.ts'
import { createInvestigate } from '../../src/greylist/investigate.ts'
import { createIdentify } from '../../src/identity/identity.ts'
import { encodeCommand } from '../../src/milter/command.ts'
import { type Handler, type Peer, Session } from '../../src/milter/session.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import type { Store } from '../../src/store/store.ts'
import { framesOf } from '../milter/recording.ts'
import { type Case, Random, type Step, stepsOf } from './case.ts'
import { type Expected, expectedOf, faultOf } from './oracle.ts'

/** How the store answers: at once, after some turns, or sometimes with a failure. */
type Mood = 'well' | 'slow' | 'broken'

/** Settings that differ from the defaults, and how the store answers with them. */
export const SETTINGS: ReadonlyArray<{ readonly yaml: string; readonly mood: Mood }> = [
  { yaml: '', mood: 'well' },
  { yaml: '', mood: 'slow' },
  { yaml: 'on_store_error: tempfail', mood: 'broken' },
  { yaml: 'greylist: { key: [client, sender] }', mood: 'slow' },
  { yaml: 'greylist: { null_sender_at: rcpt, mode: observe }', mood: 'well' },
  { yaml: 'reply: "450 {recipient} {host} {domain}"\nexempt: { clients: [], recipients: [] }', mood: 'well' },
  { yaml: 'limits: { frame: 64KiB, macros: 50, recipients: 100 }', mood: 'slow' },
  { yaml: 'reply: |\n  459 4.0.0 {host}\n  {recipient} %s\nheader: false', mood: 'broken' },
]

/** The error for a case that greymx answered wrongly. */
export class Violation extends Error {}

export interface Result {
  /** The states and commands of the case, as short texts. */
  readonly trace: readonly string[]
  /** The longest wait of the MTA that behaves for an answer, in milliseconds and in turns. */
  readonly waited: number
  readonly turns: number
}

/** Turns of the event loop within which all work must end and the MTA that behaves must have its answer. */
const MAX_TURNS = 5000
const MAX_TURNS_BESIDE = 400

/** The store is replaced after so many cases, as the memory of greymx is measured, not that of the store. */
const CASES_A_STORE = 500

interface Greymx {
  readonly config: Config
  readonly mood: Mood
  readonly newHandler: () => Handler
  readonly reasons: Set<string>
}

export class Target {
  readonly #dns = new Dns({ servers: ['127.0.0.1:1'] }, { onSilent() {}, onAnswering() {} })
  #greymx: Array<Greymx | undefined> = []
  #cases = 0
  #now = 0

  /** Runs a case. Throws a `Violation`, or an error that greymx threw. */
  async run(input: Case): Promise<Result> {
    this.#cases += 1
    if (this.#cases % CASES_A_STORE === 0) this.#greymx = []
    this.#now += 60_000
    const index = input.settings % SETTINGS.length
    const greymx = this.#greymx[index] ?? this.#start(index)
    this.#greymx[index] = greymx
    greymx.reasons.clear()
    const { limits } = greymx.config
    const lanes = input.lanes.map(() => new Lane(greymx.newHandler(), limits))
    const beside = new Bystander(greymx, this.#cases)
    const steps = stepsOf(input)
    for (const [at, step] of steps.entries()) {
      if (step.kind === 'turn') await turn()
      else lanes[step.lane]?.take(step)
      if (at === Math.floor(steps.length / 2)) beside.ask()
    }
    for (const lane of lanes) lane.flush()
    const { waited, turns } = await beside.answered()
    for (let count = 0; lanes.some((lane) => lane.isBusy); count += 1) {
      if (count > MAX_TURNS) throw new Violation('a connection waits for us without end')
      await turn()
      for (const lane of lanes) lane.flush()
    }
    for (const lane of lanes) lane.finish()
    const trace = lanes.flatMap((lane) => lane.check(limits.frame))
    return { trace: [...trace, ...greymx.reasons], waited, turns }
  }

  #start(index: number): Greymx {
    const { yaml, mood } = SETTINGS[index] ?? { yaml: '', mood: 'well' }
    const loaded = parseConfig('fuzz', yaml)
    if (loaded.kind === 'faults') throw new Error(loaded.faults.join('\n'))
    const { config } = loaded
    const reasons = new Set<string>()
    const greylister = createGreylister({
      settings: config.greylist,
      exempt: compileExempt(config.exempt, { clients: [], senders: [], recipients: [] }),
      investigate: createInvestigate({
        settings: config.investigate,
        // SPF is off, as it would wait for a DNS server.
        identify: createIdentify({ ...config.identity, asksSpf: false }, this.#dns),
      }),
      stores: { store: moody(new MemoryStore(() => this.#now), mood, new Random(index)) },
    })
    const newHandler = createHandlers(config.milter, {
      reply: config.reply,
      hostName: 'greymx.example.com',
      now: () => new Date(0),
      greylister: config.mode === 'observe' ? observing(greylister) : greylister,
      report: ({ verdict, reason }) => reasons.add(`${verdict} ${reason}`),
    })
    return { config, mood, newHandler, reasons }
  }
}

/** An MTA that a case plays, and its session. */
class Lane {
  readonly #session: Session
  readonly #sent: Buffer[] = []
  readonly #replies: Buffer[] = []
  /** Chunks that arrived while the session had its socket paused. */
  readonly #waiting: Buffer[] = []
  #isPaused = false
  #takesReplies = true
  /** Whether `send` has returned false, so that the session may send nothing until the replies are taken. */
  #isFull = false
  #isGone = false
  #wasDropped = false
  /** Whether the session was ended for its silence, and so sends nothing more. */
  #wasIdle = false
  #endings = 0
  #violation: string | undefined

  constructor(handler: Handler, limits: Config['limits']) {
    const peer: Peer = {
      send: (bytes) => this.#replied(bytes),
      end: () => this.#ended(),
      fail: () => this.#ended(),
      exceeded: () => {},
      pause: () => {
        this.#isPaused = true
      },
      resume: () => {
        this.#isPaused = false
      },
      later: (action) => setImmediate(action),
    }
    this.#session = new Session(handler, peer, limits)
  }

  get isBusy(): boolean {
    if (this.#isGone || this.#endings > 0) return false
    return this.#session.waiting === 'us' || (this.#waiting.length > 0 && !this.#isPaused)
  }

  take(step: Exclude<Step, { kind: 'turn' }>): void {
    if (this.#isGone) return
    switch (step.kind) {
      case 'send':
        this.#waiting.push(step.bytes)
        this.flush()
        return
      case 'stall':
        this.#takesReplies = false
        return
      case 'take':
        this.#takeReplies()
        return
      case 'drop':
        this.#wasDropped = true
        this.#isGone = true
        this.#session.disconnected()
        return
      case 'silence': {
        const before = this.#endings
        this.#session.endIfIdle()
        this.#wasIdle ||= this.#endings > before
      }
    }
  }

  flush(): void {
    while (!this.#isPaused && !this.#isGone && this.#endings === 0) {
      const chunk = this.#waiting.shift()
      if (!chunk) return
      this.#sent.push(chunk)
      this.#session.receive(chunk)
    }
  }

  finish(): void {
    if (!this.#isGone) this.#session.disconnected()
    this.#isGone = true
  }

  /** The trace of the connection; throws when it was answered wrongly. */
  check(longest: number): readonly string[] {
    const frames = framesOf(Buffer.concat(this.#replies))
    const [offered] = frames.filter((frame) => frame[0] === 0x4f)
    const steps = offered ? offered.readUInt32BE(9) : 0
    const expected = expectedOf(Buffer.concat(this.#sent), steps, longest)
    // All that was sent was handled, unless the connection was dropped or the replies were not taken.
    const lasted = !this.#wasDropped && !this.#isFull
    const violation =
      this.#violation ?? faultOf(frames, expected, lasted) ?? this.#faultOfEnd(expected, frames, lasted)
    if (violation) throw new Violation(violation)
    return expected.trace
  }

  #faultOfEnd({ closes, message }: Expected, frames: readonly Buffer[], lasted: boolean): string | undefined {
    if (this.#endings > 1) return 'the connection was closed twice'
    if (this.#endings === 1 && !closes && !this.#wasIdle) return 'the connection was closed for nothing'
    const isRefused = 'ty'.includes(String.fromCharCode(frames.at(-1)?.[0] ?? 0))
    const hasMessage = message === 'open' || (message === 'unless-refused' && !isRefused)
    if (this.#wasIdle && this.#isFull) return 'closed as idle with replies that are not taken'
    if (this.#wasIdle && hasMessage) return 'closed as idle in the midst of a message'
    if (!lasted || this.#endings > 0) return undefined
    if (closes) return 'the connection was not closed'
    return this.#waiting.length > 0 ? 'the socket stays paused' : undefined
  }

  #replied(bytes: Buffer): boolean {
    if (this.#endings > 0) this.#violation ??= 'a reply after the end of the connection'
    if (this.#isGone) this.#violation ??= 'a reply to a connection that is gone'
    if (this.#isFull) this.#violation ??= 'a reply while the last one is not taken'
    this.#replies.push(bytes)
    this.#isFull = !this.#takesReplies
    return this.#takesReplies
  }

  #takeReplies(): void {
    this.#takesReplies = true
    if (!this.#isFull) return
    this.#isFull = false
    this.#session.replied()
    this.flush()
  }

  #ended(): void {
    this.#endings += 1
  }
}

/** An MTA that behaves, with one new attempt while the other connections are played. */
class Bystander {
  readonly #session: Session
  /** Whether recipients are judged; otherwise there is nothing to ask. */
  readonly #isAsking: boolean
  readonly #expected: string
  readonly #number: number
  readonly #replies: Buffer[] = []
  #askedAt = 0
  #answeredAt = 0

  constructor({ newHandler, config, mood }: Greymx, number: number) {
    const peer: Peer = {
      send: (bytes) => {
        this.#replies.push(bytes)
        if (this.#askedAt > 0) this.#answeredAt = performance.now()
        return true
      },
      end: () => {},
      fail: (kind, reason) => {
        throw new Violation(`an MTA that behaves broke the protocol: ${kind}, ${reason}`)
      },
      exceeded: () => {},
      pause: () => {},
      resume: () => {},
      later: (action) => setImmediate(action),
    }
    this.#number = number
    this.#session = new Session(newHandler(), peer, config.limits)
    this.#isAsking = config.milter.judgeAt === 'rcpt'
    this.#expected = mood === 'broken' ? 'cy' : config.mode === 'observe' ? 'c' : 'y'
    const connection = { hostName: 'unknown', family: 'inet', port: 25, address: '192.0.2.77' } as const
    this.#session.receive(
      Buffer.concat([
        encodeCommand({ kind: 'OPTNEG', offer: { version: 6, actions: 0x1ff, steps: 0x1fffff } }),
        encodeCommand({ kind: 'CONNECT', connection }),
      ]),
    )
  }

  ask(): void {
    if (!this.#isAsking) return
    this.#askedAt = performance.now()
    const sender = `<someone${this.#number}@well.example>`
    const recipient = `<somebody${this.#number}@example.com>`
    this.#session.receive(
      Buffer.concat([
        encodeCommand({ kind: 'MAIL', address: sender, parameters: [] }),
        encodeCommand({ kind: 'RCPT', address: recipient, parameters: [] }),
      ]),
    )
  }

  async answered(): Promise<{ waited: number; turns: number }> {
    let turns = 0
    if (this.#askedAt === 0) return { waited: 0, turns }
    for (; this.#answeredAt === 0; turns += 1) {
      if (turns > MAX_TURNS_BESIDE) throw new Violation('an MTA that behaves waits for its answer')
      await turn()
    }
    const letter = String.fromCharCode(framesOf(Buffer.concat(this.#replies)).at(-1)?.[0] ?? 0)
    if (!this.#expected.includes(letter))
      throw new Violation(`an MTA that behaves was answered ${letter}, expected ${this.#expected}`)
    this.#session.disconnected()
    return { waited: this.#answeredAt - this.#askedAt, turns }
  }
}

/** A store that delays some operations by some turns, or fails some. */
function moody(store: Store, mood: Mood, random: Random): Store {
  if (mood === 'well') return store
  const around =
    <Args extends unknown[], T>(operation: (...args: Args) => Promise<T>) =>
    async (...args: Args): Promise<T> => {
      for (let turns = random.below(3); turns > 0; turns -= 1) await turn()
      if (mood === 'broken' && random.chance(0.3)) throw new Error('the store is broken')
      return operation(...args)
    }
  return {
    find: around((keys: readonly string[]) => store.find(keys)),
    add: around((key: string, retryWindow: number, age?: number, holder?: string) =>
      store.add(key, retryWindow, age, holder),
    ),
    pass: around((key: string, lifetime: number) => store.pass(key, lifetime)),
    count: around((key: string, window: number, by?: number) => store.count(key, window, by)),
    counts: around((keys: readonly string[]) => store.counts(keys)),
    forget: around((key: string) => store.forget(key)),
    check: () => store.check(),
    close: () => store.close(),
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
