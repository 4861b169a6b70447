// The scenarios through a real Sendmail over a unix socket, and those that differ there: SMTP AUTH, names that may be
// forged, and a key without recipient over TCP.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { waitForOutcomes } from '../support/greymx.ts'
import type { Mta } from '../support/mta.ts'
import { scratch } from '../support/scratch.ts'
import { sendmailUser, startSendmail } from '../support/sendmail.ts'
import { connect, type SmtpClient } from '../support/smtp.ts'
import { describeMta, HOSTS, rcptOnce, senderIsJudgedAtMail, verifiedCertificatePasses } from './scenarios.ts'

const TIMEOUTS = 'T=C:5s;S:5s;R:5s;E:10s'

async function session(mta: Mta, address: string): Promise<SmtpClient> {
  const client = await connect({ ...mta, localAddress: address })
  await client.ehlo('client.test')
  return client
}

describeMta(
  {
    name: 'Sendmail',
    start: (dir, greymx) =>
      startSendmail({ dir, milter: `S=unix:${greymx.socketPath}, ${TIMEOUTS}`, hosts: HOSTS }),
    session,
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

// Sendmail sends no ABORT between a refused MAIL and the next one.
test('with the key [client, sender] Sendmail is answered at MAIL FROM, over TCP', async (t) => {
  await senderIsJudgedAtMail(await scratch(t), {
    name: 'Sendmail',
    start: (dir, greymx) => startSendmail({ dir, milter: `S=inet:${greymx.port}@127.0.0.1, ${TIMEOUTS}` }),
    session,
  })
})

test('a client certificate that Sendmail verified exempts its client', async (t) => {
  const dir = await scratch(t)
  await verifiedCertificatePasses(dir, {
    start: (greymx, tls) => startSendmail({ dir, milter: `S=unix:${greymx.socketPath}, ${TIMEOUTS}`, tls }),
    session,
  })
})
