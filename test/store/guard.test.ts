// Tests of GuardedStore: it bounds and counts the store's operations, and tells once when the store goes down and comes
// up. While the store is down, nobody waits for it.

import assert from 'node:assert/strict'
import { mock, type TestContext, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { UnreadableEntry } from '../../src/store/encoding.ts'
import { GuardedStore } from '../../src/store/guard.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { type ConnectionWatch, PartlyAnswered, StoreUnusable } from '../../src/store/store.ts'

const TIMEOUT = 250

interface Bench {
  readonly guarded: GuardedStore
  readonly events: string[]
  /** The store behind the guard, whose `add` and `check` the test replaces. */
  readonly store: MemoryStore
  /** What the store reports of its connection. */
  readonly connection: ConnectionWatch
  /** Lets `milliseconds` pass, and runs all that depends on that. */
  advance(milliseconds: number): Promise<void>
}

function setUp(t: TestContext): Bench {
  mock.timers.enable({ apis: ['setTimeout'] })
  let now = 0
  // performance.now() stands for the clock that the timers of this test do not move.
  const clock = mock.method(performance, 'now', () => now)
  const events: string[] = []
  const store = new MemoryStore(() => 0)
  const watched = mock.method(store, 'watch', (_: ConnectionWatch) => undefined)
  const guarded = new GuardedStore(store, TIMEOUT, {
    onOperation: (operation, result) => events.push(`${operation} ${result}`),
    onUp: () => events.push('up'),
    onDown: (problem) => events.push(`down: ${problem}`),
    onUnreadable: (problem) => events.push(`unreadable: ${problem}`),
    onPartDown: (part, problem) => events.push(`part '${part}' down: ${problem}`),
    onPartUp: (part) => events.push(`part '${part}' up`),
  })
  const [connection] = watched.mock.calls[0]?.arguments ?? []
  assert.ok(connection)
  t.after(async () => {
    await guarded.close()
    clock.mock.restore()
    mock.timers.reset()
  })
  return {
    guarded,
    events,
    store,
    connection,
    async advance(milliseconds) {
      for (let step = 0; step < milliseconds; step += 50) {
        now += 50
        mock.timers.tick(50)
        await nextTurn()
        await nextTurn()
      }
    },
  }
}

const never = () => new Promise<never>(() => undefined)
const burns = () => Promise.reject(new Error('it burns'))
const answers = async () => undefined

test('a store that stands still costs one time-out: who waits already and who asks later is refused', async (t) => {
  const { guarded, events, store, advance } = setUp(t)
  const late: Array<(added: boolean) => void> = []
  store.add = () => new Promise((resolve) => late.push(resolve))
  store.check = never
  const first = guarded.add('a', 1)
  const waiting = advance(TIMEOUT)
  await advance(0)
  const second = guarded.add('b', 1)
  await Promise.all([
    waiting,
    assert.rejects(first, /the store did not answer add within 250ms/),
    assert.rejects(second, /the store did not answer add within 250ms/),
  ])
  await assert.rejects(guarded.find(['c']), /the store did not answer add within 250ms/)
  const problem = 'the store did not answer add within 250ms'
  assert.deepEqual(events, ['add timeout', `down: ${problem}`, 'add refused', 'find refused'])
  for (const answer of late) answer(true)
  await nextTurn()
  assert.equal(events.length, 4, 'late answers are ignored')
})

test('an answer that came while the process was held up has come in time', async (t) => {
  const { guarded, events, store, advance } = setUp(t)
  store.add = () => new Promise((resolve) => setImmediate(() => resolve(true)))
  const [added] = await Promise.all([guarded.add('a', 1), advance(TIMEOUT)])
  assert.equal(added, true)
  assert.deepEqual(events, ['add ok', 'up'])
})

test('a store that is down is probed, one probe at a time and ever more seldom, until it answers', async (t) => {
  const { guarded, events, store, advance } = setUp(t)
  store.add = burns
  store.check = never
  await assert.rejects(guarded.add('a', 1), /it burns/)
  const probes = async (milliseconds: number) => {
    events.length = 0
    await advance(milliseconds)
    return events.filter((event) => event === 'check timeout').length
  }
  // Probes begin 250, 500, 1000 and then 2000 ms after the last has failed, and each takes its time-out of 250 ms.
  assert.equal(await probes(500), 1)
  assert.equal(await probes(750), 1)
  assert.equal(await probes(1250), 1)
  assert.equal(await probes(9000), 4)
  assert.deepEqual(guarded.state.problem, 'the store did not answer check within 250ms')
  store.check = answers
  await advance(2000)
  assert.deepEqual(events.slice(-2), ['check ok', 'up'])
  assert.equal(guarded.state.up, true)
})

test('a store that reports itself back is probed at once', async (t) => {
  const { events, store, connection } = setUp(t)
  connection.onLost('the connection was closed')
  store.check = answers
  connection.onReady()
  connection.onReady()
  await nextTurn()
  assert.deepEqual(events, ['down: the connection was closed', 'check ok', 'up'])
})

test('a store that reports itself back while it is closed is not probed any more', async (t) => {
  const { guarded, events, connection, advance } = setUp(t)
  connection.onLost('the connection was closed')
  await guarded.close()
  connection.onReady()
  await advance(5000)
  assert.deepEqual(events, ['down: the connection was closed'])
})

test('a store that reports itself back and is not is probed with the same backoff again', async (t) => {
  const { events, store, connection, advance } = setUp(t)
  store.check = burns
  connection.onLost('the connection was closed')
  await advance(200)
  connection.onReady()
  await nextTurn()
  await advance(450)
  assert.deepEqual(events, ['down: the connection was closed', 'check error'])
  await advance(50)
  assert.deepEqual(events.slice(1), ['check error', 'check error'])
  await advance(1000)
  assert.equal(events.length, 4)
})

test('a store that has only just come up for the first time is probed as soon as one that has long been up', async (t) => {
  const { guarded, events, store, connection, advance } = setUp(t)
  await guarded.check()
  connection.onLost('the connection was closed')
  await advance(250)
  assert.deepEqual(events.slice(-2), ['check ok', 'up'])
  events.length = 0
  store.check = burns
  connection.onLost('the connection was closed')
  await advance(450)
  assert.deepEqual(events, ['down: the connection was closed'], 'a relapse')
  await advance(50)
  assert.deepEqual(events.slice(1), ['check error'])
})

test('a store that says that it cannot be used is not even read, until a probe succeeds', async (t) => {
  const { guarded, events, store, advance } = setUp(t)
  const loads = () => Promise.reject(new StoreUnusable('it is loading'))
  Object.assign(store, { add: loads, check: loads })
  const finding = guarded.find(['before'])
  await Promise.all([finding, assert.rejects(guarded.add('a', 1), /it is loading/)])
  await assert.rejects(guarded.find(['a']), /it is loading/)
  await advance(250)
  await assert.rejects(guarded.find(['a']), /it is loading/)
  assert.deepEqual(
    events.filter((event) => event !== 'up'),
    ['find ok', 'add error', 'down: it is loading', 'find refused', 'check error', 'find refused'],
  )
  store.check = answers
  await advance(500)
  assert.deepEqual(await guarded.find(['a']), [undefined])
})

test('a merge that is refused says nothing about the store', async (t) => {
  const { guarded, events, store } = setUp(t)
  store.merge = () => Promise.reject(new StoreUnusable('no scripts'))
  await guarded.check()
  await assert.rejects(guarded.merge('a', { counted: 1, left: 1 }), /no scripts/)
  assert.deepEqual(events, ['check ok', 'up', 'merge error'])
})

test('a failing store is reported down once, and up once when it answers', async (t) => {
  const { guarded, events, store, connection, advance } = setUp(t)
  store.add = burns
  await assert.rejects(guarded.add('a', 1), /it burns/)
  await assert.rejects(guarded.add('a', 1), /it burns/)
  connection.onLost('the connection was closed')
  await assert.rejects(guarded.check(), /the connection was closed/)
  await advance(250)
  assert.deepEqual(events, [
    ...['add error', 'down: it burns', 'add refused', 'unreadable: the connection was closed'],
    ...['check refused', 'check ok', 'up'],
  ])
})

test('a store that answers too slowly stays down', async (t) => {
  const { guarded, events, store, advance } = setUp(t)
  const slow = () => new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 400))
  store.check = slow
  await Promise.all([assert.rejects(guarded.check()), advance(60_000)])
  assert.deepEqual(
    events.filter((event) => !event.startsWith('check')),
    ['down: the store did not answer check within 250ms'],
  )
})

