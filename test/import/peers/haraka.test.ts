// The reader of what haraka-plugin-greylist has in Redis. The keys and fields are as craft_grey_key(), update_grey() and
// promote_to_white() of the plugin write them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startRedis } from '../../support/redis.ts'
import { freePort, scratch } from '../../support/scratch.ts'
import { NOW, readPeer } from './support.ts'

const SECONDS = NOW / 1000
const DAY = 86_400

test("haraka: hosts that are addresses are taken, other programs' keys are let alone", async (t) => {
  const redis = await startRedis({ dir: await scratch(t) })
  const put = (key: string, fields: Readonly<Record<string, number>>) =>
    redis.cli(
      '-n',
      '11',
      'hset',
      key,
      ...Object.entries(fields).flatMap(([name, value]) => [name, `${value}`]),
    )
  const white = { first_connect: SECONDS - 9 * DAY, updated: SECONDS - DAY, lifetime: 35 * DAY, tried: 3 }
  const grey = { created: SECONDS - 600, updated: SECONDS - 60, lifetime: 90_000, tried: 2 }
  await put('white:192.0.2.7', white)
  await put('white:example.org', white)
  await put('white:192.0.2.8', { tried: 1 })
  await put('grey:192.0.2.9:Anna@example.org:bob@example.com', grey)
  await put('grey:2001:db8::7:<>:bob@example.com', grey)
  await put('grey:example.org:anna@example.org:bob@example.com', grey)
  await put('grey:192.0.2.9', grey)
  await put('karma:192.0.2.9', grey)
  await redis.cli('-n', '11', 'set', 'white:192.0.2.10', 'no hash')
  await redis.cli('set', 'white:192.0.2.11', 'in another database')
  const triplet = { recipient: 'bob@example.com', firstSeen: NOW - 600_000 }
  const records = await readPeer('haraka', `redis://127.0.0.1:${redis.port}/11`)
  const byKind = (kind: string) =>
    records
      .filter((record) => record.kind === kind)
      .sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)))
  assert.deepEqual(byKind('listed'), [
    { kind: 'listed', client: '192.0.2.7', lastUsed: NOW - DAY * 1000, expiresAt: NOW + 34 * DAY * 1000 },
  ])
  assert.deepEqual(byKind('waiting'), [
    { kind: 'waiting', client: '192.0.2.9', sender: 'Anna@example.org', ...triplet },
    { kind: 'waiting', client: '2001:db8::7', sender: '', ...triplet },
  ])
  const keysOf = (kind: string) => byKind(kind).map((record) => 'where' in record && record.where)
  assert.deepEqual(keysOf('unknowable').sort(), [
    'grey:example.org:anna@example.org:bob@example.com',
    'white:example.org',
  ])
  assert.deepEqual(keysOf('broken').sort(), ['grey:192.0.2.9', 'white:192.0.2.10', 'white:192.0.2.8'])
})

test('haraka: what is no URL, or a Redis that is away, is told', async () => {
  await assert.rejects(
    readPeer('haraka', '/var/lib/haraka'),
    /^Error: it is no URL of a Redis: expected redis:\/\//,
  )
  await assert.rejects(readPeer('haraka', `redis://127.0.0.1:${await freePort()}/11`), /^Error: Redis: /)
})
