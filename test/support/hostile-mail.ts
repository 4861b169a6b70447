// Sends mail of the hostile zones through a real Postfix as fast as possible, and measures another client's mail and
// /healthz meanwhile.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Attempt, Model } from '../bench/model.ts'
import { type HostileZone, hostileSender } from './hostile-zones.ts'
import type { Mta } from './mta.ts'
import { startSession } from './postfix.ts'
import type { SmtpClient } from './smtp.ts'

/** Transactions that are sent in one piece; each one with RCPT may have to wait for DNS. */
const JUDGED_TOGETHER = 20
const WAITING_TOGETHER = 3
const UNJUDGED_TOGETHER = 100

/** An address in a network of its own for each number below 65,536: another /24 of IPv4, or /32 of IPv6. */
export function hostileAddress(number: number, isIpv6: boolean): string {
  const [high, low] = [(number >> 8) & 255, number & 255]
  return isIpv6 ? `2a00:${(number & 0xffff).toString(16)}:1::7` : `20.${high}.${low}.7`
}

export interface FloodOptions {
  /** The zones in turn; only every third session takes slow ones, which would hold up all sessions otherwise. */
  readonly zones: readonly HostileZone[]
  /** Lower-case letters and digits in all domains, so that no domain is used twice. */
  readonly token: string
  /** Whether the transactions of an SMTP session have a recipient, have none, or have one in turn. */
  readonly recipients: 'all' | 'none' | 'by turns'
  /** Whether each SMTP session comes from a network of its own, and each sender has a registrable domain of its own. */
  readonly isSpread: boolean
}

/** Sessions that send hostile mail until they are ended. */
export class Flood {
  /** Numbers of answered transactions, with a recipient and without one. */
  judged = 0
  unjudged = 0
  readonly #mta: Mta
  readonly #options: FloodOptions
  readonly #clients = new Set<SmtpClient>()
  readonly #running: Promise<void>[]
  #made = 0
  #isOver = false

  constructor(mta: Mta, sessions: number, options: FloodOptions) {
    this.#mta = mta
    this.#options = options
    this.#running = Array.from({ length: sessions }, (_, index) => this.#run(index))
  }

  async end(): Promise<void> {
    this.#isOver = true
    for (const client of this.#clients) client.close()
    await Promise.all(this.#running)
  }

  async #run(index: number): Promise<void> {
    for (let turn = index; !this.#isOver; turn += 1) {
      // A flooder reconnects when the MTA has closed the connection.
      await this.#session(index, turn).catch(() => sleep(20))
    }
  }

  async #session(index: number, turn: number): Promise<void> {
    const { recipients, isSpread } = this.#options
    const quick = this.#options.zones.filter(({ isSlow }) => !isSlow)
    const zones = index % 3 === 2 || quick.length === 0 ? this.#options.zones : quick
    const number = isSpread ? turn * 16 + index : index
    const address = hostileAddress(number, turn % 2 === 1)
    const client = await startSession(this.#mta, {
      ADDR: address.includes(':') ? `IPV6:${address}` : address,
    })
    this.#clients.add(client)
    try {
      // A session goes through all zones once, and begins with another one each time.
      for (let step = 0; step < zones.length && !this.#isOver; step += 1) {
        const zone = zones[(turn * 7 + step) % zones.length]
        const isJudged = recipients === 'by turns' ? (turn + step) % 2 === 0 : recipients === 'all'
        if (zone) await this.#send(client, zone, isJudged)
      }
      await client.quit()
    } finally {
      client.close()
      this.#clients.delete(client)
    }
  }

  async #send(client: SmtpClient, zone: HostileZone, isJudged: boolean): Promise<void> {
    const judged = zone.isSlow ? WAITING_TOGETHER : JUDGED_TOGETHER
    const count = isJudged ? judged : UNJUDGED_TOGETHER
    const lines = Array.from({ length: count }, () => {
      this.#made += 1
      const sender = hostileSender(zone, `r${this.#options.token}${this.#made}`, this.#options.isSpread)
      const rcpt = isJudged ? [`RCPT TO:<u${this.#made}@example.com>`] : []
      return [`MAIL FROM:<${sender}>`, ...rcpt, 'RSET']
    })
    await client.pipeline(lines.flat())
    if (isJudged) this.judged += count
    else this.unjudged += count
  }
}

/** The results of a client's mail. */
export interface Traffic {
  /** Times from RCPT to its reply, in milliseconds. */
  readonly waits: number[]
  /** Replies other than greymx's right answer, such as those of the MTA's default action. */
  readonly wrong: string[]
  /** New senders, in the order in which they were used. */
  readonly fresh: string[]
}

/** Sends messages of senders with ordinary records in DNS, until `isOver` is true for their number. */
export async function sendPlain(
  mta: Mta,
  model: Model,
  verdictOf: (reply: string) => 'pass' | 'tempfail' | undefined,
  isOver: (messages: number) => boolean,
): Promise<Traffic> {
  const traffic: Traffic = { waits: [], wrong: [], fresh: [] }
  const { waits } = traffic
  for (let session = 0; !isOver(waits.length); session += 1) {
    const client = await startSession(mta, { ADDR: `198.51.100.${1 + (session % 250)}` })
    for (let count = 0; count < 3 && !isOver(waits.length); count += 1) {
      const attempt = model.next(performance.now())
      await client.command(`MAIL FROM:<${attempt.triplet.sender}>`)
      const sentAt = performance.now()
      const reply = await client.command(`RCPT TO:<${attempt.triplet.recipient}>`)
      note(traffic, model, attempt, {
        reply,
        verdict: verdictOf(reply),
        sentAt,
        answeredAt: performance.now(),
      })
      await client.command('RSET')
    }
    await client.quit()
  }
  return traffic
}

interface Answer {
  readonly reply: string
  readonly verdict: 'pass' | 'tempfail' | undefined
  readonly sentAt: number
  readonly answeredAt: number
}

function note(traffic: Traffic, model: Model, attempt: Attempt, answer: Answer): void {
  const { reply, verdict, sentAt, answeredAt } = answer
  const { sender } = attempt.triplet
  traffic.waits.push(answeredAt - sentAt)
  if (attempt.kind === 'new') traffic.fresh.push(sender)
  const expected = model.expected(attempt, sentAt, answeredAt)
  if (verdict !== expected && (expected !== 'either' || !verdict)) {
    const after = (answeredAt - sentAt).toFixed(0)
    traffic.wrong.push(`${attempt.kind} ${sender}: expected ${expected}, got ${reply} after ${after} ms`)
  }
  model.answered(attempt, verdict === 'pass', answeredAt)
}

/** Polls /healthz ten times a second, with one request at a time. */
export class HealthWatch {
  /** Times until each answer, in milliseconds; infinite if there was none. */
  readonly waits: number[] = []
  readonly #running: Promise<void>
  #isOver = false

  constructor(adminPort: number) {
    this.#running = this.#run(`http://127.0.0.1:${adminPort}/healthz`)
  }

  /** Ends the polling, and resolves to the longest wait in milliseconds. */
  async end(): Promise<number> {
    this.#isOver = true
    await this.#running
    return Math.max(...this.waits)
  }

  async #run(url: string): Promise<void> {
    while (!this.#isOver) {
      const askedAt = performance.now()
      const answer = await fetch(url, { signal: AbortSignal.timeout(30_000) }).catch(() => undefined)
      await answer?.arrayBuffer()
      this.waits.push(answer ? performance.now() - askedAt : Number.POSITIVE_INFINITY)
      await sleep(100)
    }
  }
}
