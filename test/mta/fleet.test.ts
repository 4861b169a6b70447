// Tests several MX hosts that share one state, and failures of that state, with real Postfix and Redis and killed
// daemons.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startGreymx, waitForOutcomes } from '../support/greymx.ts'
import { ask, milterSession } from '../support/milter.ts'
import type { Mta } from '../support/mta.ts'
import { startPostfix, startSession } from '../support/postfix.ts'
import { type Redis, startRedis } from '../support/redis.ts'
import { scratch, waitFor } from '../support/scratch.ts'
import type { SmtpClient } from '../support/smtp.ts'
import { DELAY, MARGIN, rcptOnce, send } from './scenarios.ts'

const TIMES = `greylist: { delay: ${DELAY}ms, retry_window: 60s, lifetime: 60s, max_deferrals: 0 }`

function session(mta: Mta): Promise<SmtpClient> {
  return startSession(mta, { ADDR: '192.0.2.7' })
}

test('two MX hosts with one Redis: first seen at one, a triplet passes at the other, and two first attempts at once are one', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  const settings = `store: ${redis.url}/3\n${TIMES}`
  const daemons = await Promise.all(['a', 'b'].map((name) => startGreymx({ dir, name, settings })))
  const mtas = await Promise.all(
    daemons.map(({ port }) => startPostfix({ dir, milter: `inet:127.0.0.1:${port}` })),
  )
  const clients = await Promise.all(mtas.map((mta) => session(mta)))
  const [first, second] = clients
  assert.ok(first && second)

  const both = await Promise.all(clients.map((client) => rcptOnce(client, 'both@a.test', 'u@example.com')))
  assert.ok(
    both.every((reply) => reply.startsWith('451')),
    both.join(),
  )
  assert.equal(both[0], both[1], 'both quote the same reference')
  assert.match(await rcptOnce(first, 'moves@a.test', 'u@example.com'), /^451/)
  // Two triplets, and the tally of their network if one host has deferred both.
  const keys = (await redis.cli('-n', '3', 'keys', '*')).split('\n')
  assert.match(String(keys.filter((key) => !key.startsWith('greymx:r:')).length), /^[23]$/)
  assert.match(await rcptOnce(second, 'moves@a.test', 'u@example.com'), /^451/)
  await sleep(DELAY + MARGIN)
  assert.match(await send(second, 'moves@a.test', ['u@example.com']), /^250/)
  assert.match(await send(first, 'moves@a.test', ['u@example.com']), /^250/)
  assert.match(await rcptOnce(first, 'both@a.test', 'u@example.com'), /^250/)
  for (const client of clients) await client.quit()
  const [a, b] = daemons
  assert.ok(a && b)
  assert.deepEqual(
    [...(await waitForOutcomes(a, 'both@a.test', 2)), ...(await waitForOutcomes(b, 'both@a.test', 1))].sort(),
    ['pass retry', 'tempfail early', 'tempfail new'],
  )
})

test('a frontend whose clock is a day off changes nothing', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  const settings = `store: ${redis.url}/0\n${TIMES}`
  const right = await startGreymx({ dir, name: 'right', settings })
  const wrong = await startGreymx({ dir, name: 'wrong', settings, clockOffset: '+1d' })
  const [rightClient, wrongClient] = [await milterSession(right), await milterSession(wrong)]
  assert.equal(await ask(rightClient, 'a@a.test'), 'tempfail')
  assert.equal(await ask(wrongClient, 'a@a.test'), 'tempfail')
  assert.equal(await ask(wrongClient, 'b@a.test'), 'tempfail')
  assert.equal(await ask(rightClient, 'b@a.test'), 'tempfail')
  await sleep(DELAY + MARGIN)
  assert.equal(await ask(wrongClient, 'a@a.test'), 'pass')
  assert.equal(await ask(rightClient, 'b@a.test'), 'pass')
  for (const client of [rightClient, wrongClient]) client.quit()
})

test('LMDB: what had passed still passes after kill -9, and a stale socket file is no obstacle', async (t) => {
  const dir = await scratch(t)
  const settings = `store: "lmdb:${dir}/state"\n${TIMES}`
  const first = await startGreymx({ dir, settings })
  const before = await milterSession(first)
  const senders = Array.from({ length: 50 }, (_, index) => `s${index}@a.test`)
  for (const sender of senders) assert.equal(await ask(before, sender), 'tempfail')
  await sleep(DELAY + MARGIN)
  for (const sender of senders) assert.equal(await ask(before, sender), 'pass')
  assert.equal(await ask(before, 'pending@a.test'), 'tempfail')
  await first.stop('SIGKILL')
  const second = await startGreymx({ dir, settings })
  const after = await milterSession(second)
  for (const sender of senders) assert.equal(await ask(after, sender), 'pass')
  await sleep(DELAY)
  assert.equal(await ask(after, 'pending@a.test'), 'pass', 'a wait goes on over a restart')
  after.quit()
})

test('SIGTERM lets open sessions end, takes no new connection, and exits 0 though one is silent', async (t) => {
  const dir = await scratch(t)
  const greymx = await startGreymx({ dir, settings: `store: "memory:"\n${TIMES}` })
  const open = await milterSession(greymx)
  const silent = await milterSession(greymx)
  const between = await milterSession(greymx)
  await open.mail('<a@a.test>')
  await open.rcpt('<postmaster@example.com>')
  greymx.signal('SIGTERM')
  await waitFor('the daemon to stop listening', async () =>
    greymx.connect().then(
      (client) => client.quit(),
      () => true,
    ),
  )
  // If the connection closed, Postfix and Sendmail would not use the filter for the rest of the session.
  await between.mail('<b@a.test>')
  assert.equal((await between.rcpt('<u@example.com>')).code, 'y')
  between.quit()
  assert.equal((await open.rcpt('<u@example.com>')).code, 'y')
  assert.equal((await open.endOfMessage()).code, 'c')
  assert.equal(await greymx.exited(), 0)
  await assert.rejects(silent.mail('<c@a.test>').then(() => silent.rcpt('<u@example.com>')))
  assert.match(greymx.log().at(-1) ?? '', /msg=stopped/)
})

