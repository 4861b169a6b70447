// Moves correspondents of another greylister over to greymx, which serves a real Postfix meanwhile: who had passed there
// passes at once, and who was waiting passes at its retry.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { runGreymx, startGreymx, waitForOutcomes } from '../support/greymx.ts'
import { ask, milterSession } from '../support/milter.ts'
import { complaintsOf, startPostfix, startSession } from '../support/postfix.ts'
import { startPostgrey } from '../support/postgrey.ts'
import { startRedis } from '../support/redis.ts'
import { scratch } from '../support/scratch.ts'
import { rcptOnce, send } from './scenarios.ts'

/** The client of test/support/milter.ts, and its recipient. */
const CLIENT = '192.0.2.7'
const RECIPIENT = 'u@example.com'
const KNOWN = 'known@a.test'
const WAITING = 'waiting@a.test'

/** The delay of greymx, and time beyond it for the clocks of two processes, in milliseconds. */
const DELAY = 4500
const MARGIN = 300

/** A greylister that has let `KNOWN` pass, and has deferred `WAITING` just now. */
interface Origin {
  readonly peer: string
  /** Resolves to what `greymx import` gets as source, and the instant of the deferral by performance.now(). */
  leave(dir: string): Promise<{ readonly source: string; readonly deferredAt: number }>
}

const ORIGINS: readonly Origin[] = [
  {
    peer: 'greymx',
    async leave(dir) {
      const settings = `store: "lmdb:${dir}/old"\ngreylist: { delay: 1s, retry_window: 1h }\n`
      const old = await startGreymx({ dir, name: 'old', settings })
      const session = await milterSession(old)
      assert.equal(await ask(session, KNOWN), 'tempfail')
      await sleep(1000 + MARGIN)
      assert.equal(await ask(session, KNOWN), 'pass')
      const deferredAt = performance.now()
      assert.equal(await ask(session, WAITING), 'tempfail')
      session.quit()
      const source = join(dir, 'export.jsonl')
      const exported = await runGreymx(['export', source, '--config', old.configFile])
      assert.equal(exported.status, 0, exported.stderr)
      return { source, deferredAt }
    },
  },
  {
    peer: 'postgrey',
    async leave() {
      const source = await scratch({ after })
      const postgrey = await startPostgrey({ dir: source, time: nowInSeconds(), isReadable: true })
      const verdictOn = (sender: string, seconds: number) =>
        postgrey.ask({
          client_address: CLIENT,
          client_name: 'unknown',
          sender,
          recipient: RECIPIENT,
          policy_test_time: `${seconds}`,
        })
      assert.match(await verdictOn(KNOWN, nowInSeconds() - 3600), /^DEFER_IF_PERMIT /)
      assert.match(await verdictOn(KNOWN, nowInSeconds() - 3000), /^PREPEND /)
      // Postgrey counts whole seconds.
      const deferredAt = performance.now() - (Date.now() % 1000)
      const now = Math.round((Date.now() - (performance.now() - deferredAt)) / 1000)
      assert.match(await verdictOn(WAITING, now), /^DEFER_IF_PERMIT /)
      return { source, deferredAt }
    },
  },
]

function nowInSeconds(): number {
  return Math.floor(Date.now() / 1000)
}

describe('moving over to greymx, through Postfix:', { concurrency: true }, () => {
  for (const { peer, leave } of ORIGINS) {
    test(`from ${peer}: who had passed passes at once, and who was waiting at its retry`, async () => {
      const dir = await scratch({ after })
      const redis = await startRedis({ dir })
      const settings = `store: "${redis.url}"\ngreylist: { delay: ${DELAY}ms, retry_window: 1h }\n`
      const greymx = await startGreymx({ dir, settings })
      const mta = await startPostfix({ dir, milter: `inet:127.0.0.1:${greymx.port}` })
      const { source, deferredAt } = await leave(dir)
      const client = await startSession(mta, { ADDR: CLIENT })
      const strangerAt = performance.now()
      assert.match(await rcptOnce(client, 'stranger@a.test', RECIPIENT), /^451 /)

      const imported = await runGreymx(['import', peer, source, '--config', greymx.configFile])
      assert.equal(imported.status, 0, imported.stderr)
      assert.match(await send(client, KNOWN, [RECIPIENT]), /^250 /)
      assert.match(await rcptOnce(client, KNOWN, 'other@example.com'), /^451 /)
      const early = await rcptOnce(client, WAITING, RECIPIENT)
      // On a machine that is slow enough, the delay is over by now.
      if (performance.now() - deferredAt < DELAY) assert.match(early, /^451 /)
      await sleep(Math.max(0, deferredAt + DELAY + MARGIN - performance.now()))
      assert.match(await send(client, WAITING, [RECIPIENT]), /^250 /)
      if (performance.now() - strangerAt < DELAY)
        assert.match(await rcptOnce(client, 'stranger@a.test', RECIPIENT), /^451 /)
      await client.quit()
      const outcomes = await waitForOutcomes(greymx, WAITING, 2)
      assert.ok(outcomes.includes('pass retry') && !outcomes.includes('tempfail new'), `${outcomes}`)
      assert.deepEqual((await waitForOutcomes(greymx, KNOWN, 2)).slice(0, 1), ['pass known'])
      assert.deepEqual(await complaintsOf(mta), [])
    })
  }
})
