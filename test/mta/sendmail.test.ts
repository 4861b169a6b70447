// The scenarios through a real Sendmail over a unix socket, and those that differ there: SMTP AUTH, names that may be
// forged, and a key without recipient over TCP.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startGreymx, waitForOutcomes } from '../support/greymx.ts'
import { scratch } from '../support/scratch.ts'
import { sendmailUser, startSendmail } from '../support/sendmail.ts'
import { connect } from '../support/smtp.ts'
import {
  DELAY,
  deliveriesOf,
  describeMta,
  HOSTS,
  headerOf,
  MARGIN,
  rcptOnce,
  SETTINGS,
  send,
} from './scenarios.ts'

const TIMEOUTS = 'T=C:5s;S:5s;R:5s;E:10s'

describeMta(
  {
    name: 'Sendmail',
    start: (dir, greymx) =>
      startSendmail({ dir, milter: `S=unix:${greymx.socketPath}, ${TIMEOUTS}`, hosts: HOSTS }),
    async session(mta, address) {
      const client = await connect({ ...mta, localAddress: address })
      await client.ehlo('client.test')
      return client
    },
  },
  (running) => {
    test('an authenticated client passes', async () => {
      const { greymx, session } = running()
      const client = await session('127.40.1.1')
      assert.match(await client.authCramMd5(sendmailUser.user, sendmailUser.password), /^235 /)
      assert.match(await rcptOnce(client, 'auth@a.test', 'u@example.com'), /^250 /)
      await client.quit()
      assert.deepEqual(await waitForOutcomes(greymx, 'auth@a.test', 1), ['pass authenticated'])
    })
  },
)

test('with the key [client, sender] Sendmail is answered at MAIL FROM, over TCP', async (t) => {
  const dir = await scratch(t)
  const settings = `${SETTINGS.replace('STATE', `${dir}/state`).replace('lifetime:', 'key: [client, sender], lifetime:')}`
  const greymx = await startGreymx({ dir, settings })
  const mta = await startSendmail({ dir, milter: `S=inet:${greymx.port}@127.0.0.1, ${TIMEOUTS}` })
  const client = await connect({ ...mta, localAddress: '127.1.1.1' })
  await client.ehlo('client.test')
  assert.match(await client.command('MAIL FROM:<rudd@a.test>'), /^451/)
  // Sendmail sends no ABORT before the next MAIL.
  assert.match(await client.command('MAIL FROM:<x@exempt-sender.test>'), /^250 /)
  await client.command('RSET')
  await sleep(DELAY + MARGIN)
  assert.match(await send(client, 'rudd@a.test', ['u@example.com', 'v@example.com']), /^250 /)
  await client.quit()
  assert.deepEqual(await waitForOutcomes(greymx, 'rudd@a.test', 2), ['tempfail new', 'pass retry'])
  const [message] = await deliveriesOf(mta, 'rudd@a.test', 1)
  assert.match(headerOf(message), /^X-Greylist: delayed/m)
})
