// npm run bench -- --start: measures how long greymx takes from the start of its process to the first decision, DNS and
// store included. Each kind of store and the milter that does nothing are started in turns. The CPU time is that of
// greymx and its child until then; other load on the machine lengthens it less than the elapsed time.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectToFilter, type MilterClient } from '../../src/milter/client.ts'
import { childrenOf, startDaemon } from '../support/daemon.ts'
import { startDns } from '../support/dns.ts'
import { PROGRAM } from '../support/greymx.ts'
import { startRedis } from '../support/redis.ts'
import { cpuSeconds } from './cpu.ts'
import { mean, median } from './figures.ts'

interface Contender {
  readonly name: string
  /** The arguments for Node.js. */
  readonly args: readonly string[]
  /** The right answer to a first attempt. */
  readonly answer: string
  /** Times of all runs, in milliseconds. */
  readonly times: number[]
  readonly cpu: number[]
}

/** `dir` is a folder of `scratch`. */
export async function benchStart(dir: string, runs: number): Promise<void> {
  const socket = join(dir, 'milter.sock')
  const nullMilter = [join(process.cwd(), 'build/test/bench/null-milter.js'), socket]
  const base: Contender = { name: 'null milter', args: nullMilter, answer: 'c', times: [], cpu: [] }
  const contenders = [base]
  const redis = await startRedis({ dir })
  const dns = await startDns({ dir, zones: { 'example.org': '* TXT "v=spf1 ip4:198.51.100.0/24 -all"' } })
  const stores = {
    memory: 'memory:',
    lmdb: `lmdb:${dir}/state`,
    redis: `redis+unix://${redis.unixSocketPath}?db=0`,
  }
  for (const [kind, store] of Object.entries(stores)) {
    const file = join(dir, `${kind}.yaml`)
    const settings = `listen: unix:${socket}\nstore: "${store}"\nadmin: 127.0.0.1:0\ndns_servers: [${dns.server}]\n`
    await writeFile(file, settings)
    const args = [PROGRAM, 'serve', '--config', file]
    contenders.push({ name: `greymx, ${kind}`, args, answer: 'y', times: [], cpu: [] })
  }
  for (let run = 0; run <= runs; run += 1) {
    for (const contender of contenders) await start(contender, socket, run)
    // The first run is not counted, as it fills the file cache.
    if (run === 0) for (const { times, cpu } of contenders) times.length = cpu.length = 0
  }
  for (const { name, times, cpu } of contenders) {
    console.log(
      `${name.padEnd(14)} first answer after ${median(times).toFixed(0).padStart(4)} ms, at best ${Math.min(
        ...times,
      )
        .toFixed(0)
        .padStart(4)}` +
        `   CPU ${mean(cpu).toFixed(0).padStart(4)} ms   ratio to null milter ${(median(times) / median(base.times)).toFixed(1)}, CPU ${(mean(cpu) / mean(base.cpu)).toFixed(1)}`,
    )
  }
}

async function start(
  { name, args, answer, times, cpu }: Contender,
  path: string,
  run: number,
): Promise<void> {
  const startedAt = performance.now()
  let client: MilterClient | undefined
  const ready = async () => {
    client = await connected(path, startedAt + 10_000)
    return client !== undefined
  }
  const daemon = await startDaemon({ command: process.execPath, args, cwd: '/', ready })
  try {
    await client?.connect(
      { hostName: 'a.example.org', family: 'inet', port: 25, address: '198.51.100.7' },
      [],
    )
    await client?.helo('a.example.org')
    await client?.mail('<a@a.example.org>')
    const reply = await client?.rcpt(`<b${run}@example.com>`)
    times.push(performance.now() - startedAt)
    cpu.push((await cpuSeconds([daemon.pid, ...(await childrenOf(daemon.pid))])) * 1000)
    if (reply?.code !== answer) throw new Error(`${name} answered ${reply?.code} ${reply?.text}`)
  } finally {
    client?.quit()
    await daemon.stop()
  }
}

async function connected(path: string, until: number): Promise<MilterClient | undefined> {
  while (performance.now() < until) {
    const client = await connectToFilter({ kind: 'unix', path }, 10_000).catch(() => undefined)
    if (client) return client
    await sleep(2)
  }
  return undefined
}
