// Tests of the daemon with its state in LMDB, in failures: a full disk, kill -9, a process that hangs, a second daemon.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { MilterClient } from '../../../src/milter/client.ts'
import { childrenOf } from '../../support/daemon.ts'
import { type Greymx, startGreymx } from '../../support/greymx.ts'
import { ask, milterSession } from '../../support/milter.ts'
import { scratch, waitFor } from '../../support/scratch.ts'

const run = promisify(execFile)

const DELAY = 100
const TIMES = `greylist: { delay: ${DELAY}ms, retry_window: 60s, lifetime: 60s, max_deferrals: 0 }`
const MARGIN = 20

/** Settings for counting passes under load: no mail passes because the store failed, or because the machine is busy. */
const STRICT = 'store_timeout: 1500ms\non_store_error: tempfail'

/** Asks for the verdict on a new sender. */
let senders = 0
function askNew(client: MilterClient): Promise<string> {
  senders += 1
  return ask(client, `new${senders}@a.test`)
}

function health(greymx: Greymx): Promise<number> {
  return fetch(`http://127.0.0.1:${greymx.adminPort}/healthz`).then(({ status }) => status)
}

/** The process that has the state open for a daemon. */
async function stateProcess({ pid }: Greymx): Promise<number> {
  const [child] = await childrenOf(pid)
  assert.ok(child)
  return child
}

