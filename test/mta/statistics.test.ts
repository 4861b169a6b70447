// Tests `greymx stats` and `greymx status` as an operator runs them, against running daemons: two with one Redis, and
// one with each store of one host.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Stats } from '../../src/operator/stats.ts'
import type { Status } from '../../src/operator/status.ts'
import { type Greymx, PROGRAM, startGreymx } from '../support/greymx.ts'
import { ask, milterSession } from '../support/milter.ts'
import { startRedis } from '../support/redis.ts'
import { openWatched, redisSettings } from '../support/redis-store.ts'
import { endWith, scratch, waitFor } from '../support/scratch.ts'
import { DELAY, MARGIN } from './scenarios.ts'

const TIMES = `greylist: { delay: ${DELAY}ms, retry_window: 60s, lifetime: 60s, max_deferrals: 0 }`

interface Ended {
  readonly status: number
  readonly output: string
  readonly problem: string
}

/** Runs a command that asks a daemon. */
function run(daemon: Greymx, ...args: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [PROGRAM, ...args, '--config', daemon.configFile],
      { env: { ...process.env, COLUMNS: '80' } },
      (error, output, problem) => resolve({ status: error ? Number(error.code) : 0, output, problem }),
    )
  })
}

async function statsOf(daemon: Greymx, ...args: readonly string[]): Promise<Stats> {
  const { status, output, problem } = await run(daemon, 'stats', '--json', ...args)
  assert.equal(status, 0, problem)
  return JSON.parse(output)
}

async function statusOf(daemon: Greymx): Promise<{ readonly status: number; readonly answer: Status }> {
  const { status, output } = await run(daemon, 'status', '--json')
  return { status, answer: JSON.parse(output) }
}

function assertFits(output: string): void {
  for (const line of output.split('\n')) assert.ok(line.length <= 80, line)
}

test('two MX hosts with one Redis: figures add up at both, over a restart and a kill, and status tells of each', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  const settings = `store: ${redis.url}/0\n${TIMES}`
  const start = (name: string, hostName: string, more = '') =>
    startGreymx({ dir, name, hostName, settings: `${settings}${more}` })
  const [first, second] = [await start('a', 'mx1'), await start('b', 'mx:2 {b}')]
  const [client, other] = [await milterSession(first), await milterSession(second)]
  for (let index = 0; index < 3; index += 1) assert.equal(await ask(client, `a${index}@a.test`), 'tempfail')
  assert.equal(await ask(other, 'b@b.test'), 'tempfail')
  await sleep(DELAY + MARGIN)
  assert.equal(await ask(other, 'a0@a.test'), 'pass')
  await run(second, 'stats') // writes what it has counted

  const found = await statsOf(first)
  assert.deepEqual(
    found.mxs.map(({ mx, attempts, deferred, returned }) => [mx, attempts, deferred, returned]),
    [
      ['mx1', 3, 3, 0],
      ['mx:2 {b}', 2, 1, 1],
    ],
  )
  assert.deepEqual([found.together.attempts, found.together.deferred, found.together.returned], [5, 4, 1])
  assert.deepEqual(found.together.busiest.domains, [
    { name: 'a.test', count: 4 },
    { name: 'b.test', count: 1 },
  ])
  assert.deepEqual((await statsOf(second)).together, found.together)
  assert.deepEqual((await statsOf(second, '--days', '30')).together.verdicts, found.together.verdicts)
  const table = await run(first, 'stats')
  assertFits(table.output)
  assert.match(table.output, /^ +together +mx1 +mx:2 \{b\}\nattempts +5 +3 +2\n/m)
  assert.match(table.output, /^pass retry +1 +0 +1$/m)

  const well = await statusOf(first)
  assert.deepEqual(
    well.answer.members.map(({ host, pid, state, store }) => [host, pid, state, store.up]),
    [
      ['mx1', first.pid, 'running', true],
      ['mx:2 {b}', second.pid, 'running', true],
    ],
  )
  // Without DNS, the daemons may have noticed by now that it does not answer.
  assert.deepEqual(
    well.answer.attention.filter((line) => !line.includes('DNS')),
    [],
  )
  client.quit()
  other.quit()

  await first.stop()
  assert.deepEqual(
    (await statusOf(second)).answer.members.map(({ state }) => state),
    ['stopped', 'running'],
  )
  const again = await start('a', 'mx1', '\nreply: "451 4.7.1 Later"')
  assert.deepEqual((await statsOf(again)).together.verdicts, found.together.verdicts)
  await waitFor('the new daemon to be the only one on its host', async () => {
    const { answer } = await statusOf(second)
    return answer.members.map(({ pid }) => pid).join() === `${again.pid},${second.pid}`
  })
  const differing = await run(second, 'status')
  assert.equal(differing.status, 1)
  assert.match(differing.output, /^ {2}reply\n {4}mx1: 451 4\.7\.1 Later\n {4}mx:2 \{b\}: \(default\)$/m)
  assert.match(differing.output, /^ {2}reply differs between members, so that mail gets different answers/m)

  await again.stop('SIGKILL')
  const { records } = await openWatched(t, redisSettings(`${redis.url}/0`))
  const members = await records.readRecord('members')
  const [field, text] =
    [...members].find(([name, value]) => name.startsWith('h:') && value.includes('"mx1"')) ?? []
  assert.ok(field !== undefined && text !== undefined)
  // As if the daemon had been killed some minutes ago.
  const heartbeat = JSON.parse(text)
  const earlier = { ...heartbeat, at: heartbeat.at - 4.5 * 60_000 }
  await records.changeRecord('members', new Map([[field, JSON.stringify(earlier)]]), 60_000)
  const killed = await run(second, 'status')
  assert.equal(killed.status, 1)
  assert.match(killed.output, /^mx1 .* silent, seen 4 min ago /m)
  assert.match(killed.output, /^ {2}mx1 was last seen 4 min ago, and has not said that it stops$/m)
  assert.deepEqual((await statsOf(second)).together.verdicts, found.together.verdicts)
})

