// Tests floods of mail from domains that are costly to look up, through a real Postfix: another client gets right
// answers meanwhile, with SPF and DNS lists, /healthz answers, DNS questions stay bounded, and none is asked before a
// recipient.
//
// The times of answers are printed; the only assertion on them is that none was as long as an MTA would wait.

import assert from 'node:assert/strict'
import { after, describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { quantile } from '../bench/figures.ts'
import { Model } from '../bench/model.ts'
import { type Greymx, startGreymx } from '../support/greymx.ts'
import { type HostileDns, NO_COUNT, startHostileDns } from '../support/hostile-dns.ts'
import { Flood, HealthWatch, hostileAddress, sendPlain, type Traffic } from '../support/hostile-mail.ts'
import { HostilePeer } from '../support/hostile-peer.ts'
import { HOSTILE_ZONES, type HostileZone, hostileSender } from '../support/hostile-zones.ts'
import type { Mta } from '../support/mta.ts'
import { complaintsOf, startPostfix, startSession } from '../support/postfix.ts'
import { type Scope, scratch, waitFor } from '../support/scratch.ts'
import { rcptOnce, verdictOf } from './scenarios.ts'

const DELAY = 500
/** Longest wait that no MTA would call late, in milliseconds: Sendmail waits 10 s (T=S:10s;R:10s), Postfix 30 s. */
const MAX_WAIT = 5000
const LONGEST_HEALTH = 1000
const MAX_QUESTIONS = 40
/** Least number of messages of the other client during each flood. */
const MIN_MESSAGES = 20
/** How long each flood lasts, in milliseconds. */
const FLOOD = 2000
/** Concurrent SMTP sessions with hostile mail. */
const SESSIONS = 3
/** Connections of a crowd: Postfix's default_process_limit of 100, less those of other clients. */
const CROWD_CONNECTIONS = 90
const CROWD_MAILS = 180
/** Hostile MAILs with a recipient that are answered before a flood ends. */
const JUDGED_MAILS = 60
/** Transactions without a recipient; 900 of them once turned SPF and DNS lists off. */
const UNJUDGED_MAILS = 1200

const zones = HOSTILE_ZONES.slice(1)

function zonesOf(names: readonly string[]): HostileZone[] {
  return zones.filter(({ name }) => names.includes(name))
}

interface Running {
  readonly dns: HostileDns
  readonly greymx: Greymx
  readonly mta: Mta
}

/** Starts a daemon, an MTA and a DNS server for `t` alone, so that no flood affects the next one's mail. */
async function start(t: Scope, more = ''): Promise<Running> {
  const dir = await scratch(t)
  const dns = await startHostileDns({ dir })
  // With this time-out, a busy machine is not taken for a store that is down.
  const greymx = await startGreymx({
    dir,
    settings: `store: "lmdb:${dir}/state"\ndns_servers: [${dns.server}]\nstore_timeout: 2s\ngreylist: { delay: ${DELAY}ms, auto_whitelist: false }\n${more}`,
  })
  // Over TCP, Postfix buffers up to 128 KiB of commands that need no reply, so many MAILs would not reach greymx.
  const mta = await startPostfix({ dir, milter: `unix:${greymx.socketPath}` })
  return { dns, greymx, mta }
}

/** Sends another client's mail and polls /healthz until `isOver`, and asserts that both went well. */
async function sendBeside(t: TestContext, { greymx, mta }: Running, isOver: () => boolean): Promise<Traffic> {
  const health = new HealthWatch(greymx.adminPort)
  const traffic = await sendPlain(
    mta,
    new Model('other', 1, DELAY),
    verdictOf,
    (messages) => messages >= MIN_MESSAGES && isOver(),
  )
  const longestHealth = await health.end()
  const [p50, p99, most] = [0.5, 0.99, 1].map((share) => quantile(traffic.waits, share))
  t.diagnostic(
    `another client's ${traffic.waits.length} RCPTs: p50 ${p50?.toFixed(1)} ms, p99 ${p99?.toFixed(1)} ms, ` +
      `longest ${most?.toFixed(0)} ms; /healthz longest ${longestHealth.toFixed(0)} ms`,
  )
  assert.deepEqual(traffic.wrong.slice(0, 5), [])
  assert.ok((most ?? Number.NaN) < MAX_WAIT, `another client waited ${most} ms`)
  assert.ok(longestHealth <= LONGEST_HEALTH, `/healthz answered after ${longestHealth} ms`)
  assert.deepEqual((await complaintsOf(mta)).slice(0, 5), [])
  return traffic
}

/** Returns a function that is true once `FLOOD` milliseconds have passed. */
function soon(): () => boolean {
  const until = performance.now() + FLOOD
  return () => performance.now() > until
}

/** Asserts that each new sender was identified by its SPF record. */
async function assertIdentities(greymx: Greymx, { fresh }: Traffic): Promise<void> {
  for (const sender of fresh) {
    const line = await waitFor(`the outcome of ${sender}`, () =>
      greymx.log().find((text) => text.includes(` sender=${sender} `)),
    )
    assert.match(line, / identity=spf:(?:\d+\.)?example\.org /)
  }
}

/** Sends MAILs one after another on many connections, and returns their number. */
async function crowd(
  { greymx }: Running,
  senders: (number: number) => { zone: HostileZone; address: string; isSpread: boolean },
  isOver: (sent: number) => boolean,
): Promise<number> {
  let sent = 0
  await Promise.all(
    Array.from({ length: CROWD_CONNECTIONS }, async (_, index) => {
      const peer = await HostilePeer.open(greymx.socketPath)
      while (!isOver(sent)) {
        const number = sent++
        const { zone, address, isSpread } = senders(number + index)
        await peer.client(address)
        await peer.message(hostileSender(zone, `rcrowd${number}`, isSpread), `u${number}@example.com`)
      }
      await peer.quit()
    }),
  )
  return sent
}

describe('while strangers send mail of hostile zones,', () => {
  for (const isSpread of [false, true]) {
    const from = isSpread ? 'many networks and domains' : 'three networks and a few domains'
    test(`three sessions of ${from}: others are answered, and no MAIL causes more than 40 questions`, {
      timeout: 120_000,
    }, async (t) => {
      const running = await start(t)
      const flood = new Flood(running.mta, SESSIONS, { zones, token: 'f', recipients: 'by turns', isSpread })
      const isOver = soon()
      const isEnough = () => isOver() && flood.judged >= JUDGED_MAILS
      const traffic = await sendBeside(t, running, isEnough).finally(() => flood.end())
      t.diagnostic(`${flood.judged} hostile MAILs with RCPT, ${flood.unjudged} without`)
      const counts = Object.entries(await running.dns.counts()).filter(([zone]) => zone !== 'others')
      const beyond = counts.filter(([, { most }]) => most > MAX_QUESTIONS)
      assert.deepEqual(
        beyond.map(([zone, { most }]) => `${zone}: ${most} for one MAIL`),
        [],
      )
      await assertIdentities(running.greymx, traffic)
    })
  }

  test('each zone alone, at leisure: no MAIL causes more than 40 questions', {
    timeout: 120_000,
  }, async (t) => {
    const running = await start(t)
    const send = async (zone: HostileZone, isIpv6: boolean) => {
      const peer = await HostilePeer.open(running.greymx.socketPath)
      await peer.client(hostileAddress(zones.indexOf(zone), isIpv6))
      await peer.message(hostileSender(zone, `ralone${isIpv6 ? 6 : 4}`, true), 'u@example.com')
      await peer.quit()
    }
    for (const isIpv6 of [false, true]) {
      await Promise.all(zones.filter(({ isSlow }) => isSlow).map((zone) => send(zone, isIpv6)))
      for (const zone of zones.filter(({ isSlow }) => !isSlow)) await send(zone, isIpv6)
    }
    await sleep(1000) // for work that goes on after the answer
    const counts = await running.dns.counts()
    for (const { name } of zones) {
      const { most, packets } = counts[name] ?? NO_COUNT
      assert.ok(most <= MAX_QUESTIONS, `${name}: ${most} questions for one MAIL, ${packets} packets for two`)
    }
  })
})

const SILENT_ZONES = ['silentothers', 'silent', 'silentbelow', 'half', 'wrongid']
const UNJUDGED: ReadonlyArray<[kind: string, zones: readonly string[]]> = [
  ['costly', ['deep', 'deeppass', 'halves', 'chain', 'mxmx', 'longest']],
  // Each client address makes another name that has to be asked for.
  ['partly silent', ['silentothers']],
]
for (const [kind, names] of UNJUDGED) {
  test(`${UNJUDGED_MAILS} MAILs of ${kind} zones without a recipient cause no question and stop nobody`, {
    timeout: 120_000,
  }, async (t) => {
    const running = await start(t)
    const flood = new Flood(running.mta, SESSIONS, {
      zones: zonesOf(names),
      token: 'm',
      recipients: 'none',
      isSpread: true,
    })
    // The filter answers no MAIL, so that it still works for a while on those that the MTA has passed on.
    let isOver = () => false
    const enough = waitFor('enough MAILs', () => flood.unjudged >= UNJUDGED_MAILS, 60_000).finally(
      async () => {
        await flood.end()
        isOver = soon()
      },
    )
    const traffic = await sendBeside(t, running, () => isOver())
    await enough
    t.diagnostic(`${flood.unjudged} hostile MAILs`)
    await assertIdentities(running.greymx, traffic)
    const { others, ...asked } = await running.dns.counts()
    assert.deepEqual(asked, {})
  })
}

test('silent name servers of as many MAILs at once as an MTA takes leave SPF on for others', {
  timeout: 120_000,
}, async (t) => {
  const running = await start(t)
  const silent = zonesOf(SILENT_ZONES)
  // Half of them have one network and one registrable domain.
  const senders = (number: number) => ({
    zone: silent[number % silent.length] as HostileZone,
    address: hostileAddress(number % 8 < 4 ? number : 0, number % 3 === 0),
    isSpread: number % 8 < 4,
  })
  let isDone = false
  const flood = crowd(running, senders, (sent) => sent >= CROWD_MAILS).finally(() => {
    isDone = true
  })
  const isOver = soon()
  const traffic = await sendBeside(t, running, () => isDone && isOver())
  t.diagnostic(`${await flood} hostile MAILs`)
  await assertIdentities(running.greymx, traffic)
})

describe('DNS lists', async () => {
  const running = await start({ after }, 'dnswl: [white.test]\nonly_if_listed: [bad.test]')
  const { mta, greymx } = running

  test('are asked for others while silent and costly zones are: listed clients pass, and others are deferred', {
    timeout: 120_000,
  }, async (t) => {
    const flood = new Flood(mta, SESSIONS, { zones, token: 'l', recipients: 'by turns', isSpread: true })
    let isDone = false
    const senders = (number: number) => ({
      zone: zones[number % zones.length] as HostileZone,
      address: hostileAddress(number + 1000, number % 2 === 1),
      isSpread: true,
    })
    const crowding = crowd(running, senders, () => isDone)
    const isOver = soon()
    const listed: string[] = []
    let asked = 0
    const beside = sendBeside(t, running, isOver)
    while (!isOver() || asked < MIN_MESSAGES) {
      asked += 1
      const client = await startSession(mta, { ADDR: `203.0.113.${asked}` })
      const send = (name: string) => rcptOnce(client, `${name}@listed.example.org`, `${name}@example.com`)
      let reply = await send(`new${asked}`)
      // While DNS itself is slow, as on a busy machine, mail waits less for it; the answer is there for the next message.
      for (let more = 1; more <= 3 && verdictOf(reply) !== 'pass'; more += 1) {
        await sleep(300)
        reply = await send(`new${asked}-${more}`)
      }
      await client.quit()
      if (verdictOf(reply) !== 'pass') listed.push(`203.0.113.${asked}: ${reply}`)
    }
    await beside.finally(async () => {
      isDone = true
      await Promise.all([flood.end(), crowding])
    })
    t.diagnostic(`${asked} listed clients`)
    assert.deepEqual(listed.slice(0, 5), [])
    assert.ok(!greymx.log().some((line) => line.includes('DNS does not answer')))
  })
})
