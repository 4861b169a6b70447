// Runs the scenarios through a real Postfix over TCP, and those that only Postfix can play: clients by XCLIENT (IPv6,
// authenticated), SMTPUTF8, an old protocol version, and a queueing Postfix that delivers through it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fingerprint, makeCertificates } from '../support/certificates.ts'
import { startGreymx, waitForOutcomes } from '../support/greymx.ts'
import type { Mta } from '../support/mta.ts'
import { startPostfix, startQueueingPostfix, startSession } from '../support/postfix.ts'
import { scratch, waitFor } from '../support/scratch.ts'
import { connect, type SmtpClient } from '../support/smtp.ts'
import {
  DELAY,
  deliveriesOf,
  describeMta,
  HOSTS,
  headerOf,
  listedCertificatePasses,
  MARGIN,
  MESSAGE,
  rcptOnce,
  SETTINGS,
  send,
  senderIsJudgedAtMail,
} from './scenarios.ts'

const names: Readonly<Record<string, string>> = HOSTS

function session(mta: Mta, address: string): Promise<SmtpClient> {
  return startSession(mta, { ADDR: address, NAME: names[address] ?? '[UNAVAILABLE]' })
}

describeMta(
  {
    name: 'Postfix',
    start: (dir, greymx) => startPostfix({ dir, milter: `inet:127.0.0.1:${greymx.port}` }),
    session,
  },
  (running) => {
    test('an IPv6 client is its /64, and IPv4 written as IPv6 is IPv4', async () => {
      const { mta, greymx } = running()
      const client = await connect(mta)
      await client.ehlo('client.test')
      const ask = async (address: string) => {
        await client.xclient({ ADDR: address, NAME: '[UNAVAILABLE]' })
        return rcptOnce(client, 'six@a.test', 'u@example.com')
      }
      assert.match(await ask('IPV6:2001:db8:1:2::7'), /^451/)
      assert.match(await ask('IPV6:2001:db8:1:3::7'), /^451/)
      await sleep(DELAY + MARGIN)
      assert.match(await ask('IPV6:2001:db8:1:2:ffff::1'), /^250 /)
      assert.match(await ask('IPV6:2001:db8:1:4::7'), /^451/)
      await client.quit()
      await waitForOutcomes(greymx, 'six@a.test', 4)
      assert.match(greymx.log().join('\n'), /client=2001:db8:1:2::7 identity=network:2001:db8:1:2::\/64/)
    })

    test('a client behind NAT64 or 6to4 is the IPv4 address within, to all who look at it', async () => {
      const { mta, greymx } = running()
      const client = await connect(mta)
      await client.ehlo('client.test')
      const ask = async (sender: string, address: string) => {
        await client.xclient({ ADDR: address, NAME: '[UNAVAILABLE]' })
        return (await rcptOnce(client, sender, 'u@example.com')).slice(0, 3)
      }
      // Behind one translator are 192.0.2.7 and .8, in one network, and 198.51.100.7, in another.
      assert.equal(await ask('nat@a.test', 'IPV6:64:ff9b::c000:207'), '451')
      assert.equal(await ask('nat@a.test', 'IPV6:64:ff9b::c633:6407'), '451')
      await sleep(DELAY + MARGIN)
      assert.equal(await ask('nat@a.test', 'IPV6:2002:c000:208:1::1'), '250')
      assert.equal(await ask('nat@a.test', '192.0.2.9'), '250')
      assert.equal(await ask('nat@a.test', 'IPV6:64:ff9b::cb00:7107'), '451')
      // exempt.clients has 127.66.0.0/16, in which no outsider can be, and 64:ff9b::198.51.100.99.
      assert.equal(await ask('loop@a.test', 'IPV6:2002:7f42:1::1'), '451')
      assert.equal(await ask('loop@a.test', 'IPV6:64:ff9b::7f42:1'), '451')
      assert.equal(await ask('written@a.test', 'IPV6:64:ff9b::c633:6463'), '250')
      await client.quit()
      assert.deepEqual(await waitForOutcomes(greymx, 'written@a.test', 1), ['pass exempt-client'])
      await waitForOutcomes(greymx, 'nat@a.test', 5)
      const networks = greymx
        .log()
        .filter((line) => line.includes('sender=nat@a.test'))
        .map((line) => / (client=\S+ identity=\S+)/.exec(line)?.[1])
      assert.deepEqual(networks, [
        'client=192.0.2.7 identity=network:192.0.2.0/24',
        'client=198.51.100.7 identity=network:198.51.100.0/24',
        'client=192.0.2.8 identity=network:192.0.2.0/24',
        'client=192.0.2.9 identity=network:192.0.2.0/24',
        'client=203.0.113.7 identity=network:203.0.113.0/24',
      ])
    })

    test('an authenticated client passes', async () => {
      const { mta, greymx } = running()
      const client = await startSession(mta, { ADDR: '192.0.2.7', LOGIN: 'joe' })
      assert.match(await rcptOnce(client, 'auth@a.test', 'u@example.com'), /^250 /)
      await client.quit()
      assert.deepEqual(await waitForOutcomes(greymx, 'auth@a.test', 1), ['pass authenticated'])
    })

    test('SMTPUTF8 senders are told apart, whatever the form of their domain', async () => {
      const { mta } = running()
      const client = await startSession(mta, { ADDR: '192.0.2.8' })
      const ask = async (sender: string) => {
        const mail = await client.command(`MAIL FROM:<${sender}> SMTPUTF8`)
        assert.match(mail, /^250 /, sender)
        const reply = await client.command('RCPT TO:<ю@example.com>')
        await client.command('RSET')
        return reply
      }
      assert.match(await ask('дм@пример.test'), /^451/)
      await sleep(DELAY + MARGIN)
      assert.match(await ask('дм@ПРИМЕР.test'), /^250 /)
      assert.match(await ask('дм@xn--e1afmkfd.test'), /^250 /)
      assert.match(await ask('дн@пример.test'), /^451/)
      await client.quit()
    })

    test('a recipient that Postfix itself refuses is never judged', async () => {
      const { mta, greymx } = running()
      const client = await startSession(mta, { ADDR: '192.0.2.9' })
      assert.match(await rcptOnce(client, 'relay@a.test', 'u@elsewhere.test'), /^554/)
      assert.match(await rcptOnce(client, 'relay@a.test', 'u@example.com'), /^451/)
      await client.quit()
      assert.deepEqual(await waitForOutcomes(greymx, 'relay@a.test', 1), ['tempfail new'])
    })
  },
)

