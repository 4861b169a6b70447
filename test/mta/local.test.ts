// Tests an outage of Redis with `on_store_error: local` on two MX hosts, each with a real Postfix: every verdict is
// right by what that host can know, a host that is killed meanwhile forgets nothing, and afterwards both know all that
// either has learnt. The replies of a Postfix without its milter can be told from greymx's, as `milter_default_action =
// tempfail` gives a reply that greymx does not give.
//
// REDIS_OUTAGE=60 makes the outage last 60 seconds.

import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '../fuzz/case.ts'
import { type Greymx, startGreymx } from '../support/greymx.ts'
import type { Mta } from '../support/mta.ts'
import { startPostfix, startSession } from '../support/postfix.ts'
import { type Redis, startRedis } from '../support/redis.ts'
import { scratch, waitFor } from '../support/scratch.ts'
import type { SmtpClient } from '../support/smtp.ts'
import {
  type Attempt,
  answered,
  DELAY,
  expected,
  type Host,
  newTriplet,
  type Reach,
  TOLERANCE,
  type Triplet,
  type Verdict,
} from './hosts.ts'
import { verdictOf } from './scenarios.ts'

const OUTAGE = Number(process.env.REDIS_OUTAGE ?? 5) * 1000
/** Time of mail before the outage and after the merge, in milliseconds. */
const AROUND = 3000
/** Concurrent SMTP sessions at each host, messages of each, and the pause between two of them. */
const PARALLEL = 4
const MESSAGES = 10
const PAUSE = 30
/** Share of messages with a new sender, and share of the others with a recent one. */
const SHARES = { new: 0.3, recent: 0.4 }
const RECENT = 100

/** No entry expires within the longest outage, and a busy machine does not look like an outage. */
const SETTINGS = `on_store_error: local
store_timeout: 500ms
greylist: { delay: ${DELAY}ms, retry_window: 10m, lifetime: 1h, max_deferrals: 0, auto_whitelist: false }`

/** Acknowledged writes are with the kernel, and survive a kill of Redis. */
const PERSISTENT = ['--appendonly', 'yes', '--appendfsync', 'no']
const MERGED = 'the store has taken in what this host learnt while it was down'
const DOWN = 'msg="store is down"'

/** One of the two hosts: its greymx, its Postfix, and whether it reaches Redis. */
interface Mx {
  readonly host: Host
  readonly mta: Mta
  greymx: Greymx
  reach: Reach
  /** Number of verdicts that the host gave alone. */
  alone: number
  /** Instant of greymx's death, by performance.now(); greymx may or may not know what it was asked just before. */
  diedAt: number
  /** Instant of its restart; SMTP sessions that began before may be without it. */
  restartedAt: number
}

interface Tally {
  verdicts: number
  readonly byReach: Record<Reach, number>
  /** Number of verdicts when both were right, and of attempts that greymx did not answer as it was killed. */
  either: number
  unfiltered: number
  longest: number
  readonly wrong: string[]
}

class Fleet {
  readonly hosts: readonly Mx[]
  readonly tally: Tally = {
    verdicts: 0,
    byReach: { shared: 0, alone: 0, unsure: 0 },
    either: 0,
    unfiltered: 0,
    longest: 0,
    wrong: [],
  }
  #triplets: Triplet[] = []
  readonly #busy = new Set<Triplet>()
  readonly #random = new Random(1)
  #made = 0

  constructor(hosts: readonly Mx[]) {
    this.hosts = hosts
  }

  get triplets(): readonly Triplet[] {
    return this.#triplets
  }

