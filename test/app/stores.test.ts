// Tests of stores that are exchanged at SIGHUP, with the daemon and real Redis: open sessions go on with the new store,
// and a new store that cannot be used changes nothing.

import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { MilterClient } from '../../src/milter/client.ts'
import { type Greymx, type GreymxOptions, startGreymx } from '../support/greymx.ts'
import { ask, milterSession } from '../support/milter.ts'
import { type Redis, startRedis } from '../support/redis.ts'
import { freePort, scratch, waitFor } from '../support/scratch.ts'

const TAKEN = /msg="configuration read again"/
const REFUSED = /msg="reload refused, configuration unchanged" fault=(".*")/

interface Bench {
  readonly dir: string
  readonly greymx: Greymx
  /** The verdict and reason of one RCPT, over one connection that stays open. */
  ask(sender: string): Promise<string>
  /** Writes other settings to the file, sends SIGHUP, and resolves to the log line with the result. */
  reload(settings: string, listen?: string): Promise<string>
}

async function setUp(
  t: TestContext,
  dir: string,
  settings: string,
  options: Pick<GreymxOptions, 'disk'> = {},
): Promise<Bench> {
  const greymx = await startGreymx({ dir, settings, ...options })
  const fixed = (await readFile(greymx.configFile, 'utf8')).replace(settings, '')
  const session = await openSession(t, greymx)
  return {
    dir,
    greymx,
    async ask(sender) {
      const before = greymx.outcomes(sender).length
      await ask(session, sender)
      return waitFor('the outcome', () => greymx.outcomes(sender)[before])
    },
    async reload(next, listen) {
      const results = () => greymx.log().filter((line) => TAKEN.test(line) || REFUSED.test(line))
      const before = results().length
      const others = listen === undefined ? fixed : fixed.replace(/^listen: .*/m, `listen: ${listen}`)
      await writeFile(greymx.configFile, `${others}${next}\n`)
      greymx.signal('SIGHUP')
      return waitFor('the reload', () => results()[before])
    },
  }
}

async function openSession(t: TestContext, greymx: Greymx): Promise<MilterClient> {
  const session = await milterSession(greymx)
  t.after(() => session.quit())
  return session
}

async function clients(redis: Redis): Promise<number> {
  const listed = await redis.cli('client', 'list')
  return listed.split('\n').filter((line) => !line.includes('cmd=client|list')).length
}

const stateLines = ({ greymx }: Bench) =>
  greymx.log().flatMap((line) => /msg="store is (up|down)" store=\S+/.exec(line)?.[0] ?? [])

const NO_LOOP_BREAKER = 'greylist: { max_deferrals: 0 }'

test('SIGHUP exchanges the store under load: open sessions go on with the new one, and none waits or is judged without', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  const stores = [`store: ${redis.url}/0`, `store: ${redis.url}/1`, `store: "lmdb:${dir}/state"`] as const
  const bench = await setUp(t, dir, `${stores[0]}\n${NO_LOOP_BREAKER}`)
  const others = await Promise.all(Array.from({ length: 8 }, () => openSession(t, bench.greymx)))
  let isOver = false
  const load = others.map(async (session, index) => {
    let count = 0
    for (; !isOver; count += 1) assert.equal(await ask(session, `${index}-${count}@load.test`), 'tempfail')
    return count
  })
  const reasons = []
  for (const store of [...stores, ...stores]) {
    assert.match(await bench.reload(`${store}\n${NO_LOOP_BREAKER}`), TAKEN)
    reasons.push(await bench.ask('a@a.test'))
  }
  isOver = true
  assert.ok((await Promise.all(load)).every((count) => count > 10))
  const anew = 'tempfail new'
  const again = 'tempfail early'
  assert.deepEqual(reasons, [anew, anew, anew, again, again, again])
  assert.deepEqual([...new Set(bench.greymx.outcomes())].sort(), [again, anew])
  await waitFor('the connections to Redis to be closed', async () => (await clients(redis)) === 0, 10_000)
  const { store } = (await (await fetch(`http://127.0.0.1:${bench.greymx.adminPort}/healthz`)).json()) as {
    store: { name: string; up: boolean }
  }
  assert.deepEqual([store.name, store.up], [`lmdb:${dir}/state`, true])
})

