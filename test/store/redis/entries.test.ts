// Tests of greymx_store_entries with a store in Redis: the keys of all nodes, by a sample that nobody waits for and that
// concerns no mail, and nothing at all where the user may not look at keys.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { SLOTS, tagWithin } from '../../../src/store/redis/cluster.ts'
import { countRedisKeys } from '../../../src/store/redis/sample.ts'
import { type Greymx, startGreymx } from '../../support/greymx.ts'
import { ask, milterSession } from '../../support/milter.ts'
import { promtool } from '../../support/prometheus.ts'
import { startCluster, startRedis } from '../../support/redis.ts'
import { redisSettings } from '../../support/redis-store.ts'
import { scratch, waitFor } from '../../support/scratch.ts'

/** The user of the documents, without the rights that `check --redis` and these figures need. */
const [RIGHTS = ''] =
  readFileSync('src/store/README.md', 'utf8').match(/(?<=ACL SETUSER greymx on >PASSWORD ).*/) ?? []

const NEVER = new AbortController().signal

async function scrape({ adminPort }: Greymx): Promise<string> {
  return (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()
}

function entriesIn(metrics: string): Record<string, number> {
  const series = metrics.matchAll(/^greymx_store_entries\{kind="([a-z-]+)"\} (\d+)$/gm)
  return Object.fromEntries([...series].map(([, kind = '', count]) => [kind, Number(count)]))
}

test('/metrics has the keys in Redis by kind, and every kind is there', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  const greymx = await startGreymx({ dir, settings: `store: ${redis.url}/3` })
  const client = await milterSession(greymx)
  for (let count = 0; count < 20; count += 1) await ask(client, `s${count}@a.test`)
  client.quit()
  await redis.cli('-n', '3', 'set', 'greymx:later:kind', 'x')
  await redis.cli('-n', '3', 'set', 'another program', 'x')
  const entries = await waitFor('the figures', async () => {
    const found = entriesIn(await scrape(greymx))
    return Object.keys(found).length > 0 && found
  })
  // The daemon has records of its own, and goes on writing them.
  const all = (await redis.cli('-n', '3', 'keys', 'greymx:*')).split('\n')
  const keys = all.filter((key) => !key.startsWith('greymx:r:'))
  const begins = (start: string) => keys.filter((key) => key.startsWith(`greymx:${start}:`)).length
  const known = { triplet: begins('t'), first: begins('f'), tally: begins('o'), other: 1 }
  assert.equal(known.triplet + known.first + known.tally + 1, keys.length)
  assert.deepEqual(entries, { ...entries, ...known })
  const ofMail = Object.entries(entries).filter(([kind]) => kind !== 'record')
  assert.equal(Object.keys(entries).length, 21)
  assert.equal(
    ofMail.reduce((sum, [, count]) => sum + count, 0),
    keys.length,
  )
})

test('of many keys a sample is counted, on all nodes of a Cluster', async (t) => {
  const dir = await scratch(t)
  const { url, masters } = await startCluster({ dir, replicas: 'none' })
  const fill = `
    for i = 1, 14000 do redis.call('SET', ARGV[1] .. (i % 10 == 0 and 't:' or 'f:') .. KEYS[1] .. i, '1') end`
  for (const [node, master] of masters.entries()) {
    const tag = tagWithin((slot) => Math.floor((slot * masters.length) / SLOTS) === node)
    await master.cli('eval', `#!lua flags=allow-cross-slot-keys\n${fill}`, '1', `{${tag}}`, 'greymx:')
    assert.equal(await master.cli('dbsize'), '14000')
  }
  const counts = await countRedisKeys(redisSettings(url), NEVER)
  const [firsts = 0, triplets = 0] = [counts?.get('f'), counts?.get('t')]
  assert.ok(Math.abs(firsts + triplets - 42_000) < 10, `${firsts} and ${triplets}`)
  assert.ok(Math.abs(triplets - 4200) < 600, `${triplets}`)
})

test('where the user may not look at keys there are no figures, and nothing else is different', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  await redis.cli('acl', 'setuser', 'greymx', 'on', '>s3cret', ...RIGHTS.split(' '))
  const settings = `store: redis://greymx:s3cret@127.0.0.1:${redis.port}/0`
  const greymx = await startGreymx({ dir, settings })
  const refused = () => redis.cli('acl', 'log')
  await waitFor('the refusal', async () => {
    await scrape(greymx)
    return (await refused()).includes('dbsize')
  })
  const metrics = await scrape(greymx)
  assert.deepEqual(entriesIn(metrics), {})
  assert.match(metrics, /^greymx_store_up 1$/m)
  const { status, stderr } = spawnSync(promtool, ['check', 'metrics'], { input: metrics, encoding: 'utf8' })
  assert.deepEqual([status, stderr], [0, ''])
  assert.deepEqual(
    greymx.log().filter((line) => /level=(warn|error)/.test(line)),
    [],
  )
  await redis.cli('acl', 'setuser', 'greymx', '+dbsize', '+scan')
  const allowed = redisSettings(`redis://greymx:s3cret@127.0.0.1:${redis.port}/0`)
  const counts = await countRedisKeys(allowed, NEVER)
  assert.deepEqual(
    [...(counts ?? assert.fail())].filter(([kind]) => kind !== 'r'),
    [],
  )
})

test('a Redis that hangs while its keys are counted holds up no scrape and opens no circuit', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  const greymx = await startGreymx({ dir, settings: `store: ${redis.url}/0` })
  redis.pause()
  const until = performance.now() + 2500
  let longest = 0
  while (performance.now() < until) {
    const before = performance.now()
    const metrics = await scrape(greymx)
    longest = Math.max(longest, performance.now() - before)
    assert.deepEqual(entriesIn(metrics), {})
    assert.match(metrics, /^greymx_store_up 1$/m)
    assert.match(metrics, /^greymx_store_outages_total 0$/m)
    await sleep(100)
  }
  redis.resume()
  console.log(`the longest of these scrapes took ${longest.toFixed()} ms`)
  assert.ok(longest < 1000)
  const client = await milterSession(greymx)
  assert.equal(await ask(client, 'a@a.test'), 'tempfail')
  client.quit()
  greymx.signal('SIGTERM')
  assert.equal(await greymx.exited(), 0)
})
