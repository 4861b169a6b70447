// Tests of settings that change who is deferred, through a real Postfix, on LMDB and on Redis: observe, recipients, the
// auto-whitelist, the loop breaker, and exemptions by DNS.

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startDns } from '../support/dns.ts'
import { type Greymx, startGreymx, waitForOutcomes } from '../support/greymx.ts'
import { startPostfix, startSession } from '../support/postfix.ts'
import { postgreyClients, postgreyRecipients } from '../support/postgrey.ts'
import { startRedis } from '../support/redis.ts'
import { scratch, waitFor } from '../support/scratch.ts'
import type { SmtpClient } from '../support/smtp.ts'
import { DELAY, deliveriesOf, headerOf, MARGIN, rcptOnce, send } from './scenarios.ts'

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
  return { dir, store, greymx, mta, client }
}

async function metricsOf({ adminPort }: Greymx): Promise<string> {
  return (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text()
}

async function codes(client: SmtpClient, sender: string, ...recipients: string[]): Promise<string[]> {
  const replies: string[] = []
  for (const recipient of recipients) replies.push((await rcptOnce(client, sender, recipient)).slice(0, 3))
  return replies
}

test('list files in Postgrey’s syntax are read as they are, and again on SIGHUP, bad lines reported', async (t) => {
  const dir = await scratch(t)
  const [clients, senders, recipients] = ['clients', 'senders', 'recipients'].map((name) => join(dir, name))
  assert.ok(clients && senders && recipients)
  await writeFile(
    clients,
    '# mine\n10.1.1\ntrusted.test # a farm\n*.wrong\n/^mx\\d+\\.pattern\\.test$/\n/(?=a)/\n',
  )
  await writeFile(senders, 'newsletter.test\n')
  await writeFile(recipients, 'vip@\n')
  const greymx = await startGreymx({
    dir,
    settings: `store: "memory:"
greylist: { max_deferrals: 0 }
exempt:
  client_files: [${postgreyClients}, ${clients}, ${dir}/missing]
  sender_files: [${senders}]
  recipient_files: [${postgreyRecipients}, ${recipients}]`,
  })
  const mta = await startPostfix({ dir, milter: `inet:127.0.0.1:${greymx.port}` })
  const ask = async (ADDR: string, NAME: string, sender: string, recipient: string) => {
    const session = await startSession(mta, { ADDR, NAME })
    const [code] = await codes(session, sender, recipient)
    await session.quit()
    return code
  }
  const none = '[UNAVAILABLE]'
  const cases: Array<[address: string, name: string, sender: string, recipient: string, code: string]> = [
    ['10.1.1.200', none, 'a@x.test', 'u@example.com', '250'],
    ['10.1.2.200', none, 'a@x.test', 'u@example.com', '451'],
    ['10.2.1.1', 'out1.trusted.test', 'a@x.test', 'u@example.com', '250'],
    ['10.2.1.1', 'untrusted.test', 'a@x.test', 'u@example.com', '451'],
    ['10.2.1.1', 'mx12.pattern.test', 'a@x.test', 'u@example.com', '250'],
    ['10.2.1.1', none, 'a@mail.newsletter.test', 'u@example.com', '250'],
    ['10.2.1.1', none, 'a@x.test', 'vip+tag@example.com', '250'],
    ['10.2.1.1', none, 'a@x.test', 'abuse@example.net', '250'],
    ['10.2.1.1', 'mail.later.test', 'a@x.test', 'u@example.com', '451'],
  ]
  for (const [address, name, sender, recipient, code] of cases) {
    assert.equal(
      await ask(address, name, sender, recipient),
      code,
      `${address} ${name} ${sender} ${recipient}`,
    )
  }
  const log = greymx.log().join('\n')
  for (const problem of [`${clients}:4: `, `${clients}:6: `, `${dir}/missing: cannot be read: `]) {
    assert.ok(log.includes(`msg="list entries are left out" problem="${problem}`), problem)
  }
  assert.equal(log.match(/list entries are left out/g)?.length, 3)

  await writeFile(clients, 'later.test\n')
  greymx.signal('SIGHUP')
  await waitFor('the lists to be read', () =>
    greymx.log().some((line) => line.includes('configuration read again')),
  )
  assert.equal(await ask('10.2.1.1', 'mail.later.test', 'a@x.test', 'u@example.com'), '250')
  assert.equal(await ask('10.1.1.200', none, 'b@x.test', 'u@example.com'), '451')
})

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
    for (const spelt of [
      'u@example.com>',
      'u@example.com(x',
      '<"u@example.com">',
      'u@example.com@',
      '(x)<u@example.com>',
    ]) {
      await client.command('MAIL FROM:<spelt@a.test>')
      assert.match(await client.command(`RCPT TO:${spelt}`), /^451 /, spelt)
      await client.command('RSET')
    }
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

  test(`${name}: who completed enough first passes need not wait, and others do`, async (t) => {
    const zone = `
      a   TXT "no SPF record"
      new TXT "no SPF record"
      one TXT "v=spf1 ip4:192.0.2.0/24 -all"
      two TXT "v=spf1 ip4:198.18.1.0/24 -all"
      six TXT "v=spf1 ip4:198.18.2.0/24 -all"`
    const dns = await startDns({ dir: await scratch(t), zones: { test: zone } })
    const settings = `dns_servers: [${dns.server}]
greylist:
  { delay: 300ms, max_deferrals: 0, auto_whitelist: { after: 2, spacing: 400ms, lifetime: 60s } }
exempt: { clients: [] }`
    const { greymx, mta, client } = await start(t, storeOf, settings)
    await client.quit()
    const ask = async (ADDR: string, NAME: string, sender: string) => {
      const session = await startSession(mta, { ADDR, NAME })
      const [code] = await codes(session, sender, 'u@example.com')
      await session.quit()
      return code
    }
    const pass = async (ADDR: string, NAME: string, sender: string) => {
      assert.equal(await ask(ADDR, NAME, sender), '451', sender)
      await sleep(500)
      assert.equal(await ask(ADDR, NAME, sender), '250', sender)
    }
    await pass('198.51.100.1', 'out1.farm.test', 'one@a.test')
    await pass('198.51.100.2', 'out2.farm.test', 'two@a.test')
    assert.equal(await ask('198.51.100.3', 'out3.farm.test', 'three@new.test'), '250')
    // What two hosts of one network have earned holds neither for hosts in another network nor for other domains in
    // theirs.
    assert.equal(await ask('192.0.2.4', 'out4.farm.test', 'three@new.test'), '451')
    assert.equal(await ask('198.51.100.4', 'out1.other.test', 'three@new.test'), '451')
    // First passes from three networks, with SPF for three senders' domains, whitelist the host's domain.
    await pass('192.0.2.1', 'out5.farm.test', 'four@one.test')
    await pass('198.18.1.1', 'out6.farm.test', 'five@two.test')
    assert.equal(await ask('198.18.4.1', 'out9.farm.test', 'eight@new.test'), '451')
    await pass('198.18.2.1', 'out7.farm.test', 'six@six.test')
    assert.equal(await ask('198.18.3.1', 'out8.farm.test', 'seven@new.test'), '250')

    const session = await startSession(mta, { ADDR: '198.18.3.1', NAME: 'out8.farm.test' })
    assert.match(await send(session, 'header@a.test', ['u@example.com']), /^250/)
    await session.quit()
    const [message] = await deliveriesOf(mta, 'header@a.test', 1)
    assert.match(headerOf(message), /^X-Greylist: auto-whitelisted by mx\.postfix\.test; /m)

    for (const sender of ['u1', 'u2', 'u3', 'u4', 'u5'])
      await pass('203.0.113.1', '[UNAVAILABLE]', `${sender}@a.test`)
    assert.equal(await ask('203.0.113.1', '[UNAVAILABLE]', 'u6@a.test'), '250')
    assert.deepEqual(await waitForOutcomes(greymx, 'u6@a.test', 1), ['pass auto-whitelist'])
    assert.match(
      await metricsOf(greymx),
      /greymx_decisions_total\{verdict="pass",reason="auto-whitelist"\} 4/,
    )
  })

  test(`${name}: a sender that is deferred again and again, from ever new networks, gets through`, async (t) => {
    const dns = await startDns({ dir: await scratch(t), zones: { 'loop.test': '@ TXT "no SPF record"' } })
    const settings = `dns_servers: [${dns.server}]\ngreylist: { delay: 300ms, max_deferrals: 3 }`
    const { greymx, mta, client } = await start(t, storeOf, settings)
    await client.quit()
    const replies: string[] = []
    for (const host of [1, 2, 3, 4, 5]) {
      const session = await startSession(mta, { ADDR: `10.${host}.1.1` })
      replies.push((await send(session, `bounce-${host}@loop.test`, ['u@example.com'])).slice(0, 3))
      await session.quit()
      await sleep(400)
    }
    assert.deepEqual(replies, ['451', '451', '451', '250', '451'])
    const [message] = await deliveriesOf(mta, 'bounce-4@loop.test', 1)
    assert.match(headerOf(message), /^X-Greylist: deferred 3 times by mx\.postfix\.test; /m)
    assert.deepEqual(await waitForOutcomes(greymx, 'bounce-4@loop.test', 1), ['pass max-deferrals'])
    // It is not proven who the sender is.
    assert.doesNotMatch(greymx.log().join('\n'), /hint=/)
    assert.match(await metricsOf(greymx), /greymx_decisions_total\{verdict="pass",reason="max-deferrals"\} 1/)
  })

  test(`${name}: who is exempt, or not greylisted, by what DNS says`, async (t) => {
    const dir = await scratch(t)
    const dns = await startDns({
      dir,
      zones: {
        'sender.test': '@ TXT "v=spf1 ip4:10.1.0.0/16 -all"\nopen TXT "v=spf1 +all"',
        'good.lists': '1.1.3.10 A 127.0.5.1\n2.1.3.10 A 127.0.0.255\n3.1.3.10 A 192.0.2.1',
        'bad.lists': '1.1.4.10 A 127.0.0.2',
        'list.dnswl.org':
          '1.1.8.10 A 127.0.10.1\n2.1.8.10 A 127.0.10.0\n3.1.8.10 A 127.0.0.255\n4.1.8.10 A 127.0.0.1',
        'hostkarma.junkemailfilter.com':
          '1.2.8.10 A 127.0.0.1\n2.2.8.10 A 127.0.0.2\n3.2.8.10 A 127.0.0.3\n4.2.8.10 A 127.255.255.254',
      },
    })
    type Case = [address: string, name: string, sender: string, verdict: string]
    const cases: Array<[settings: string, cases: Case[]]> = [
      [
        'exempt: { spf: true }',
        [
          ['10.1.1.1', '[UNAVAILABLE]', 'a@sender.test', 'pass exempt-spf'],
          ['10.2.1.1', '[UNAVAILABLE]', 'b@sender.test', 'tempfail new'],
          ['10.1.1.1', '[UNAVAILABLE]', 'c@open.sender.test', 'tempfail new'],
        ],
      ],
      [
        'dnswl: [good.lists]',
        [
          ['10.3.1.1', '[UNAVAILABLE]', 'd@sender.test', 'pass exempt-client'],
          ['10.3.1.2', '[UNAVAILABLE]', 'e@sender.test', 'tempfail new'],
          ['10.3.1.3', '[UNAVAILABLE]', 'f@sender.test', 'tempfail new'],
          ['10.3.1.4', '[UNAVAILABLE]', 'g@sender.test', 'tempfail new'],
        ],
      ],
      [
        'only_if_listed: [other.lists, bad.lists]',
        [
          ['10.4.1.1', '[UNAVAILABLE]', 'h@sender.test', 'tempfail new'],
          ['10.4.1.2', '[UNAVAILABLE]', 'i@sender.test', 'pass not-greylisted'],
        ],
      ],
      [
        'dnswl: [list.dnswl.org, hostkarma.junkemailfilter.com, "good.lists=127.0.[0..4].[1..3;5]"]',
        [
          ['10.8.1.1', '[UNAVAILABLE]', 'da@white.test', 'pass exempt-client'],
          ['10.8.1.2', '[UNAVAILABLE]', 'db@white.test', 'tempfail new'],
          ['10.8.1.3', '[UNAVAILABLE]', 'dc@white.test', 'tempfail new'],
          ['10.8.1.4', '[UNAVAILABLE]', 'dd@white.test', 'tempfail new'],
          ['10.8.2.1', '[UNAVAILABLE]', 'de@white.test', 'pass exempt-client'],
          ['10.8.2.2', '[UNAVAILABLE]', 'df@white.test', 'tempfail new'],
          ['10.8.2.3', '[UNAVAILABLE]', 'dg@white.test', 'tempfail new'],
          ['10.8.2.4', '[UNAVAILABLE]', 'dh@white.test', 'tempfail new'],
          ['10.3.1.1', '[UNAVAILABLE]', 'di@white.test', 'tempfail new'],
        ],
      ],
      [
        'only_if_listed: [hostkarma.junkemailfilter.com]',
        [
          ['10.8.2.1', '[UNAVAILABLE]', 'dj@black.test', 'pass not-greylisted'],
          ['10.8.2.2', '[UNAVAILABLE]', 'dk@black.test', 'tempfail new'],
          ['10.8.2.3', '[UNAVAILABLE]', 'dl@black.test', 'pass not-greylisted'],
        ],
      ],
      [
        'only_if: suspicious',
        [
          ['10.5.1.1', '[UNAVAILABLE]', 'j@sender.test', 'tempfail new'],
          ['10.5.1.2', 'dsl-10-5-1-2.isp.test', 'k@sender.test', 'tempfail new'],
          ['10.5.1.3', 'mail.sender.test', 'l@sender.test', 'pass not-greylisted'],
          ['10.1.1.1', '[UNAVAILABLE]', 'm@sender.test', 'pass not-greylisted'],
        ],
      ],
      [
        'trusted_relays: [10.6.0.0/16, mx2.example.com]',
        [
          ['10.6.1.1', '[UNAVAILABLE]', 'n@sender.test', 'pass exempt-client'],
          ['10.7.1.1', 'mx2.example.com', 'o@sender.test', 'pass exempt-client'],
          ['10.7.1.1', 'mx3.example.com', 'p@sender.test', 'tempfail new'],
        ],
      ],
    ]
    const store = await storeOf(dir)
    for (const [index, [settings, rows]] of cases.entries()) {
      const greymx = await startGreymx({
        dir,
        name: `greymx${index}`,
        settings: `store: ${store}\ndns_servers: [${dns.server}]\n${settings}`,
      })
      const mta = await startPostfix({ dir, milter: `inet:127.0.0.1:${greymx.port}` })
      for (const [ADDR, NAME, sender, verdict] of rows) {
        const session = await startSession(mta, { ADDR, NAME })
        await codes(session, sender, 'u@example.com')
        await session.quit()
        assert.deepEqual(
          await waitForOutcomes(greymx, sender, 1),
          [verdict],
          `${settings}: ${ADDR} ${sender}`,
        )
      }
      const metrics = await metricsOf(greymx)
      for (const verdict of rows.map(([, , , each]) => each.split(' '))) {
        assert.ok(metrics.includes(`greymx_decisions_total{verdict="${verdict[0]}",reason="${verdict[1]}"}`))
      }
      await mta.stop()
      await greymx.stop()
    }
  })
}