test('a store that answers probes and nothing else changes its state every few seconds, not all the time', async (t) => {
  const { guarded, events, store, advance } = setUp(t)
  store.add = burns
  for (let time = 0; time < 60_000; time += 50) {
    await guarded.add('a', 1).catch(() => undefined)
    await advance(50)
  }
  const changes = events.filter((event) => event === 'up' || event.startsWith('down')).length
  assert.ok(changes < 70, `${changes} changes within a minute`)
})

test('an entry that cannot be read says nothing about the store', async (t) => {
  const { guarded, events, store } = setUp(t)
  store.add = () => Promise.reject(new UnreadableEntry('what is this'))
  await guarded.check()
  await assert.rejects(guarded.add('a', 1), UnreadableEntry)
  assert.deepEqual(events, ['check ok', 'up', 'add error'])
})

test('a store that can be read and not written to is down until a write succeeds, and is read meanwhile', async (t) => {
  const { guarded, events, store, advance } = setUp(t)
  await guarded.pass('known', 1)
  store.add = burns
  store.check = burns
  const [, found] = await Promise.all([
    assert.rejects(guarded.add('a', 1), /it burns/),
    guarded.find(['known']),
  ])
  assert.equal(found[0]?.passed, true)
  await advance(10_000)
  assert.equal((await guarded.find(['known']))[0]?.passed, true)
  await assert.rejects(guarded.add('a', 1), /it burns/)
  assert.deepEqual(
    events.filter((event) => !event.startsWith('check')),
    ['pass ok', 'up', 'add error', 'down: it burns', 'find ok', 'find ok', 'add refused'],
  )
  assert.equal(guarded.state.up, false)
  store.check = answers
  await advance(2000)
  assert.deepEqual(events.slice(-2), ['check ok', 'up'])
})

