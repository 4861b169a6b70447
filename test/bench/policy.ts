// npm run bench -- --door policy: measures decisions a second and CPU time of greymx's policy door, beside a policy server
// that does nothing and Debian's Postgrey. All are loaded by turns, and every verdict of the last two is checked. Each row
// is a policy server and a kind of attempts. Postgrey has its default settings but for the delay, and its database, like
// greymx's LMDB, in the folder of the run, which is in memory on most machines; each decision of Postgrey waits for it.

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { childrenOf, startDaemon } from '../support/daemon.ts'
import { startDns } from '../support/dns.ts'
import { PROGRAM } from '../support/greymx.ts'
import { isListening } from '../support/policy.ts'
import { postgreyClients, postgreyRecipients, postgreyRoot } from '../support/postgrey.ts'
import { cpuSeconds } from './cpu.ts'
import { openStore, startQuietly } from './decisions.ts'
import { median } from './figures.ts'
import type { LoadKind } from './fixed-plan.ts'
import { compileLoad, type TurnResult } from './generator.ts'

export interface PolicyOptions {
  readonly stores: readonly string[]
  readonly kinds: readonly LoadKind[]
  readonly connections: number
  /** Number of triplets that have passed before the first turn. */
  readonly known: number
  readonly rounds: number
  /** Length of a turn, in seconds. */
  readonly turn: number
}

/** Delay of greymx and Postgrey, in seconds. */
const DELAY = 1

interface PolicyServer {
  readonly name: string
  readonly socket: string
  readonly pids: readonly number[]
  readonly isJudged: boolean
  /** Number of the next new triplet. */
  first: number
}

interface Turn {
  readonly rate: number
  /** CPU seconds of 100,000 decisions. */
  readonly cpu: number
  readonly result: TurnResult
}

type Generate = (server: PolicyServer, kind: LoadKind, seconds: number) => Promise<Turn>

/** Prints the rows; resolves to whether every verdict was right. `dir` is a folder of `scratch`. */
export async function benchPolicy(
  dir: string,
  options: PolicyOptions,
  onEnd: (end: () => Promise<void>) => void,
): Promise<boolean> {
  const { connections, known, rounds, turn, kinds, stores } = options
  const load = await compileLoad(dir, 'policy-load')
  const generate: Generate = async (server, kind, seconds) => {
    const { socket, pids, first, isJudged } = server
    const numbers = [connections, kind, first, known, seconds, isJudged ? 1 : 0].map(String)
    const before = await cpuSeconds(pids)
    const result = await load.run([socket, ...numbers])
    server.first += result.taken
    const cpu = (await cpuSeconds(pids)) - before
    return { rate: result.decisions / result.seconds, cpu: (cpu / result.decisions) * 100_000, result }
  }
  const base = await startNull(dir, onEnd)
  const postgrey = await startPlainPostgrey(dir, onEnd)
  const servers = [base, postgrey]
  for (const store of stores) servers.push(await startDoor(dir, store, onEnd))
  // One after the other: a server that has no CPU time answers too late, and remembers nothing of it.
  for (const server of servers) if (server.isJudged) await teach(server, generate)
  console.log(
    `${connections} connections, medians of ${rounds} rounds with turns of ${turn} s, load in ${load.name}`,
  )
  console.log(HEADING)
  let isRight = true
  for (const kind of kinds) {
    const turns = new Map<PolicyServer, Turn[]>(servers.map((server) => [server, []]))
    // The first round is not counted: code is compiled in it, and DNS answers are cached.
    for (let round = 0; round <= rounds; round += 1)
      for (const [server, taken] of turns) {
        const one = await generate(server, kind, turn)
        if (round > 0) taken.push(one)
      }
    const [nulls, perls] = [turns.get(base) ?? [], turns.get(postgrey) ?? []]
    for (const [server, taken] of turns) {
      console.log(lineOf(server, kind, taken, nulls, perls))
      isRight &&= !server.isJudged || taken.every(({ result }) => result.wrong === 0)
    }
  }
  return isRight
}

const COLUMNS = [
  ['server', -15],
  ['kind', 6],
  ['decisions/s', 11],
  ['CPU s/100k', 10],
  ['rate/null', 9],
  ['CPU/null', 8],
  ['rate/Postgrey', 13],
  ['CPU/Postgrey', 12],
  ['p50 ms', 7],
  ['p99 ms', 7],
  ['wrong', 6],
] as const

const HEADING = aligned(COLUMNS.map(([name]) => name))

