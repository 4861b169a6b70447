// npm run bench -- --rules: measures what each rule costs per decision. One process judges a seeded mix of attempts
// with all rules off, and then with one rule on at a time. The turns last a few milliseconds and come in a new order
// each round, so that what else the machine does affects all cases alike. All parts are real, the DNS server included;
// the store is in memory, and only judging is timed. Ratios are of the CPU time of all threads of this process, as
// elapsed time grows with what else runs on the machine. The CPU time of the DNS server does not count.
//
// Attempts that the rule itself decides are judged in turns of their own, which check the verdicts. An exemption skips
// the rest of the decision, so that in the mix a list would seem to cost nothing.

import { Dns } from '../../src/dns.ts'
import { createDnsLists } from '../../src/exempt/dnslists.ts'
import { compileExempt, type Exempt } from '../../src/exempt/exempt.ts'
import { createGreylister } from '../../src/greylist/greylister.ts'
import { createInvestigate, type Investigate } from '../../src/greylist/investigate.ts'
import { createIdentify } from '../../src/identity/identity.ts'
import type { Outcome } from '../../src/outcome.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { startDns } from '../support/dns.ts'
import type { Maker, Planned } from './attempts.ts'
import { CASES, type Case, FEW_ENTRIES, OFF, OFF_MADE_UP, PAIRS, type Rules, ZONES } from './cases.ts'
import { median, quantile } from './figures.ts'
import { below, mulberry32, type Random } from './random.ts'

export interface RulesOptions {
  /** A folder of `scratch`. */
  readonly dir: string
  readonly seconds: number
  readonly seed: number
}

/** Attempts of a turn: of the mix, of those that the rule decides, and of either when DNS is asked for each. */
const ATTEMPTS = 1000
const DECIDED = 500
const ASKING = 100
/** Concurrent attempts, one for each of so many MTA connections. */
const MAX_CONCURRENT = 32
/** First turns, which are not counted: code is compiled in them, and DNS answers are cached. */
const WARM_UP = 3

/** Microseconds per decision, of each turn. */
interface Costs {
  readonly time: number[]
  readonly cpu: number[]
  /** CPU time of the attempts that the rule decides. */
  readonly decided: number[]
}

/** A case with its compiled parts and its store, which are kept from turn to turn. */
interface Running {
  readonly case: Case
  readonly exempt: Exempt
  readonly investigate: Investigate
  readonly costs: Costs
}

interface Verdicts {
  count: number
  readonly wrong: string[]
}

/** Runs the bench and prints its table. Sets the exit status to 1 if an attempt was judged wrongly. */
export async function benchRules({ dir, seconds, seed }: RulesOptions): Promise<void> {
  const until = performance.now() + seconds * 1000
  const { server } = await startDns({ dir, zones: ZONES, ttlSeconds: 3600 })
  const dns = newDns(server)
  const running = CASES.map((one) => ({
    case: one,
    exempt: compileExempt(one.rules.exempt, { clients: [], senders: [], recipients: [] }),
    investigate: investigateWith(one.rules, dns),
    costs: newCosts(),
  }))
  const verdicts: Verdicts = { count: 0, wrong: [] }
  const random = mulberry32(seed)
  let turn = 0
  for (; turn < WARM_UP + 1 || performance.now() < until; turn += 1) {
    if (turn === WARM_UP) for (const { costs } of running) clear(costs)
    const mixes = new Mixes(below(random, 2 ** 31))
    for (const one of shuffled(running, random)) await takeTurn(one, mixes, server, verdicts)
  }
  dns.close()
  report(running, turn - WARM_UP, seed, verdicts)
}

async function takeTurn(one: Running, mixes: Mixes, server: string, verdicts: Verdicts): Promise<void> {
  const { attempts, decided, asksAnew } = one.case
  const cost = await measure(one, mixes.of(attempts, asksAnew ? ASKING : ATTEMPTS), server, verdicts)
  one.costs.time.push(cost.time)
  one.costs.cpu.push(cost.cpu)
  if (!decided) return
  const { cpu } = await measure(one, mixes.of(decided, asksAnew ? ASKING : DECIDED), server, verdicts)
  one.costs.decided.push(cpu)
}

/** The time for judging `mix`, after everything before its attempts was written to the store. */
async function measure(
  { case: { name, rules, asksAnew }, exempt, investigate }: Running,
  mix: readonly Planned[],
  server: string,
  verdicts: Verdicts,
): Promise<{ time: number; cpu: number }> {
  const clock = { now: 0 }
  const parts = { settings: rules.greylist, exempt, stores: { store: new MemoryStore(() => clock.now) } }
  const { judge } = createGreylister({ ...parts, investigate })
  const earlier = mix.flatMap(({ before }) => before).sort((one, other) => other.ago - one.ago)
  for (const { attempt, ago } of earlier) {
    clock.now = -ago
    await judge(attempt)
  }
  clock.now = 0

  if (!asksAnew) {
    await atOnce(mix, async ({ attempt }) => investigate(attempt.client, attempt.sender, () => true))
    return timed(name, mix, judge, verdicts)
  }
  const dns = newDns(server)
  const asking = createGreylister({ ...parts, investigate: investigateWith(rules, dns) })
  const cost = await timed(name, mix, asking.judge, verdicts)
  dns.close()
  return cost
}