test('a store that can be read no longer is not asked, and nobody waits for it', async (t) => {
  const { guarded, events, store, connection, advance } = setUp(t)
  store.add = burns
  store.check = never
  await assert.rejects(guarded.add('a', 1), /it burns/)
  store.find = never
  const late = /the store did not answer (find|check) within 250ms/
  const waiting = [guarded.find(['a']), guarded.find(['b'])].map((found) => assert.rejects(found, late))
  await Promise.all([...waiting, advance(TIMEOUT)])
  await assert.rejects(guarded.find(['c']), late)
  const finds = events.filter((event) => event.startsWith('find'))
  assert.deepEqual(finds, ['find timeout', 'find refused', 'find refused'])
  assert.equal(events.filter((event) => event.startsWith('unreadable: the store did not answer')).length, 1)
  await advance(TIMEOUT)
  connection.onLost('the connection was closed')
  await assert.rejects(guarded.find(['d']), /the connection was closed/)
})

test('another time-out holds from now on, and for what is waited for where it is shorter', async (t) => {
  const { guarded, events, store, advance } = setUp(t)
  mock.method(store, 'add', never)
  const waiting = assert.rejects(guarded.add('a', 1), /did not answer add within 100ms/)
  await advance(50)
  guarded.useTimeout(100)
  await advance(50)
  assert.equal(events.length, 0)
  await advance(50)
  await waiting
  assert.deepEqual(events.slice(0, 2), ['add timeout', 'down: the store did not answer add within 100ms'])
  await advance(500)
  assert.ok(events.includes('up'))
  events.length = 0
  guarded.useTimeout(1000)
  const patient = assert.rejects(guarded.add('b', 1), /within 1000ms/)
  await advance(900)
  assert.equal(events.length, 0)
  await advance(150)
  await patient
})

test('a part of a store that is away keeps nobody from the others, and is forgotten once it is there no more', async (t) => {
  const { guarded, events, store, advance } = setUp(t)
  let parts = ['a', 'b']
  const isLost = (key: string) => key.startsWith('b')
  const { find } = store
  Object.assign(store, {
    partOf: (key: string) => key.slice(0, 1),
    parts: () => parts,
    find: (keys: string[]) => (keys.some(isLost) ? burns() : find.call(store, keys)),
    check: (part: string) => (isLost(part) && parts.includes(part) ? burns() : answers()),
  })
  await assert.rejects(guarded.check(), /it burns/)
  assert.deepEqual(events, ['check ok', 'up', 'check error', 'down: it burns'])
  await guarded.pass('a1', 1)
  const partly = await guarded.find(['b1', 'a1', 'b2']).catch((error) => error)
  assert.ok(partly instanceof PartlyAnswered)
  assert.deepEqual(
    [partly.message, [...partly.away], partly.answers.map((entry) => entry?.passed)],
    ['it burns', [0, 2], [undefined, true, undefined]],
  )
  await assert.rejects(guarded.find(['b1']), PartlyAnswered)
  await assert.rejects(guarded.add('b1', 1), /it burns/)
  assert.equal(await guarded.add('a2', 1), true)
  assert.deepEqual([guarded.state.up, guarded.state.problem], [false, 'it burns'])
  parts = ['a']
  await advance(500)
  assert.equal(guarded.state.up, true)
  await guarded.check()
})

