// npm run bench: measures how many decisions a second greymx makes, next to a milter that does nothing; both are loaded
// in turns in one run, and every verdict is checked. The figures hold for this machine; only the ratios hold for
// others.
//
//   npm run bench -- [--seconds 120] [--connections 64] [--messages 1] [--socket inet|unix]
//                    [--store redis|lmdb|memory] [--seed 1]
//
// --messages is the number of messages of each connection. An MTA makes one connection for each SMTP session, and most
// sessions bring one message.
//
//   npm run bench -- --rules [--seconds 35] [--seed 1]
//
// This measures what each rule costs, in this process and without the milter protocol; see rules.ts.
//
//   npm run bench -- --start [--runs 20]
//
// This measures how long greymx takes from its start to its first decision; see start.ts.
//
//   npm run bench -- --hostile [--seconds 600] [--seed 1]
//
// This measures what mail costs whose sender's zone is made to be costly, and how long others wait; see hostile.ts.

import { readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { parseArgs } from 'node:util'
import { formatSocketSpec, type SocketSpec } from '../../src/sockets/spec.ts'
import { childrenOf, startDaemon } from '../support/daemon.ts'
import { startDns } from '../support/dns.ts'
import { PROGRAM } from '../support/greymx.ts'
import { startRedis } from '../support/redis.ts'
import { freePort, scratch } from '../support/scratch.ts'
import { cpuSeconds } from './cpu.ts'
import { median, quantile } from './figures.ts'
import { Load, type LoadOptions, newTally, type Tally } from './load.ts'
import { benchStart } from './start.ts'

const DELAY = 2000
/** Length of a turn in milliseconds: so short that what else the machine does affects both sides alike. */
const TURN_LENGTH = 5000

const { values } = parseArgs({
  options: {
    rules: { type: 'boolean', default: false },
    start: { type: 'boolean', default: false },
    hostile: { type: 'boolean', default: false },
    runs: { type: 'string', default: '20' },
    seconds: { type: 'string' },
    connections: { type: 'string', default: '64' },
    messages: { type: 'string', default: '1' },
    store: { type: 'string', default: 'redis' },
    socket: { type: 'string', default: 'inet' },
    seed: { type: 'string', default: '1' },
  },
})

type CommonOptions = Omit<LoadOptions, 'socket' | 'isJudged'>

interface Side {
  readonly name: string
  readonly load: Load
  readonly pids: readonly number[]
  readonly tally: Tally
  /** Decisions a second, and CPU seconds for 100,000 decisions, of each turn. */
  readonly rates: number[]
  readonly cpu: number[]
}

const endings: Array<() => Promise<void>> = []
try {
  const dir = await scratch({ after: (end) => endings.push(end) })
  if (values.rules) {
    const { benchRules } = await import('./rules.ts') // imported here, as it compiles long lists
    await benchRules({ dir, seconds: Number(values.seconds ?? 35), seed: Number(values.seed) })
  } else if (values.start) await benchStart(dir, Number(values.runs))
  else if (values.hostile) {
    const { benchHostile } = await import('./hostile.ts') // imported here, as it loads the test harness of the MTAs
    await benchHostile(dir, Number(values.seconds ?? 600), Number(values.seed))
  } else await benchLoad(dir, Number(values.seconds ?? 120))
} finally {
  for (const end of endings.reverse()) await end()
}

async function benchLoad(dir: string, seconds: number): Promise<void> {
  const options = {
    connections: Number(values.connections),
    messages: Number(values.messages),
    seed: Number(values.seed),
    delay: DELAY,
  }
  const sides = [await nullSide(dir, options), await greymxSide(dir, options)]
  const turns = Math.max(1, Math.round((seconds * 1000) / TURN_LENGTH / sides.length))
  console.log(
    `${values.connections} connections, ${values.messages} message(s) each, over ${values.socket}, store ${values.store}, seed ${values.seed}, ` +
      `${turns} turns of ${TURN_LENGTH / 1000} s`,
  )
  // This turn is not counted: code is compiled in it, and the first triplets are learnt.
  for (const side of sides) await side.load.run(TURN_LENGTH, side.tally)
  for (const { tally } of sides) tally.latencies.length = 0
  for (let turn = 0; turn < turns; turn += 1) for (const side of sides) await takeTurn(side)
  report(sides)
  for (const { load } of sides) load.close()
}

async function nullSide(dir: string, options: CommonOptions): Promise<Side> {
  const socket = await newSocket(dir, 'null')
  const pid = await startQuietly(
    dir,
    [join(process.cwd(), 'build/test/bench/null-milter.js'), formatSocketSpec(socket)],
    'ready',
  )
  return newSide('null milter', new Load({ ...options, socket, isJudged: false }), [pid])
}

async function greymxSide(dir: string, options: CommonOptions): Promise<Side> {
  const { store, pids } = await openStore(dir)
  const socket = await newSocket(dir, 'greymx')
  const settings = join(dir, 'greymx.yaml')
  const dns = await startDns({ dir, zones: { 'example.org': '* TXT "v=spf1 ip4:198.18.0.0/15 -all"' } })
  const times = `greylist: { delay: ${DELAY}ms, retry_window: 1h, lifetime: 1h }`
  await writeFile(
    settings,
    `listen: ${formatSocketSpec(socket)}\nstore: "${store}"\nadmin: 127.0.0.1:0\ndns_servers: [${dns.server}]\n${times}\n`,
  )
  const pid = await startQuietly(dir, [PROGRAM, 'serve', '--config', settings], 'smtpd_milters')
  const all = [pid, ...(await childrenOf(pid)), dns.pid, ...pids]
  return newSide('greymx', new Load({ ...options, socket, isJudged: true }), all)
}

async function newSocket(dir: string, name: string): Promise<SocketSpec> {
  if (values.socket === 'unix') return { kind: 'unix', path: join(dir, `${name}.sock`) }
  return { kind: 'inet', host: '127.0.0.1', port: await freePort() }
}

/** Starts a Node.js program with its log in a file, so that this process need not read it. */
async function startQuietly(dir: string, args: readonly string[], readyText: string): Promise<number> {
  const logFile = join(dir, `${basename(args[0] ?? '')}.log`)
  const daemon = await startDaemon({
    command: 'sh',
    args: ['-c', `exec "$0" "$@" > ${logFile}`, process.execPath, ...args],
    cwd: dir,
    ready: async () => (await readFile(logFile, 'utf8').catch(() => '')).includes(readyText),
  })
  endings.push(() => daemon.stop())
  return daemon.pid
}

async function openStore(dir: string): Promise<{ store: string; pids: number[] }> {
  if (values.store === 'memory') return { store: 'memory:', pids: [] }
  if (values.store === 'lmdb') return { store: `lmdb:${dir}/state`, pids: [] }
  const redis = await startRedis({ dir })
  return { store: `redis+unix://${redis.unixSocketPath}?db=0`, pids: [redis.pid] }
}

function newSide(name: string, load: Load, pids: readonly number[]): Side {
  return { name, load, pids, tally: newTally(), rates: [], cpu: [] }
}

async function takeTurn({ load, pids, tally, rates, cpu }: Side): Promise<void> {
  const [decisionsBefore, cpuBefore, startedAt] = [tally.decisions, await cpuSeconds(pids), performance.now()]
  await load.run(TURN_LENGTH, tally)
  const elapsed = (performance.now() - startedAt) / 1000
  const decisions = tally.decisions - decisionsBefore
  rates.push(decisions / elapsed)
  cpu.push((((await cpuSeconds(pids)) - cpuBefore) / decisions) * 100_000)
}

function report(sides: readonly Side[]): void {
  for (const { name, tally, rates, cpu } of sides) {
    const [p50, p99] = [quantile(tally.latencies, 0.5), quantile(tally.latencies, 0.99)]
    console.log(
      `${name.padEnd(12)} ${median(rates).toFixed(0).padStart(7)} decisions/s   ` +
        `${median(cpu).toFixed(2).padStart(6)} CPU s per 100k   p50 ${p50.toFixed(2)} ms   p99 ${p99.toFixed(2)} ms`,
    )
  }
  const [base, judged] = sides
  if (!base || !judged) return
  const ratios = judged.rates.map((rate, turn) => rate / (base.rates[turn] ?? Number.NaN))
  console.log(`ratio greymx / null milter, median of turns: ${median(ratios).toFixed(2)}`)
  const { tally } = judged
  const kinds = [...tally.byKind].map(([kind, count]) => `${kind} ${count}`).join(', ')
  console.log(
    `verdicts: ${tally.decisions} (${kinds}; ${tally.either} at the edge of the delay), ${tally.wrong.length} wrong`,
  )
  for (const wrong of tally.wrong.slice(0, 10)) console.log(`  ${wrong}`)
  if (tally.wrong.length > 0) process.exitCode = 1
}
