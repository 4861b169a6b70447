// Tests of records and of the scan of all keys in a real Redis: what others see of them there, values of other programs,
// rights, connections that end, and that mail never suffers from any of it. The promises of all stores are in
// ../conformance.ts.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { UnreadableEntry } from '../../../src/store/encoding.ts'
import { reportOnRedis } from '../../../src/store/redis/report.ts'
import { startRedis } from '../../support/redis.ts'
import { openWatched, redisSettings } from '../../support/redis-store.ts'
import { scratch, waitFor } from '../../support/scratch.ts'

const DAY = 86_400_000
const NEVER = new AbortController().signal
const CHANGES = new Map([['a', '1']])
const dir = await scratch({ after })

/** The connections that a server has, without that of redis-cli. */
async function connectionsOf(server: Awaited<ReturnType<typeof startRedis>>): Promise<number> {
  return (await server.cli('client', 'list')).split('\n').length - 1
}

test('a record is a hash, whose field without a name is the revision, and its lifetime is its TTL', async (t) => {
  const redis = await startRedis({ dir })
  const { records } = await openWatched(t, redisSettings(redis.url, { prefix: 'mx:' }))
  await records.changeRecord('rules', CHANGES, DAY)
  assert.deepEqual((await redis.cli('keys', '*')).split('\n'), ['mx:r:rules'])
  assert.equal(await redis.cli('hget', 'mx:r:rules', 'a'), '1')
  assert.equal(await redis.cli('hget', 'mx:r:rules', ''), await records.revisionOf('rules'))
  const ttl = Number(await redis.cli('pttl', 'mx:r:rules'))
  assert.ok(ttl > DAY - 5000 && ttl <= DAY, `${ttl}`)
  await records.changeRecord('rules', CHANGES)
  assert.equal(await redis.cli('pttl', 'mx:r:rules'), '-1')
  await records.addToRecord('rules', new Map([['b', 2]]), 0.5)
  assert.ok(Number(await redis.cli('pttl', 'mx:r:rules')) < 1000)
  assert.deepEqual(
    [...((await records.countKeys(NEVER))?.keys() ?? [])].filter((kind) => kind !== 'r'),
    [],
  )
})

test('values of other programs under the name of a record are told, and are kept', async (t) => {
  const redis = await startRedis({ dir })
  const { store, records, events } = await openWatched(t, redisSettings(redis.url))
  await redis.cli('set', 'greymx:r:text', 'x')
  await redis.cli('rpush', 'greymx:r:list', 'x')
  for (const name of ['text', 'list']) {
    for (const operation of [
      () => records.readRecord(name),
      () => records.revisionOf(name),
      () => records.changeRecord(name, CHANGES),
      () => records.addToRecord(name, new Map([['a', 1]]), DAY),
    ])
      await assert.rejects(operation, (error: Error) => {
        assert.ok(error instanceof UnreadableEntry)
        const expected = `the record "${name}" was not written by greymx: expected a hash under greymx:r:${name}`
        assert.ok(error.message.includes(expected), error.message)
        return true
      })
  }
  assert.equal(await redis.cli('get', 'greymx:r:text'), 'x')
  assert.equal(await redis.cli('lrange', 'greymx:r:list', '0', '-1'), 'x')
  await redis.cli('hset', 'greymx:r:rules', 'a', '1')
  assert.deepEqual(await records.readRecord('rules'), new Map([['a', '1']]))
  await store.pass('t:a', DAY)
  assert.deepEqual(events, ['ready'])
})

