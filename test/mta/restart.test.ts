// Runs SMTP sessions through a real Postfix while greymx is reloaded every second and restarted, with inherited
// sockets, every few seconds. The replies of a Postfix without its milter can be told from greymx's, as
// `milter_default_action = tempfail` gives a reply that greymx does not give.
//
// RESTART_SESSIONS=10000 runs as many sessions, with a restart every ten seconds.

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Activated, startActivated } from '../support/activation.ts'
import { startGreymx } from '../support/greymx.ts'
import type { Mta } from '../support/mta.ts'
import { complaintsOf, startPostfix } from '../support/postfix.ts'
import { freePort, scratch } from '../support/scratch.ts'
import { connect } from '../support/smtp.ts'
import { MESSAGE } from './scenarios.ts'

const LONG_RUN = Number(process.env.RESTART_SESSIONS ?? 0)
const SESSIONS = LONG_RUN || 200
const RESTARTS = LONG_RUN ? 0 : 2
const RESTART_EVERY = LONG_RUN ? 10_000 : 3_000
const RELOAD_EVERY = 1_000
/** Concurrent SMTP sessions. */
const PARALLEL = 16
/** One session in so many pauses between two transactions, for less time than makes it idle for greymx. */
const DAWDLERS = 5
const LONGEST_PAUSE = 1_500

interface Tally {
  sessions: number
  messages: number
  /** Sessions that Postfix or its connection ended too early. */
  readonly dropped: string[]
  /** Replies other than greymx's right answer, such as those of the default action. */
  readonly wrong: string[]
}

/** Runs sessions until there were enough of them and `isOver` is true. */
async function runSessions(mta: Mta, isOver: () => boolean): Promise<Tally> {
  const tally: Tally = { sessions: 0, messages: 0, dropped: [], wrong: [] }
  const worker = async () => {
    while (tally.sessions < SESSIONS || !isOver()) {
      tally.sessions += 1
      const number = tally.sessions
      await session(mta, number, tally).catch((error: Error) =>
        tally.dropped.push(`${number}: ${error.message}`),
      )
    }
  }
  await Promise.all(Array.from({ length: PARALLEL }, worker))
  return tally
}

async function session(mta: Mta, number: number, tally: Tally): Promise<void> {
  const client = await connect(mta)
  const expect = async (expected: RegExp, reply: Promise<string>) => {
    const found = await reply
    if (!expected.test(found)) tally.wrong.push(`${number}: ${found}`)
  }
  const pause = async () => {
    if (number % DAWDLERS === 0) await sleep(Math.random() * LONGEST_PAUSE)
  }
  await expect(/^250/, client.ehlo('client.test'))
  await pause()
  await expect(/^250 /, client.command(`MAIL FROM:<s${number}@a.test>`))
  await expect(/^451 4\.7\.1 Greylisted, .*\(\w{8}\)$/, client.command('RCPT TO:<u@example.com>'))
  await expect(/^250 /, client.command('RSET'))
  await pause()
  await expect(/^250 /, client.command(`MAIL FROM:<s${number}@a.test>`))
  await expect(/^451 4\.7\.1 Greylisted, .*\(\w{8}\)$/, client.command('RCPT TO:<u@example.com>'))
  await expect(/^250 /, client.command('RCPT TO:<postmaster@example.com>'))
  if (number % 10 === 0) {
    await expect(/^250 /, client.data(MESSAGE))
    tally.messages += 1
  }
  await expect(/^221 /, client.quit())
}

async function assertNothingLost(t: TestContext, mta: Mta, tally: Tally): Promise<void> {
  const complained = await complaintsOf(mta)
  t.diagnostic(
    `${tally.sessions} sessions, ${tally.messages} messages: ${tally.dropped.length} dropped, ` +
      `${tally.wrong.length} replies not by greymx, ${complained.length} complaints of Postfix`,
  )
  assert.deepEqual([tally.dropped.slice(0, 5), tally.wrong.slice(0, 5), complained.slice(0, 5)], [[], [], []])
}

