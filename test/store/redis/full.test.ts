// Tests of greymx with a Redis that is full: it can be read, so that known senders pass and who waits is judged, and
// on_store_full decides on all others. Also what `check --redis` says of it.

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { runGreymx, startGreymx } from '../../support/greymx.ts'
import { ask, milterSession } from '../../support/milter.ts'
import { type Redis, startRedis } from '../../support/redis.ts'
import { freePort, scratch, waitFor } from '../../support/scratch.ts'

const DELAY = 1500
const TIMES = `greylist: { delay: ${DELAY}ms, retry_window: 60s, lifetime: 1h, max_deferrals: 0, auto_whitelist: false }`

async function setUp(t: TestContext, settings: string, args: readonly string[] = []) {
  const dir = await scratch(t)
  const redis = await startRedis({ dir, args })
  const greymx = await startGreymx({ dir, settings: `store: ${redis.url}/0\n${TIMES}\n${settings}` })
  return { redis, greymx, client: await milterSession(greymx) }
}

const takesNoWrites = (redis: Redis, refuses: boolean) =>
  redis.cli('config', 'set', 'maxmemory', refuses ? '1' : '0')
const hasTooFewReplicas = (redis: Redis, refuses: boolean) =>
  redis.cli('config', 'set', 'min-replicas-to-write', refuses ? '1' : '0')

// Regression: everybody passed as store-error, as a Redis that was full was not even read.
describe('Redis takes no writes:', { concurrency: 2 }, () => {
  for (const [name, refuse] of [
    ['full', takesNoWrites],
    ['without the replicas that writes need', hasTooFewReplicas],
  ] as const) {
    for (const [onFull, unknown] of [
      ['accept', 'pass store-error'],
      ['tempfail', 'tempfail store-error'],
      ['local', 'tempfail new'],
    ] as const) {
      test(`a Redis that is ${name}, on_store_full ${onFull}: who is known passes, who waits is judged`, async (t) => {
        const { redis, greymx, client } = await setUp(t, `on_store_full: ${onFull}`)
        const outcome = async (sender: string) => {
          const count = greymx.outcomes(sender).length
          await ask(client, sender)
          return waitFor('the outcome', () => greymx.outcomes(sender)[count])
        }
        assert.equal(await outcome('known@a.test'), 'tempfail new')
        await sleep(DELAY + 100)
        assert.equal(await outcome('known@a.test'), 'pass retry')
        assert.equal(await outcome('waits@a.test'), 'tempfail new')
        await refuse(redis, true)
        for (let count = 0; count < 20; count += 1) assert.equal(await outcome(`new${count}@a.test`), unknown)
        assert.equal(await outcome('known@a.test'), 'pass known')
        assert.match(await outcome('waits@a.test'), /^tempfail early$|^pass retry$/)
        await sleep(DELAY + 100)
        assert.match(await outcome('waits@a.test'), /^pass (retry|known)$/)
        assert.equal(await outcome('new0@a.test'), onFull === 'local' ? 'pass retry' : unknown)
        const told = greymx.log().filter((line) => /takes no writes|store is down/.test(line))
        assert.equal(told.length, 1, told.join('\n'))
        assert.match(told[0] ?? '', /takes no writes: .*(OOM|NOREPLICAS)/)
        await refuse(redis, false)
        await waitFor(
          'the store to be up',
          () => greymx.log().filter((line) => line.includes('store is up'))[1],
        )
        if (onFull !== 'local') return
        const merge = await waitFor('the merge', () => greymx.log().find((line) => line.includes('merged=')))
        assert.match(
          merge,
          /msg="the store has taken in what this host learnt while it took no writes" merged=\d+/,
        )
        assert.equal(await outcome('new0@a.test'), 'pass known')
        assert.match(await redis.cli('get', (await redis.cli('keys', '*new0@a.test*')).trim()), /passed/)
        client.quit()
      })
    }
  }
})

test('check --redis prints version, policy, memory, entries by kind, and days until Redis is full', async (t) => {
  const { redis, greymx, client } = await setUp(t, '', ['--maxmemory', '64mb'])
  for (let count = 0; count < 50; count += 1) await ask(client, `s${count}@a.test`)
  client.quit()
  await redis.cli('hset', 'greymx:r:rules', 'a', '1')
  const { status, stdout, stderr } = await runGreymx(['check', '--redis', '--config', greymx.configFile])
  assert.equal(status, 0, stderr)
  assert.match(stdout, /: (Redis|Valkey) \d+\.\d+\.\d+, maxmemory-policy noeviction\n/)
  assert.match(stdout, /: memory: \d+\.\d MiB used of 64\.0 MiB, \d+\.\d MiB left\n/)
  // The daemon may have records (r) of its own by then.
  assert.match(stdout, /: entries: 5\d, t: 50, (o: 1, r: \d|r: \d, o: 1)\n/)
  // Entries that expire within a day make room for as many.
  assert.match(stdout, /: days until full: never, as entries do not grow\n/)
  const json = await runGreymx(['check', '--redis', '--json', '--config', greymx.configFile])
  const { redis: report } = JSON.parse(json.stdout)
  const { r: records, ...ofMail } = report.entries
  assert.deepEqual(ofMail, { t: 50, o: 1 })
  assert.ok(records >= 1, `${records}`)
  assert.equal(report.limitBytes, 64 * 1024 * 1024)

  const passed = "redis.call('SET', 'greymx:t:' .. i, '1:passed:3110400000', 'PX', 3110400000)"
  await redis.cli('eval', `for i = 1, 2000 do ${passed} end`, '0')
  const growing = await runGreymx(['check', '--redis', '--config', greymx.configFile])
  assert.match(growing.stdout, /: days until full: \d+\n/)

  await redis.cli('acl', 'setuser', 'default', '-scan')
  const refused = await runGreymx(['check', '--redis', '--config', greymx.configFile])
  assert.equal(refused.status, 69)
  assert.match(refused.stderr, /Cannot ask redis:.*lacks a right .*'scan'/)
})

test('check --redis says what it cannot ask', async (t) => {
  const { greymx, redis } = await setUp(t, '')
  await redis.stop()
  const away = await runGreymx(['check', '--redis', '--config', greymx.configFile])
  assert.equal(away.status, 69)
  assert.match(away.stderr, /Cannot ask redis:.*ECONNREFUSED/)
  const dir = await scratch(t)
  // Regression: the process ended with status 13 and without a word, as the search for a Sentinel never ended.
  const withoutSentinels = join(dir, 'sentinels.yaml')
  await writeFile(withoutSentinels, `store: redis+sentinel://127.0.0.1:${await freePort()}/mymaster\n`)
  const unknown = await runGreymx(['check', '--redis', '--config', withoutSentinels])
  assert.equal(unknown.status, 69)
  assert.match(unknown.stderr, /Cannot ask redis\+sentinel:.*Sentinel 127.0.0.1:\d+: .*ECONNREFUSED/)
  const { configFile } = await startGreymx({ dir, settings: 'store: "memory:"' })
  const other = await runGreymx(['check', '--redis', '--config', configFile])
  assert.equal(other.status, 64)
  assert.match(other.stderr, /the store is memory:, expected one in Redis/)
})
