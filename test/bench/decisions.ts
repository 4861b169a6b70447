// npm run bench: measures decisions a second and CPU time of greymx beside a milter that does nothing. The two are loaded
// by turns, and every verdict is checked. Each row is a store, a socket, a number of messages for each connection, and a
// kind of attempts; greymx has all defaults, DNS on loopback, and its log in a file.

import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { childrenOf, startDaemon } from '../support/daemon.ts'
import { startDns } from '../support/dns.ts'
import { PROGRAM } from '../support/greymx.ts'
import { startRedis } from '../support/redis.ts'
import { freePort } from '../support/scratch.ts'
import { cpuSeconds } from './cpu.ts'
import { median } from './figures.ts'
import { fill } from './fill.ts'
import type { LoadKind } from './fixed-plan.ts'
import { type Generator, makeGenerator, type TurnResult } from './generator.ts'
import { dearestFunctions } from './profile.ts'

export interface DecisionsOptions {
  readonly stores: readonly string[]
  readonly kinds: readonly LoadKind[]
  readonly sockets: ReadonlyArray<'unix' | 'inet'>
  readonly messages: readonly number[]
  readonly connections: number
  /** Number of triplets that have passed before the first turn. */
  readonly known: number
  /** Numbers of passes of others that a store has before the first turn. */
  readonly entries: readonly number[]
  readonly rounds: number
  /** Length of a turn, in seconds: so short that what else the machine does affects both sides alike. */
  readonly turn: number
  /** Whether the functions that take most of greymx's time are printed. */
  readonly profile: boolean
}

const DELAY = 1000
/** Connections of the load that teaches greymx the known triplets. */
const TEACHERS = 16
const DEAREST = 20

/** A filter under load. */
interface Filter {
  readonly name: string
  readonly sockets: Readonly<Record<'unix' | 'inet', string>>
  readonly pids: readonly number[]
  /** Number of the next new triplet. */
  first: number
}

interface Measured {
  readonly rate: number
  /** CPU seconds of 100,000 decisions. */
  readonly cpu: number
  readonly result: TurnResult
}

interface Row {
  readonly store: string
  readonly entries: number
  readonly socket: 'unix' | 'inet'
  readonly messages: number
  readonly kind: LoadKind
}

/** Prints the rows; resolves to whether every verdict was right. `dir` is a folder of `scratch`. */
export async function benchDecisions(
  dir: string,
  options: DecisionsOptions,
  onEnd: (end: () => Promise<void>) => void,
): Promise<boolean> {
  const { name, generate } = await makeGenerator(dir)
  console.log(
    `${options.connections} connections, medians of ${options.rounds} rounds with turns of ${options.turn} s, load in ${name}`,
  )
  const base = await startNull(dir, onEnd)
  let isRight = true
  console.log(HEADING)
  const states = options.stores.flatMap((store) => options.entries.map((entries) => ({ store, entries })))
  for (const { store, entries } of states) {
    const home = join(dir, `${store}-${entries}`)
    await mkdir(home)
    const filter = await startFilter(dir, home, { store, entries, isProfiled: options.profile }, onEnd)
    const load = { generate, connections: options.connections, known: options.known, seconds: options.turn }
    await teach(filter, load)
    for (const row of rowsOf(store, entries, options)) {
      isRight = (await measure(row, base, filter, load, options.rounds)) && isRight
    }
    await filter.stop()
    if (!options.profile) continue
    console.log(`\n${store}: functions with the most time of their own, in percent of greymx's main thread`)
    for (const line of await dearestFunctions(join(home, 'profile'), DEAREST)) console.log(line)
  }
  return isRight
}

const HEADING = [
  'store'.padEnd(7),
  'entries'.padStart(8),
  'socket',
  'messages'.padStart(8),
  'kind '.padStart(6),
  'decisions/s'.padStart(11),
  'CPU s/100k'.padStart(10),
  'rate/null'.padStart(9),
  'CPU/null'.padStart(8),
  'p50 ms'.padStart(7),
  'p99 ms'.padStart(7),
  'wrong'.padStart(6),
].join('  ')

function rowsOf(store: string, entries: number, { kinds, sockets, messages }: DecisionsOptions): Row[] {
  return sockets.flatMap((socket) =>
    messages.flatMap((count) => kinds.map((kind) => ({ store, entries, socket, messages: count, kind }))),
  )
}

/** Measures a row and prints it; resolves to whether every verdict was right. */
async function measure(row: Row, base: Filter, filter: Filter, load: Load, rounds: number): Promise<boolean> {
  const bases: Measured[] = []
  const measured: Measured[] = []
  // The first round is not counted: code is compiled in it, and DNS answers are cached.
  for (let round = 0; round <= rounds; round += 1) {
    bases.push(await takeTurn(base, row, load, false))
    measured.push(await takeTurn(filter, row, load, true))
  }
  bases.shift()
  measured.shift()
  const ratio = (figure: (one: Measured) => number) =>
    median(measured.map((one, round) => figure(one) / figure(bases[round] as Measured))) // of the same rounds
  const wrong = measured.reduce((sum, { result }) => sum + result.wrong, 0)
  console.log(
    [
      row.store.padEnd(7),
      String(row.entries).padStart(8),
      row.socket.padEnd(6),
      String(row.messages).padStart(8),
      row.kind.padStart(6),
      median(measured.map(({ rate }) => rate))
        .toFixed(0)
        .padStart(11),
      median(measured.map(({ cpu }) => cpu))
        .toFixed(1)
        .padStart(10),
      ratio(({ rate }) => rate)
        .toFixed(2)
        .padStart(9),
      ratio(({ cpu }) => cpu)
        .toFixed(2)
        .padStart(8),
      median(measured.map(({ result }) => result.p50))
        .toFixed(2)
        .padStart(7),
      median(measured.map(({ result }) => result.p99))
        .toFixed(2)
        .padStart(7),
      String(wrong).padStart(6),
    ].join('  '),
  )
  return wrong === 0
}