function lineOf(
  { name, isJudged }: PolicyServer,
  kind: LoadKind,
  taken: readonly Turn[],
  nulls: readonly Turn[],
  perls: readonly Turn[],
): string {
  const medianOf = (figure: (one: Turn) => number) => median(taken.map(figure))
  // Ratios are of the same rounds.
  const ratio = (to: readonly Turn[], figure: (one: Turn) => number) =>
    median(taken.map((one, round) => figure(one) / figure(to[round] as Turn))).toFixed(2)
  const [rate, cpu] = [(one: Turn) => one.rate, (one: Turn) => one.cpu]
  return aligned([
    name,
    kind,
    medianOf(rate).toFixed(0),
    medianOf(cpu).toFixed(1),
    ...[ratio(nulls, rate), ratio(nulls, cpu), ratio(perls, rate), ratio(perls, cpu)],
    medianOf(({ result }) => result.p50).toFixed(2),
    medianOf(({ result }) => result.p99).toFixed(2),
    isJudged ? String(taken.reduce((sum, { result }) => sum + result.wrong, 0)) : '-',
  ])
}

function aligned(fields: readonly string[]): string {
  return fields
    .map((field, index) => {
      const width = COLUMNS[index]?.[1] ?? 0
      return width < 0 ? field.padEnd(-width) : field.padStart(width)
    })
    .join('  ')
}

/** Lets each known triplet pass. */
async function teach(server: PolicyServer, generate: Generate): Promise<void> {
  await generate(server, 'learn', 600)
  await sleep(2 * DELAY * 1000)
  const { result } = await generate(server, 'retry', 600)
  server.first = 0
  if (result.wrong > 0)
    throw new Error(`${server.name}: ${result.wrong} of ${result.decisions} retries did not pass`)
}

type OnEnd = (end: () => Promise<void>) => void

async function startNull(dir: string, onEnd: OnEnd): Promise<PolicyServer> {
  const socket = join(dir, 'null-policy.sock')
  const program = join(process.cwd(), 'build/test/bench/null-policy.js')
  const daemon = await startQuietly(dir, 'null-policy', [program, socket], 'ready')
  onEnd(() => daemon.stop())
  return { name: 'does nothing', socket, pids: [daemon.pid], isJudged: false, first: 0 }
}

async function startPlainPostgrey(dir: string, onEnd: OnEnd): Promise<PolicyServer> {
  const socket = join(dir, 'postgrey.sock')
  const dbdir = join(dir, 'postgrey')
  await mkdir(dbdir)
  const daemon = await startDaemon({
    command: 'perl',
    args: [
      ...['-T', join(postgreyRoot, 'usr/sbin/postgrey'), `--unix=${socket}`, `--dbdir=${dbdir}`],
      ...['--user=root', '--group=root', '--quiet', `--delay=${DELAY}`],
      ...[`--whitelist-clients=${postgreyClients}`, `--whitelist-recipients=${postgreyRecipients}`],
    ],
    cwd: dir,
    ready: () => isListening(socket),
  })
  onEnd(() => daemon.stop('SIGKILL'))
  return { name: 'Postgrey', socket, pids: [daemon.pid], isJudged: true, first: 0 }
}

async function startDoor(dir: string, store: string, onEnd: OnEnd): Promise<PolicyServer> {
  const { url, pids } = await openStore(dir, dir, store, 0)
  const socket = join(dir, `${store}-policy.sock`)
  const settings = join(dir, `${store}.yaml`)
  const dns = await startDns({ dir, zones: { example: '* TXT "v=spf1 ip4:198.18.0.0/15 -all"' } })
  await writeFile(
    settings,
    [
      `listen: unix:${dir}/${store}.sock`,
      `listen_policy: unix:${socket}`,
      `admin_socket: ${dir}/${store}-admin.sock`,
      `store: "${url}"`,
      'admin: 127.0.0.1:0',
      `dns_servers: [${dns.server}]`,
      `greylist: { delay: ${DELAY}s, retry_window: 1h, lifetime: 1h }`,
    ].join('\n'),
  )
  const args = [PROGRAM, 'serve', '--config', settings]
  const daemon = await startQuietly(dir, store, args, 'smtpd_milters')
  onEnd(() => daemon.stop())
  const all = [daemon.pid, ...(await childrenOf(daemon.pid)), dns.pid, ...pids]
  return { name: `greymx, ${store}`, socket, pids: all, isJudged: true, first: 0 }
}