/** Settings by which everybody is greylisted and DNS is not asked. */
function settingsIn(dir: string): string {
  return (
    // The time-out is long, as other programs use the disk as well.
    `store: "lmdb:${dir}/state"\nstore_timeout: 20s\nexempt: { clients: [] }\ndns_servers: [127.0.0.1:1]\n` +
    'greylist: { max_deferrals: 0, client: { spf_domain: false, host_domain: false } }\n'
  )
}

/** Settings of Postfix: its default time-outs, and a default action that can be recognised. */
const POSTFIX = {
  milter_default_action: 'tempfail',
  milter_connect_timeout: '30s',
  milter_command_timeout: '30s',
  milter_content_timeout: '300s',
}

test('restarts with inherited sockets, and reloads, take no SMTP session its filter', async (t) => {
  const dir = await scratch(t)
  const port = await freePort()
  const adminPorts = [await freePort(), await freePort()]
  const settings = (turn: number) =>
    `${settingsIn(dir)}header: ${turn % 2 === 0}\nadmin: 127.0.0.1:${adminPorts[turn % 2]}\n`
  const greymx = await startActivated({ dir, sockets: [port], settings: settings(0) })
  const mta = await startPostfix({ dir, milter: `inet:127.0.0.1:${port}`, settings: POSTFIX })

  let restarts = 0
  let isOver = false
  const disturb = async () => {
    for (let turn = 1, restartAt = performance.now() + RESTART_EVERY; !isOver; turn += 1) {
      await sleep(RELOAD_EVERY)
      await writeFile(greymx.configFile, settings(turn))
      if (performance.now() >= restartAt) {
        await greymx.restart()
        restarts += 1
        restartAt = performance.now() + RESTART_EVERY
      } else {
        greymx.signal('SIGHUP')
      }
    }
  }
  const disturbed = disturb()
  const tally = await runSessions(mta, () => restarts >= RESTARTS)
  isOver = true
  await disturbed
  const reloads = greymx.output().split('msg="configuration read again"').length - 1
  t.diagnostic(`${restarts} restarts, ${reloads} reloads`)
  await assertNothingLost(t, mta, tally)
  assertEndedInGoodOrder(greymx, restarts)
  assert.ok(reloads >= restarts)
})

function assertEndedInGoodOrder(greymx: Activated, restarts: number): void {
  const statuses = [...greymx.output().matchAll(/^activator: status (\d+)$/gm)].map(([, status]) => status)
  assert.deepEqual(statuses, Array(restarts).fill('0'))
  assert.deepEqual(troublesIn(greymx.output()), [])
}

function troublesIn(log: string): string[] {
  return log.match(/^level=(error|warn).*$/gm) ?? []
}

test('reloads that swap sockets take no SMTP session its filter', async (t) => {
  const dir = await scratch(t)
  const settings = settingsIn(dir)
  const greymx = await startGreymx({ dir, settings })
  const mta = await startPostfix({ dir, milter: `inet:127.0.0.1:${greymx.port}`, settings: POSTFIX })
  const others = [`unix:${dir}/other.sock`, `inet:${await freePort()}@127.0.0.1`]
  let reloads = 0
  let isOver = false
  const disturb = async () => {
    for (; !isOver; reloads += 1) {
      const listen = `listen: ["${others[reloads % 2]}", "inet:${greymx.port}@127.0.0.1"]`
      await writeFile(greymx.configFile, `${listen}\nadmin: false\n${settings}`)
      greymx.signal('SIGHUP')
      await sleep(100)
    }
  }
  const disturbed = disturb()
  const tally = await runSessions(mta, () => reloads >= 20)
  isOver = true
  await disturbed
  await assertNothingLost(t, mta, tally)
  assert.deepEqual(troublesIn(greymx.log().join('\n')), [])
})
