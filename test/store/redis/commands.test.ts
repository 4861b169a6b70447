// Tests of how commands reach a real Redis: those of one turn together, and keys one by one where MGET is not possible.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { UnreadableEntry } from '../../../src/store/encoding.ts'
import { type Redis, startNode, startRedis } from '../../support/redis.ts'
import { openWatched, redisSettings } from '../../support/redis-store.ts'
import { scratch, waitFor } from '../../support/scratch.ts'

const DAY = 86_400_000

/** How often Redis has run a command since it was started. */
async function callsOf(redis: Redis, command: string): Promise<number> {
  const stats = await redis.cli('info', 'commandstats')
  return Number(new RegExp(`^cmdstat_${command}:calls=(\\d+)`, 'm').exec(stats)?.[1] ?? 0)
}

test('what is read within one turn is one MGET for each hundred keys, and each caller gets its own', async (t) => {
  const redis = await startRedis({ dir: await scratch(t) })
  const { store } = await openWatched(t, redisSettings(redis.url))
  await store.check()
  const names = Array.from({ length: 1500 }, (_, index) => `key${index}`)
  await Promise.all(names.map((name, index) => (index % 3 === 0 ? store.pass(name, DAY) : undefined)))
  await Promise.all(names.map((name, index) => (index % 3 === 1 ? store.count(name, DAY, index) : undefined)))
  const before = await callsOf(redis, 'mget')
  const [found, ...rest] = await Promise.all([
    Promise.all(names.filter((_, index) => index % 3 !== 1).map((name) => store.find([name]))),
    Promise.all(names.filter((_, index) => index % 3 === 1).map((name) => store.counts([name, 'absent']))),
  ])
  assert.equal((await callsOf(redis, 'mget')) - before, 20)
  assert.deepEqual(
    found.map(([entry]) => entry?.passed),
    names.flatMap((_, index) => (index % 3 === 1 ? [] : [index % 3 === 0 ? true : undefined])),
  )
  assert.deepEqual(
    rest.flat(),
    names.flatMap((_, index) => (index % 3 === 1 ? [[index, 0]] : [])),
  )
})

test('a value of another kind does not keep other attempts of the turn from theirs', async (t) => {
  const redis = await startRedis({ dir: await scratch(t) })
  const { store } = await openWatched(t, redisSettings(redis.url))
  await redis.cli('lpush', 'greymx:list', 'x')
  await redis.cli('set', 'greymx:foreign', 'something else')
  await store.pass('passed', DAY)
  const [list, foreign, counts, ours] = await Promise.allSettled([
    store.find(['passed', 'list']),
    store.find(['foreign']),
    store.counts(['foreign']),
    store.find(['passed']),
  ])
  for (const result of [list, foreign, counts])
    assert.ok(result.status === 'rejected' && result.reason instanceof UnreadableEntry)
  assert.ok(ours.status === 'fulfilled' && ours.value[0]?.passed)
})

test('a look is one MGET, and a pass has an age only where this process has written it', async (t) => {
  const redis = await startRedis({ dir: await scratch(t) })
  const { store } = await openWatched(t, redisSettings(redis.url))
  const { store: other } = await openWatched(t, redisSettings(redis.url))
  await store.pass('ours', DAY)
  await other.pass('theirs', DAY)
  await store.add('waits', DAY)
  const before = [await callsOf(redis, 'mget'), await callsOf(redis, 'pttl')]
  const { entries, counts } = await store.look(['ours', 'theirs', 'waits', 'absent'], ['n'])
  assert.deepEqual(
    [await callsOf(redis, 'mget'), await callsOf(redis, 'pttl')],
    [(before[0] ?? 0) + 1, before[1]],
  )
  const [ours, ...rest] = entries.answers
  assert.ok(ours?.passed && ours.age !== undefined && ours.age < 5000)
  assert.deepEqual(rest, [{ passed: true, age: DAY }, { passed: false, age: undefined }, undefined])
  assert.deepEqual(counts.answers, [0])
})

