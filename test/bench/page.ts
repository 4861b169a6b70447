// npm run bench -- --page: measures what the page costs mail, and how soon it answers, with a large store. Two daemons get
// the same mail by turns. At one of them ten pages refresh meanwhile, ten times as often as the script of the page does.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Greymx, startGreymx } from '../support/greymx.ts'
import { ask, milterSession } from '../support/milter.ts'
import { startRedis } from '../support/redis.ts'
import { median, quantile } from './figures.ts'
import { fill } from './fill.ts'

const READERS = 10

/** Time between two views of one reader, in milliseconds. */
const REFRESH_INTERVAL = 1000

/** Longer than an answer is shared by readers, in milliseconds. */
const SHARED_FOR = 6000

/** Messages of a turn, and SMTP sessions that send them. */
const MESSAGES = 5000
const SESSIONS = 16

const VIEWS = ['/', '/?period=month', '/waiting', '/lost', '/mxs', '/rules', '/changes']

/** How a view came: milliseconds until its first byte, and its size in bytes. */
interface Viewed {
  readonly firstByte: number
  readonly size: number
}

/** `dir` is a folder of `scratch`; `entries` is the number of passes of others in the store. */
export async function benchPage(dir: string, entries: number, rounds: number): Promise<void> {
  const redis = await startRedis({ dir })
  const store = `${redis.url}/0`
  await fill(store, entries)
  const start = (name: string) => startGreymx({ dir, name, settings: `store: ${store}` })
  const [alone, read] = [await start('alone'), await start('read')]
  const [without, withPages]: [number[], number[]] = [[], []]
  for (let round = 0; round <= rounds; round += 1) {
    const waits = [await turn(alone), await withReaders(read, () => turn(read))] as const
    if (round === 0) continue // the first one warms up
    without.push(waits[0])
    withPages.push(waits[1])
  }
  const [low, high] = [median(without), median(withPages)]
  console.log(`p99 of RCPT: ${low.toFixed(2)} ms, with ${READERS} pages ${high.toFixed(2)} ms`)
  console.log(`ratio ${(high / low).toFixed(2)}`)
  console.log(`memory: ${await residentMegabytes(alone)} MB, with pages ${await residentMegabytes(read)} MB`)
  console.log(`views with ${entries} entries in the store, in ms until the first byte, and kB:`)
  for (const path of VIEWS) {
    await sleep(SHARED_FOR)
    const { firstByte, size } = await view(read, path)
    console.log(
      `${path.padEnd(16)} ${firstByte.toFixed(1).padStart(6)} ${(size / 1000).toFixed(1).padStart(6)}`,
    )
  }
}

/** Sends first messages, and returns the wait in milliseconds that 99 of 100 did not exceed. */
async function turn(greymx: Greymx): Promise<number> {
  const times: number[] = []
  await Promise.all(
    Array.from({ length: SESSIONS }, async () => {
      const client = await milterSession(greymx)
      for (let message = 0; message < MESSAGES / SESSIONS; message += 1) {
        const begun = performance.now()
        assert.equal(await ask(client, `s${Math.random()}@bench.test`), 'tempfail')
        times.push(performance.now() - begun)
      }
      client.quit()
    }),
  )
  return quantile(times, 0.99)
}

async function withReaders<T>(greymx: Greymx, run: () => Promise<T>): Promise<T> {
  let isOver = false
  const readers = Array.from({ length: READERS }, async (_, reader) => {
    for (let views = reader; !isOver; views += 1) {
      await view(greymx, VIEWS[views % VIEWS.length] ?? '/')
      await sleep(REFRESH_INTERVAL)
    }
  })
  const result = await run()
  isOver = true
  await Promise.all(readers)
  return result
}

function view({ adminPort: port }: Greymx, path: string): Promise<Viewed> {
  return new Promise((resolve, reject) => {
    const begun = performance.now()
    let firstByte: number | undefined
    let size = 0
    request({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      assert.equal(response.statusCode, 200, path)
      response.on('data', (bytes: Buffer) => {
        firstByte ??= performance.now() - begun
        size += bytes.length
      })
      response.on('end', () => resolve({ firstByte: firstByte ?? Number.NaN, size }))
    })
      .once('error', reject)
      .end()
  })
}

async function residentMegabytes({ pid }: Greymx): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Math.round(Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024)
}
