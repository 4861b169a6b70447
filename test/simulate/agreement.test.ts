// What is simulated is what is served: a world is put to the daemon over its milter socket, attempt by attempt and by a clock
// that the test moves, and to greymx as the judge of a simulation. Each verdict has to be the same. The daemon asks a real
// name server that has the world's records.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import type { Attempt } from '../../src/attempt.ts'
import { parseConfig } from '../../src/config/load.ts'
import { createIdentify } from '../../src/identity/identity.ts'
import type { Verdict } from '../../src/outcome.ts'
import { runWorld } from '../../src/simulate/engine.ts'
import { createGreymxJudge } from '../../src/simulate/greymx.ts'
import type { Judge } from '../../src/simulate/judge.ts'
import { makeWorld } from '../../src/simulate/world/world.ts'
import type { Zone } from '../../src/simulate/world/zone.ts'
import { moveableClock } from '../support/clock.ts'
import { startDns } from '../support/dns.ts'
import { type Greymx, startGreymx, waitForOutcomes } from '../support/greymx.ts'
import { scratch, waitFor } from '../support/scratch.ts'
import { sizeOf, worldData } from './world/support.ts'

const SETTINGS = [
  'store: "memory:"',
  'greylist:',
  '  {delay: 4m, retry_window: 2d, auto_whitelist: {after: 2, spacing: 1h}, max_deferrals: 4}',
].join('\n')

/** AGREEMENT_RECIPIENTS=900 takes some 100,000 attempts. */
const RECIPIENTS = Number(process.env.AGREEMENT_RECIPIENTS ?? 20)
const DAYS = 3
/** Senders that retry from so many networks that the loop breaker has to let them through. */
const MORE_FARMS = 'senders: {farms: {organisations: 60, servers: {networks: 40}}}'

const dir = await scratch({ after })

test('greymx gives the same verdicts in a simulated world as over its milter socket', async (t) => {
  const world = makeWorld(worldData(MORE_FARMS), sizeOf({ recipients: RECIPIENTS, days: DAYS }))
  const dns = await startDns({ dir, zones: { '.': zoneFile(world.zone) } })
  const clock = moveableClock(dir)
  const settings = `${SETTINGS}\ndns_servers: ["${dns.server}"]`
  const daemon = await startGreymx({ dir, settings, clock })
  const loaded = parseConfig('milter.yaml', settings)
  assert.ok(loaded.kind === 'config')
  const lists = { clients: [], senders: [], recipients: [] }
  const judge = createGreymxJudge('greymx', loaded.config, lists, (settings, now) =>
    createIdentify(settings, world.zone.resolver(now), now),
  )
  const verdicts = { pass: 0, tempfail: 0 }
  const both: Judge = {
    name: 'both',
    judgesAtData: judge.judgesAtData,
    async judge(attempt, at) {
      clock.moveTo(at)
      const simulated = await judge.judge(attempt, at)
      const served = await askDaemon(daemon, attempt, judge.judgesAtData(attempt.sender))
      if (served !== simulated) {
        const log = await waitForOutcomes(daemon, attempt.sender.text, 1)
        assert.fail(`${describe(attempt, at)}: served ${served}, simulated ${simulated}; ${log.join(', ')}`)
      }
      verdicts[served] += 1
      return served
    },
  }
  await runWorld(world, both)
  const judged = verdicts.pass + verdicts.tempfail
  const outcomes = await waitFor('the daemon to log all outcomes', () => {
    const found = daemon.outcomes()
    return found.length >= judged ? found : undefined
  })
  const counts = countsOf(outcomes)
  t.diagnostic(
    `${judged} verdicts agree: ${counts.map(([reason, count]) => `${count} ${reason}`).join(', ')}`,
  )
  const reasons = counts.map(([outcome]) => outcome.split(' ')[1])
  for (const reason of ['new', 'early', 'retry', 'known', 'auto-whitelist', 'max-deferrals'])
    assert.ok(reasons.includes(reason), `${reason}: ${reasons}`)
})

function countsOf(texts: readonly string[]): Array<readonly [text: string, count: number]> {
  const counts = new Map<string, number>()
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1)
  return [...counts].sort(([, one], [, other]) => other - one)
}

/** The verdict on one attempt, made by a client over a connection of its own. */
async function askDaemon(
  daemon: Greymx,
  { client, sender, recipient }: Attempt,
  isAtData: boolean,
): Promise<Verdict> {
  const { address, name, helo } = client
  const connection = await daemon.connect()
  try {
    await connection.connect(
      {
        hostName: name ?? `[${address?.text}]`,
        family: address?.kind === 'ipv6' ? 'inet6' : 'inet',
        port: 25,
        address: address?.text ?? '',
      },
      [['client_resolve', name === undefined ? 'FAIL' : 'OK']],
    )
    await connection.helo(helo ?? '')
    await connection.mail(`<${sender.text}>`)
    let answer = await connection.rcpt(`<${recipient?.text}>`)
    if (isAtData) answer = await connection.data()
    connection.abort()
    assert.match(answer.code, /^[cy]$/, answer.text)
    return answer.code === 'y' ? 'tempfail' : 'pass'
  } finally {
    connection.quit()
  }
}

function describe({ client, sender, recipient }: Attempt, at: number): string {
  const { address, name, helo } = client
  return `at ${at}: ${address?.text} ${name} ${helo}, <${sender.text}> to <${recipient?.text}>`
}

/** The world's records as lines of a zone file. */
function zoneFile(zone: Zone): string {
  const lines: string[] = []
  for (const [name, records] of zone.names)
    for (const [type, values] of records)
      for (const value of values) lines.push(`${name} ${type} ${recordText(value)}`)
  return lines.join('\n')
}

/** The longest string of a TXT record (RFC 1035 section 3.3). */
const MAX_STRING = 255

function recordText(value: unknown): string {
  if (typeof value === 'string') return value
  if (Array.isArray(value)) {
    const pieces = value.join('').match(new RegExp(`.{1,${MAX_STRING}}`, 'g')) ?? []
    return pieces.map((piece) => JSON.stringify(piece)).join(' ')
  }
  assert.ok(typeof value === 'object' && value !== null && 'exchange' in value && 'priority' in value)
  return `${value.priority} ${value.exchange}.`
}