test('what is asked for while a Redis nearby answers is one write, and goes out without its answer if that is late', async (t) => {
  const redis = await startRedis({ dir: await scratch(t) })
  const { store } = await openWatched(t, redisSettings(redis.url))
  for (let time = 0; time < 20; time += 1) await store.look(['a'], ['n']) // Redis is known to be near by now
  const before = await callsOf(redis, 'mget')
  await redis.cli('client', 'pause', '100', 'all')
  const looks: Array<Promise<unknown>> = []
  for (const until = performance.now() + 20; performance.now() < until; await nextTurn())
    looks.push(store.look(['a'], ['n']))
  await Promise.all(looks)
  const sent = (await callsOf(redis, 'mget')) - before
  // One for each look if none waited; each has a hundred keys at most.
  assert.ok(sent > 4 && sent < looks.length / 10, `${sent} for ${looks.length}`)
})

// An MGET tells nothing of such a key, so that each attempt would be the first one, and be deferred.
test('what is to be written under a key with a value of another kind is refused, and the error says so', async (t) => {
  const redis = await startRedis({ dir: await scratch(t) })
  const { store } = await openWatched(t, redisSettings(redis.url))
  await redis.cli('lpush', 'greymx:list', 'x')
  const [added, ...refused] = await store.write([
    { kind: 'add', key: 'free', retryWindow: DAY },
    { kind: 'add', key: 'list', retryWindow: DAY },
    { kind: 'pass', key: 'list', lifetime: DAY },
    { kind: 'count', key: 'list', window: DAY },
  ])
  assert.equal(added, true)
  for (const error of refused) assert.ok(error instanceof UnreadableEntry && /WRONGTYPE/.test(error.message))
  assert.equal(await redis.cli('lrange', 'greymx:list', '0', '-1'), 'x')
})

test('keys are read one by one where the user may not MGET, and the start names no missing right', async (t) => {
  const redis = await startRedis({ dir: await scratch(t) })
  await redis.cli('acl', 'setuser', 'lesser', 'on', '>s3cret', '~greymx:*', '+@all', '-mget')
  const { store, events } = await openWatched(t, redisSettings(redis.url.replace('://', '://lesser:s3cret@')))
  await store.check()
  await store.pass('passed', DAY)
  for (let time = 0; time < 2; time += 1) {
    const [entries, counts] = await Promise.all([store.find(['absent', 'passed']), store.counts(['absent'])])
    assert.deepEqual([entries.map((entry) => entry?.passed), counts], [[undefined, true], [0]])
  }
  assert.match(await redis.cli('info', 'commandstats'), /cmdstat_mget:calls=0,.*rejected_calls=1,/)
  assert.deepEqual(events, ['ready'])
})

test('keys are read one by one from a server that has no MGET', async (t) => {
  const redis = await startRedis({ dir: await scratch(t), args: ['--rename-command', 'MGET', ''] })
  const { store } = await openWatched(t, redisSettings(redis.url))
  await store.pass('passed', DAY)
  const [entries, counts] = await Promise.all([store.find(['absent', 'passed']), store.counts(['absent'])])
  assert.deepEqual([entries.map((entry) => entry?.passed), counts], [[undefined, true], [0]])
})

test('a key that the user may not read fails its own caller only', async (t) => {
  const redis = await startRedis({ dir: await scratch(t) })
  await redis.cli('acl', 'setuser', 'lesser', 'on', '>s3cret', '~greymx:a*', '~greymx:*check*', '+@all')
  const { store } = await openWatched(t, redisSettings(redis.url.replace('://', '://lesser:s3cret@')))
  await store.pass('allowed', DAY)
  const [allowed, refused] = await Promise.allSettled([store.counts(['also']), store.counts(['other'])])
  assert.deepEqual(allowed, { status: 'fulfilled', value: [0] })
  assert.ok(refused.status === 'rejected')
  assert.match(String(refused.reason), /lacks a right .*NOPERM/)
})

test('one node that has all slots of a Cluster serves as a single server', async (t) => {
  const { redis } = await startNode(await scratch(t))
  await redis.cli('cluster', 'addslotsrange', '0', '16383')
  await waitFor('the Cluster', async () => /cluster_state:ok/.test(await redis.cli('cluster', 'info')))
  const { store } = await openWatched(t, redisSettings(redis.url))
  await store.check()
  await store.pass('passed', DAY)
  const [entries, counts] = await Promise.all([store.find(['absent', 'passed']), store.counts(['a', 'b'])])
  assert.deepEqual(
    [entries.map((entry) => entry?.passed), counts],
    [
      [undefined, true],
      [0, 0],
    ],
  )
})