test('SIGHUP takes a changed password over, and refuses one that is wrong', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  const allow = (password: string) =>
    redis.cli('acl', 'setuser', 'greymx', 'on', 'resetpass', `>${password}`, '~*', '+@all')
  const settings = (password: string) =>
    `store: ${redis.url}/0\nredis: { username: greymx, password: ${password} }\n${NO_LOOP_BREAKER}`
  await allow('first')
  const bench = await setUp(t, dir, settings('first'))
  assert.equal(await bench.ask('a@a.test'), 'tempfail new')
  await allow('second')
  const refused = await bench.reload(settings('wrong'))
  assert.match(refused, /fault="Cannot use store redis:\/\/127\.0\.0\.1:\d+\/0: Redis: .*WRONGPASS/)
  assert.doesNotMatch(refused, /second|fault=.*wrong\b/)
  assert.equal(await bench.ask('a@a.test'), 'tempfail early')
  assert.match(await bench.reload(settings('second')), TAKEN)
  assert.equal(await bench.ask('a@a.test'), 'tempfail early')
  // This closes connections that logged in with the first password.
  await redis.cli('client', 'kill', 'user', 'greymx')
  await waitFor('the store to be up', async () => (await bench.ask('a@a.test')) === 'tempfail early')
})

test('SIGHUP with a store that is away, or with a socket that is taken, changes nothing', async (t) => {
  const dir = await scratch(t)
  const [redis, other] = [await startRedis({ dir }), await startRedis({ dir })]
  const away = await freePort()
  const bench = await setUp(t, dir, `store: ${redis.url}/0\n${NO_LOOP_BREAKER}`)
  assert.equal(await bench.ask('a@a.test'), 'tempfail new')
  const refused = await bench.reload(`store: redis://127.0.0.1:${away}/0\nheader: false`)
  assert.match(refused, /Cannot use store redis:\/\/127\.0\.0\.1:\d+\/0: Redis: connect ECONNREFUSED/)
  await writeFile(`${dir}/file`, '')
  assert.match(await bench.reload(`store: "lmdb:${dir}/file"`), REFUSED)
  const inUse = `inet:${redis.port}@127.0.0.1`
  assert.match(await bench.reload(`store: ${other.url}/0`, inUse), /EADDRINUSE/)
  await waitFor('the connections to be closed', async () => (await clients(other)) === 0)
  assert.equal(await bench.ask('a@a.test'), 'tempfail early')
  assert.equal(stateLines(bench).length, 1, stateLines(bench).join('\n'))
})

test('a reload that is refused logs nothing of its stores as if they were in use, and one that is taken does', async (t) => {
  const dir = await scratch(t)
  const evicting = await startRedis({ dir, args: ['--maxmemory-policy', 'allkeys-lru'] })
  const bench = await setUp(t, dir, `store: "memory:"\n${NO_LOOP_BREAKER}`)
  const warnings = () => bench.greymx.log().filter((line) => line.includes('is not set up as it should be'))
  const settings = `store: ${evicting.url}/0\n${NO_LOOP_BREAKER}`
  assert.match(await bench.reload(settings, `inet:${evicting.port}@127.0.0.1`), /EADDRINUSE/)
  await waitFor('the connections to be closed', async () => (await clients(evicting)) === 0)
  assert.deepEqual(warnings(), [])
  assert.match(await bench.reload(settings), TAKEN)
  assert.equal(warnings().length, 1)
})

test('a local store on a full disk is reported by the reload that brings it into use, and by none that is refused', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  const disk = { path: `${dir}/disk`, size: '1m' }
  const shared = `store: ${redis.url}/0\n${NO_LOOP_BREAKER}`
  const bench = await setUp(t, dir, shared, { disk })
  const filler = join(bench.greymx.root, disk.path, 'filler')
  await writeFile(filler, Buffer.alloc(2 ** 20)).catch(() => undefined) // fills the disk
  const reports = () => bench.greymx.log().filter((line) => line.includes('local_store cannot be written'))
  const settings = `${shared}\non_store_error: local\nlocal_store: "lmdb:${disk.path}/local"`
  assert.match(await bench.reload(settings, `inet:${redis.port}@127.0.0.1`), /EADDRINUSE/)
  assert.deepEqual(reports(), [])
  assert.match(await bench.reload(settings), TAKEN)
  assert.equal(reports().length, 1)
})

