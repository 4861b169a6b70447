// npm run bench -- --hostile: measures what a MAIL costs when the owner of the sender's zone made it costly to look up,
// next to a MAIL whose record is short. Then three sessions send such mail through Postfix as fast as they can, while
// the waits of another client and of /healthz are measured. The daemon is observed from outside: by its sockets, its
// CPU time, and the questions that a DNS server gets.

import { setTimeout as sleep } from 'node:timers/promises'
import { verdictOf } from '../mta/scenarios.ts'
import { type Greymx, startGreymx } from '../support/greymx.ts'
import { type HostileDns, NO_COUNT, startHostileDns, totalOf } from '../support/hostile-dns.ts'
import { Flood, HealthWatch, hostileAddress, sendPlain, type Traffic } from '../support/hostile-mail.ts'
import { HostilePeer } from '../support/hostile-peer.ts'
import { HOSTILE_ZONES, type HostileZone, hostileSender } from '../support/hostile-zones.ts'
import { startPostfix } from '../support/postfix.ts'
import { cpuSeconds } from './cpu.ts'
import { median, quantile } from './figures.ts'
import { Model } from './model.ts'

/** Limits beyond which the bench fails: CPU time of a MAIL relative to a plain one, its DNS questions, and waits. */
const MAX_RATIO = 3
const MAX_QUESTIONS = 40
const MAX_P99 = 100
const MAX_HEALTH = 1000

const DELAY = 1000
/** Concurrent connections, half with IPv4 clients and half with IPv6; there are more when mail waits for DNS. */
const LANES = 4
const WAITING_LANES = 128
/** Most MAILs of one connection: few, as in SMTP sessions, and the same number for zones that wait and others. */
const MAILS_OF_CONNECTION = 3
/**
 * MAILs of a turn. The number is the same for every zone, so that the fixed cost of a turn weighs on all zones alike.
 * It is large because the first MAILs use up the burst that a stranger may have of what is shared, and the sustained
 * cost is what counts. MAILs without a recipient cost so little that it takes many of them to tell.
 */
const MAILS = 200
const MAILS_WITHOUT_RECIPIENT = 1600
/** MAILs of a turn when they wait for DNS. */
const WAITING_MAILS = 384
/**
 * Time in milliseconds after which a turn sends nothing more. A turn that waits for DNS has time for two waits, so that
 * its fixed cost is shared by many MAILs.
 */
const MAX_TURN = 1500
const MAX_WAITING_TURN = 4000
/** Longest wait for the daemon to become idle after a turn, in milliseconds. */
const MAX_REST = 6000
/** The daemon counts as idle after this time without activity, as c-ares repeats questions after ever longer pauses. */
const IDLE_PERIOD = 200
const IDLE_PERIOD_WAITING = 1000
/** Concurrent SMTP sessions with hostile mail, and how long another client sends without them and beside them. */
const SESSIONS = 3
const SECONDS_ALONE = 15
const SECONDS_BESIDE = 40

interface Manner {
  readonly name: string
  readonly hasRecipient: boolean
  /** Whether each MAIL comes from a network of its own. */
  readonly hasManyNetworks: boolean
  /** Whether each MAIL has a sender domain that was registered for it alone. */
  readonly hasManyDomains: boolean
  /**
   * Whether the limit on CPU time applies. For domains that are registered for one MAIL each, the cost is only printed;
   * for MAILs without a recipient, the promise is that nothing is asked.
   */
  readonly isPromised: boolean
}

const MANNERS: readonly Manner[] = [
  mannerOf('RCPT, one network', { hasManyNetworks: false, hasManyDomains: false }),
  mannerOf('RCPT, many networks', { hasManyNetworks: true, hasManyDomains: false }),
  mannerOf('RCPT, domains without end', { hasManyNetworks: true, hasManyDomains: true, isPromised: false }),
  mannerOf('MAIL only', {
    hasManyNetworks: true,
    hasManyDomains: true,
    hasRecipient: false,
    isPromised: false,
  }),
]

