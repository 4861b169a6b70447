// RedisStore runs the conformance suite against a real redis-server. The other tests are about what only a store behind
// a connection can meet: TTLs as windows, values of other programs, and a server that goes away and comes back.

import assert from 'node:assert/strict'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { UnreadableEntry } from '../../../src/store/encoding.ts'
import { evictionWarning, unsupportedServer } from '../../../src/store/redis/redis.ts'
import { startRedis } from '../../support/redis.ts'
import { openWatched, redisSettings } from '../../support/redis-store.ts'
import { type Scope, scratch, waitFor } from '../../support/scratch.ts'
import { describeRecordStore, describeSetBackStore, describeSharedStore } from '../conformance.ts'

const DAY = 86_400_000
const dir = await scratch({ after })
const redis = await startRedis({ dir })
let databases = 0

async function openEmpty(t: Scope) {
  databases = (databases + 1) % 64
  const database = databases
  await redis.cli('-n', `${database}`, 'flushdb')
  const overSocket = `redis+unix://${redis.unixSocketPath}?db=${database}`
  const { store, records } = await openWatched(t, redisSettings(`${redis.url}/${database}`))
  const { store: other, records: otherRecords } = await openWatched(t, redisSettings(overSocket))
  return {
    store,
    other,
    records,
    otherRecords,
    advance: (milliseconds: number) => sleep(milliseconds),
    /** Sets TTLs as PTTL would tell them on a replica whose clock is behind that of its master. */
    async setBack(milliseconds: number, keys: readonly string[]) {
      const lengthen = `for _, key in ipairs(KEYS) do
        redis.call('PEXPIRE', key, redis.call('PTTL', key) + ARGV[1])
      end`
      const names = keys.map((key) => `greymx:${key}`)
      await redis.cli('-n', `${database}`, 'eval', lengthen, `${keys.length}`, ...names, `${milliseconds}`)
    },
  }
}

describeSharedStore('RedisStore', 250, openEmpty)
describeSetBackStore('RedisStore', 250, openEmpty)
describeRecordStore('RedisStore', 250, openEmpty)

test('RedisStore keeps each window as the TTL of a readable key', async (t) => {
  const { store } = await openWatched(t, redisSettings(redis.url))
  await redis.cli('flushdb')
  await store.add('t:network:198.51.100.0/24|a@b.test|c@d.test', DAY)
  const key = 'greymx:t:network:198.51.100.0/24|a@b.test|c@d.test'
  assert.equal(await redis.cli('keys', '*'), key)
  assert.equal(await redis.cli('get', key), `1:pending:${DAY}`)
  const ttl = Number(await redis.cli('pttl', key))
  assert.ok(ttl > DAY - 5000 && ttl <= DAY)
  await store.pass('t:network:198.51.100.0/24|a@b.test|c@d.test', 3 * DAY)
  assert.ok(Number(await redis.cli('pttl', key)) > 2 * DAY)
})

test('RedisStore refuses contents that are none of its own, key by key, and keeps them', async (t) => {
  const { store } = await openWatched(t, redisSettings(redis.url))
  await redis.cli('set', 'greymx:foreign', 'something else')
  await redis.cli('set', 'greymx:empty', '')
  await redis.cli('lpush', 'greymx:list', 'x')
  await assert.rejects(store.find(['foreign']), UnreadableEntry)
  await assert.rejects(store.find(['empty']), UnreadableEntry)
  await assert.rejects(store.find(['list']), UnreadableEntry)
  await assert.rejects(store.find(['ours', 'foreign', 'other']), UnreadableEntry)
  await assert.rejects(store.count('foreign', DAY), UnreadableEntry)
  await assert.rejects(store.count('list', DAY), UnreadableEntry)
  for (const key of ['foreign', 'empty', 'list']) {
    await assert.rejects(store.merge(key, { passed: true, ttl: DAY, left: DAY }), UnreadableEntry)
    await assert.rejects(store.merge(key, { counted: 1, left: DAY }), UnreadableEntry)
  }
  assert.equal(await store.add('ours', DAY), true)
  assert.equal(await redis.cli('get', 'greymx:foreign'), 'something else')
})

