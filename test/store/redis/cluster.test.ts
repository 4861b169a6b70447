// Tests of RedisStore with a Cluster of six nodes: the conformance suite, keys on all masters, slots that move, and a
// master that dies; and with Clusters of which a part is lost, or that name their nodes without hosts.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseAddress } from '../../../src/address.ts'
import { createGreylister } from '../../../src/greylist/greylister.ts'
import { loopKey, tripletKey, whitelistKeys } from '../../../src/greylist/keys.ts'
import { parseIp } from '../../../src/ip.ts'
import { SLOTS, slotOf, tagWithin } from '../../../src/store/redis/cluster.ts'
import { PartlyAnswered } from '../../../src/store/store.ts'
import { type Greymx, startGreymx } from '../../support/greymx.ts'
import { ask, milterSession } from '../../support/milter.ts'
import { nodeAgain, type Redis, startCluster, startRedis } from '../../support/redis.ts'
import { openWatched, redisSettings } from '../../support/redis-store.ts'
import { type Scope, scratch, waitFor } from '../../support/scratch.ts'
import { describeRecordStore, describeStore } from '../conformance.ts'

const DAY = 86_400_000

const dir = await scratch({ after })
const { url, masters, replicas } = await startCluster({ dir })
let prefixes = 0

async function openEmpty(t: Scope) {
  prefixes += 1
  const settings = redisSettings(url, { prefix: `test${prefixes}:` })
  const { store, records } = await openWatched(t, settings)
  const { store: other, records: otherRecords } = await openWatched(t, settings)
  return { store, other, records, otherRecords, advance: (milliseconds: number) => sleep(milliseconds) }
}

describeStore('RedisStore with a Cluster', 250, openEmpty)
describeRecordStore('RedisStore with a Cluster', 250, openEmpty)

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

test('slotOf() is the slot that Redis has for a key', async () => {
  const [node] = masters
  assert.ok(node)
  for (const name of [
    'a',
    'greymx:t:host:example.org|a@example.org|b@example.com',
    'é',
    'a{b}c',
    '{}a',
    'a{b',
  ])
    assert.equal(slotOf(name), Number(await node.cli('cluster', 'keyslot', name)), name)
})

test('a tag for a node without slots is looked for in each slot once at most', () => {
  const asked: number[] = []
  const isWanted = (slot: number) => {
    asked.push(slot)
    return false
  }
  assert.equal(tagWithin(isWanted), undefined)
  assert.ok(asked.length <= SLOTS, `${asked.length}`)
  assert.equal(slotOf(tagWithin((slot) => slot === 5000) ?? ''), 5000)
})

/** A Cluster without replicas, one of whose nodes may be lost while the others serve. */
async function startPartial() {
  const args = ['--cluster-require-full-coverage', 'no']
  const cluster = await startCluster({ dir, replicas: 'none', args })
  const keysOn = async (node: Redis, count: number) => {
    const keys: string[] = []
    const slots = Array.from({ length: 16_384 }, () => false)
    for (const [, from, to = from] of (await node.cli('cluster', 'nodes')).matchAll(/myself,.* (\d+)-(\d+)/g))
      slots.fill(true, Number(from), Number(to) + 1)
    for (let index = 0; keys.length < count; index += 1)
      if (slots[slotOf(`greymx:k:${index}`)]) keys.push(`k:${index}`)
    return keys
  }
  return { ...cluster, keysOn }
}

// Regression: the first error of a lost node opened the circuit for all keys.
for (const how of ['dies', 'stands still']) {
  test(`when one node of a Cluster ${how}, the keys of the others are served, and it is taken back`, async (t) => {
    const cluster = await startPartial()
    const [lost, ...others] = cluster.masters
    assert.ok(lost)
    const { store, events, operations, untilReady } = await openWatched(t, redisSettings(cluster.url), 250)
    await untilReady()
    const away = await cluster.keysOn(lost, 5)
    const there = (await Promise.all(others.map((node) => cluster.keysOn(node, 5)))).flat()
    await Promise.all(there.map((key) => store.pass(key, DAY)))
    if (how === 'dies') await lost.kill9()
    else lost.pause()
    await assert.rejects(store.add(away[0] ?? '', DAY), new RegExp(`127.0.0.1:${lost.port}`))
    for (let round = 0; round < 20; round += 1) {
      assert.ok((await store.find(there)).every((entry) => entry?.passed))
      await store.count(`count ${there[0]}{greymx:${there[0]}}`, DAY)
      await assert.rejects(store.add(away[1] ?? '', DAY), new RegExp(`127.0.0.1:${lost.port}`))
      const mixed = await store.find([...away, ...there]).catch((error) => error)
      assert.ok(mixed instanceof PartlyAnswered, String(mixed))
      assert.deepEqual([...mixed.away], [0, 1, 2, 3, 4])
      assert.equal(mixed.answers.filter((entry) => entry?.passed).length, there.length)
      await sleep(100)
    }
    // Nobody waits for the lost node but the first, and the probes.
    const late = operations.filter(([name, result]) => name !== 'check' && result === 'timeout')
    assert.ok(late.length <= 1, JSON.stringify(late))
    assert.equal(events.filter((event) => event === 'ready').length, 1, events.join('\n'))
    if (how === 'dies') await startRedisAgain(lost)
    else lost.resume()
    await untilReady(8000)
    assert.equal(await store.add(away[1] ?? '', DAY), true)
  })
}

/** Restarts a node of a Cluster that was killed. */
async function startRedisAgain({ port }: Redis): Promise<void> {
  await startRedis({
    dir,
    port,
    args: [...(await nodeAgain(dir, port)), '--cluster-require-full-coverage', 'no'],
  })
}

