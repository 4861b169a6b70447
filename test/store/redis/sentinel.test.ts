// Tests of RedisStore with a master that Sentinels watch: the conformance suite, and the choice of another master.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Redis, startRedis, startSentinels } from '../../support/redis.ts'
import { openWatched, redisSettings } from '../../support/redis-store.ts'
import { type Scope, scratch, waitFor } from '../../support/scratch.ts'
import { describeRecordStore, describeStore } from '../conformance.ts'

const DAY = 86_400_000

const dir = await scratch({ after })
const [{ url, master, replica, sentinels }, other] = await Promise.all([
  startSentinels({ dir }),
  startSentinels({ dir }),
])
let databases = 0

async function openEmpty(t: Scope) {
  databases += 1
  const settings = redisSettings(`${url}?db=${databases}`)
  const { store, records } = await openWatched(t, settings)
  const { store: other, records: otherRecords } = await openWatched(t, settings)
  return { store, other, records, otherRecords, advance: (milliseconds: number) => sleep(milliseconds) }
}

describeStore('RedisStore with Sentinels', 250, openEmpty)
describeRecordStore('RedisStore with Sentinels', 250, openEmpty)

test('a master that the Sentinels do not know is named, and so is a Sentinel that is away', async (t) => {
  const [{ port } = { port: 0 }] = sentinels
  const cases: Array<[url: string, problem: string]> = [
    [
      `redis+sentinel://127.0.0.1:${port}/other`,
      `Sentinel 127.0.0.1:${port}: it knows no master named other`,
    ],
    ['redis+sentinel://127.0.0.1:1/other', 'Sentinel 127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1'],
  ]
  for (const [wrong, problem] of cases) {
    const { store, events } = await openWatched(t, redisSettings(wrong))
    assert.equal(events[0], problem)
    await assert.rejects(store.check(), { message: `Redis: ${problem}` })
  }
})

test('one Sentinel that answers is enough', async (t) => {
  const [{ port } = { port: 0 }] = sentinels
  const { store } = await openWatched(
    t,
    redisSettings(`redis+sentinel://127.0.0.1:1,127.0.0.1:${port}/greymx-test`),
  )
  await store.check()
})

test('Sentinels have a password of their own', async (t) => {
  const sentinel = await startRedis({ dir, args: ['--requirepass', 's3cret'] })
  const asked = redisSettings(`redis+sentinel://:other@127.0.0.1:${sentinel.port}/greymx-test`)
  const { events } = await openWatched(t, asked)
  assert.match(events[0] ?? '', /^Sentinel \S+: it asks for a password \(NOAUTH/)
  const { events: wrong } = await openWatched(t, { ...asked, sentinelLogin: { password: 'guess' } })
  assert.match(wrong[0] ?? '', /^Sentinel \S+: it refuses the user name or the password \(WRONGPASS/)
  // The server is no Sentinel, but has accepted the login.
  const { events: right } = await openWatched(t, { ...asked, sentinelLogin: { password: 's3cret' } })
  assert.match(right[0] ?? '', /^Sentinel \S+: it does not know a command that greymx needs/)
})

test('greymx follows to the master that the Sentinels choose when theirs dies', async (t) => {
  const { store, untilReady } = await openWatched(t, redisSettings(url))
  await untilReady()
  await store.pass('kept', DAY)
  await master.cli('wait', '1', '1000')
  await master.kill9()
  await assert.rejects(store.check())
  await waitFor('the replica to be master', () => isMaster(replica))
  await untilReady(3000)
  assert.equal((await store.find(['kept']))[0]?.passed, true)
  await store.check()
})

test('greymx follows to the master that is chosen by hand, though the old one still takes writes', async (t) => {
  const { store, records, events, untilReady } = await openWatched(t, redisSettings(other.url))
  await untilReady()
  await records.changeRecord('rules', new Map([['a', '1']]))
  await other.sentinels[0]?.cli('sentinel', 'failover', 'greymx-test')
  await waitFor('the replica to be master', () => isMaster(other.replica))
  await waitFor(
    'greymx to write there',
    async () => {
      await store.pass('new', DAY).catch(() => undefined)
      return (await other.replica.cli('exists', 'greymx:new')) === '1'
    },
    5000,
  )
  await waitFor(
    'records to be changed there',
    async () => {
      await records.changeRecord('rules', new Map([['a', '2']])).catch(() => undefined)
      return (await other.replica.cli('hget', 'greymx:r:rules', 'a')) === '2'
    },
    5000,
  )
  assert.ok(
    events.includes(`the Sentinels have made 127.0.0.1:${other.replica.port} the master`),
    `${events}`,
  )
})

/** Whether the server is a master; false while it does not answer, as Sentinels close its connections (CLIENT KILL). */
async function isMaster(server: Redis): Promise<boolean> {
  const info = await server.cli('info', 'replication').catch(() => '')
  return info.includes('role:master')
}
