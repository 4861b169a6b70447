// Tests what members write of themselves, and what the call `status` makes of it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseConfig } from '../../src/config/load.ts'
import type { SettingTexts } from '../../src/config/schema.ts'
import { type MemberState, OwnMember } from '../../src/operator/members.ts'
import { type Status, statusCall } from '../../src/operator/status.ts'
import { type FaultyRecords, faultyRecords } from './records.ts'

const [MINUTE, HOUR, DAY] = [60_000, 3_600_000, 86_400_000]
const NOON = Date.parse('2026-11-27T12:00:00Z')
const SECRET = 'hunter2'

function settings(text: string): SettingTexts {
  const loaded = parseConfig('milter.yaml', `store: redis://user:${SECRET}@redis.test:6379/0\n${text}`)
  assert.ok(loaded.kind === 'config', JSON.stringify(loaded))
  return loaded.config.texts
}

interface Host {
  readonly own: OwnMember
  readonly store: FaultyRecords
  state: MemberState
}

/** Hosts that share the store of the time `now`; a host's own clock may be off. */
class Fleet {
  now = NOON
  readonly store = faultyRecords(() => this.now)
  #processes = 0

  host(host: string, options: Partial<MemberState> & { clockOff?: number; version?: string } = {}): Host {
    const { clockOff = 0, version = '0.1.0', ...state } = options
    this.#processes += 1
    const store = faultyRecords(() => this.now)
    Object.assign(store, {
      ...this.store,
      clockOffset: async () => 0 - clockOff,
    })
    const made: Host = {
      store,
      state: {
        store: { name: 'redis://redis.test:6379/0', up: true, since: new Date(this.now + clockOff) },
        isDnsUp: true,
        listeners: ['inet:10891@127.0.0.1'],
        settings: settings(''),
        ...state,
      },
      own: new OwnMember({
        host,
        pid: 1000 + this.#processes,
        version,
        process: `p${this.#processes}`,
        now: () => this.now + clockOff,
        state: () => made.state,
      }),
    }
    return made
  }

  ask({ own, store }: Host): Promise<Status> {
    const call = statusCall({ own, records: () => store })
    const answer = call.run({}, { name: 'test' }, new AbortController().signal) as Promise<Status>
    return answer.then((status) => call.result.parse(status) as Status)
  }
}

test('status tells each member, with its store, DNS and sockets, and nothing that needs attention', async () => {
  const fleet = new Fleet()
  const [a, b] = [fleet.host('mx1'), fleet.host('mx2')]
  fleet.now += 5 * MINUTE
  for (const { own, store } of [a, b]) await own.write(store)
  fleet.now += 9_000
  const status = await fleet.ask(a)
  const expected = {
    version: '0.1.0',
    startedAt: '2026-11-27T12:00:00.000Z',
    state: 'running',
    store: { name: 'redis://redis.test:6379/0', up: true, since: '2026-11-27T12:00:00.000Z' },
    dns: 'up',
    listeners: ['inet:10891@127.0.0.1'],
    clockOffset: 0,
  }
  assert.deepEqual(status, {
    now: '2026-11-27T12:05:09.000Z',
    members: [
      { host: 'mx1', pid: 1001, lastSeenAt: '2026-11-27T12:05:09.000Z', ...expected },
      { host: 'mx2', pid: 1002, lastSeenAt: '2026-11-27T12:05:00.000Z', ...expected },
    ],
    differences: [],
    attention: [],
  })
})

test('a member that is silent for more than a minute needs attention, until it is back or forgotten after 7 days', async () => {
  const fleet = new Fleet()
  const [a, b] = [fleet.host('mx1'), fleet.host('mx2')]
  await b.own.write(b.store)
  await a.own.write(a.store)
  const at = async (passed: number) => {
    fleet.now = NOON + passed
    await a.own.write(a.store)
    const { members, attention } = await fleet.ask(a)
    return [members.map(({ host, state }) => `${host} ${state}`), attention]
  }
  assert.deepEqual(await at(MINUTE), [['mx1 running', 'mx2 running'], []])
  assert.deepEqual(await at(4 * MINUTE), [
    ['mx1 running', 'mx2 silent'],
    ['mx2 was last seen 4 min ago, and has not said that it stops'],
  ])
  assert.deepEqual((await at(3 * DAY))[1], ['mx2 was last seen 3 d ago, and has not said that it stops'])
  assert.deepEqual(await at(7 * DAY + 2 * HOUR), [['mx1 running'], []])
  await b.own.write(b.store)
  assert.deepEqual(await at(7 * DAY + 2 * HOUR), [['mx1 running', 'mx2 running'], []])
})