// Regression: the probe of the connection went to the part that had failed last, and the other parts were not probed.
test('a store that was lost and is back but for one part serves the others', async (t) => {
  const { guarded, events, store, connection, advance } = setUp(t)
  let isBack = false
  const isAway = () => Promise.reject(new StoreUnusable('it is away'))
  Object.assign(store, {
    partOf: (key: string) => key.slice(0, 1),
    parts: () => (isBack ? ['a', 'b', 'c'] : []),
    check: (part: string) => (part === 'b' || part === 'c' ? answers() : isAway()),
  })
  connection.onLost('the connection was closed')
  await advance(500)
  await assert.rejects(guarded.find(['b1']), /it is away/)
  isBack = true
  connection.onReady()
  await advance(0)
  assert.equal(await guarded.add('b1', 1), true)
  assert.equal(await guarded.add('c1', 1), true)
  await assert.rejects(guarded.add('a1', 1), /it is away/)
  await advance(10_000)
  assert.deepEqual([guarded.state.up, guarded.state.problem], [false, 'it is away'])
  assert.equal(await guarded.add('b2', 1), true)
  assert.equal(events.filter((event) => event === 'check refused').length, 0)
})

// Regression: the long backoff of a full store stayed when it could not be read any more.
test('a full store whose backoff has grown is probed at once again when it cannot be read either', async (t) => {
  const { guarded, store, advance } = setUp(t)
  const { find } = store
  const check = mock.method(store, 'check', answers)
  store.add = burns
  for (let time = 0; time < 40_000; time += 50) {
    await guarded.add('a', 1).catch(() => undefined)
    await advance(50)
  }
  check.mock.resetCalls()
  await advance(3000)
  assert.equal(check.mock.callCount(), 0, 'the backoff has grown')
  store.find = never
  await Promise.all([assert.rejects(guarded.find(['a']), /did not answer find/), advance(TIMEOUT)])
  store.find = find
  await advance(250)
  assert.equal(check.mock.callCount(), 1)
  assert.deepEqual(await guarded.find(['a']), [undefined])
})

test('a store that is closed reports neither failures nor outages', async (t) => {
  const { guarded, events, store } = setUp(t)
  await guarded.check()
  store.count = () => new Promise((_, reject) => setImmediate(() => reject(new Error('it is closed'))))
  const counted = assert.rejects(guarded.count('a', 1), /it is closed/)
  await guarded.close()
  await counted
  assert.deepEqual(events, ['check ok', 'up', 'count error'])
  assert.equal(guarded.state.up, true)
})

// Regression: only the first part that went down was reported.
test('each part that goes down or comes back while another is down is told of once', async (t) => {
  const { guarded, events, store, connection, advance } = setUp(t)
  const away = new Set<string>()
  const answer = (part: string) =>
    away.has(part) ? Promise.reject(new StoreUnusable(`${part} is away`)) : answers()
  Object.assign(store, {
    partOf: (key: string) => key.slice(0, 1),
    parts: () => ['a', 'b', 'c'],
    pass: (key: string) => answer(key.slice(0, 1)),
    check: answer,
  })
  const told = async (milliseconds = 0) => {
    await advance(milliseconds)
    return events.splice(0).filter((event) => !/^(check|pass) /.test(event))
  }
  await guarded.check()
  assert.deepEqual(await told(), ['up'])
  for (const part of ['a', 'b']) {
    away.add(part)
    await assert.rejects(guarded.pass(`${part}1`, 1))
    await assert.rejects(guarded.pass(`${part}2`, 1))
  }
  assert.deepEqual(await told(10_000), ['down: a is away', "part 'b' down: b is away"])
  away.delete('a')
  assert.deepEqual(await told(2000), ["part 'a' up"])
  connection.onLost('the connection was closed')
  for (const part of ['a', 'c']) away.add(part)
  assert.deepEqual(await told(5000), ["part '' down: the connection was closed"])
  away.delete('c')
  assert.deepEqual((await told(2000)).sort(), ["part 'a' down: a is away", "part 'b' down: b is away"])
  away.clear()
  const [first = '', ...rest] = await told(2000)
  assert.match(first, /^part '[ab]' up$/)
  assert.deepEqual(rest, ['up'])
})
