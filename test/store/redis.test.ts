// RedisStore runs the conformance suite against a real redis-server; below it, what only a store behind a connection
// has to show: TTLs that are the windows, contents that are not ours, and a server that goes away and comes back.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { UnreadableEntry } from '../../src/store/encoding.ts'
import { openRedisStore, type RedisSettings, unsupportedServer } from '../../src/store/redis.ts'
import { startRedis } from '../support/redis.ts'
import { scratch, waitFor } from '../support/scratch.ts'
import { describeSharedStore } from './conformance.ts'

const DAY = 86_400_000
const SILENT = { onReady() {}, onProblem() {} }

const dir = await scratch({ after })
const redis = await startRedis({ dir })
let databases = 0

function overTcp(database: number): RedisSettings {
  return { connection: { host: '127.0.0.1', port: redis.port, tls: false }, database }
}

describeSharedStore('RedisStore', 250, async (t) => {
  databases = (databases + 1) % 16
  await redis.cli('-n', `${databases}`, 'flushdb')
  const overSocket = { connection: { path: redis.unixSocketPath }, database: databases }
  const [store, other] = [
    await openRedisStore(overTcp(databases), SILENT),
    await openRedisStore(overSocket, SILENT),
  ]
  t.after(() => Promise.all([store.close(), other.close()]))
  return { store, other, advance: (milliseconds) => sleep(milliseconds) }
})

test('RedisStore keeps each window as the TTL of a readable key', async (t) => {
  const store = await openRedisStore(overTcp(0), SILENT)
  t.after(() => store.close())
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
  const store = await openRedisStore(overTcp(0), SILENT)
  t.after(() => store.close())
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

test('RedisStore takes a pending key without a TTL for one that has waited long enough', async (t) => {
  const store = await openRedisStore(overTcp(0), SILENT)
  t.after(() => store.close())
  await redis.cli('set', 'greymx:persisted', `1:pending:${DAY}`)
  assert.deepEqual(await store.find(['persisted']), [{ passed: false, age: DAY }])
})

test('RedisStore gives a count without a TTL one, so that nothing stays for ever', async (t) => {
  const store = await openRedisStore(overTcp(0), SILENT)
  t.after(() => store.close())
  await redis.cli('set', 'greymx:endless', '4')
  assert.equal(await store.count('endless', DAY), 5)
  assert.ok(Number(await redis.cli('pttl', 'greymx:endless')) > 0)
})

test('RedisStore rejects at once while Redis is away, says why, and is back by itself', async (t) => {
  const first = await startRedis({ dir })
  const events: string[] = []
  const connection = { host: '127.0.0.1', port: first.port, tls: false }
  const store = await openRedisStore(
    { connection, database: 0 },
    { onReady: () => events.push('ready'), onProblem: (problem) => events.push(problem) },
  )
  t.after(() => store.close())
  await waitFor('the first connection', () => events.includes('ready'))
  await store.add('a', DAY)
  await first.kill9()
  await waitFor('the loss to be noticed', () => events.length > 1)
  const startedAt = performance.now()
  await assert.rejects(store.add('a', DAY), /Redis: (.*ECONNREFUSED|the connection was closed)/)
  assert.ok(performance.now() - startedAt < 200)
  await startRedis({ dir, port: first.port })
  await waitFor('the store to be back', () => events.at(-1) === 'ready')
  assert.equal(await store.add('a', DAY), true)
})

test('RedisStore gives up a Redis that stands still, and is back when it goes on', async (t) => {
  const server = await startRedis({ dir })
  const connection = { host: '127.0.0.1', port: server.port, tls: false }
  let ready = 0
  const store = await openRedisStore(
    { connection, database: 0 },
    { onReady: () => (ready += 1), onProblem() {} },
  )
  t.after(() => store.close())
  await waitFor('the first connection', () => ready === 1)
  server.pause()
  await assert.rejects(store.add('a', DAY))
  server.resume()
  await waitFor('the store to be back', () => ready === 2)
  await store.check()
})

test('a Redis that answers but cannot keep anything is not there', async (t) => {
  const cases: Array<[name: string, args: string[], url: Partial<RedisSettings>, problem: RegExp]> = [
    ['full', ['--maxmemory', '1'], {}, /Redis: OOM/],
    ['a replica', ['--replicaof', '127.0.0.1 1'], {}, /Redis: READONLY/],
    ['password needed', ['--requirepass', 'secret'], {}, /Redis: NOAUTH/],
    ['password wrong', ['--requirepass', 'secret'], { password: 'guess' }, /Redis: WRONGPASS/],
    ['no such database', ['--databases', '4'], { database: 7 }, /Redis: .*DB index is out of range/],
  ]
  for (const [name, args, settings, problem] of cases) {
    const server = await startRedis({ dir, args })
    const connection = { host: '127.0.0.1', port: server.port, tls: false }
    const store = await openRedisStore({ connection, database: 0, ...settings }, SILENT)
    t.after(() => store.close())
    await assert.rejects(store.check(), problem, name)
    await assert.rejects(store.add('a', DAY), problem, name)
    await server.stop()
  }
})

test('a password opens what it is for, over TCP and the unix socket', async (t) => {
  const server = await startRedis({ dir, args: ['--requirepass', 's3cret'] })
  for (const connection of [
    { host: '127.0.0.1', port: server.port, tls: false },
    { path: server.unixSocketPath },
  ]) {
    const store = await openRedisStore({ connection, database: 2, password: 's3cret' }, SILENT)
    t.after(() => store.close())
    await store.check()
    await store.add('a', DAY)
  }
})

test('openRedisStore resolves without a Redis, with the reason', async () => {
  const problems: string[] = []
  const connection = { host: '127.0.0.1', port: 1, tls: false }
  const store = await openRedisStore(
    { connection, database: 0 },
    { onReady() {}, onProblem: (problem) => problems.push(problem) },
  )
  await store.close()
  assert.match(problems[0] ?? '', /ECONNREFUSED/)
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