test('the scan leaves out what greymx has not written, and keys of other programs', async (t) => {
  const redis = await startRedis({ dir })
  const { store, records } = await openWatched(t, redisSettings(redis.url, { prefix: 'a[b]*:' }))
  await redis.cli('set', 'ab:t:other', '3')
  await redis.cli('set', 'a[b]:t:other', '3')
  await redis.cli('rpush', 'a[b]*:t:list', 'x')
  await redis.cli('set', 'a[b]*:t:text', 'x')
  await redis.cli('set', 'a[b]*:t:later', '2:passed:1000')
  await redis.cli('set', 'a[b]*:t:endless', `1:pending:${DAY}`)
  await store.count('o:count', DAY, 7)
  await records.changeRecord('rules', CHANGES)
  const found = []
  for await (const batch of records.scanKeys(NEVER)) found.push(...batch)
  found.sort((a, b) => (a.key < b.key ? -1 : 1))
  const [counted, ...others] = found
  const left = counted?.left ?? 0
  assert.ok(left > DAY - 60_000 && left <= DAY, `${left}`)
  assert.deepEqual(counted, { key: 'o:count', value: 7, left })
  assert.deepEqual(others, [{ key: 't:endless', value: { passed: false, age: DAY }, left: 0 }])
})

test('neither a scan that ends early nor a closed store leaves a connection', async (t) => {
  const redis = await startRedis({ dir })
  const { store, records } = await openWatched(t, redisSettings(redis.url))
  await Promise.all(Array.from({ length: 3000 }, (_, index) => store.add(`t:${index}`, DAY)))
  await records.changeRecord('rules', CHANGES)
  const before = await connectionsOf(redis)
  assert.equal(before, 2)
  const isAsBefore = async () => (await connectionsOf(redis)) === before
  for await (const _ of records.scanKeys(NEVER)) {
    assert.equal(await connectionsOf(redis), before + 1)
    break
  }
  await waitFor('the connection to end', isAsBefore)
  const end = new AbortController()
  const batches = records.scanKeys(end.signal)[Symbol.asyncIterator]()
  await batches.next()
  end.abort() // the caller is not even waiting
  await waitFor('the connection to end', isAsBefore)
  await assert.rejects(Promise.resolve(batches.next()), { name: 'AbortError' })
  await store.close()
  await waitFor('all to end', async () => (await connectionsOf(redis)) === 0)
})

test('a scan says why Redis cannot be asked, at the beginning and in the middle', async (t) => {
  const redis = await startRedis({ dir })
  const { store, records } = await openWatched(t, redisSettings(redis.url))
  await Promise.all(Array.from({ length: 3000 }, (_, index) => store.add(`t:${index}`, DAY)))
  const scan = async (onBatch: () => Promise<unknown>) => {
    for await (const _ of records.scanKeys(NEVER)) await onBatch()
  }
  await redis.cli('acl', 'setuser', 'default', '-scan')
  await assert.rejects(
    scan(async () => undefined),
    /^Error: Redis: the user lacks a right .*'scan'/,
  )
  await redis.cli('acl', 'setuser', 'default', '+scan')
  await assert.rejects(
    scan(() => redis.cli('client', 'kill', 'type', 'normal')),
    /^Error: Redis: .*closed/i,
  )
  await redis.kill9()
  await assert.rejects(
    scan(async () => undefined),
    /^Error: Redis: .*ECONNREFUSED/,
  )
})

