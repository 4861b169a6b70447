// What a real Redis sees of its own outages through the one circuit breaker that is around the store: after a refusal,
// probes alone, with one backoff between them, and each of them examines all that mail needs where it was refused.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startProxy } from '../../support/proxy.ts'
import { nodeAgain, type Redis, startCluster, startRedis, startSentinel } from '../../support/redis.ts'
import { openWatched, redisSettings, type WatchedStore } from '../../support/redis-store.ts'
import { scratch, waitFor } from '../../support/scratch.ts'

const DAY = 86_400_000

/** What is said of a user who lacks rights for records. */
const NO_RECORDS = "the user lacks rights that operators' commands need, and mail does not: expected"

/** The commands of a check, each of which it sends once. */
const CHECKED = ['info', 'incrby', 'pexpire', 'set', 'pttl', 'get', 'del']

/** The backoff between probes, and that between attempts to reconnect, in milliseconds. */
const PROBES = { first: 250, longest: 2000 }
const RECONNECTS = { first: 50, longest: 1000 }

const dir = await scratch({ after })

/** How often a server was sent each command, counting what it refused, and not counting this question. */
async function commandsOf({ cli }: Redis, ...login: string[]): Promise<(command: string) => number> {
  const stats = await cli(...login, 'info', 'commandstats')
  return (command) => {
    const line = new RegExp(`^cmdstat_${command}:calls=(\\d+),.*rejected_calls=(\\d+)`, 'm').exec(stats)
    return line ? Number(line[1]) + Number(line[2]) : 0
  }
}

/** Counts what a server is sent from now on. */
async function countCommands(server: Redis): Promise<() => Promise<(command: string) => number>> {
  const before = await commandsOf(server)
  return async () => {
    const now = await commandsOf(server)
    const asked = (command: string) => now(command) - before(command)
    return (command) => (command === 'info' ? asked(command) - 1 : asked(command)) // the first question counts now
  }
}

/** The most events that fit into a time when each comes after a backoff that doubles. */
function mostWithin(milliseconds: number, { first, longest }: typeof PROBES): number {
  let count = 0
  for (let at = first, delay = first; at <= milliseconds; at += delay) {
    count += 1
    delay = Math.min(delay * 2, longest)
  }
  return count
}

/** Asks the store for everything that mail asks for, again and again, and has it refused each time. */
async function askInVain({ store }: WatchedStore, milliseconds: number, problem: RegExp): Promise<number> {
  const startedAt = performance.now()
  while (performance.now() - startedAt < milliseconds) {
    const asked = [store.find(['a', 'b']), store.add('a', DAY), store.pass('a', DAY), store.count('c', DAY)]
    for (const result of await Promise.allSettled(asked)) {
      assert.equal(result.status, 'rejected')
      assert.match(result.reason.message, problem)
      assert.ok(!('command' in result.reason), 'the error of ioredis was passed on')
    }
    await sleep(20)
  }
  return performance.now() - startedAt
}

const readies = ({ events }: WatchedStore) => events.filter((event) => event === 'ready').length