test('RedisStore reads what the versions before have written, and goes on counting', async (t) => {
  const { store } = await openWatched(t, redisSettings(redis.url))
  const set = (key: string, text: string) => redis.cli('set', `greymx:${key}`, text, 'px', `${DAY / 2}`)
  await set('t:before', `1:pending:${DAY}`)
  await set('w:before', `1:passed:${DAY}`)
  await set('o:before', '300000004')
  const [waits, passed] = await store.find(['t:before', 'w:before'])
  assert.deepEqual([waits?.passed, passed?.passed], [false, true])
  assert.ok(Math.abs((waits?.age ?? 0) - DAY / 2) < 5000)
  assert.equal(await store.count('o:before', DAY), 300_000_005)
})

test('RedisStore keeps a holder in a text that takes Redis no more than a number', async (t) => {
  const { store } = await openWatched(t, redisSettings(redis.url))
  await store.add('f:held', 20 * 3_600_000, 0, '1234567890123456')
  assert.equal(await redis.cli('get', 'greymx:f:held'), '1234567890123456220')
  assert.equal(await redis.cli('object', 'encoding', 'greymx:f:held'), 'int')
  await store.add('f:odd', 1001, 0, '1234567890123456')
  assert.equal(await redis.cli('get', 'greymx:f:odd'), '1:pending:1001:1234567890123456')
})

test('RedisStore takes a pending key without a TTL for one that has waited long enough', async (t) => {
  const { store } = await openWatched(t, redisSettings(redis.url))
  await redis.cli('set', 'greymx:persisted', `1:pending:${DAY}`)
  assert.deepEqual(await store.find(['persisted']), [{ passed: false, age: DAY }])
})

test('RedisStore gives a count without a TTL one, so that nothing stays for ever', async (t) => {
  const { store } = await openWatched(t, redisSettings(redis.url))
  await redis.cli('set', 'greymx:endless', '4')
  assert.equal(await store.count('endless', DAY), 5)
  assert.ok(Number(await redis.cli('pttl', 'greymx:endless')) > 0)
})

test('RedisStore begins the names of all keys as it is told', async (t) => {
  const { store } = await openWatched(t, redisSettings(`${redis.url}/15`, { prefix: 'mx/' }))
  await redis.cli('-n', '15', 'flushdb')
  await store.add('a', DAY)
  await store.pass('b', DAY)
  await store.count('c', DAY)
  await store.check()
  assert.deepEqual((await redis.cli('-n', '15', 'keys', '*')).split('\n').toSorted(), [
    'mx/a',
    'mx/b',
    'mx/c',
  ])
})

test('RedisStore rejects at once while Redis is away, says why, and is back by itself', async (t) => {
  const first = await startRedis({ dir })
  const { store, events, untilReady } = await openWatched(t, redisSettings(first.url))
  await untilReady()
  await store.add('a', DAY)
  await first.kill9()
  await waitFor('the loss to be noticed', () => events.length > 1)
  const startedAt = performance.now()
  await assert.rejects(
    store.add('a', DAY),
    /Redis: (.*ECONNREFUSED|the connection was closed|it closed the connection)/,
  )
  assert.ok(performance.now() - startedAt < 200)
  await startRedis({ dir, port: first.port })
  await untilReady()
  assert.equal(await store.add('a', DAY), true)
})

test('RedisStore gives up a Redis that stands still, and is back when it goes on', async (t) => {
  const server = await startRedis({ dir })
  const { store, untilReady } = await openWatched(t, redisSettings(server.url))
  await untilReady()
  server.pause()
  await assert.rejects(store.add('a', DAY))
  server.resume()
  await untilReady()
  await store.check()
})