interface Load {
  readonly generate: Generator
  readonly connections: number
  readonly known: number
  readonly seconds: number
}

async function takeTurn(
  filter: Filter,
  { socket, messages, kind }: Row,
  { generate, connections, known, seconds }: Load,
  isJudged: boolean,
): Promise<Measured> {
  const before = await cpuSeconds(filter.pids)
  const result = await generate({
    socket: filter.sockets[socket],
    connections,
    messages,
    kind,
    first: filter.first,
    count: known,
    seconds,
    isJudged,
  })
  filter.first += result.taken
  const cpu = (await cpuSeconds(filter.pids)) - before
  return {
    rate: result.decisions / result.seconds,
    cpu: (cpu / result.decisions) * 100_000,
    result,
  }
}

/** Lets each known triplet pass. */
async function teach(filter: Filter, { generate, known }: Load): Promise<void> {
  for (const kind of ['learn', 'retry'] as const) {
    const { wrong, decisions } = await generate({
      socket: filter.sockets.unix,
      connections: TEACHERS,
      messages: 10,
      kind,
      first: 0,
      count: known,
      seconds: 600,
      isJudged: true,
    })
    if (kind === 'retry' && (wrong > 0 || decisions !== known))
      throw new Error(`${filter.name}: ${wrong} of ${decisions} retries did not pass`)
    if (kind === 'learn') await sleep(2 * DELAY)
  }
}

async function startNull(dir: string, onEnd: (end: () => Promise<void>) => void): Promise<Filter> {
  const sockets = { unix: join(dir, 'null.sock'), inet: String(await freePort()) }
  const program = join(process.cwd(), 'build/test/bench/null-milter.js')
  const daemon = await startQuietly(dir, 'null', [program, sockets.unix, sockets.inet], 'ready')
  onEnd(() => daemon.stop())
  return { name: 'null milter', sockets, pids: [daemon.pid], first: 0 }
}

/** Starts greymx with a store in `home`, a folder of its own in `dir`, which is a folder of `scratch`. */
async function startFilter(
  dir: string,
  home: string,
  { store, entries, isProfiled }: { store: string; entries: number; isProfiled: boolean },
  onEnd: (end: () => Promise<void>) => void,
): Promise<Filter & { stop(): Promise<void> }> {
  const { url, pids } = await openStore(dir, home, store, entries)
  const port = await freePort()
  const sockets = { unix: join(home, 'greymx.sock'), inet: String(port) }
  const settings = join(home, 'milter.yaml')
  const dns = await startDns({ dir, zones: { example: '* TXT "v=spf1 ip4:198.18.0.0/15 -all"' } })
  await writeFile(
    settings,
    [
      `listen: ["unix:${sockets.unix}", "inet:${port}@127.0.0.1"]`,
      `store: "${url}"`,
      'admin: 127.0.0.1:0',
      `dns_servers: [${dns.server}]`,
      `greylist: { delay: ${DELAY}ms, retry_window: 1h, lifetime: 1h }`,
    ].join('\n'),
  )
  const profiling = isProfiled ? ['--cpu-prof', `--cpu-prof-dir=${join(home, 'profile')}`] : []
  const args = [...profiling, PROGRAM, 'serve', '--config', settings]
  const daemon = await startQuietly(home, store, args, 'smtpd_milters')
  onEnd(() => daemon.stop())
  const all = [daemon.pid, ...(await childrenOf(daemon.pid)), dns.pid, ...pids]
  return { name: store, sockets, pids: all, first: 0, stop: () => daemon.stop() }
}

/** A store with `entries` passes of others. */
export async function openStore(
  dir: string,
  home: string,
  store: string,
  entries: number,
): Promise<{ url: string; pids: readonly number[] }> {
  if (store === 'memory') {
    if (entries > 0) throw new Error('--entries: a store in memory begins empty, expected redis or lmdb')
    return { url: 'memory:', pids: [] }
  }
  if (store === 'lmdb') {
    const url = `lmdb:${home}/state`
    await fill(url, entries)
    return { url, pids: [] }
  }
  const redis = await startRedis({ dir })
  const url = `redis+unix://${redis.unixSocketPath}?db=0`
  await fill(url, entries)
  return { url, pids: [redis.pid] }
}

/** Starts a Node.js program with its output in a file, so that this process need not read it. */
export async function startQuietly(
  dir: string,
  name: string,
  args: readonly string[],
  readyText: string,
): Promise<{ pid: number; stop(): Promise<void> }> {
  const logFile = join(dir, `${basename(name)}.log`)
  return startDaemon({
    command: 'sh',
    args: ['-c', `exec "$0" "$@" > ${logFile}`, process.execPath, ...args],
    cwd: dir,
    ready: async () => (await readFile(logFile, 'utf8').catch(() => '')).includes(readyText),
  })
}