test('records are away while Redis is, at once and with the reason, and are back by themselves', async (t) => {
  const redis = await startRedis({ dir })
  const { records } = await openWatched(t, redisSettings(redis.url))
  await records.changeRecord('rules', CHANGES)
  redis.pause()
  await assert.rejects(records.readRecord('rules'), /^Error: Redis: it does not answer \(Socket timeout/)
  redis.resume()
  const isBack = () => records.readRecord('rules').then(Boolean, () => false)
  await waitFor('the records', isBack)
  await redis.kill9()
  await waitFor('the loss to be noticed', async () => !(await isBack()))
  // The reason is known once the client has tried to connect again.
  await waitFor('the reason', () =>
    records.changeRecord('rules', CHANGES).then(
      () => assert.fail('it was changed'),
      (error) => /^Redis: .*(ECONNREFUSED|closed)/.test(error.message),
    ),
  )
  await startRedis({ dir, port: redis.port })
  await waitFor('the records', isBack)
  assert.deepEqual(await records.readRecord('rules'), new Map())
})

test('mail goes on beside transactions that the user may not end, and nothing is changed by halves', async (t) => {
  const redis = await startRedis({ dir })
  const user = (...rights: string[]) =>
    redis.cli('acl', 'setuser', 'greymx', 'on', '>s3cret', '~*', ...rights)
  await user('+@all')
  const { store, records, events } = await openWatched(
    t,
    redisSettings(redis.url.replace('//', '//greymx:s3cret@')),
  )
  await user('-exec')
  for (let time = 0; time < 3; time += 1) {
    const [change] = await Promise.allSettled([
      records.changeRecord('rules', new Map([['a', `${time}`]])),
      store.pass(`t:${time}`, DAY),
    ])
    assert.match(String(change.status === 'rejected' && change.reason), /lacks a right .*'exec'/)
    assert.equal((await store.find([`t:${time}`]))[0]?.passed, true)
  }
  assert.equal(await redis.cli('exists', 'greymx:r:rules'), '0')
  await user('+exec', '-hdel')
  const both = new Map([
    ['a', '1'],
    ['b', undefined],
  ])
  await waitFor('the connection', () =>
    records.revisionOf('rules').then(
      () => true,
      () => false,
    ),
  )
  await assert.rejects(records.changeRecord('rules', both), /lacks a right .*'hdel'/)
  assert.equal(await redis.cli('exists', 'greymx:r:rules'), '0')
  await user('+hdel')
  await records.changeRecord('rules', both)
  assert.deepEqual(await records.readRecord('rules'), CHANGES)
  assert.deepEqual(events, ['ready'])
})

test('a server that knows no EXEC fails changes, and nothing else', async (t) => {
  const redis = await startRedis({ dir, args: ['--rename-command', 'EXEC', ''] })
  const { store, records, events } = await openWatched(t, redisSettings(redis.url))
  await assert.rejects(records.changeRecord('rules', CHANGES), /^Error: Redis: it does not know a command/)
  await store.pass('t:a', DAY)
  await waitFor('the connection', () =>
    records.revisionOf('rules').then(
      (revision) => revision === '',
      () => false,
    ),
  )
  assert.equal(await redis.cli('exists', 'greymx:r:rules'), '0')
  assert.equal((await store.find(['t:a']))[0]?.passed, true)
  assert.equal(events.length, 2)
  assert.match(events[1] ?? '', /^the user lacks rights that operators' commands need, .*: expected \+exec$/)
})

test('no record lands in another database than that of the settings', async (t) => {
  const redis = await startRedis({ dir })
  const user = (...rights: string[]) =>
    redis.cli('acl', 'setuser', 'greymx', 'on', '>s3cret', '~*', ...rights)
  await user('+@all', '-select')
  const login = redis.url.replace('//', '//greymx:s3cret@')
  const { records } = await openWatched(t, redisSettings(`${login}/3`))
  const refusal = /^Error: Redis: cannot use database 3: NOPERM/
  await assert.rejects(records.changeRecord('rules', CHANGES), refusal)
  await assert.rejects(records.scanKeys(NEVER)[Symbol.asyncIterator]().next() as Promise<unknown>, /NOPERM/)
  await user('+select')
  await records.changeRecord('rules', CHANGES)
  await redis.cli('client', 'kill', 'type', 'normal')
  await waitFor('the records', () =>
    records.readRecord('rules').then(
      ({ size }) => size === 1,
      () => false,
    ),
  )
  assert.equal(await redis.cli('dbsize'), '0')
})

test('check --redis takes records for what they are', async (t) => {
  const redis = await startRedis({ dir, args: ['--maxmemory', '100mb'] })
  const settings = redisSettings(redis.url)
  const { records } = await openWatched(t, settings)
  await records.changeRecord('rules', CHANGES)
  await records.changeRecord('stats', CHANGES, 1000)
  const report = await reportOnRedis(settings)
  assert.deepEqual(report.entries, { r: 2 })
  assert.equal(report.daysUntilFull, Number.POSITIVE_INFINITY)
})
