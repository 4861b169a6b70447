// Tests of stray replies on a connection to a real Redis: the connection is closed, and on the next one each reply is
// that of its command again.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { startProxy } from '../../support/proxy.ts'
import { startRedis } from '../../support/redis.ts'
import { openWatched, redisSettings } from '../../support/redis-store.ts'
import { scratch, waitFor } from '../../support/scratch.ts'

const MINUTE = 60_000

/** How often EXEC is sent on each new connection, the last time as the last command of its examination. */
const EXECS = 2

async function setUp(t: TestContext) {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  const proxy = await startProxy(dir, redis.port)
  const watched = await openWatched(t, redisSettings(`redis://127.0.0.1:${proxy.port}/0`))
  await watched.untilReady()
  const untilExamined = async (connections: number) => {
    await watched.untilReady()
    await waitFor('the end of the examination', async () => {
      const stats = await redis.cli('info', 'commandstats')
      return Number(/^cmdstat_exec:calls=(\d+)/m.exec(stats)?.[1]) === EXECS * connections
    })
    await watched.store.find(['absent']) // whose reply comes behind that of the last EXEC
  }
  await untilExamined(1)
  await watched.store.add('pending', MINUTE)
  return { proxy, untilExamined, ...watched }
}

for (const [what, reply] of [
  ['a number', ':1\r\n'],
  ['a nil', '$-1\r\n'],
  ['a nil of another kind', '*-1\r\n'],
  ['an error', '-ERR no\r\n'],
  ['a push without a name', '>1\r\n$-1\r\n'],
] as const) {
  test(`${what} that nobody asked for ends the connection, and not the process`, async (t) => {
    const { proxy, events, store, untilReady } = await setUp(t)
    proxy.inject(reply)
    await waitFor('the end', () =>
      events.some((event) => /a reply that belongs to no command|of null/.test(event)),
    )
    await untilReady()
    const [entry] = await store.find(['pending'])
    assert.equal(entry?.passed, false)
  })
}

test('something that is no reply ends the connection', async (t) => {
  const { proxy, events, untilReady } = await setUp(t)
  proxy.inject('HTTP/1.1 400 Bad Request\r\n')
  const problem = 'it speaks another protocol than Redis (Unknown RESP type 72 "H")'
  await waitFor('the end', () => events.includes(problem))
  await untilReady()
})

test('a reply of another kind than its command ends the connection, before another key has the entry', async (t) => {
  const { proxy, untilExamined, events, store } = await setUp(t)
  let connections = 1
  for (const [ask, reply, name] of [
    [() => store.find(['absent']), '+OK\r\n', 'pttl'],
    [() => store.find(['absent']), ':1\r\n', 'mget'],
    [() => store.counts(['absent']), '*2\r\n$-1\r\n$-1\r\n', 'mget'],
    [() => store.add('new', MINUTE), ':1\r\n', 'set'],
    [() => store.pass('new', MINUTE), ':1\r\n', 'set'],
    [() => store.count('sum', MINUTE), '$-1\r\n', 'incrby'],
    [() => store.forget('absent'), '+OK\r\n', 'del'],
  ] as const) {
    proxy.delay(50)
    const before = events.length
    const answer = ask()
    proxy.inject(reply)
    await assert.rejects(answer, new RegExp(`its reply to ${name} belongs to another command`))
    proxy.delay(0)
    await waitFor('another connection', () => events.slice(before).includes('ready'))
    connections += 1
    await untilExamined(connections)
    const [absent, pending] = await store.find(['absent', 'pending'])
    assert.deepEqual([absent, pending?.passed], [undefined, false])
  }
})
