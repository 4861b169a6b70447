// Tests of the daemon with a bad line to Redis, which is slow, cut again and again, or corrupts replies: each RCPT is
// answered in time, nothing that has passed is deferred later, and the daemon recovers when the line is good again.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startGreymx } from '../../support/greymx.ts'
import { ask, milterSession } from '../../support/milter.ts'
import { startProxy, type TcpProxy } from '../../support/proxy.ts'
import { startRedis } from '../../support/redis.ts'
import { scratch, waitFor } from '../../support/scratch.ts'

/** How long the line is bad, in milliseconds. */
const BAD_FOR = 2000
/** Longest wait for the answer to RCPT, in milliseconds; the first of an outage waits for store_timeout, 250. */
const MAX_WAIT = 1000
const DELAY = 500

interface Fault {
  readonly name: string
  /** Makes the line bad, and returns a function that ends this. */
  begin(proxy: TcpProxy): () => void
  /** Matches a problem of the store that the log has at least once. */
  readonly problem: RegExp
}

const FAULTS: readonly Fault[] = [
  {
    name: '400 ms late',
    begin(proxy) {
      proxy.delay(400)
      return () => proxy.delay(0)
    },
    problem: /did not answer \w+ within 250ms/,
  },
  {
    name: 'cut ten times a second',
    begin(proxy) {
      const timer = setInterval(() => proxy.cut(), 100)
      return () => clearInterval(timer)
    },
    problem: /connection was closed/,
  },
  {
    name: 'garbling what comes back',
    begin(proxy) {
      proxy.corrupt(true)
      return () => proxy.corrupt(false)
    },
    problem: /Redis|did not answer/,
  },
]

for (const { name, begin, problem } of FAULTS) {
  test(`a line to Redis that is ${name}: mail flows, and what had passed passes afterwards`, async (t) => {
    const dir = await scratch(t)
    const redis = await startRedis({ dir })
    const proxy = await startProxy(dir, redis.port)
    const greymx = await startGreymx({
      dir,
      settings: `store: redis://127.0.0.1:${proxy.port}/0\ngreylist: { delay: ${DELAY}ms, max_deferrals: 0, auto_whitelist: false }`,
    })
    const session = await milterSession(greymx)
    t.after(() => session.quit())
    const known = Array.from({ length: 20 }, (_, index) => `known${index}@a.test`)
    for (const sender of known) assert.equal(await ask(session, sender), 'tempfail')
    await sleep(DELAY + 100)
    for (const sender of known) assert.equal(await ask(session, sender), 'pass')

    const end = begin(proxy)
    const deadline = performance.now() + BAD_FOR
    let longest = 0
    let count = 0
    while (performance.now() < deadline) {
      const isKnown = count % 2 === 0
      const sender = isKnown ? (known[count % known.length] ?? '') : `n${count}@a.test`
      const startedAt = performance.now()
      const verdict = await ask(session, sender)
      longest = Math.max(longest, performance.now() - startedAt)
      assert.ok(verdict === 'pass' || !isKnown, `${count}: ${verdict}`)
      count += 1
      await sleep(5)
    }
    end()
    assert.ok(longest < MAX_WAIT, `${longest} ms`)
    await waitFor(
      'greylisting to resume',
      async () => (await ask(session, `late${performance.now()}@a.test`)) === 'tempfail',
    )
    for (const sender of known) assert.equal(await ask(session, sender), 'pass')
    const problems = greymx.log().filter((line) => /msg="store is down"/.test(line))
    assert.ok(
      problems.some((line) => problem.test(line)),
      problems.join('\n'),
    )
    t.diagnostic(`${count} RCPTs, the longest answered after ${Math.round(longest)} ms`)
  })
}
