// Runs SMTP sessions through a real Postfix while other peers crowd the milter's socket: 5,000 connections are silent,
// 500 write a byte now and then, and some send garbage all the time. The times of answers without and with the crowd
// are printed; the only assertion on them is that none was as long as an MTA would wait.
//
// CROWD_SESSIONS=5000 makes each of the two measurements longer.

import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { quantile } from '../bench/figures.ts'
import { Model } from '../bench/model.ts'
import { startCrowd } from '../support/crowd.ts'
import { residentBytes } from '../support/daemon.ts'
import { startGreymx } from '../support/greymx.ts'
import type { Mta } from '../support/mta.ts'
import { complaintsOf, startPostfix } from '../support/postfix.ts'
import { scratch, waitFor } from '../support/scratch.ts'
import { connect } from '../support/smtp.ts'
import { MESSAGE, verdictOf } from './scenarios.ts'

const SESSIONS = Number(process.env.CROWD_SESSIONS ?? 400)
/** Concurrent SMTP sessions, and messages of each. */
const PARALLEL = 4
const MESSAGES = 3
/** Pause between two sessions, in milliseconds, as times of answers say little when no CPU time is left. */
const PAUSE = 40
const DELAY = 500

/** Longest wait that no MTA would call late, in milliseconds: Sendmail waits 10 s (T=S:10s;R:10s), Postfix 30 s. */
const MAX_WAIT = 5000

const MIB = 1024 * 1024
/** Largest growth of memory, in bytes, by 5,500 sockets and by garbage that is not collected yet. */
const MAX_GROWTH = 150 * MIB
/** Most log lines that the crowd may cause. */
const MAX_LINES = 20

const CROWD = { idle: 5000, slow: 500, garbage: 20 }

const SETTINGS = `store_timeout: 20s
exempt: { clients: [] }
greylist: { delay: ${DELAY}ms, max_deferrals: 0, auto_whitelist: false, client: { spf_domain: false, host_domain: false } }
log: { level: warn }
`

interface Traffic {
  /** Times from RCPT to its reply, and of whole sessions, in milliseconds. */
  readonly waits: number[]
  readonly sessions: number[]
  /** Replies other than greymx's right answer, such as those of the default action. */
  readonly wrong: string[]
}

async function session(mta: Mta, model: Model, { waits, sessions, wrong }: Traffic): Promise<void> {
  const startedAt = performance.now()
  const client = await connect(mta)
  await client.ehlo('client.test')
  for (let count = 0; count < MESSAGES; count += 1) {
    const attempt = model.next(performance.now())
    await client.command(`MAIL FROM:<${attempt.triplet.sender}>`)
    const sentAt = performance.now()
    const reply = await client.command(`RCPT TO:<${attempt.triplet.recipient}>`)
    const answeredAt = performance.now()
    waits.push(answeredAt - sentAt)
    const expected = model.expected(attempt, sentAt, answeredAt)
    const verdict = verdictOf(reply)
    if (verdict !== expected && (expected !== 'either' || !verdict))
      wrong.push(`${attempt.kind} ${attempt.triplet.sender}: expected ${expected}, got ${reply}`)
    model.answered(attempt, verdict === 'pass', answeredAt)
    if (verdict === 'pass' && attempt.kind === 'retry') assert.match(await client.data(MESSAGE), /^250 /)
    else await client.command('RSET')
  }
  await client.quit()
  sessions.push(performance.now() - startedAt)
}

async function send(mta: Mta, models: readonly Model[], count: number): Promise<Traffic> {
  const traffic: Traffic = { waits: [], sessions: [], wrong: [] }
  let begun = 0
  await Promise.all(
    models.map(async (model) => {
      while (begun < count) {
        begun += 1
        await session(mta, model, traffic)
        await sleep(PAUSE)
      }
    }),
  )
  return traffic
}

function mib(bytes: number): string {
  return `${Math.round(bytes / MIB)} MiB`
}

function figures(times: readonly number[]): string {
  const [p50, p99, most] = [0.5, 0.99, 1].map((share) => `${quantile(times, share).toFixed(1)} ms`)
  return `p50 ${p50}, p99 ${p99}, most ${most}`
}

/** Prints times without the crowd and with it. */
function compare(t: TestContext, what: string, alone: readonly number[], beside: readonly number[]): void {
  const more = quantile(beside, 0.99) - quantile(alone, 0.99)
  t.diagnostic(`${what} alone: ${figures(alone)}`)
  t.diagnostic(`${what} in the crowd: ${figures(beside)}; p99 ${more.toFixed(1)} ms above that alone`)
}

test('5000 idle connections, 500 slow writers and senders of garbage beside SMTP sessions through Postfix', {
  timeout: 300_000,
}, async (t) => {
  const dir = await scratch(t)
  const greymx = await startGreymx({ dir, settings: `store: "lmdb:${dir}/state"\n${SETTINGS}` })
  const mta = await startPostfix({
    dir,
    milter: `inet:127.0.0.1:${greymx.port}`,
    settings: { milter_default_action: 'tempfail' },
  })
  const models = Array.from({ length: PARALLEL }, (_, index) => new Model(`c${index}`, index, DELAY))
  await send(mta, models, 50) // warms up
  const alone = await send(mta, models, SESSIONS)
  const residentAlone = await residentBytes(greymx.pid)

  const crowd = await startCrowd({ dir, port: greymx.port, ...CROWD })
  const residentBefore = await residentBytes(greymx.pid)
  const beganAt = performance.now()
  const beside = await send(mta, models, SESSIONS)
  const took = (performance.now() - beganAt) / 1000
  const { idle, slow, garbage } = crowd.state()
  const resident = await residentBytes(greymx.pid)
  compare(t, 'RCPT', alone.waits, beside.waits)
  compare(t, 'session', alone.sessions, beside.sessions)
  t.diagnostic(
    `${(garbage / took).toFixed(0)} connections with garbage a second; resident ${mib(residentAlone)} alone, ` +
      `${mib(residentBefore)} with the crowd, ${mib(resident)} after ${took.toFixed(0)} s of it`,
  )
  assert.deepEqual([...alone.wrong, ...beside.wrong].slice(0, 5), [])
  assert.deepEqual((await complaintsOf(mta)).slice(0, 5), [])
  assert.ok(quantile(beside.waits, 1) < MAX_WAIT)
  assert.ok(resident - residentAlone < MAX_GROWTH)
  assert.deepEqual({ idle, slow }, { idle: CROWD.idle, slow: CROWD.slow })

  // With a shorter time-out, connections are closed that have begun a command or have not said anything.
  const settings = await readFile(greymx.configFile, 'utf8')
  await writeFile(greymx.configFile, `${settings}limits: { stall: 2s }\n`)
  greymx.signal('SIGHUP')
  await waitFor('the slow writers to be closed', () => crowd.state().slow === 0, 20_000)
  await waitFor('those that said nothing to be closed', () => crowd.state().idle <= CROWD.idle * (2 / 3))
  const after = await send(mta, models, 20)
  assert.deepEqual([after.wrong, await complaintsOf(mta)], [[], []])
  assert.equal(crowd.state().idle, Math.floor(CROWD.idle * (2 / 3)))
  // Each kind has one line at once, and one for the others a minute later.
  const kinds = greymx.log().map((line) => /kind=(\S+)/.exec(line)?.[1] ?? line)
  assert.ok(kinds.includes('slow-writer'))
  assert.ok(kinds.length < MAX_LINES, greymx.log().join('\n'))
})