test('a queueing Postfix delivers through greymx, and the body arrives byte for byte', async (t) => {
  const dir = await scratch(t)
  // The times of Postfix's retries are its own.
  const settings = `store: "lmdb:${dir}/state"\ngreylist: { delay: ${DELAY}ms }\nexempt: { clients: [] }`
  const greymx = await startGreymx({ dir, settings })
  const mta = await startPostfix({ dir, milter: `inet:127.0.0.1:${greymx.port}` })
  const sender = await startQueueingPostfix({ dir, relayPort: mta.port, sourceAddress: '127.20.1.1' })
  const body = Buffer.concat([
    Buffer.from('.leading dot\r\n..two\r\n\r\ntrailing space \r\n\ttab\v\r\n'),
    Buffer.from('8-bit: '),
    Buffer.from(Array.from({ length: 128 }, (_, index) => index + 128)),
    Buffer.from(`\r\n${'long '.repeat(190)}\r\n-- \r\n`),
  ])
  const header = Buffer.from('From: a@queue.test\r\nTo: u@example.com\r\nSubject: whole\r\n\r\n')
  const client = await connect(sender)
  await client.ehlo('client.test')
  assert.match(await client.command('MAIL FROM:<a@queue.test> BODY=8BITMIME'), /^250 /)
  assert.match(await client.command('RCPT TO:<u@example.com>'), /^250 /)
  assert.match(await client.data(Buffer.concat([header, body])), /^250 /)
  await client.quit()
  const [message] = await deliveriesOf(mta, 'a@queue.test', 1)
  assert.ok(message?.body.equals(body), 'the body was changed')
  assert.match(headerOf(message), /^X-Greylist: delayed 00:00:0\d by mx\.postfix\.test; /m)
  await waitFor('the pass in the log', () => greymx.outcomes('a@queue.test').includes('pass retry'))
  assert.equal(greymx.outcomes('a@queue.test')[0], 'tempfail new')
})

for (const version of ['2', '3', '4']) {
  test(`Postfix that speaks milter version ${version} is served all the same`, async (t) => {
    const dir = await scratch(t)
    const greymx = await startGreymx({ dir, settings: SETTINGS.replace('STATE', `${dir}/state`) })
    const settings = { milter_protocol: version }
    const mta = await startPostfix({ dir, milter: `unix:${greymx.socketPath}`, settings })
    const client = await startSession(mta, { ADDR: '192.0.2.7' })
    assert.match(await send(client, 'old@a.test', ['u@example.com']), /^451/)
    assert.match(await send(client, '', ['bounce@example.com']), /^451/)
    await sleep(DELAY + MARGIN)
    assert.match(await client.command('UNKNOWN command'), /^50\d /)
    assert.match(await send(client, 'old@a.test', ['u@example.com']), /^250 /)
    assert.match(await send(client, '', ['bounce@example.com']), /^250 /)
    await client.quit()
    const [message] = await deliveriesOf(mta, 'old@a.test', 1)
    assert.match(headerOf(message), /^X-Greylist: delayed/m)
    assert.equal(message?.body.toString(), MESSAGE.slice(MESSAGE.indexOf('\r\n\r\n') + 4))
  })
}

test('with the key [client, sender] Postfix is answered at MAIL FROM', async (t) => {
  await senderIsJudgedAtMail(await scratch(t), {
    name: 'Postfix',
    start: (dir, greymx) => startPostfix({ dir, milter: `inet:127.0.0.1:${greymx.port}` }),
    session,
  })
})

test('a client certificate exempts its client where a rule has its names, and Postfix has verified it', async (t) => {
  const dir = await scratch(t)
  const tls = await makeCertificates(dir)
  const withIssuer = 'subject:trusted.client.test issuer:authority'
  await listedCertificatePasses(
    dir,
    {
      start: (greymx, { authority, server }) =>
        startPostfix({
          dir,
          milter: `inet:127.0.0.1:${greymx.port}`,
          settings: {
            smtpd_tls_security_level: 'may',
            smtpd_tls_cert_file: server.cert,
            smtpd_tls_key_file: server.key,
            smtpd_tls_CAfile: authority,
            smtpd_tls_ask_ccert: 'yes',
          },
        }),
      session,
    },
    tls,
    [
      [[], {}],
      [['subject:stranger.client.test', 'subject:client.test', withIssuer], { trusted: withIssuer }],
      [
        [
          'subject:trusted.client.test issuer:Other',
          `fingerprint:${fingerprint(tls.trusted.cert, 'sha256')}`,
        ],
        {},
      ],
      [['issuer:authority'], { trusted: 'issuer:authority', other: 'issuer:authority' }],
    ],
  )
})