// Regression: checks of the node that was away wrote to another node after the first.
test('a Cluster is up at a start only when all of its nodes are there', async (t) => {
  const cluster = await startPartial()
  const [lost] = cluster.masters
  assert.ok(lost)
  await lost.kill9()
  for (let round = 0; round < 4; round += 1) {
    const { store, events } = await openWatched(t, redisSettings(cluster.url), 250)
    for (let checks = 0; checks < 3; checks += 1) {
      await assert.rejects(store.check())
      await sleep(300)
    }
    assert.ok(!events.includes('ready', 1), events.join('\n'))
    await store.close()
  }
})

test('a Cluster that was lost and is back but for one node serves the keys of the others', async (t) => {
  const cluster = await startPartial()
  const [lost, ...others] = cluster.masters
  assert.ok(lost)
  const { store, events, untilReady } = await openWatched(t, redisSettings(cluster.url), 250)
  await untilReady()
  const [away = ''] = await cluster.keysOn(lost, 1)
  const there = (await Promise.all(others.map((node) => cluster.keysOn(node, 5)))).flat()
  await lost.kill9()
  await assert.rejects(store.add(away, DAY))
  await Promise.all(others.map((node) => node.kill9()))
  await waitFor('the others to be missed', () =>
    store.find(there).then(
      () => false,
      (error) => !(error instanceof PartlyAnswered),
    ),
  )
  await Promise.all(others.map(startRedisAgain))
  await waitFor('the others to be served', () =>
    store.find(there).then(
      () => true,
      () => false,
    ),
  )
  await assert.rejects(store.add(away, DAY), new RegExp(`127.0.0.1:${lost.port}`))
  await startRedisAgain(lost)
  await untilReady(8000)
  assert.equal(await store.add(away, DAY), true, events.join('\n'))
})

test('the log names each node of a Cluster that is away, also at a start', async (t) => {
  const cluster = await startPartial()
  const settings = `store: ${cluster.url}`
  const isTold = (greymx: Greymx, { port }: Redis) =>
    greymx.log().some((line) => new RegExp(`store is down".*node[ =]127\\.0\\.0\\.1:${port}`).test(line))
  const [first, second] = cluster.masters
  assert.ok(first && second)
  const running = await startGreymx({ dir: await scratch(t), settings })
  const client = await milterSession(running)
  for (const node of [first, second]) {
    await node.kill9()
    let count = 0
    await waitFor('the node to be named', async () => {
      count += 1
      await ask(client, `${node.port}-${count}@a.test`)
      return isTold(running, node)
    })
  }
  client.quit()
  const later = await startGreymx({ dir: await scratch(t), settings })
  for (const node of [first, second]) await waitFor('the node to be named', () => isTold(later, node))
})

test('while one node of a Cluster is lost, mail whose keys are on the others is greylisted', async (t) => {
  const cluster = await startPartial()
  const [lost] = cluster.masters
  assert.ok(lost)
  const { store, untilReady } = await openWatched(t, redisSettings(cluster.url), 1000)
  await untilReady()
  const network = 'network:192.0.2.0/24'
  const identity = {
    id: network,
    names: [network],
    carriers: [],
    network,
    spf: 'none',
    isNamed: true,
  } as const
  const { judge } = createGreylister({
    settings: {
      times: { delay: 1000, retryWindow: DAY, lifetime: DAY },
      widensBySpf: true,
      prefixes: { ipv4: 24, ipv6: 64 },
      normalizeSender: false,
      maxDeferrals: 4,
      maxPending: 1000,
      onStoreError: 'accept',
    },
    exempt: () => undefined,
    investigate: async () => ({ identity, exemption: undefined }),
    stores: { store },
  })
  const recipient = parseAddress('u@example.com')
  const senders = Array.from({ length: 60 }, (_, index) => parseAddress(`s${index}@example.org`))
  const judgeAll = () =>
    Promise.all(
      senders.map(async (sender) => {
        const client = { address: parseIp('192.0.2.7') }
        return (await judge({ client, authenticated: false, sender, recipient })).reason
      }),
    )
  const isOfFirst = (key: string) => slotOf(`greymx:${key}`) <= 5460 // the first master's
  const keys = senders.map(({ normal }) => ({
    isTripletAway: isOfFirst(tripletKey(network, normal, recipient)),
    isFirstAway: isOfFirst(loopKey('first', normal, recipient)),
  }))
  await lost.kill9()
  await judgeAll() // the first find out that the node is lost
  await sleep(1200)
  // Either key may have a wait, and only if both can be read is it known that there is none.
  const expected = (served: string) =>
    keys.map(({ isTripletAway, isFirstAway }) => (isTripletAway || isFirstAway ? 'store-error' : served))
  assert.equal(new Set(expected('known')).size, 2)
  assert.deepEqual(await judgeAll(), expected('retry'))
  assert.deepEqual(await judgeAll(), expected('known'))
})

test('nodes that a Cluster names without a host are at the address that was asked', async (t) => {
  for (const type of ['unknown-endpoint', 'hostname']) {
    const args = ['--cluster-preferred-endpoint-type', type]
    const { url: unnamed } = await startCluster({ dir, replicas: 'none', args })
    const [first = ''] = unnamed.split(',')
    const { store, events } = await openWatched(t, redisSettings(first))
    const keys = Array.from({ length: 60 }, (_, index) => `key${index}`)
    await Promise.all(keys.map((key) => store.pass(key, DAY)))
    assert.ok((await store.find(keys)).every((entry) => entry?.passed))
    assert.deepEqual(events, ['ready'], type)
  }
})