test('SIGHUP in an outage begins to decide locally; back again only when that was merged', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir, args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
  const settings = (onError: string, more = '') =>
    `store: ${redis.url}/0\non_store_error: ${onError}\n${more}${NO_LOOP_BREAKER}`
  const bench = await setUp(t, dir, settings('accept'))
  const figures = async () =>
    (await (await fetch(`http://127.0.0.1:${bench.greymx.adminPort}/metrics`)).text()).match(
      /^greymx_local_entries\{.*$/gm,
    )
  assert.equal(await bench.ask('a@a.test'), 'tempfail new')
  assert.equal(await figures(), null)
  await redis.kill9()
  await waitFor('the loss to be noticed', () => stateLines(bench).length === 2)
  assert.equal(await bench.ask('b@a.test'), 'pass store-error')
  assert.match(await bench.reload(settings('local')), TAKEN)
  const asker = await openSession(t, bench.greymx) // a session keeps the settings that it began with
  assert.equal(await ask(asker, 'c@a.test'), 'tempfail')
  const line = await waitFor('the outcome', () =>
    bench.greymx.log().find((text) => text.includes('=c@a.test')),
  )
  assert.match(line, /^verdict=tempfail reason=new .* store=local /)
  assert.deepEqual(await figures(), [
    'greymx_local_entries{kind="copy"} 0',
    'greymx_local_entries{kind="unmerged"} 1',
  ])
  for (const other of [settings('accept'), settings('local', `local_store: "lmdb:${dir}/local"\n`)])
    assert.match(
      await bench.reload(other),
      /while not all that this host learnt is merged into redis:\S+ \(unmerged: 1\)/,
    )
  assert.equal(await ask(asker, 'c@a.test'), 'tempfail')

  await startRedis({ dir, port: redis.port, args: ['--appendonly', 'yes'] })
  await waitFor('the merge', () => bench.greymx.log().some((text) => / merged=1$/.test(text)))
  assert.match(await bench.reload(settings('local', `local_store: "lmdb:${dir}/local"\n`)), TAKEN)
  assert.equal(await bench.ask('c@a.test'), 'tempfail early')
  assert.match(await bench.reload(settings('accept', 'store_timeout: 1s\n')), TAKEN)
  assert.equal(await bench.ask('a@a.test'), 'tempfail early')
  assert.equal(await figures(), null)
})

// Regression: what the overflow had learnt was neither asked nor merged after such a reload, and nothing showed it.
test('SIGHUP loses nothing of what a full store had no room for, and /healthz and /metrics tell of it', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  const settings = (more: string) => `store: ${redis.url}/0\n${more}${NO_LOOP_BREAKER}`
  const bench = await setUp(t, dir, settings(''))
  const shown = async (path: string) =>
    (await fetch(`http://127.0.0.1:${bench.greymx.adminPort}/${path}`)).text()
  const health = async () => JSON.parse(await shown('healthz')).local
  assert.equal(await health(), undefined)
  await redis.cli('config', 'set', 'maxmemory', '1')
  assert.equal(await bench.ask('a@a.test'), 'tempfail new')
  assert.deepEqual(await health(), { name: 'memory:', entries: 1, unmerged: 1 })
  assert.match(await shown('metrics'), /^greymx_local_entries\{kind="unmerged"\} 1$/m)
  assert.match(
    await bench.reload(settings('on_store_error: local\n')),
    /while not all that this host learnt is merged into redis:\S+ \(unmerged: 1\)/,
  )
  assert.match(await bench.reload(settings('on_store_full: accept\n')), TAKEN)
  assert.equal(await bench.ask('a@a.test'), 'tempfail early')
  assert.equal(await bench.ask('b@a.test'), 'pass store-error')
  await redis.cli('config', 'set', 'maxmemory', '0')
  await waitFor('the merge', () => bench.greymx.log().some((text) => / merged=1$/.test(text)))
  assert.match(await redis.cli('keys', '*a@a.test*'), /a@a\.test/)
  assert.equal(await health(), undefined)
  assert.match(await bench.reload(settings('on_store_error: local\n')), TAKEN)
  assert.equal(await bench.ask('a@a.test'), 'tempfail early')
})

test('a store in memory is kept over a reload', async (t) => {
  const dir = await scratch(t)
  const bench = await setUp(t, dir, `store: "memory:"\n${NO_LOOP_BREAKER}`)
  assert.equal(await bench.ask('a@a.test'), 'tempfail new')
  assert.match(await bench.reload(`store: "memory:"\nstore_timeout: 1s\n${NO_LOOP_BREAKER}`), TAKEN)
  assert.equal(await bench.ask('a@a.test'), 'tempfail early')
})
