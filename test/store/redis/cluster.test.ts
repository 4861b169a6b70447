// Tests of RedisStore with a Cluster of six nodes: the conformance suite, keys on all masters, slots that move, and a
// master that dies.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseAddress } from '../../../src/address.ts'
import { tripletKey, whitelistKeys } from '../../../src/greylist/keys.ts'
import { startCluster, startRedis } from '../../support/redis.ts'
import { openWatched, redisSettings } from '../../support/redis-store.ts'
import { scratch, waitFor } from '../../support/scratch.ts'
import { describeStore } from '../conformance.ts'

const DAY = 86_400_000

const dir = await scratch({ after })
const { url, masters, replicas } = await startCluster({ dir })
let prefixes = 0

describeStore('RedisStore with a Cluster', 250, async (t) => {
  prefixes += 1
  const settings = redisSettings(url, { prefix: `test${prefixes}:` })
  const { store } = await openWatched(t, settings)
  const { store: other } = await openWatched(t, settings)
  return { store, other, advance: (milliseconds) => sleep(milliseconds) }
})

test('keys spread evenly over the nodes, also those of senders that look like hash tags', async (t) => {
  const { store } = await openWatched(t, redisSettings(url))
  await Promise.all(masters.map((node) => node.cli('flushall')))
  const recipient = parseAddress('b@example.com')
  const keys = Array.from({ length: 300 }, (_, index) => [
    tripletKey('network:198.51.100.0/24', `${index}@example.org`, recipient),
    tripletKey('network:198.51.100.0/24', `{x}${index}@example.org`, recipient),
    tripletKey(`spf:{x}.${index}.example.org`, 'a@example.org', recipient),
    whitelistKeys(`spf:{x}.${index}.example.org`).listed,
  ]).flat()
  await Promise.all(keys.map((key) => store.pass(key, DAY)))
  const sizes = await Promise.all(masters.map(async (node) => Number(await node.cli('dbsize'))))
  assert.equal(
    sizes.reduce((sum, size) => sum + size),
    keys.length,
  )
  for (const size of sizes) assert.ok(size > 0.8 * (keys.length / masters.length), `${sizes}`)
  const found = await store.find(keys)
  assert.ok(found.every((entry) => entry?.passed))
})

test('any node of the cluster leads to all, and none that is away keeps from that', async (t) => {
  const { store } = await openWatched(
    t,
    redisSettings(`redis+cluster://127.0.0.1:1,127.0.0.1:${replicas[2]?.port}`),
  )
  await Promise.all(['a', 'b', 'c', 'd', 'e'].map((key) => store.pass(key, DAY)))
})

test('what is no cluster says so, either way', async (t) => {
  const single = await startRedis({ dir })
  const { events } = await openWatched(t, redisSettings(`redis+cluster://127.0.0.1:${single.port}`))
  assert.match(events[0] ?? '', /^it is no cluster, expected store redis:/)
  const { store } = await openWatched(t, redisSettings(masters[0]?.url ?? ''))
  const all = Promise.all(Array.from({ length: 20 }, (_, index) => store.pass(`${index}`, DAY)))
  await assert.rejects(all, /it is part of a cluster, expected store redis\+cluster:\/\/… \(MOVED /)
  const { events: away } = await openWatched(t, redisSettings('redis+cluster://127.0.0.1:1,127.0.0.1:2'))
  assert.match(away[0] ?? '', /ECONNREFUSED/)
})

test('slots that move from node to node are followed', async (t) => {
  const { store, events, untilReady } = await openWatched(t, redisSettings(url))
  await untilReady()
  const [from, to] = masters as [(typeof masters)[0], (typeof masters)[0]]
  const toId = await to.cli('cluster', 'myid')
  const keys = Array.from({ length: 60 }, (_, index) => `moved${index}`)
  await Promise.all(keys.map((key) => store.pass(key, DAY)))
  for (const key of keys) {
    const slot = await from.cli('cluster', 'keyslot', `greymx:${key}`)
    if (Number(slot) > 5460) continue
    await to.cli('cluster', 'setslot', slot, 'importing', await from.cli('cluster', 'myid'))
    await from.cli('cluster', 'setslot', slot, 'migrating', toId)
    await from.cli('migrate', '127.0.0.1', `${to.port}`, `greymx:${key}`, '0', '1000')
    assert.equal((await store.find([key]))[0]?.passed, true) // the new node is asked, by an ASK redirection
    assert.equal(await store.add(`{greymx:${key}}`, DAY), true)
    for (const node of [to, from, ...masters.slice(2)])
      await node.cli('cluster', 'setslot', slot, 'node', toId)
  }
  assert.ok((await store.find(keys)).every((entry) => entry?.passed))
  assert.deepEqual(events, ['ready'])
})

test('greymx goes on with the replica of a master that dies, and takes it back when it returns', async (t) => {
  const { store, untilReady } = await openWatched(t, redisSettings(url))
  await untilReady()
  const keys = Array.from({ length: 60 }, (_, index) => `before${index}`)
  await Promise.all(keys.map((key) => store.pass(key, DAY)))
  const [, second] = masters as [(typeof masters)[0], (typeof masters)[0]]
  await second.cli('wait', '1', '1000')
  await second.kill9()
  await assert.rejects(store.find(keys))
  const diedAt = performance.now()
  await waitFor('all keys to be found again', () =>
    store.find(keys).then(
      (found) => found.every((entry) => entry?.passed),
      () => false,
    ),
  )
  assert.ok(performance.now() - diedAt < 6000, `${performance.now() - diedAt}`)
  await store.check()
})