test('a member that stopped in order needs no attention, and its successor takes its place', async () => {
  const fleet = new Fleet()
  const [a, b] = [fleet.host('mx1'), fleet.host('mx2')]
  for (const { own, store } of [a, b]) await own.write(store)
  await b.own.writeStopped(b.store)
  fleet.now += HOUR
  await a.own.write(a.store)
  const stopped = await fleet.ask(a)
  assert.deepEqual(
    stopped.members.map(({ state }) => state),
    ['running', 'stopped'],
  )
  assert.deepEqual(stopped.attention, [])
  const again = fleet.host('mx2', { listeners: ['inet:10893@127.0.0.1'] })
  await again.own.write(again.store)
  assert.deepEqual(
    (await fleet.ask(a)).members.map(({ pid }) => pid),
    [1001, 1003],
  )
})

test('a daemon that was killed is replaced by the next one on its sockets, not by one beside it', async () => {
  const fleet = new Fleet()
  const killed = fleet.host('mx1', { listeners: ['inet:1@127.0.0.1'] })
  const beside = fleet.host('mx1', { listeners: ['inet:2@127.0.0.1'] })
  for (const { own, store } of [killed, beside]) await own.write(store)
  fleet.now += 5 * MINUTE
  await beside.own.write(beside.store)
  const alone = await fleet.ask(beside)
  assert.deepEqual(alone.attention, [
    'mx1 (pid 1001) was last seen 5 min ago, and has not said that it stops',
  ])
  const next = fleet.host('mx1', { listeners: ['inet:1@127.0.0.1'] })
  await next.own.write(next.store)
  const both = await fleet.ask(beside)
  assert.deepEqual(
    both.members.map(({ pid, state }) => [pid, state]),
    [
      [1002, 'running'],
      [1003, 'running'],
    ],
  )
  assert.deepEqual(both.attention, [])
})

test('two hosts of one name with the same sockets are both there once each has written again', async () => {
  const fleet = new Fleet()
  const a = fleet.host('mx')
  await a.own.write(a.store)
  fleet.now += 1000
  const b = fleet.host('mx')
  await b.own.write(b.store)
  fleet.now += 10_000
  for (const { own, store } of [a, b, a, b]) await own.write(store)
  const { members } = await fleet.ask(a)
  assert.deepEqual(
    members.map(({ pid, state }) => [pid, state]),
    [
      [1001, 'running'],
      [1002, 'running'],
    ],
  )
})

test('stores, DNS and versions that differ need attention', async () => {
  const fleet = new Fleet()
  const a = fleet.host('mx1')
  const b = fleet.host('mx2', { version: '0.2.0', isDnsUp: false })
  b.state = { ...b.state, store: { ...b.state.store, up: false, problem: 'connect ECONNREFUSED' } }
  for (const { own, store } of [a, b]) await own.write(store)
  assert.deepEqual((await fleet.ask(a)).attention, [
    'mx2: the store is down: connect ECONNREFUSED',
    'mx2: DNS does not answer: SPF and DNS lists are not used',
    'versions differ: mx1 has 0.1.0, mx2 has 0.2.0',
  ])
})

test('a clock that is off by more than 2 s is pointed out, and makes nobody silent', async () => {
  const fleet = new Fleet()
  const hosts = [
    fleet.host('a'),
    fleet.host('b', { clockOff: 2000 }),
    fleet.host('c', { clockOff: 2500 }),
    fleet.host('d', { clockOff: -DAY }),
  ]
  for (const { own, store } of hosts) await own.write(store)
  for (const host of hosts) {
    const { members, attention, now } = await fleet.ask(host)
    assert.equal(now, '2026-11-27T12:00:00.000Z')
    assert.deepEqual(
      members.map(({ state, lastSeenAt, clockOffset }) => [state, lastSeenAt, clockOffset]),
      [0, -2000, -2500, DAY].map((offset) => ['running', now, offset]),
    )
    const tail = "the store's: no verdict depends on it, but the times of its log lines do"
    assert.deepEqual(attention, [
      `c: the clock is 3 s ahead of ${tail}`,
      `d: the clock is 24 h behind ${tail}`,
    ])
  }
})