  /** Sends mail through both hosts until `isOver`. */
  async load(isOver: () => boolean): Promise<void> {
    const sessions = async (mx: Mx) => {
      while (!isOver()) {
        await this.session(mx, async (attempt) => {
          for (let count = 0; count < MESSAGES && !isOver(); count += 1) {
            await attempt(this.#pick(mx.host))
            await sleep(PAUSE)
          }
        })
      }
    }
    await Promise.all(this.hosts.flatMap((mx) => Array.from({ length: PARALLEL }, () => sessions(mx))))
  }

  /** Makes one attempt for each triplet, at the host that `hostOf` names. */
  async sweep(triplets: readonly Triplet[], hostOf: (triplet: Triplet) => Host): Promise<void> {
    const left = [...triplets]
    await Promise.all(
      this.hosts.flatMap((mx) => {
        const here = left.filter((triplet) => hostOf(triplet) === mx.host)
        return Array.from({ length: PARALLEL }, () =>
          this.session(mx, async (attempt) => {
            for (let next = here.pop(); next; next = here.pop()) await attempt(next)
          }),
        )
      }),
    )
  }

  async session(mx: Mx, run: (attempt: (triplet: Triplet) => Promise<void>) => Promise<void>): Promise<void> {
    const beganAt = performance.now()
    const client = await startSession(mx.mta, { ADDR: '192.0.2.7' })
    await run((triplet) => this.#attempt(mx, client, beganAt, triplet))
    await client.quit()
  }

  async #attempt(mx: Mx, client: SmtpClient, beganAt: number, triplet: Triplet): Promise<void> {
    this.#busy.add(triplet)
    const before = mx.reach
    await client.command(`MAIL FROM:<${triplet.sender}>`)
    const sentAt = performance.now()
    const reply = await client.command('RCPT TO:<u@example.com>')
    const answeredAt = performance.now()
    await client.command('RSET')
    this.#busy.delete(triplet)

    const reach = before === mx.reach ? before : 'unsure'
    const attempt = { host: mx.host, reach, sentAt, answeredAt }
    const verdict = verdictOf(reply)
    if (verdict) {
      this.#judge(mx, triplet, attempt, verdict)
    } else if (beganAt < mx.restartedAt) {
      this.tally.unfiltered += 1
      if (sentAt < mx.diedAt) this.#triplets = this.#triplets.filter((other) => other !== triplet)
    } else {
      this.tally.wrong.push(`${triplet.sender} at ${mx.host}, ${reach}: ${reply}`)
    }
  }

  #judge(mx: Mx, triplet: Triplet, attempt: Attempt, verdict: Verdict): void {
    const { tally } = this
    const right = expected(triplet, attempt)
    tally.verdicts += 1
    tally.byReach[attempt.reach] += 1
    if (attempt.reach === 'alone') mx.alone += 1
    tally.longest = Math.max(tally.longest, attempt.answeredAt - attempt.sentAt)
    if (!right) tally.either += 1
    else if (right !== verdict)
      tally.wrong.push(
        `${triplet.sender} at ${attempt.host}, ${attempt.reach}: expected ${right}, got ${verdict}; ${JSON.stringify({ triplet, attempt })}`,
      )
    answered(triplet, verdict, attempt)
  }

  #pick(home: Host): Triplet {
    const random = this.#random
    const youngest = random.chance(SHARES.recent) ? RECENT : this.#triplets.length
    const found = this.#triplets.at(-1 - random.below(Math.min(youngest, this.#triplets.length)))
    if (found && !this.#busy.has(found) && !random.chance(SHARES.new)) return found
    this.#made += 1
    const triplet = newTriplet(`s${this.#made}@a.test`, home)
    this.#triplets.push(triplet)
    return triplet
  }
}

describe('on_store_error local: two hosts go on greylisting, and know of each other afterwards, with Redis', {
  concurrency: 2,
}, () => {
  test('killed for a while', (t) => throughIt(t, (redis) => redis.kill9(), startAgain))

  test('stopped for a while', (t) =>
    throughIt(
      t,
      async (redis) => redis.pause(),
      async (redis) => redis.resume(),
    ))
})

async function throughIt(
  t: TestContext,
  begin: (redis: Redis) => Promise<void>,
  end: (redis: Redis, dir: string) => Promise<void>,
): Promise<void> {
  const dir = await scratch(t)
  const redis = await startRedis({ dir, args: PERSISTENT })
  const start = (name: string) =>
    startGreymx({
      dir,
      name,
      settings: `store: ${redis.url}/0\nlocal_store: "lmdb:${dir}/${name}"\n${SETTINGS}`,
    })
  const [a, b] = await Promise.all([startMx(dir, 0, await start('a')), startMx(dir, 1, await start('b'))])
  const both = [a, b]
  const reaches = (reach: Reach) => {
    for (const mx of both) mx.reach = reach
  }
  const fleet = new Fleet(both)
  let isMerged = false
  const load = fleet.load(() => isMerged)
  await sleep(AROUND)

  reaches('unsure')
  await begin(redis)
  await Promise.all(
    both.map(async (mx) => {
      await waitFor('the loss to be noticed', () => mx.greymx.log().some((line) => line.includes(DOWN)))
      mx.reach = 'alone'
    }),
  )
  await sleep(OUTAGE / 2)
  // A host that is killed still has what it has learnt.
  Object.assign(a, { diedAt: Number.POSITIVE_INFINITY, restartedAt: Number.POSITIVE_INFINITY })
  await a.greymx.stop('SIGKILL')
  a.diedAt = performance.now()
  a.greymx = await start('a')
  a.restartedAt = performance.now()
  await sleep(OUTAGE / 2)

  reaches('unsure')
  await end(redis, dir)
  await waitFor(
    'both to have merged',
    () => both.every(({ greymx }) => greymx.log().some((line) => line.includes(MERGED))),
    30_000,
  )
  isMerged = true
  await load
  reaches('shared')
  const { tally } = fleet
  assert.deepEqual(wrongIn(await entriesOf(redis), fleet.triplets).slice(0, 5), [])

  const until = performance.now() + AROUND
  await fleet.load(() => performance.now() > until)
  // Each triplet goes to the other host first.
  const { triplets } = fleet
  await fleet.sweep(triplets, ({ home }) => (home === 0 ? 1 : 0))
  await fleet.sweep(triplets, ({ home }) => home)
  await sleep(DELAY + TOLERANCE)
  const waiting = triplets.filter(isWaiting)
  await fleet.sweep(waiting, ({ home }) => (home === 0 ? 1 : 0))
  await fleet.sweep(waiting, ({ home }) => home)
  report(t, fleet)
  assert.deepEqual(tally.wrong.slice(0, 5), [])
  assert.deepEqual(triplets.filter(isWaiting).slice(0, 5), [])
  for (const { greymx } of both) {
    const states = greymx.log().filter((line) => /store is (up|down)/.test(line))
    assert.ok(states.length <= 3, `the log repeats itself:\n${states.join('\n')}`)
    // What changes while it is merged, and an attempt that was being decided locally, are merged by themselves.
    const merges = greymx.log().filter((line) => line.includes(MERGED))
    assert.ok(merges.length >= 1 && merges.length <= 4, `the log repeats itself:\n${merges.join('\n')}`)
  }
  const local = b.greymx.log().filter((line) => line.includes(' store=local '))
  assert.ok(local.length >= b.alone, `${local.length} outcomes of ${b.alone} are marked as decided locally`)
}

