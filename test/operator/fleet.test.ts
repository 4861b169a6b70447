// Tests that a daemon writes its statistics and its heartbeat to the store in use, and what it logs when it cannot.

import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { parseConfig } from '../../src/config/load.ts'
import { createLog } from '../../src/log/log.ts'
import type { Call } from '../../src/operator/call.ts'
import { Fleet } from '../../src/operator/fleet.ts'
import type { Stats } from '../../src/operator/stats.ts'
import type { Status } from '../../src/operator/status.ts'
import { type FaultyRecords, faultyRecords, outcome } from './records.ts'

const NOON = Date.parse('2026-11-27T12:00:00Z')

function daemon(host: string, store: () => FaultyRecords, now: () => number) {
  const lines: string[] = []
  let isUp = true
  const loaded = parseConfig('', '')
  assert.ok(loaded.kind === 'config')
  const fleet = new Fleet({
    host,
    pid: 1,
    version: '0.1.0',
    records: store,
    state: () => ({
      store: { name: 'memory:', up: isUp, since: new Date(NOON) },
      isDnsUp: true,
      listeners: [],
      settings: loaded.config.texts,
    }),
    retryWindow: () => 72_000_000,
    handOn: () => undefined,
    log: createLog({ write: (line) => void lines.push(line.replace(/^\d\S+ /, '')) }, () => ({
      level: 'info',
      format: 'text',
    })),
    now,
  })
  const ask = <T>(name: string) => {
    const call = fleet.calls.find((one): one is Call => one.name === name)
    assert.ok(call)
    return call.run(call.params.parse({}), { name: 'test' }, new AbortController().signal) as Promise<T>
  }
  const takeStoreDown = () => {
    isUp = false
  }
  return { fleet, lines, ask, takeStoreDown }
}

test('a daemon writes at once, every 10 s and at its end, so that another one tells the same', async () => {
  mock.timers.enable({ apis: ['setInterval'] })
  try {
    const store = faultyRecords(() => NOON)
    const [a, b] = ['mx1', 'mx2'].map((host) =>
      daemon(
        host,
        () => store,
        () => NOON,
      ),
    )
    assert.ok(a && b)
    const counted = async () => (await b.ask<Stats>('stats')).together.deferred
    a.fleet.begin()
    await a.fleet.write()
    assert.deepEqual(
      (await b.ask<Status>('status')).members.map(({ host, state }) => `${host} ${state}`),
      ['mx1 running', 'mx2 running'],
    )
    a.fleet.statistics.take(outcome())
    mock.timers.tick(9_999)
    await a.fleet.write()
    assert.equal(await counted(), 1)
    a.fleet.statistics.take(outcome())
    a.fleet.statistics.take(outcome())
    await a.fleet.close()
    assert.equal(await counted(), 3)
    assert.deepEqual(
      (await b.ask<Status>('status')).members.map(({ state }) => state),
      ['stopped', 'running'],
    )
    assert.deepEqual(a.lines, [])
  } finally {
    mock.timers.reset()
  }
})

test('a host whose clock is a day off counts in the hours of the store', async () => {
  const store = faultyRecords(() => NOON)
  store.offset = 86_400_000
  const { fleet, ask } = daemon(
    'mx1',
    () => store,
    () => NOON - 86_400_000,
  )
  await fleet.write()
  fleet.statistics.take(outcome())
  const { to, together } = await ask<Stats>('stats')
  assert.equal(to, '2026-11-27T12:00:00.000Z')
  assert.equal(together.series[0]?.at, '2026-11-27T12:00:00.000Z')
})

test('a store that does not take statistics is told once, and so is its recovery; of one that is down others tell', async () => {
  const store = faultyRecords(() => NOON)
  const { fleet, lines, ask, takeStoreDown } = daemon(
    'mx1',
    () => store,
    () => NOON,
  )
  store.fault = 'full'
  for (let index = 0; index < 3; index += 1) {
    fleet.statistics.take(outcome())
    await fleet.write()
  }
  store.fault = 'none'
  await fleet.write()
  await fleet.write()
  assert.deepEqual(lines, [
    'level=warn msg="statistics and status cannot be written to the store: mail is not affected, and they are offered again" problem="OOM command not allowed"\n',
    'level=info msg="statistics and status are written to the store again"\n',
  ])
  assert.equal((await ask<Stats>('stats')).together.deferred, 3)
  takeStoreDown()
  store.fault = 'away'
  await fleet.write()
  assert.equal(lines.length, 2)
})

test('a store that does not tell its time takes statistics and heartbeats all the same', async () => {
  const store = faultyRecords(() => NOON)
  store.clockOffset = () => Promise.reject(new Error('NOPERM'))
  const { fleet, lines, ask } = daemon(
    'mx1',
    () => store,
    () => NOON,
  )
  fleet.statistics.take(outcome())
  await fleet.write()
  assert.deepEqual(lines, [])
  assert.equal((await store.readRecord('stats:h:2026-11-27T12:mx1')).get('v:tempfail:new'), '1')
  assert.equal((await ask<Status>('status')).members.length, 1)
})

test('after a reload that changes the store, what was not written goes to the new one, and it is in no store twice', async () => {
  const [old, next] = [faultyRecords(() => NOON), faultyRecords(() => NOON)]
  let store = old
  const { fleet, ask } = daemon(
    'mx1',
    () => store,
    () => NOON,
  )
  fleet.statistics.take(outcome())
  await fleet.write()
  fleet.statistics.take(outcome())
  store = next
  await fleet.write()
  assert.equal((await ask<Stats>('stats')).together.deferred, 1)
  assert.equal((await ask<Status>('status')).members.length, 1)
})

test('a store that hangs holds up the end of the daemon for a second, no longer', async () => {
  const store = faultyRecords(() => NOON)
  store.addToRecord = () => new Promise(() => undefined)
  store.changeRecord = () => new Promise(() => undefined)
  const { fleet } = daemon(
    'mx1',
    () => store,
    () => NOON,
  )
  fleet.begin()
  fleet.statistics.take(outcome())
  const startedAt = performance.now()
  await fleet.close()
  assert.ok(performance.now() - startedAt >= 990)
})