for (const [onStoreFull, duringOutage] of [
  ['accept', 'pass'],
  ['tempfail', 'tempfail'],
  ['local', 'tempfail'],
] as const) {
  test(`a full disk, on_store_full ${onStoreFull}: what had passed passes, the rest is answered as configured, and room is enough to recover`, async (t) => {
    const dir = await scratch(t)
    const disk = { path: `${dir}/disk`, size: '1m' }
    const greymx = await startGreymx({
      dir,
      disk,
      settings: `store: "lmdb:${disk.path}/state"\non_store_full: ${onStoreFull}\n${TIMES}`,
    })
    const client = await milterSession(greymx)
    assert.equal(await ask(client, 'known@a.test'), 'tempfail')
    await sleep(DELAY + MARGIN)
    assert.equal(await ask(client, 'known@a.test'), 'pass')
    assert.equal(await health(greymx), 200)

    const filler = join(greymx.root, disk.path, 'filler')
    await writeFile(filler, Buffer.alloc(2 ** 20)).catch(() => undefined) // fills the disk
    await waitFor('the full disk to be noticed', async () => {
      await askNew(client)
      return greymx.log().some((line) => line.includes('store takes no writes'))
    })
    for (let count = 0; count < 50; count += 1) {
      assert.equal(await askNew(client), duringOutage)
      assert.equal(await ask(client, 'known@a.test'), 'pass')
    }
    assert.equal(await health(greymx), 503)

    await rm(filler)
    await waitFor('the store to be up again', async () => (await health(greymx)) === 200)
    assert.equal(await ask(client, 'after@a.test'), 'tempfail')
    await sleep(DELAY + MARGIN)
    assert.equal(await ask(client, 'after@a.test'), 'pass')
    assert.equal(await ask(client, 'known@a.test'), 'pass')
    client.quit()
    assert.ok(!greymx.log().some((line) => line.includes('moved aside')))
    const problems = greymx.log().filter((line) => line.includes('store takes no writes'))
    assert.ok(problems.length < 5, `the log repeats itself:\n${problems.join('\n')}`)
    assert.ok(
      problems.every((line) => /problem="LMDB: (No space left|Input\/output)/.test(line)),
      problems.join('\n'),
    )
    greymx.signal('SIGTERM')
    assert.equal(await greymx.exited(), 0)
  })
}

test('on a disk that is full from the beginning greymx starts, mail flows, and room is enough to begin', async (t) => {
  const dir = await scratch(t)
  const greymx = await startGreymx({
    dir,
    disk: { path: `${dir}/disk`, size: '4k' },
    settings: `store: "lmdb:${dir}/disk/state"\n${TIMES}`,
  })
  const client = await milterSession(greymx)
  assert.equal(await askNew(client), 'pass')
  assert.equal(await health(greymx), 503)
  await run('nsenter', ['-t', `${greymx.pid}`, '-m', 'mount', '-o', 'remount,size=1m', `${dir}/disk`])
  await waitFor('the store to be up', async () => (await health(greymx)) === 200)
  assert.equal(await askNew(client), 'tempfail')
  client.quit()
  greymx.signal('SIGTERM')
  assert.equal(await greymx.exited(), 0)
})

test('a journal on a full disk, or one that is damaged, is no obstacle to what a host knows by itself', async (t) => {
  const dir = await scratch(t)
  const disk = { path: `${dir}/disk`, size: '1m' }
  const greymx = await startGreymx({
    dir,
    disk,
    settings: `store: redis://127.0.0.1:1/0\non_store_error: local\nlocal_store: "lmdb:${disk.path}/local"\n${TIMES}`,
  })
  const state = join(greymx.root, disk.path, 'local')
  const client = await milterSession(greymx)
  const wait = async (sender: string) => {
    assert.equal(await ask(client, sender), 'tempfail')
    await sleep(DELAY + MARGIN)
    assert.equal(await ask(client, sender), 'pass')
  }
  const count = (text: string) => greymx.log().filter((line) => line.includes(text)).length
  await wait('before@a.test')
  const filler = join(greymx.root, disk.path, 'filler')
  await writeFile(filler, Buffer.alloc(2 ** 20)).catch(() => undefined) // fills the disk
  await waitFor('the full disk to be noticed', async () => {
    assert.equal(await askNew(client), 'tempfail')
    return count('local_store cannot be written to disk') > 0
  })
  await wait('during@a.test')
  await rm(filler)
  await waitFor('it to be written again', () => count('local_store is written to disk again') === 1)

  await truncate(join(state, 'data.mdb'), 2 * 4096)
  await waitFor('the damage to be noticed', async () => {
    assert.equal(await askNew(client), 'tempfail')
    return count('moved aside') > 0
  })
  await waitFor('it to be written anew', () => count('local_store is written to disk again') === 2)
  process.kill(await stateProcess(greymx), 'SIGSTOP')
  const askedAt = performance.now()
  for (let index = 0; index < 5; index += 1) assert.equal(await askNew(client), 'tempfail')
  assert.ok(performance.now() - askedAt < 1000)
  process.kill(await stateProcess(greymx), 'SIGCONT')
  await waitFor('it to be written again', () => count('local_store is written to disk again') === 3)
  assert.equal(count('local_store cannot be written to disk'), 3)
  for (const sender of ['before@a.test', 'during@a.test']) assert.equal(await ask(client, sender), 'pass')
  client.quit()
  greymx.signal('SIGTERM')
  assert.equal(await greymx.exited(), 0)
})

test('while the process that has the state stands still, mail flows, and nobody waits long', async (t) => {
  const dir = await scratch(t)
  const greymx = await startGreymx({ dir, settings: `store: "lmdb:${dir}/state"\n${TIMES}` })
  const client = await milterSession(greymx)
  assert.equal(await askNew(client), 'tempfail')
  const pid = await stateProcess(greymx)
  process.kill(pid, 'SIGSTOP')
  for (let count = 0; count < 5; count += 1) {
    const askedAt = performance.now()
    assert.equal(await askNew(client), 'pass')
    assert.ok(performance.now() - askedAt < 1000)
  }
  process.kill(pid, 'SIGCONT')
  await waitFor('the store to be up again', async () => (await health(greymx)) === 200)
  assert.equal(await askNew(client), 'tempfail')
  client.quit()
})

test('two daemons on one directory: each knows at once what the other has seen, and one killed under load leaves the other well', async (t) => {
  const dir = await scratch(t)
  const settings = `store: "lmdb:${dir}/state"\n${STRICT}\n${TIMES}`
  const first = await startGreymx({ dir, name: 'first', settings })
  const second = await startGreymx({ dir, name: 'second', settings })
  const [one, two] = [await milterSession(first), await milterSession(second)]
  assert.equal(await ask(one, 'a@a.test'), 'tempfail')
  assert.equal(await ask(two, 'a@a.test'), 'tempfail')
  await sleep(DELAY + MARGIN)
  assert.equal(await ask(two, 'a@a.test'), 'pass')
  assert.equal(await ask(one, 'a@a.test'), 'pass')

  // Both write as much as they can, so that the file outgrows the map of each several times.
  const load = async (client: MilterClient, name: string) => {
    for (let index = 0; index < 1500; index += 1) await ask(client, `${name}${index}@a.test`)
  }
  const [outlived] = await Promise.allSettled([
    load(one, 'one'),
    load(two, 'two'),
    sleep(300).then(() => first.stop('SIGKILL')),
  ])
  assert.equal(outlived.status, 'rejected', 'the first was killed under load')
  await sleep(DELAY)
  for (const sender of ['a@a.test', 'one0@a.test', 'one10@a.test', 'two1499@a.test']) {
    assert.equal(await ask(two, sender), 'pass', sender)
  }
  assert.deepEqual(
    second.log().filter((line) => /store is down|moved aside/.test(line)),
    [],
  )
  assert.equal(await askNew(two), 'tempfail')
  two.quit()
})

/** Number of kills in the test below; LMDB_KILLS sets another. */
const KILLS = Number(process.env.LMDB_KILLS ?? 5)

test('killed again and again under load, greymx finds every pass that it gave, and its state is never damaged', async (t) => {
  const dir = await scratch(t)
  const settings = `store: "lmdb:${dir}/state"\n${STRICT}\n${TIMES}`
  const passed: string[] = []
  for (let round = 0; round < KILLS; round += 1) {
    const greymx = await startGreymx({ dir, settings })
    const clients = await Promise.all(Array.from({ length: 4 }, () => milterSession(greymx)))
    for (const sender of passed.slice(-10)) {
      assert.equal(await ask(clients[0] as MilterClient, sender), 'pass', `${sender} in round ${round}`)
    }
    const load = Promise.allSettled(
      clients.map(async (client, index) => {
        for (let count = 0; ; count += 1) {
          const sender = `r${round}-${index}-${Math.floor(count / 2)}@a.test`
          if (count % 2 === 1) await sleep(DELAY + 1)
          const verdict = await ask(client, sender)
          if (count % 2 === 1 && verdict === 'pass') passed.push(sender)
          // Mail of senders that come only once keeps the state busy.
          for (let other = 0; other < 20; other += 1) await askNew(client)
        }
      }),
    )
    // The kill comes at any point, and hits either of the two processes first.
    await waitFor('some passes', () => passed.length > 3 * round)
    await sleep(Math.random() * 200)
    if (round % 2 === 0) process.kill(await stateProcess(greymx), 'SIGKILL')
    await greymx.stop('SIGKILL')
    await load
    assert.ok(!greymx.log().some((line) => line.includes('moved aside')))
  }
  assert.deepEqual((await readdir(join(dir, 'state'))).sort(), ['data.mdb', 'lock.mdb'])
})

test('on a machine whose date was a day ahead, who waits waits the delay once by the new date', async (t) => {
  const dir = await scratch(t)
  const settings = `store: "lmdb:${dir}/state"\n${STRICT}
greylist: { delay: 1s, retry_window: 2d, lifetime: 36d, auto_whitelist: false }`
  const ahead = await startGreymx({ dir, name: 'ahead', clockOffset: '+1d', settings })
  const before = await milterSession(ahead)
  for (const sender of ['waits@a.test', 'passed@a.test']) assert.equal(await ask(before, sender), 'tempfail')
  await sleep(1100)
  assert.equal(await ask(before, 'passed@a.test'), 'pass')
  await ahead.stop()

  const greymx = await startGreymx({ dir, settings })
  const client = await milterSession(greymx)
  assert.equal(await ask(client, 'passed@a.test'), 'pass')
  assert.equal(await ask(client, 'waits@a.test'), 'tempfail')
  await sleep(1100)
  assert.equal(await ask(client, 'waits@a.test'), 'pass')
})