function mannerOf(
  name: string,
  manner: Pick<Manner, 'hasManyNetworks' | 'hasManyDomains'> & Partial<Manner>,
): Manner {
  return { name, hasRecipient: true, isPromised: true, ...manner }
}

interface Cell {
  readonly zone: HostileZone
  readonly zoneNumber: number
  readonly manner: Manner
  /** CPU seconds, DNS questions and DNS packets for one MAIL, of each turn. */
  readonly cpu: number[]
  readonly questions: number[]
  readonly packets: number[]
  /** Most questions for one sender's domain. */
  most: number
}

/**
 * Runs the bench. `dir` is a folder of `scratch`. Rounds of the table begin for `seconds`, and a few more minutes pass
 * after that.
 */
export async function benchHostile(dir: string, seconds: number, seed: number): Promise<void> {
  const dns = await startHostileDns({ dir })
  await table(dir, dns, seconds, seed)
  await throughPostfix(dir, dns, seed)
}

async function table(dir: string, dns: HostileDns, seconds: number, seed: number): Promise<void> {
  const settings = `store: "memory:"\ndns_servers: [${dns.server}]\nlog: { level: warn }`
  const greymx = await startGreymx({ dir, name: 'table', settings })
  const bench = new Turns(greymx, dns, seed)
  await bench.learnIdleCost()
  const cells = HOSTILE_ZONES.flatMap((zone, zoneNumber) =>
    MANNERS.map((manner): Cell => {
      const figures = { cpu: [], questions: [], packets: [], most: 0 }
      return { zone, zoneNumber, manner, ...figures }
    }),
  )
  // Cells without recipient come first, since questions for other cells are still repeated for a while after their
  // turn. Then come those that wait: large answers of other zones leave garbage, which V8 collects while mail waits.
  const rank = ({ zone, manner }: Cell) => (manner.hasRecipient ? (zone.isSlow ? 1 : 2) : 0)
  const inOrder = cells.toSorted((a, b) => rank(a) - rank(b))
  // These turns are not counted, as code is still being compiled.
  for (const cell of inOrder) if (!cell.zone.isSlow) await bench.turn(cell)
  for (const cell of cells) cell.cpu.length = cell.questions.length = cell.packets.length = cell.most = 0
  const startedAt = performance.now()
  let rounds = 0
  while (rounds === 0 || performance.now() - startedAt < seconds * 1000) {
    for (const cell of inOrder) await bench.turn(cell)
    rounds += 1
    console.log(`turn ${rounds}: ${((performance.now() - startedAt) / 1000).toFixed(0)} s`)
  }
  await greymx.stop()
  print(cells, rounds, seed)
}

/** Whether mail waits for the zone's name servers, which are slow or silent. */
function isWaiting(zone: HostileZone, manner: Manner): boolean {
  return zone.isSlow === true && manner.hasRecipient
}

function mailsOf({ zone, manner }: Cell): number {
  if (!manner.hasRecipient) return MAILS_WITHOUT_RECIPIENT
  return isWaiting(zone, manner) ? WAITING_MAILS : MAILS
}

class Turns {
  readonly #greymx: Greymx
  readonly #dns: HostileDns
  readonly #seed: number
  /** CPU seconds that the idle daemon uses in a second. */
  #idleCost = 0
  #made = 0

  constructor(greymx: Greymx, dns: HostileDns, seed: number) {
    this.#greymx = greymx
    this.#dns = dns
    this.#seed = seed
  }

  async learnIdleCost(): Promise<void> {
    await sleep(1000)
    const before = await this.#cpu()
    await sleep(4000)
    this.#idleCost = ((await this.#cpu()) - before) / 4
  }