test('a Redis that stands still costs one time-out, not one for each RCPT', async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  const greymx = await startGreymx({ dir, settings: `store: ${redis.url}/0\n${TIMES}` })
  const clients = await Promise.all(Array.from({ length: 8 }, () => milterSession(greymx)))
  const [first] = clients
  assert.ok(first)
  assert.equal(await ask(first, 'before@a.test'), 'tempfail')
  redis.pause()
  const startedAt = performance.now()
  for (let round = 0; round < 5; round += 1) {
    const verdicts = await Promise.all(
      clients.map((client, index) => ask(client, `${round}-${index}@a.test`)),
    )
    assert.deepEqual([...new Set(verdicts)], ['pass'])
  }
  const took = performance.now() - startedAt
  assert.ok(took < 1000, `40 recipients took ${took} ms`)
  redis.resume()
  await waitFor('greylisting to resume', async () => (await ask(first, 'after@a.test')) === 'tempfail')
  const metrics = await (await fetch(`http://127.0.0.1:${greymx.adminPort}/metrics`)).text()
  const timeouts = [
    ...metrics.matchAll(/store_operations_total\{operation="(\w+)",result="timeout"\} (\d+)/g),
  ]
  const byMail = timeouts.filter(([, operation]) => operation !== 'check').map(([, , count]) => Number(count))
  assert.deepEqual(
    byMail.filter((count) => count !== 0),
    [1],
    metrics,
  )
  assert.match(metrics, /^greymx_store_outages_total 1$/m)
  for (const client of clients) client.quit()
})

interface Answered {
  readonly replies: string[]
  longest: number
}

/** Sends RCPTs, each from a new sender, until `isOver`; resolves to the replies and the longest wait. */
async function load(mta: Mta, isOver: () => boolean): Promise<Answered> {
  const client = await session(mta)
  const answered: Answered = { replies: [], longest: 0 }
  for (let index = 0; !isOver(); index += 1) {
    const startedAt = performance.now()
    const reply = await rcptOnce(client, `${process.hrtime.bigint()}-${index}@load.test`, 'u@example.com')
    answered.longest = Math.max(answered.longest, performance.now() - startedAt)
    answered.replies.push(reply)
  }
  await client.quit()
  return answered
}

const OUTAGES: Array<
  [name: string, begin: (redis: Redis) => Promise<void>, end: (redis: Redis, dir: string) => Promise<void>]
> = [
  [
    'killed',
    (redis) => redis.kill9(),
    async (redis, dir) => {
      await startRedis({ dir, port: redis.port })
    },
  ],
  ['stopped', async (redis) => redis.pause(), async (redis) => redis.resume()],
]

for (const [outage, begin, end] of OUTAGES) {
  for (const [onStoreError, during] of [
    ['accept', '250'],
    ['tempfail', '451'],
  ] as const) {
    test(`Redis ${outage} under load, on_store_error ${onStoreError}: every RCPT is answered within a second, and greylisting resumes`, async (t) => {
      const dir = await scratch(t)
      const redis = await startRedis({ dir })
      const settings = `store: ${redis.url}/0\non_store_error: ${onStoreError}\n${TIMES}`
      const greymx = await startGreymx({ dir, settings })
      const mta = await startPostfix({ dir, milter: `inet:127.0.0.1:${greymx.port}` })

      const known = await session(mta)
      await rcptOnce(known, 'known@a.test', 'u@example.com')
      let isOver = false
      const running = [load(mta, () => isOver), load(mta, () => isOver)]
      await sleep(DELAY + MARGIN)
      assert.match(await rcptOnce(known, 'known@a.test', 'u@example.com'), /^250/)

      await begin(redis)
      await waitFor('the loss to be noticed', () =>
        greymx.log().some((line) => line.includes('store is down')),
      )
      await sleep(1500)
      const reply = await rcptOnce(known, 'outage@a.test', 'u@example.com')
      assert.equal(reply.slice(0, 3), during)
      assert.equal((await fetch(`http://127.0.0.1:${greymx.adminPort}/healthz`)).status, 503)

      await end(redis, dir)
      await waitFor('greylisting to resume', async () => {
        await rcptOnce(known, `${process.hrtime.bigint()}@back.test`, 'u@example.com')
        return /reason=new/.test(greymx.log().findLast((line) => line.includes('@back.test')) ?? '')
      })
      assert.equal((await fetch(`http://127.0.0.1:${greymx.adminPort}/healthz`)).status, 200)
      isOver = true
      const answered = await Promise.all(running)
      await known.quit()

      const replies = answered.flatMap((one) => one.replies.map((text) => text.slice(0, 3)))
      assert.ok(
        replies.every((code) => code === '451' || code === during),
        [...new Set(replies)].join(),
      )
      assert.ok(Math.max(...answered.map(({ longest }) => longest)) < 1000, 'an answer took a second or more')
      const events = greymx.log().filter((line) => /store is (up|down)/.test(line))
      assert.ok(events.length <= 6, `the log repeats itself:\n${events.join('\n')}`)
    })
  }
}
