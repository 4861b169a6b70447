// npm run soak: runs a mixed load, by default for half an hour, and restarts Redis each minute. Every verdict is
// checked against the model: while Redis is away, mail must pass or be judged rightly, and no pass may be forgotten.
// The memory and the file descriptors of the daemon are watched and must not grow.
//
//   npm run soak -- [--minutes 30] [--restart-every 60] [--connections 32] [--seed 1]

import { readdir } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { residentBytes } from '../support/daemon.ts'
import { startDns } from '../support/dns.ts'
import { type Greymx, startGreymx } from '../support/greymx.ts'
import { type Redis, startRedis } from '../support/redis.ts'
import { scratch, waitFor } from '../support/scratch.ts'
import { median, quantile } from './figures.ts'
import { Load, newTally, type Tally } from './load.ts'

const DELAY = 2000
/** Time after a restart in which answers may still be those of an outage, in milliseconds. */
const AFTERMATH = 3000
const SAMPLE_EVERY = 5000
/** Largest ratio of a figure in the last quarter to that in the second; caches fill during the first. */
const GROWTH = 1.15

interface Sample {
  readonly rss: number
  readonly descriptors: number
}

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    'restart-every': { type: 'string', default: '60' },
    connections: { type: 'string', default: '32' },
    seed: { type: 'string', default: '1' },
  },
})

const endings: Array<() => Promise<void>> = []
try {
  await soak(Number(values.minutes) * 60_000, Number(values['restart-every']) * 1000)
} finally {
  for (const end of endings.reverse()) await end()
}

async function soak(length: number, restartEvery: number): Promise<void> {
  const dir = await scratch({ after: (end) => endings.push(end) })
  const dns = await startDns({ dir, zones: { 'example.org': '* TXT "v=spf1 ip4:198.18.0.0/15 -all"' } })
  // With these settings, acknowledged writes survive a restart.
  const persistence = ['--appendonly', 'yes', '--appendfsync', 'always']
  let redis = await startRedis({ dir, args: persistence })
  const greymx = await startGreymx({
    dir,
    settings: `store: ${redis.url}/0
dns_servers: [${dns.server}]
log: { level: warn }
greylist: { delay: ${DELAY}ms, retry_window: 1h, lifetime: 1h, auto_whitelist: { spacing: 1d } }`,
  })
  const outages: Array<{ from: number; to: number }> = []
  const load = new Load({
    socket: { kind: 'inet', host: '127.0.0.1', port: greymx.port },
    connections: Number(values.connections),
    messages: 1,
    seed: Number(values.seed),
    delay: DELAY,
    isJudged: true,
    pause: 20,
    isDisturbed: (from, to) => outages.some((outage) => outage.from <= to && outage.to >= from),
  })
  const tally = newTally()
  const samples: Sample[] = []
  let isOver = false
  const watching = watch(greymx, samples, () => isOver)
  const running = load.run(length, tally)
  const deadline = performance.now() + length
  while (performance.now() + restartEvery < deadline) {
    await sleep(restartEvery)
    const outage = { from: performance.now(), to: Number.POSITIVE_INFINITY }
    outages.push(outage)
    redis = await restart(redis, dir, persistence)
    await waitFor('the store to be up', async () => (await health(greymx)) === 200, 10_000)
    outage.to = performance.now() + AFTERMATH
    const minute = Math.round((performance.now() - deadline + length) / 60_000)
    console.log(
      `minute ${minute}: Redis restarted; ${tally.decisions} decisions, ${tally.wrong.length} wrong`,
    )
  }
  await running
  isOver = true
  await watching
  load.close()
  report(samples, tally)
}

async function restart(redis: Redis, dir: string, args: readonly string[]): Promise<Redis> {
  await redis.stop()
  await sleep(1000)
  return startRedis({ dir, port: redis.port, args })
}

async function health({ adminPort }: Greymx): Promise<number> {
  return (await fetch(`http://127.0.0.1:${adminPort}/healthz`)).status
}

async function watch({ pid }: Greymx, samples: Sample[], isOver: () => boolean): Promise<void> {
  while (!isOver()) {
    await sleep(SAMPLE_EVERY)
    const rss = (await residentBytes(pid)) / (1024 * 1024)
    samples.push({ rss, descriptors: (await readdir(`/proc/${pid}/fd`)).length })
  }
}

function report(samples: readonly Sample[], tally: Tally): void {
  const quarter = (index: number) =>
    samples.slice(Math.floor((samples.length * index) / 4), Math.floor((samples.length * (index + 1)) / 4))
  // The number of open connections varies, so a leak of descriptors shows in their least number.
  for (const [name, unit, of, figure] of [
    ['RSS', ' MiB, median', ({ rss }: Sample) => rss, median],
    ['file descriptors', ', fewest', ({ descriptors }: Sample) => descriptors, fewest],
  ] as const) {
    const figures = [0, 1, 2, 3].map((index) => figure(quarter(index).map(of)))
    console.log(`${name}${unit} of each quarter: ${figures.map((value) => value.toFixed(0)).join(', ')}`)
    const [, second = 0, , last = Number.NaN] = figures
    if (!(last <= second * GROWTH)) fail(`${name} grew`)
  }
  console.log(
    `verdicts: ${tally.decisions}, ${tally.disturbed} while Redis was away, ${tally.either} at the edge of the delay, ` +
      `${tally.wrong.length} wrong; p99 ${quantile(tally.latencies, 0.99).toFixed(1)} ms, longest ${quantile(tally.latencies, 1).toFixed(0)} ms`,
  )
  for (const wrong of tally.wrong.slice(0, 10)) console.log(`  ${wrong}`)
  if (tally.wrong.length > 0) fail('verdicts were wrong')
}

function fewest(values: readonly number[]): number {
  return Math.min(...values)
}

function fail(problem: string): void {
  console.log(`FAILED: ${problem}`)
  process.exitCode = 1
}