async function timed(
  name: string,
  mix: readonly Planned[],
  judge: (attempt: Planned['attempt']) => Promise<Outcome>,
  verdicts: Verdicts,
): Promise<{ time: number; cpu: number }> {
  const [cpuBefore, startedAt] = [process.cpuUsage(), performance.now()]
  const outcomes = await atOnce(mix, ({ attempt }) => judge(attempt))
  const [elapsed, cpu] = [performance.now() - startedAt, process.cpuUsage(cpuBefore)]
  verdicts.count += mix.length
  for (const [index, { reason }] of outcomes.entries()) {
    const { attempt, expected } = mix[index] as Planned // each attempt has one outcome
    if (reason === expected) continue
    const { client, sender, recipient } = attempt
    const who = `${client.name}[${client.address?.text}] ${sender.text} ${recipient?.text}`
    verdicts.wrong.push(`${name}: ${who}: expected ${expected}, got ${reason}`)
  }
  return { time: (elapsed * 1000) / mix.length, cpu: (cpu.user + cpu.system) / mix.length }
}

/** The results of `work` for all items, with `MAX_CONCURRENT` of them in progress. */
async function atOnce<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  const waiting = items.entries()
  const lanes = Array.from({ length: MAX_CONCURRENT }, async () => {
    for (const [index, item] of waiting) results[index] = await work(item)
  })
  await Promise.all(lanes)
  return results
}

/** The mixes of one turn; each is made once, for all cases that use it. */
class Mixes {
  readonly #seed: number
  readonly #made = new Map<Maker, Planned[]>()

  constructor(seed: number) {
    this.#seed = seed
  }

  of(maker: Maker, count: number): readonly Planned[] {
    const made = this.#made.get(maker) ?? maker(mulberry32(this.#seed), Math.max(count, ATTEMPTS))
    this.#made.set(maker, made)
    return made.slice(0, count)
  }
}

function newDns(server: string): Dns {
  return new Dns({ servers: [server] }, { onSilent: console.error, onAnswering: () => undefined })
}

function investigateWith({ identity, investigate, dnswl }: Rules, dns: Dns): Investigate {
  return createInvestigate({
    settings: investigate,
    identify: createIdentify(identity, dns),
    ...(dnswl.length > 0 ? { trusted: createDnsLists(dnswl, dns) } : {}),
  })
}

function newCosts(): Costs {
  return { time: [], cpu: [], decided: [] }
}

function clear({ time, cpu, decided }: Costs): void {
  for (const costs of [time, cpu, decided]) costs.length = 0
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  return items
    .map((item) => ({ item, place: random() }))
    .sort((one, other) => one.place - other.place)
    .map(({ item }) => item)
}

// The report.

function report(running: readonly Running[], turns: number, seed: number, verdicts: Verdicts): void {
  const costsOf = (wanted: Case) => running.find((one) => one.case === wanted)?.costs ?? newCosts()
  console.log(`${turns} turns of ${ATTEMPTS} attempts, ${MAX_CONCURRENT} at once, seed ${seed}`)
  console.log('Microseconds per decision, medians of turns (half of them between those in brackets)\n')
  console.log(row('rule', 'time', 'CPU', '', 'to all off', 'decided by it'))
  for (const { case: one, costs } of running) {
    const isBase = one === OFF || one === OFF_MADE_UP
    console.log(
      row(
        one.name,
        median(costs.time).toFixed(1),
        median(costs.cpu).toFixed(1),
        `(${quantile(costs.cpu, 0.25).toFixed(1)}–${quantile(costs.cpu, 0.75).toFixed(1)})`,
        isBase ? '' : ratio(costs.cpu, costsOf(one.base ?? OFF).cpu),
        costs.decided.length > 0 ? median(costs.decided).toFixed(1) : '',
      ),
    )
  }
  console.log('')
  for (const [few, many] of PAIRS) {
    const [short, long] = [costsOf(few), costsOf(many)]
    console.log(
      `${many.name} entries against ${FEW_ENTRIES}: ratio ${ratio(long.cpu, short.cpu)}; ` +
        `where one applies, ${median(long.decided).toFixed(1)} against ${median(short.decided).toFixed(1)} µs`,
    )
  }
  console.log(`\nverdicts: ${verdicts.count}, ${verdicts.wrong.length} wrong`)
  for (const wrong of verdicts.wrong.slice(0, 10)) console.log(`  ${wrong}`)
  if (verdicts.wrong.length > 0) process.exitCode = 1
}

function row(name: string, ...figures: string[]): string {
  const widths = [8, 8, 16, 12, 15]
  return name.padEnd(48) + figures.map((figure, index) => figure.padStart(widths[index] ?? 0)).join('')
}

// The ratio is that of the medians, as single turns may collect the garbage of others.
function ratio(costs: readonly number[], others: readonly number[]): string {
  return (median(costs) / median(others)).toFixed(2)
}