test('a Redis that answers but cannot keep anything is not there, and is once it can', async (t) => {
  const cases: Array<[name: string, args: string[], url: string, problem: RegExp, cure: string[]]> = [
    ['full', ['--maxmemory', '1'], '', /it is full \(OOM /, ['config', 'set', 'maxmemory', '0']],
    [
      'a replica',
      ['--replicaof', '127.0.0.1 1'],
      '',
      /it is a replica .* \(READONLY /,
      ['replicaof', 'no', 'one'],
    ],
    [
      'too few replicas',
      ['--min-replicas-to-write', '1'],
      '',
      /it has too few replicas to take writes \(NOREPLICAS /,
      ['config', 'set', 'min-replicas-to-write', '0'],
    ],
    [
      'password needed',
      ['--requirepass', 'secret'],
      '',
      /it asks for a password \(NOAUTH /,
      ['-a', 'secret', '--no-auth-warning', 'config', 'set', 'requirepass', ''],
    ],
    [
      'password wrong',
      ['--requirepass', 'secret'],
      ':guess@',
      /it refuses the user name or the password \(WRONGPASS /,
      ['-a', 'secret', '--no-auth-warning', 'config', 'set', 'requirepass', 'guess'],
    ],
  ]
  for (const [name, args, login, problem, cure] of cases) {
    const server = await startRedis({ dir, args })
    const url = server.url.replace('//', `//${login}`)
    const { store, untilReady } = await openWatched(t, redisSettings(url))
    await assert.rejects(store.check(), problem, name)
    await assert.rejects(store.add('a', DAY), problem, name)
    assert.equal(await server.cli(...cure), 'OK', name)
    await untilReady()
    assert.equal(await store.add('a', DAY), true, name)
    await store.close()
    await server.stop()
  }
})

test('a Redis that can no longer keep anything is down until it can, and is read only while it is merely full', async (t) => {
  const server = await startRedis({ dir })
  const { store, events, untilReady } = await openWatched(t, redisSettings(server.url))
  await untilReady()
  const cases: Array<[problem: RegExp, begin: string[], end: string[]]> = [
    [/it is full \(OOM /, ['config', 'set', 'maxmemory', '1'], ['config', 'set', 'maxmemory', '0']],
    [/it is a replica .* \(READONLY /, ['replicaof', '127.0.0.1', '1'], ['replicaof', 'no', 'one']],
    [
      /the user lacks a right .* \(NOPERM /,
      ['acl', 'setuser', 'default', '-incrby'],
      ['acl', 'setuser', 'default', '+incrby'],
    ],
  ]
  for (const [problem, begin, end] of cases) {
    await server.cli(...begin)
    await assert.rejects(Promise.all([store.pass('a', DAY), store.count('b', DAY)]), problem)
    if (begin.includes('maxmemory')) await store.find(['a'])
    else await assert.rejects(store.find(['a']), problem)
    await assert.rejects(store.check(), problem)
    await server.cli(...end)
    await untilReady(2000)
    await store.find(['a'])
    await store.count('b', DAY)
  }
  // The store must not come and go with each operation.
  assert.ok(events.filter((event) => event === 'ready').length <= 1 + cases.length, events.join('\n'))
})

test('a Redis that cannot save its data is down until it can', async (t) => {
  const nowhere = join(dir, 'misconf')
  await mkdir(nowhere)
  const server = await startRedis({ dir, args: ['--dir', nowhere, '--save', '3600 1'] })
  const { store, untilReady } = await openWatched(t, redisSettings(server.url))
  await untilReady()
  await rm(nowhere, { recursive: true })
  await server.cli('bgsave')
  await waitFor('the failure to save', async () =>
    (await server.cli('info', 'persistence')).includes('rdb_last_bgsave_status:err'),
  )
  await assert.rejects(store.pass('a', DAY), /Redis: it cannot save its data and takes no writes \(MISCONF /)
  await server.cli('config', 'set', 'stop-writes-on-bgsave-error', 'no')
  await untilReady(2000)
  await store.pass('a', DAY)
  await server.kill9() // without SIGKILL, it would not end before it could save
})

test('a Redis that is still loading its data is down until it has', async (t) => {
  const server = await startRedis({
    dir,
    args: ['--dbfilename', 'loading.rdb', '--enable-debug-command', 'local'],
  })
  await server.cli('debug', 'populate', '6000', 'greymx:filler', '10')
  await server.cli('save')
  await server.stop()
  const slowly = [
    '--dbfilename',
    'loading.rdb',
    '--key-load-delay',
    '100',
    '--loading-process-events-interval-bytes',
    '1024',
  ]
  const starting = startRedis({ dir, port: server.port, args: slowly })
  const ping = () => server.cli('ping').catch(String)
  await waitFor('Redis to load', async () => (await ping()).startsWith('LOADING'))
  const { store, untilReady } = await openWatched(t, redisSettings(server.url))
  await assert.rejects(store.check(), /Redis: it is still loading its data \(LOADING /)
  await starting
  await untilReady(3000)
  await store.check()
})

test('a database that there is not is named', async (t) => {
  const server = await startRedis({ dir, args: ['--databases', '4'] })
  const { store } = await openWatched(t, redisSettings(`${server.url}/7`))
  await assert.rejects(store.check(), /^Error: Redis: cannot use database 7: ERR DB index is out of range$/)
})

test('a password opens what it is for, over TCP and the unix socket', async (t) => {
  const server = await startRedis({ dir, args: ['--requirepass', 's3cret'] })
  for (const url of [
    `redis://:s3cret@127.0.0.1:${server.port}/2`,
    `redis+unix://:s3cret@${server.unixSocketPath}?db=2`,
  ]) {
    const { store } = await openWatched(t, redisSettings(url))
    await store.check()
    await store.add('a', DAY)
  }
})

test('openRedisStore resolves without a Redis, with the reason', async (t) => {
  const { events } = await openWatched(t, redisSettings('redis://127.0.0.1:1'))
  assert.match(events[0] ?? '', /^connect ECONNREFUSED 127\.0\.0\.1:1$/)
})

test('RedisStore warns of a Redis that evicts, once for as long as it does', async (t) => {
  const server = await startRedis({ dir, args: ['--maxmemory-policy', 'allkeys-lru'] })
  const { events, untilReady } = await openWatched(t, redisSettings(server.url))
  await untilReady()
  const warning =
    'maxmemory-policy is allkeys-lru: expected noeviction, as Redis otherwise drops entries when memory runs short, and their senders wait again'
  assert.deepEqual(events, [warning, 'ready'])
  const reconnect = async () => {
    const before = events.length
    await server.cli('client', 'kill', 'type', 'normal')
    await waitFor('the loss to be noticed', () => events.length > before)
    await untilReady()
  }
  await reconnect()
  await server.cli('config', 'set', 'maxmemory-policy', 'volatile-ttl')
  await reconnect()
  assert.deepEqual(
    events.filter((event) => event.startsWith('maxmemory')),
    [
      warning,
      'maxmemory-policy is volatile-ttl: expected noeviction, as Redis otherwise drops first attempts first, and nobody new passes',
    ],
  )
})

test('unsupportedServer() names a Redis that is too old, and lets Redis 7 and Valkey be', () => {
  const cases: Array<[string, RegExp | undefined]> = [
    ['# Server\r\nredis_version:6.2.14\r\n', /^this is Redis 6\.2\.14: greymx needs Redis 7\.0 or later/],
    ['# Server\r\nredis_version:7.0.15\r\n', undefined],
    ['# Server\r\nredis_version:10.1.0\r\n', undefined],
    ['# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n', undefined],
    ['', undefined],
  ]
  for (const [info, expected] of cases) {
    const problem = unsupportedServer(info)
    if (expected) assert.match(problem ?? '', expected)
    else assert.equal(problem, undefined)
  }
})

test('evictionWarning() names a policy that evicts', () => {
  assert.equal(evictionWarning('# Memory\r\nmaxmemory_policy:noeviction\r\n'), undefined)
  assert.equal(evictionWarning(''), undefined)
  assert.match(evictionWarning('maxmemory:0\r\nmaxmemory_policy:volatile-lfu\r\n') ?? '', /is volatile-lfu:/)
})

test('on a promoted replica whose clock is a day behind, who waits waits the delay once', async (t) => {
  const replica = await startRedis({ dir, args: ['--replicaof', '127.0.0.1', `${redis.port}`] })
  await waitFor('the replica', async () => (await redis.cli('info', 'replication')).includes('state=online'))
  const { store: before } = await openWatched(t, redisSettings(redis.url))
  await before.forget('waits')
  await before.add('waits', DAY)
  await before.pass('passed', DAY)
  await before.count('counted', DAY)
  // libfaketime does not run with redis-server's jemalloc. A master whose clock is a day ahead of the replica's sets
  // expiries that are a day later, as expiries are replicated as instants.
  for (const key of ['greymx:waits', 'greymx:passed', 'greymx:counted']) {
    const end = `${Number(await redis.cli('pexpiretime', key)) + DAY}`
    await redis.cli('pexpireat', key, end)
    await waitFor('the replica', async () => (await replica.cli('pexpiretime', key)) === end)
  }
  await replica.cli('replicaof', 'no', 'one')

  const { store: after } = await openWatched(t, redisSettings(replica.url))
  const read = async () => (await after.find(['waits', 'passed'])).map((entry) => entry?.age ?? -1)
  assert.deepEqual(await read(), [0, 0])
  await after.count('counted', DAY)
  for (const key of ['waits', 'passed', 'counted']) {
    assert.ok(Number(await replica.cli('pttl', `greymx:${key}`)) <= DAY, key)
  }
  await sleep(500)
  for (const age of await read()) assert.ok(age >= 500 && age < 5000, `${age}`)
})