test('after a refusal Redis is sent nothing but probes, and these with one backoff', async (t) => {
  const server = await startRedis({ dir })
  const user = (...rights: string[]) =>
    server.cli('acl', 'setuser', 'greymx', 'on', '>s3cret', '~*', ...rights)
  await user('+@all')
  const watched = await openWatched(t, redisSettings(server.url.replace('//', '//greymx:s3cret@')))
  await watched.untilReady()
  const count = await countCommands(server)
  await user('nocommands')
  await assert.rejects(watched.store.forget('a'), /the user lacks a right/)
  const refusedAt = performance.now()
  await askInVain(watched, 5000, /^Redis: the user lacks a right that greymx needs \(NOPERM /)
  const asked = await count()
  const most = mostWithin(performance.now() - refusedAt, PROBES)
  const probes = asked('incrby')
  for (const command of CHECKED)
    assert.equal(asked(command), command === 'del' ? probes + 1 : probes, command)
  t.diagnostic(`${probes} probes, where the backoff allows ${most}: ${(probes / most).toFixed(2)}`)
  assert.ok(probes > 1 && probes <= most, `${probes} probes, at most ${most} expected`)
  await user('+@all')
  await watched.untilReady(3000)
  assert.equal(await watched.store.add('b', DAY), true)
  assert.equal(readies(watched), 2)
})

test('a Redis that is full is probed with the same backoff, and is back once it has room', async (t) => {
  const server = await startRedis({ dir })
  const watched = await openWatched(t, redisSettings(server.url))
  const { store, operations } = watched
  await watched.untilReady()
  for (const round of [1, 2]) {
    const count = await countCommands(server)
    await server.cli('config', 'set', 'maxmemory', '1')
    operations.length = 0
    await assert.rejects(store.add(`a${round}`, DAY), /^Error: Redis: it is full \(OOM /)
    assert.deepEqual(operations, [['add', 'error']])
    const refusedAt = performance.now()
    while (performance.now() - refusedAt < 3000) {
      await assert.rejects(store.add('b', DAY), /^Error: Redis: it is full \(OOM /)
      await sleep(20)
    }
    const probes = (await count())('incrby')
    const most = mostWithin(performance.now() - refusedAt, PROBES)
    assert.ok(probes > 0 && probes <= most, `${probes} probes, at most ${most} expected`)
    await server.cli('config', 'set', 'maxmemory', '0')
    await watched.untilReady(3000)
    assert.equal(await store.add(`a${round}`, DAY), true)
  }
  assert.equal(readies(watched), 3)
})

test('a replica is left for the master that there may be, examined once each time, and with backoff', async (t) => {
  const server = await startRedis({ dir })
  const watched = await openWatched(t, redisSettings(server.url))
  await watched.untilReady()
  await server.cli('replicaof', '127.0.0.1', '1')
  const count = await countCommands(server)
  const startedAt = performance.now()
  // Each of them is refused before the connection has closed, and the connection is given up once.
  const warned = new Set<string>()
  const warn = ({ name }: Error) => warned.add(name)
  process.on('warning', warn)
  t.after(() => process.off('warning', warn))
  const refused = await Promise.allSettled(
    Array.from({ length: 20 }, (_, index) => watched.store.pass(`${index}`, DAY)),
  )
  for (const result of refused) {
    assert.equal(result.status, 'rejected')
    assert.match(result.reason.message, /it is a replica/)
  }
  await askInVain(watched, 4000, /^Redis: it is a replica and cannot be written to \(READONLY /)
  const asked = await count()
  const elapsed = performance.now() - startedAt
  const [connections, checks] = [asked('hello'), asked('incrby')]
  t.diagnostic(`${connections} connections, ${checks} checks`)
  assert.ok(connections > 1 && connections <= mostWithin(elapsed, RECONNECTS), `${connections} connections`)
  assert.ok(checks <= connections + mostWithin(elapsed, PROBES), `${checks} checks`)
  await server.cli('replicaof', 'no', 'one')
  await watched.untilReady(2500)
  assert.equal(await watched.store.add('b', DAY), true)
  assert.equal(readies(watched), 2)
  assert.deepEqual([...warned], [])
})

test('a Redis that loads its data after a restart is down until it has, and is not taken for ready before', async (t) => {
  const data = ['--dbfilename', 'restart.rdb', '--enable-debug-command', 'local']
  const server = await startRedis({ dir, args: data })
  const watched = await openWatched(t, redisSettings(server.url))
  await watched.untilReady()
  await server.cli('debug', 'populate', '6000', 'greymx:filler', '10')
  await server.cli('save')
  await server.stop()
  const slowly = ['--key-load-delay', '300', '--loading-process-events-interval-bytes', '1024']
  const starting = startRedis({ dir, port: server.port, args: [...data, ...slowly] })
  const { store } = watched
  await waitFor('the refusal', () => store.state.problem?.includes('it is still loading its data (LOADING '))
  assert.equal(readies(watched), 1)
  await starting
  await watched.untilReady(3000)
  await store.check()
  assert.equal(readies(watched), 2)
})

test('rights and passwords that the operator mends at run time are enough, and the database is the right one', async (t) => {
  const server = await startRedis({ dir })
  const user = (...rights: string[]) => server.cli('acl', 'setuser', 'greymx', ...rights)
  await user('on', '>s3cret', '~*', '+@all', '-select')
  const login = server.url.replace('//', '//greymx:s3cret@')
  const watched = await openWatched(t, redisSettings(`${login}/3`))
  assert.match(watched.events[0] ?? '', /^cannot use database 3: NOPERM /)
  await assert.rejects(watched.store.pass('a', DAY), /cannot use database 3/)
  await assert.rejects(watched.store.find(['a']), /cannot use database 3/)
  await user('+select')
  await watched.untilReady(3000)
  await watched.store.pass('a', DAY)
  assert.equal(await server.cli('-n', '3', 'exists', 'greymx:a'), '1')
  assert.equal(await server.cli('-n', '0', 'dbsize'), '0')
  assert.equal((await commandsOf(server))('hello'), 1, 'a connection that could be kept was made anew')

  // No password is known to greymx, and then none is needed any more.
  const admin = ['--user', 'admin', '--pass', 'admin', '--no-auth-warning']
  await server.cli('acl', 'setuser', 'admin', 'on', '>admin', '~*', '+@all')
  await server.cli('acl', 'setuser', 'default', 'resetpass', '>another')
  const anonymous = await openWatched(t, redisSettings(`${server.url}/4`))
  assert.match(anonymous.events[0] ?? '', /^it asks for a password \(NOAUTH /)
  const hellos = (await commandsOf(server, ...admin))('hello')
  const startedAt = performance.now()
  await askInVain(anonymous, 2000, /^Redis: it asks for a password \(NOAUTH /)
  const connections = (await commandsOf(server, ...admin))('hello') - hellos
  assert.ok(
    connections <= mostWithin(performance.now() - startedAt, RECONNECTS),
    `${connections} connections`,
  )
  await server.cli(...admin, 'acl', 'setuser', 'default', 'nopass')
  await anonymous.untilReady(3000)
  await anonymous.store.pass('b', DAY)
  assert.equal(await server.cli('-n', '4', 'exists', 'greymx:b'), '1')
})

test('a connection that flaps is examined once each time, and is used again when it holds', async (t) => {
  const server = await startRedis({ dir })
  const proxy = await startProxy(dir, server.port)
  const watched = await openWatched(t, redisSettings(`redis://127.0.0.1:${proxy.port}/0`))
  await watched.untilReady()
  const count = await countCommands(server)
  for (let cuts = 1; cuts <= 15; cuts += 1) {
    proxy.cut()
    await waitFor('the loss to be noticed', () => !watched.store.state.up)
    await assert.rejects(
      watched.store.add('a', DAY),
      /^Error: Redis: (the connection was closed$|it closed the connection)/,
    )
    await watched.untilReady()
  }
  const asked = await count()
  assert.deepEqual(CHECKED.map(asked), new Array(CHECKED.length).fill(asked('hello')))
  // Closed before the check can succeed, however often, the connection is made anew with backoff.
  proxy.delay(100)
  const before = await countCommands(server)
  const problems = new Set<string>()
  const startedAt = performance.now()
  while (performance.now() - startedAt < 3000) {
    proxy.cut()
    const cutAt = performance.now()
    while (performance.now() - cutAt < 150) {
      const { problem } = watched.store.state
      if (problem !== undefined) problems.add(problem)
      await sleep(5)
    }
  }
  const connections = (await before())('hello')
  const most = mostWithin(performance.now() - startedAt, RECONNECTS)
  t.diagnostic(`${connections} connections, where the backoff allows ${most}`)
  assert.ok(connections <= most, `${connections} connections, at most ${most} expected`)
  for (const problem of problems)
    assert.match(problem, /^Redis: (the connection was closed$|it closed the connection)/)
  proxy.delay(0)
  await watched.untilReady(3000)
  assert.equal(await watched.store.add('a', DAY), true)
})

test('while one node of a Cluster is away, the store does not come and go, as that node is examined', async (t) => {
  const { url, masters } = await startCluster({
    dir,
    replicas: 'none',
    args: ['--cluster-require-full-coverage', 'no'],
  })
  const [, victim] = masters
  assert.ok(victim)
  const watched = await openWatched(t, redisSettings(url))
  await watched.untilReady()
  const { store } = watched
  const key = await keyOn(victim)
  await store.pass(key, DAY)
  await victim.kill9()
  await assert.rejects(store.find([key]), /^Error: Redis: /)
  const startedAt = performance.now()
  while (performance.now() - startedAt < 4000) {
    await assert.rejects(store.find([key]), /^Error: Redis: /)
    await sleep(20)
  }
  assert.equal(readies(watched), 1, watched.events.join('\n'))
  await startRedis({ dir, port: victim.port, args: await nodeAgain(dir, victim.port) })
  await watched.untilReady(5000)
  assert.equal(await store.add(key, DAY), true)
  assert.equal(readies(watched), 2)
})

/** A key in one of the slots of a master. */
async function keyOn(master: Redis): Promise<string> {
  for (let index = 0; ; index += 1) {
    const key = `key${index}`
    const reply = await master.cli('exists', `greymx:${key}`)
    if (reply === '0') return key
    assert.match(reply, /^MOVED /)
  }
}

test('a node of a Cluster that stands still does not keep greymx from examining another', async (t) => {
  // So that the others do not take it for dead, and the Cluster with it.
  const args = ['--cluster-node-timeout', '60000']
  const { url, masters } = await startCluster({ dir, replicas: 'none', args })
  const [first, second] = masters
  assert.ok(first && second)
  const watched = await openWatched(t, redisSettings(url), 900)
  await watched.untilReady()
  const { store, operations } = watched
  await first.cli('config', 'set', 'maxmemory', '1')
  await assert.rejects(store.pass(await keyOn(first), DAY), /it is full/)
  second.pause()
  await first.cli('config', 'set', 'maxmemory', '0')
  await watched.untilReady()
  second.resume()
  assert.ok(!operations.some(([name, result]) => name === 'check' && result === 'timeout'))
})

test('a merge that Redis refuses leaves the store up', async (t) => {
  const server = await startRedis({ dir })
  const rights = ['~greymx:check:*', '~greymx:t:*', '+@all']
  await server.cli('acl', 'setuser', 'greymx', 'on', '>s3cret', ...rights)
  const watched = await openWatched(t, redisSettings(server.url.replace('//', '//greymx:s3cret@')))
  const { store, events } = watched
  await assert.rejects(store.merge('o:a', { counted: 1, left: DAY }), /NOPERM .*key/)
  await assert.rejects(store.merge('o:a', { passed: true, ttl: DAY, left: DAY }), /NOPERM .*key/)
  assert.equal(await store.add('t:a', DAY), true)
  await waitFor('the warning', () => events.length > 1)
  assert.deepEqual(events, ['ready', `${NO_RECORDS} ~greymx:r:*`])
})

// Regression: merging took EVAL, which few users have, and which no check had asked for.
test('what was learnt is merged for a user who may run no scripts', async (t) => {
  const server = await startRedis({ dir })
  for (const refused of ['-eval', '-@scripting', '-@transaction']) {
    await server.cli('acl', 'setuser', 'greymx', 'reset', 'on', '>s3cret', '~greymx:*', '+@all', refused)
    const watched = await openWatched(t, redisSettings(server.url.replace('//', '//greymx:s3cret@')))
    const { store, events } = watched
    await store.merge(`t:${refused}`, { passed: true, ttl: DAY, left: DAY })
    assert.equal((await store.find([`t:${refused}`]))[0]?.passed, true)
    const isOfRecords = refused === '-@transaction'
    if (isOfRecords) await waitFor('the warning', () => events.length > 1)
    assert.deepEqual(events, ['ready', ...(isOfRecords ? [`${NO_RECORDS} +exec`] : [])])
  }
})

// Regression: the check's own key could be written, so that the store came and went with every operation.
test('a user who may use only some kinds of keys is told so once, and the store does not flap', async (t) => {
  const server = await startRedis({ dir })
  for (const rights of [[], ['%R~greymx:o:*'], ['%W~greymx:o:*']]) {
    const keys = ['~greymx:check:*', '~greymx:t:*', ...rights]
    await server.cli('acl', 'setuser', 'greymx', 'reset', 'on', '>s3cret', ...keys, '+@all')
    const watched = await openWatched(t, redisSettings(server.url.replace('//', '//greymx:s3cret@')))
    const { store, events } = watched
    const use = async () => {
      await store.counts(['o:a'])
      await store.count('o:a', DAY)
    }
    for (let time = 0; time < 3000; time += 100) {
      await assert.rejects(use(), /lacks a right that greymx needs \(NOPERM .*key/)
      await sleep(100)
    }
    assert.equal(events.filter((event) => event === 'ready').length, 1, events.join('\n'))
    await store.close()
  }
})

test('behind Sentinels, a master that is demoted unseen is left at the first refusal', async (t) => {
  const [first, second] = [await startRedis({ dir }), await startRedis({ dir })]
  const sentinel = await startSentinel(dir, first.port)
  const url = `redis+sentinel://127.0.0.1:${sentinel.port}/greymx-test`
  const watched = await openWatched(t, redisSettings(url))
  await watched.untilReady()
  await sentinel.cli('sentinel', 'remove', 'greymx-test')
  await sentinel.cli('sentinel', 'monitor', 'greymx-test', '127.0.0.1', `${second.port}`, '1')
  await first.cli('replicaof', '127.0.0.1', `${second.port}`)
  await assert.rejects(watched.store.pass('a', DAY), /READONLY|the Sentinels have made/)
  await watched.untilReady(2500)
  await watched.store.pass('a', DAY)
  assert.equal(await second.cli('exists', 'greymx:a'), '1')
})