interface Found {
  readonly passed: boolean
  /** Instant of the first attempt of a pending triplet, by performance.now(). */
  readonly seenAt: number
}

/** The entries that Redis has, by sender. */
async function entriesOf(redis: Redis): Promise<Map<string, Found>> {
  const now = performance.now()
  const lines = (await redis.cli('eval', ENTRIES, '0')).split('\n')
  return new Map(
    lines.map((line) => {
      const [, sender = '', state, ttl, left] = /\|(.+)\|.* 1:(\w+):(\d+) (\d+)$/.exec(line) ?? []
      return [sender, { passed: state === 'passed', seenAt: now - (Number(ttl) - Number(left)) }]
    }),
  )
}

const ENTRIES = `
local lines = {}
for _, key in ipairs(redis.call('KEYS', 'greymx:t:*')) do
  lines[#lines + 1] = key .. ' ' .. redis.call('GET', key) .. ' ' .. redis.call('PTTL', key)
end
return lines`

/** The triplets whose pass, or whose first attempt, Redis does not have rightly. */
function wrongIn(entries: ReadonlyMap<string, Found>, triplets: readonly Triplet[]): unknown[] {
  const isRight = ({ sender, everything: { passed, seenAfter, seenBefore } }: Triplet): boolean => {
    const found = entries.get(sender)
    if (!found) return seenAfter === Number.POSITIVE_INFINITY
    if (passed || found.passed) return passed && found.passed
    return found.seenAt > seenAfter - TOLERANCE && found.seenAt < seenBefore + TOLERANCE
  }
  return triplets
    .filter((triplet) => !isRight(triplet))
    .map((triplet) => ({ ...triplet, found: entries.get(triplet.sender) }))
}

/** Whether the triplet has not passed at one of the hosts yet. */
function isWaiting({ own }: Triplet): boolean {
  return own.some(({ passed }) => !passed)
}

async function startAgain({ port }: Redis, dir: string): Promise<void> {
  await startRedis({ dir, port, args: PERSISTENT })
}

async function startMx(dir: string, host: Host, greymx: Greymx): Promise<Mx> {
  // A unix socket has the same path after greymx is restarted.
  const mta = await startPostfix({
    dir,
    milter: `unix:${greymx.socketPath}`,
    settings: { milter_default_action: 'tempfail' },
  })
  return { host, mta, greymx, reach: 'shared', alone: 0, diedAt: 0, restartedAt: 0 }
}

function report(t: TestContext, { triplets, tally, hosts }: Fleet): void {
  const { shared, alone, unsure } = tally.byReach
  t.diagnostic(
    `${triplets.length} senders, ${tally.verdicts} verdicts: ${shared} with Redis, ${alone} without, ${unsure} in between; ` +
      `${tally.wrong.length} wrong, ${tally.either} at an edge, ${tally.unfiltered} not by greymx; longest answer ${tally.longest.toFixed(0)} ms`,
  )
  for (const { greymx } of hosts) {
    const merged = greymx.log().find((line) => line.includes(MERGED))
    t.diagnostic(merged ?? 'nothing merged')
  }
}
