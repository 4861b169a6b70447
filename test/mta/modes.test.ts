// Settings that change who is deferred at all, through a real Postfix, on LMDB and on Redis: observe, and recipients.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Greymx, startGreymx, waitForOutcomes } from '../support/greymx.ts'
import { startPostfix, startSession } from '../support/postfix.ts'
import { startRedis } from '../support/redis.ts'
import { scratch } from '../support/scratch.ts'
import type { SmtpClient } from '../support/smtp.ts'
import { DELAY, MARGIN, rcptOnce } from './scenarios.ts'

const STORES: Array<[name: string, store: (dir: string) => Promise<string>]> = [
  ['LMDB', async (dir) => `"lmdb:${dir}/state"`],
  ['Redis', async (dir) => `${(await startRedis({ dir })).url}/0`],
]

async function start(t: TestContext, storeOf: (dir: string) => Promise<string>, settings: string) {
  const dir = await scratch(t)
  const store = await storeOf(dir)
  const greymx = await startGreymx({ dir, settings: `store: ${store}\n${settings}` })
  const mta = await startPostfix({ dir, milter: `inet:127.0.0.1:${greymx.port}` })
  const client = await startSession(mta, { ADDR: '192.0.2.7' })
  return { dir, store, greymx, client }
}

async function metricsOf({ adminPort }: Greymx): Promise<string> {
  return (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()
}

async function codes(client: SmtpClient, sender: string, ...recipients: string[]): Promise<string[]> {
  const replies: string[] = []
  for (const recipient of recipients) replies.push((await rcptOnce(client, sender, recipient)).slice(0, 3))
  return replies
}

for (const [name, storeOf] of STORES) {
  test(`${name}: observe defers nothing, and enforce starts warm with what it learnt`, async (t) => {
    const times = `delay: ${DELAY}ms, retry_window: 60s, lifetime: 60s`
    const { dir, store, greymx, client } = await start(t, storeOf, `greylist: { mode: observe, ${times} }`)
    assert.deepEqual(await codes(client, 'warm@a.test', 'u@example.com', 'u@example.com'), ['250', '250'])
    await sleep(DELAY + MARGIN)
    assert.deepEqual(await codes(client, 'warm@a.test', 'u@example.com'), ['250'])
    await client.quit()
    assert.deepEqual(await waitForOutcomes(greymx, 'warm@a.test', 3), [
      'pass observe',
      'pass observe',
      'pass retry',
    ])
    assert.match(greymx.log().join('\n'), /reason=observe would=tempfail would_reason=new /)
    assert.match(await metricsOf(greymx), /greymx_decisions_total\{verdict="pass",reason="observe"\} 2/)
    await greymx.stop()

    const enforcing = await startGreymx({
      dir,
      name: 'enforce',
      settings: `store: ${store}\ngreylist: { ${times} }`,
    })
    const mta = await startPostfix({ dir, milter: `inet:127.0.0.1:${enforcing.port}` })
    const again = await startSession(mta, { ADDR: '192.0.2.7' })
    assert.deepEqual(await codes(again, 'warm@a.test', 'u@example.com', 'v@example.com'), ['250', '451'])
    await again.quit()
  })

  test(`${name}: only the recipients of the setting are greylisted`, async (t) => {
    const settings = 'recipients: { only: [example.com], except: [vip@example.com] }'
    const { greymx, client } = await start(t, storeOf, settings)
    assert.deepEqual(await codes(client, 'who@a.test', 'u@example.com', 'VIP@example.com', 'u@example.net'), [
      '451',
      '250',
      '250',
    ])
    await client.quit()
    assert.deepEqual(await waitForOutcomes(greymx, 'who@a.test', 3), [
      'tempfail new',
      'pass not-greylisted',
      'pass not-greylisted',
    ])
    assert.match(
      await metricsOf(greymx),
      /greymx_decisions_total\{verdict="pass",reason="not-greylisted"\} 2/,
    )
  })
}
