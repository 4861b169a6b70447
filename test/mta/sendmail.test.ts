// Runs the scenarios through a real Sendmail over a unix socket, and those that differ there: SMTP AUTH, names that may
// be forged, and a key without recipient over TCP.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Certificate, fingerprint, makeCertificates } from '../support/certificates.ts'
import { startGreymx, waitForOutcomes } from '../support/greymx.ts'
import type { Mta } from '../support/mta.ts'
import { scratch } from '../support/scratch.ts'
import { sendmailUser, startSendmail } from '../support/sendmail.ts'
import { connect, type SmtpClient } from '../support/smtp.ts'
import { describeMta, HOSTS, listedCertificatePasses, rcptOnce, senderIsJudgedAtMail } from './scenarios.ts'

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

test('a client certificate exempts its client where a rule has its fingerprint, or its names and Sendmail verified it', async (t) => {
  const dir = await scratch(t)
  const tls = await makeCertificates(dir)
  const md5 = (client: 'trusted' | 'stranger') => `fingerprint:${fingerprint(tls[client].cert, 'md5')}`
  const [common, distinguished] = [
    'subject:trusted.client.test issuer:authority',
    'subject:/CN=trusted.client.test',
  ]
  await listedCertificatePasses(
    dir,
    {
      start: (greymx, tls) => startSendmail({ dir, milter: `S=unix:${greymx.socketPath}, ${TIMEOUTS}`, tls }),
      session,
    },
    tls,
    [
      [[], {}],
      [['subject:stranger.client.test', 'subject:client.test', common], { trusted: common }],
      [['subject:/CN=stranger.client.test', distinguished], { trusted: distinguished }],
      [['issuer:/CN=authority'], { trusted: 'issuer:/CN=authority', other: 'issuer:/CN=authority' }],
      [[md5('trusted'), md5('stranger')], { trusted: md5('trusted'), stranger: md5('stranger') }],
    ],
  )
})

test('of the digest that Sendmail is told to make, too', async (t) => {
  const dir = await scratch(t)
  const tls = await makeCertificates(dir)
  const rule = `fingerprint:${fingerprint(tls.trusted.cert, 'sha256')}`
  await listedCertificatePasses(
    dir,
    {
      start: (greymx, tls) =>
        startSendmail({
          dir,
          milter: `S=unix:${greymx.socketPath}, ${TIMEOUTS}`,
          tls,
          definitions: "define(`confCERT_FINGERPRINT_ALGORITHM', `sha256')",
        }),
      session,
    },
    tls,
    [[[`fingerprint:${fingerprint(tls.trusted.cert, 'md5')}`, rule], { trusted: rule }]],
  )
})

// Sendmail accepts any certificate that one of its authorities has signed as a login.
test('an AUTH by EXTERNAL, which is a certificate, is no SMTP AUTH, and the certificate counts as any', async (t) => {
  const dir = await scratch(t)
  const tls = await makeCertificates(dir)
  const settings = `store: "lmdb:${dir}/state"\nexempt: { clients: [], tls_clients: [subject:trusted.client.test] }`
  const greymx = await startGreymx({ dir, settings })
  const mta = await startSendmail({ dir, milter: `S=unix:${greymx.socketPath}, ${TIMEOUTS}`, tls })
  const external = async (certificate: Certificate, sender: string) => {
    const client = await session(mta, '127.1.1.1')
    assert.match(await client.startTls(certificate), /^250-AUTH .*EXTERNAL/m)
    assert.match(await client.command('AUTH EXTERNAL ='), /^235 /)
    await rcptOnce(client, sender, 'u@example.com')
    await client.quit()
    return waitForOutcomes(greymx, sender, 1)
  }
  assert.deepEqual(await external(tls.other, 'other@tls.test'), ['tempfail new'])
  assert.deepEqual(await external(tls.trusted, 'trusted@tls.test'), ['pass authenticated'])
  const client = await session(mta, '127.1.1.1')
  await client.startTls(tls.other)
  assert.match(await client.authCramMd5(sendmailUser.user, sendmailUser.password), /^235 /)
  assert.match(await rcptOnce(client, 'auth@tls.test', 'u@example.com'), /^250 /)
  await client.quit()
})