  async turn(cell: Cell): Promise<void> {
    await this.#dns.reset()
    const [cpuBefore, startedAt] = [await this.#cpu(), performance.now()]
    const isSlow = isWaiting(cell.zone, cell.manner)
    const lanes = isSlow ? WAITING_LANES : LANES
    const share = Math.ceil(mailsOf(cell) / lanes)
    const deadline = startedAt + (isSlow ? MAX_WAITING_TURN : MAX_TURN)
    const sending = Array.from({ length: lanes }, (_, lane) => this.#lane(cell, lane, share, deadline))
    const mails = (await Promise.all(sending)).reduce((sum, count) => sum + count, 0)
    await this.#rest(isSlow ? IDLE_PERIOD_WAITING : IDLE_PERIOD)
    const elapsed = (performance.now() - startedAt) / 1000
    const cpu = Math.max(0, (await this.#cpu()) - cpuBefore - elapsed * this.#idleCost)
    const { questions, packets, most } = (await this.#dns.counts())[cell.zone.name] ?? NO_COUNT
    cell.cpu.push(cpu / mails)
    cell.questions.push(questions / mails)
    cell.packets.push(packets / mails)
    cell.most = Math.max(cell.most, most)
  }

  /** Sends a lane's share of the MAILs until the deadline, and returns how many it sent. */
  async #lane(cell: Cell, lane: number, share: number, deadline: number): Promise<number> {
    const { zone, zoneNumber, manner } = cell
    let sent = 0
    while (sent < share && performance.now() < deadline) {
      const peer = await HostilePeer.open(this.#greymx.socketPath)
      for (let count = 0; count < MAILS_OF_CONNECTION && sent < share; count += 1) {
        const number = this.#made++
        const network = manner.hasManyNetworks ? number : 60_000 + zoneNumber
        if (manner.hasManyNetworks || count === 0) await peer.client(hostileAddress(network, lane % 2 === 1))
        const sender = hostileSender(zone, `r${this.#seed}x${number}`, manner.hasManyDomains)
        await peer.message(sender, manner.hasRecipient ? `u${number}@example.com` : undefined)
        sent += 1
        if (performance.now() > deadline) break
      }
      await peer.quit()
    }
    return sent
  }

  /** Waits until the daemon has done and asked nothing for `quiet` milliseconds. */
  async #rest(quiet: number): Promise<void> {
    const deadline = performance.now() + MAX_REST
    let [cpu, packets, quietSince] = [await this.#cpu(), -1, performance.now()]
    while (performance.now() - quietSince < quiet && performance.now() < deadline) {
      await sleep(100)
      const [cpuNow, packetsNow] = [await this.#cpu(), totalOf(await this.#dns.counts()).packets]
      if (cpuNow - cpu > 0.015 || packetsNow !== packets) quietSince = performance.now()
      cpu = cpuNow
      packets = packetsNow
    }
  }

  #cpu(): Promise<number> {
    return cpuSeconds([this.#greymx.pid])
  }
}

function print(cells: readonly Cell[], rounds: number, seed: number): void {
  console.log(
    `${rounds} turns of each, seed ${seed}. For one MAIL, median of turns: CPU in ms, ratio to plain,`,
  )
  console.log('DNS questions (with repetitions), and most questions for one domain')
  const heads = MANNERS.map(({ name }) => name.padEnd(34))
  console.log(`${''.padEnd(13)}${heads.join('')}`)
  const tooCostly: string[] = []
  const tooCurious: string[] = []
  const tooEarly: string[] = []
  for (const zone of HOSTILE_ZONES) {
    const columns = cells
      .filter((cell) => cell.zone === zone)
      .map((cell) => {
        const base = cells.find(({ zone, manner }) => zone === HOSTILE_ZONES[0] && manner === cell.manner)
        const [cpu, ratio] = [median(cell.cpu), median(cell.cpu) / median(base?.cpu ?? [])]
        const [questions, packets] = [median(cell.questions), median(cell.packets)]
        if (cell.manner.isPromised && !(ratio <= MAX_RATIO))
          tooCostly.push(`${zone.name} (${cell.manner.name}) ${ratio.toFixed(1)}`)
        if (!cell.manner.hasRecipient && questions > 0) tooEarly.push(`${zone.name} ${questions.toFixed(1)}`)
        if (cell.most > MAX_QUESTIONS) tooCurious.push(`${zone.name} (${cell.manner.name}) ${cell.most}`)
        const asked = `${questions.toFixed(1)} (${packets.toFixed(1)}) ${cell.most}`
        return `${(cpu * 1000).toFixed(2).padStart(7)} ${ratio.toFixed(1).padStart(6)}x ${asked.padStart(17)}  `
      })
    console.log(`${zone.name.padEnd(13)}${columns.join('')}`)
  }
  verdict(`CPU of a MAIL at most ${MAX_RATIO} times a plain one's`, tooCostly)
  verdict(`at most ${MAX_QUESTIONS} DNS questions for a MAIL`, tooCurious)
  verdict('no DNS question for a MAIL without recipient', tooEarly)
}

async function throughPostfix(dir: string, dns: HostileDns, seed: number): Promise<void> {
  const times = `greylist: { delay: ${DELAY}ms, retry_window: 1h, lifetime: 1h }`
  const settings = `store: "lmdb:${dir}/state"\ndns_servers: [${dns.server}]\nlog: { level: warn }\n${times}`
  const greymx = await startGreymx({ dir, name: 'postfix', settings })
  // Over TCP, Postfix buffers up to 128 KiB of commands that need no reply, so many MAILs would not reach greymx.
  const mta = await startPostfix({ dir, milter: `unix:${greymx.socketPath}` })
  const model = new Model(`s${seed}`, seed, DELAY)
  const send = async (length: number) => {
    const until = performance.now() + length * 1000
    const health = new HealthWatch(greymx.adminPort)
    const traffic = await sendPlain(mta, model, verdictOf, () => performance.now() > until)
    return { traffic, health: await health.end() }
  }
  await send(2) // warms up
  const alone = await send(SECONDS_ALONE)
  await dns.reset()
  const zones = HOSTILE_ZONES.slice(1)
  const flood = new Flood(mta, SESSIONS, {
    zones,
    token: `p${seed}x`,
    recipients: 'by turns',
    isSpread: true,
  })
  const beside = await send(SECONDS_BESIDE)
  await flood.end()
  const { questions } = totalOf(await dns.counts())
  console.log(
    `through Postfix, ${SESSIONS} sessions: ${(flood.judged / SECONDS_BESIDE).toFixed(0)} hostile MAILs a second with RCPT, ` +
      `${(flood.unjudged / SECONDS_BESIDE).toFixed(0)} without; ${(questions / SECONDS_BESIDE).toFixed(0)} DNS questions a second`,
  )
  describe('alone', alone)
  describe('beside them', beside)
  const p99 = quantile(beside.traffic.waits, 0.99)
  verdict(`RCPT's p99 below ${MAX_P99} ms`, p99 < MAX_P99 ? [] : [`${p99.toFixed(1)} ms`])
  verdict(
    `/healthz within ${MAX_HEALTH} ms`,
    beside.health <= MAX_HEALTH ? [] : [`${beside.health.toFixed(0)} ms`],
  )
  verdict('every verdict right', [...alone.traffic.wrong, ...beside.traffic.wrong])
}

function describe(name: string, { traffic, health }: { traffic: Traffic; health: number }): void {
  const [p50, p99, most] = [0.5, 0.99, 1].map((share) => quantile(traffic.waits, share).toFixed(1))
  console.log(
    `${name.padEnd(12)} RCPT of another client: ${traffic.waits.length}, ${traffic.wrong.length} answered wrongly, ` +
      `p50 ${p50} ms, p99 ${p99} ms, longest ${most} ms; /healthz longest ${health.toFixed(0)} ms`,
  )
}

/** Prints whether a promise is kept; `broken` has the cases in which it is not. */
function verdict(promise: string, broken: readonly string[]): void {
  console.log(`${broken.length === 0 ? 'kept' : 'BROKEN'}: ${promise}${broken.length > 0 ? ':' : ''}`)
  for (const line of broken.slice(0, 40)) console.log(`  ${line}`)
  if (broken.length > 40) console.log(`  and ${broken.length - 40} more`)
  if (broken.length > 0) process.exitCode = 1
}