test('settings that differ are told, and need attention if verdicts follow from them; no password is written', async () => {
  const fleet = new Fleet()
  const clients = Array.from({ length: 50 }, (_, index) => `192.0.2.${index}`)
  const a = fleet.host('mx1', {
    settings: settings('listen: inet:1@h\nexempt: { senders: [b.test, a.test] }'),
  })
  const b = fleet.host('mx2', {
    settings: settings(
      `greylist: { delay: 5m }\nexempt: { senders: [a.test, b.test], clients: [${clients.join(', ')}] }`,
    ),
  })
  for (const { own, store } of [a, b]) await own.write(store)
  const { differences, attention } = await fleet.ask(a)
  const [first, ...others] = differences
  assert.deepEqual(others, [
    {
      setting: 'greylist.delay',
      isOfOneHost: false,
      values: [{ member: 'mx1' }, { member: 'mx2', value: '5m' }],
    },
    {
      setting: 'listen',
      isOfOneHost: true,
      values: [{ member: 'mx1', value: '[inet:1@h]' }, { member: 'mx2' }],
    },
  ])
  assert.equal(first?.setting, 'exempt.clients')
  assert.match(first.values[1]?.value ?? '', /^\[192\.0\.2\.0, .{30,40}… [0-9a-f]{12}$/)
  assert.deepEqual(attention, [
    'exempt.clients differs between members, so that mail gets different answers from them',
    'greylist.delay differs between members, so that mail gets different answers from them',
  ])
  const written = JSON.stringify([...(await fleet.store.readRecord('members'))])
  assert.doesNotMatch(written, new RegExp(SECRET))
  a.state = { ...a.state, settings: settings('greylist: { delay: 5m }') }
  b.state = { ...b.state, settings: settings('greylist: { delay: 5m }') }
  for (const { own, store } of [a, b]) await own.write(store)
  assert.deepEqual((await fleet.ask(a)).differences, [], 'after a reload of both')
})

test('the default value, written down, is no difference', async () => {
  const fleet = new Fleet()
  const [a, b] = [fleet.host('mx1'), fleet.host('mx2', { settings: settings('greylist: { delay: 3m }') })]
  for (const { own, store } of [a, b]) await own.write(store)
  assert.deepEqual((await fleet.ask(a)).differences, [])
})

test('while the store is away, a daemon tells of itself and why it tells of nobody else', async () => {
  const fleet = new Fleet()
  const [a, b] = [fleet.host('mx1'), fleet.host('mx2')]
  for (const { own, store } of [a, b]) await own.write(store)
  a.store.readRecord = () => Promise.reject(new Error('connect ECONNREFUSED'))
  a.state = { ...a.state, store: { ...a.state.store, up: false, problem: 'connect ECONNREFUSED' } }
  const { members, problem, attention } = await fleet.ask(a)
  assert.equal(problem, 'connect ECONNREFUSED')
  assert.deepEqual(
    members.map(({ host }) => host),
    ['mx1'],
  )
  assert.deepEqual(attention, [
    'mx1 cannot read what other members have written to the store: connect ECONNREFUSED',
    'mx1: the store is down: connect ECONNREFUSED',
  ])
})

test('a heartbeat has a few hundred bytes, settings are written when they change, and the record is bounded', async () => {
  const fleet = new Fleet()
  for (let index = 0; index < 150; index += 1) {
    const host = fleet.host(`pod-${index}`)
    await host.own.write(host.store)
    fleet.now += 1000
  }
  const fields = await fleet.store.readRecord('members')
  assert.ok(fields.size <= 200, `${fields.size} fields`)
  assert.ok(fields.has('h:p150'))
  assert.ok((fields.get('h:p150') ?? '').length < 500, fields.get('h:p150'))
  const long = 'x'.repeat(5000)
  const big = fleet.host(long, { listeners: [long, long, long, long, long, long] })
  big.state = { ...big.state, store: { ...big.state.store, name: long, problem: long } }
  await big.own.write(big.store)
  const written = await fleet.store.readRecord('members')
  assert.ok((written.get('h:p151') ?? '').length < 1500)
})

test('fields that greymx has not written are left out, and hosts may have any name', async () => {
  const fleet = new Fleet()
  const a = fleet.host('\u001b[31m"{}:é')
  await a.own.write(a.store)
  await fleet.store.changeRecord(
    'members',
    new Map([
      ['h:junk', 'junk'],
      ['h:old', '{"host":"mx0"}'],
      ['h:array', '[]'],
      ['other', '1'],
    ]),
    DAY,
  )
  const b = fleet.host('mx2')
  const { members } = await fleet.ask(b)
  assert.deepEqual(
    members.map(({ host }) => host),
    ['\u001b[31m"{}:é', 'mx2'],
  )
})