test('while Redis is away, status says so, stats gives up with 69, and what is counted meanwhile is there afterwards', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir, args: ['--appendonly', 'yes'] })
  const greymx = await startGreymx({ dir, settings: `store: ${redis.url}/0\n${TIMES}` })
  const client = await milterSession(greymx)
  assert.equal(await ask(client, 'a@a.test'), 'tempfail')
  assert.equal((await statsOf(greymx)).together.attempts, 1)
  await redis.stop()
  await waitFor('greymx to notice', async () => (await ask(client, 'b@a.test')) === 'pass')
  const { together } = await (async () => {
    const refused = await run(greymx, 'stats')
    assert.equal(refused.status, 69)
    assert.match(refused.problem, /Cannot read the statistics: /)
    const { status, output } = await run(greymx, 'status')
    assert.equal(status, 1)
    assert.match(output, / the store is down: /)
    await startRedis({ dir, port: redis.port, args: ['--appendonly', 'yes'] })
    await waitFor(
      'greylisting to resume',
      async () => (await ask(client, `${Date.now()}@a.test`)) === 'tempfail',
    )
    return waitFor('statistics', async () => {
      const { status, output } = await run(greymx, 'stats', '--json')
      return status === 0 ? (JSON.parse(output) as Stats) : undefined
    })
  })()
  const logged = greymx.outcomes().length
  assert.equal(together.attempts, logged)
  client.quit()
})

test('a host whose clock is a day off is pointed out, and counts in the same hour as the others', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  const settings = `store: ${redis.url}/0\n${TIMES}`
  const right = await startGreymx({ dir, name: 'right', hostName: 'mx1', settings })
  const wrong = await startGreymx({ dir, name: 'wrong', hostName: 'mx2', settings, clockOffset: '+1d' })
  const client = await milterSession(wrong)
  await waitFor('the clocks to be compared', async () => (await statusOf(wrong)).answer.members.length === 2)
  assert.equal(await ask(client, 'a@a.test'), 'tempfail')
  client.quit()
  const found = await statsOf(wrong, '--hours', '2')
  assert.equal(found.together.attempts, 1)
  assert.deepEqual((await statsOf(right, '--hours', '2')).together, found.together)
  for (const daemon of [right, wrong]) {
    const { status, output } = await run(daemon, 'status')
    assert.equal(status, 1)
    assert.match(output, /^ {2}mx2: the clock is 24 h ahead of the store's: no verdict depends on it/m)
    assert.match(output, /^mx2 +\d+ .* up \d+ s .* \+24 h$/m)
  }
})

for (const store of ['memory:', 'lmdb:DIR']) {
  test(`one MX with ${store}: stats and status work the same, from a sentence for no mail on`, async (t) => {
    const dir = await scratch(t)
    const settings = `store: "${store.replace('DIR', `${dir}/state`)}"\n${TIMES}`
    const greymx = await startGreymx({ dir, settings, hostName: 'mx.example.com' })
    const none = await run(greymx, 'stats')
    assert.match(
      none.output,
      /^No mail was counted from .* UTC: statistics begin with the first message\.\n$/,
    )
    assert.equal(none.status, 0)
    const client = await milterSession(greymx)
    assert.equal(await ask(client, 'a@a.test'), 'tempfail')
    client.quit()
    const found = await statsOf(greymx)
    assert.deepEqual(
      found.mxs.map(({ mx, deferred }) => [mx, deferred]),
      [['mx.example.com', 1]],
    )
    const { answer } = await statusOf(greymx)
    assert.deepEqual(
      answer.members.map(({ host, state, clockOffset }) => [host, state, Math.abs(clockOffset) < 100]),
      [['mx.example.com', 'running', true]],
    )
    await greymx.stop()
    const gone = await run(greymx, 'status')
    assert.equal(gone.status, 69)
    if (store === 'memory:') return
    const again = await startGreymx({ dir, settings, hostName: 'mx.example.com' })
    endWith(dir, () => again.stop())
    assert.equal((await statsOf(again)).together.deferred, 1, 'after a restart')
  })
}
