// Tests of clients' identities through a real Postfix and with a real DNS server: retries of sister hosts are known by
// the sender's SPF record or by confirmed host names, those of other hosts are not, and DNS that hangs delays mail
// once.

import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startDns } from '../support/dns.ts'
import { startGreymx, waitForOutcomes } from '../support/greymx.ts'
import { startPostfix, startQueueingPostfix, startSession } from '../support/postfix.ts'
import { scratch, waitFor } from '../support/scratch.ts'
import { connect, type XclientAttributes } from '../support/smtp.ts'
import { DELAY, MARGIN, rcptOnce, send } from './scenarios.ts'

const ZONES = {
  test: `
    farm       TXT "v=spf1 ip4:10.1.0.0/16 ip4:10.2.0.0/16 include:six.farm -all"
    six.farm   TXT "v=spf1 ip6:2001:db8::/32 -all"
    farm2      TXT "v=spf1 ip4:10.1.0.0/16 ip4:10.2.0.0/16 include:six.farm.test. ~all"
    helo       TXT "v=spf1 ip4:10.1.0.0/16 ip4:10.2.0.0/16 -all"
    open       TXT "v=spf1 +all"
    halves     TXT "v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all"
    other      TXT "v=spf1 ip4:10.9.0.0/16 -all"
    plain      TXT "no record"
  `,
}

/** Longest wait for an answer without DNS, in milliseconds. */
const MAX_PROMPT_WAIT = 1000
/**
 * Longest wait for an answer that waits for silent DNS: DNS_TIMEOUT of src/dns.ts, and a tolerance for a busy machine.
 */
const DNS_WAIT = 1500
const DNS_WAIT_TOLERANCE = 700

const dir = await scratch({ after })
const dns = await startDns({ dir, zones: ZONES })
const greymx = await startGreymx({
  dir,
  settings: `store: "lmdb:${dir}/state"\ndns_servers: [${dns.server}]\ngreylist: { delay: ${DELAY}ms, max_deferrals: 0 }`,
})
const mta = await startPostfix({ dir, milter: `inet:127.0.0.1:${greymx.port}` })

/** The SMTP code that a client with this address gets for mail of `sender`. */
async function ask(sender: string, ADDR: string, claims: XclientAttributes = {}): Promise<string> {
  const client = await startSession(mta, { ADDR, ...claims })
  const reply = await rcptOnce(client, sender, 'u@example.com')
  await client.quit()
  return reply.slice(0, 3)
}

async function identities(sender: string, count: number): Promise<string[]> {
  await waitForOutcomes(greymx, sender, count)
  const lines = greymx.log().filter((line) => line.includes(` sender=${sender} `))
  return lines.map((line) => / identity=(\S+)/.exec(line)?.[1] ?? '')
}

describe('through Postfix, a client is known', { concurrency: true }, () => {
  const merging: Array<[name: string, sender: string, from: [string, XclientAttributes?][], id: string]> = [
    ['by SPF from two /16s', 'a@farm2.test', [['10.1.1.1'], ['10.2.1.1']], 'spf:farm2.test'],
    ['by SPF from IPv4 and IPv6', 'b@farm2.test', [['10.1.1.2'], ['IPV6:2001:db8:5::1']], 'spf:farm2.test'],
    [
      'by its confirmed name',
      'a@plain.test',
      [
        ['10.3.1.1', { NAME: 'out1.mail.sender.test' }],
        ['10.4.1.1', { NAME: 'out2.sender.test' }],
      ],
      'host:sender.test',
    ],
  ]
  for (const [name, sender, [first, second], id] of merging) {
    test(`${name}: the retry of a sister host passes`, async () => {
      assert.ok(first && second)
      assert.equal(await ask(sender, ...first), '451')
      await sleep(DELAY + MARGIN)
      assert.equal(await ask(sender, ...second), '250')
      assert.deepEqual(await identities(sender, 2), [id, id])
    })
  }

  const apart: Array<[name: string, sender: string, from: [string, XclientAttributes?][]]> = [
    ['whose record passes for everyone', 'a@open.test', [['10.1.1.1'], ['10.2.1.1']]],
    ['whose record has both halves of the address space', 'a@halves.test', [['10.1.1.1'], ['10.2.1.1']]],
    ['whose record does not pass', 'a@other.test', [['10.1.1.1'], ['10.2.1.1']]],
    [
      'of a dynamic pool',
      'b@plain.test',
      [
        ['10.5.1.1', { NAME: 'dsl-10-5-1-1.pool.isp.test' }],
        ['10.6.1.1', { NAME: 'dsl-10-6-1-1.pool.isp.test' }],
      ],
    ],
    [
      'with a name that is not confirmed',
      'c@plain.test',
      [
        ['10.5.1.1', { NAME: '[UNAVAILABLE]', REVERSE_NAME: 'mx1.liar.test' }],
        ['10.6.1.1', { NAME: '[UNAVAILABLE]', REVERSE_NAME: 'mx2.liar.test' }],
      ],
    ],
  ]
  for (const [name, sender, [first, second]] of apart) {
    test(`by its network alone, ${name}`, async () => {
      assert.ok(first && second)
      assert.equal(await ask(sender, ...first), '451')
      await sleep(DELAY + MARGIN)
      assert.equal(await ask(sender, ...second), '451')
      assert.equal(await ask(sender, ...first), '250')
      const networks = [first, second, first].map(([address]) => address.replace(/\.\d+$/, '.0/24'))
      assert.deepEqual(
        await identities(sender, 3),
        networks.map((network) => `network:${network}`),
      )
    })
  }

  test('by SPF of its HELO, where it sends a bounce', async () => {
    const bounce = async (ADDR: string) => {
      const client = await startSession(mta, { ADDR })
      await client.ehlo('helo.test')
      const reply = await send(client, '', ['bounce@example.com'])
      await client.quit()
      return reply.slice(0, 3)
    }
    assert.equal(await bounce('10.1.7.1'), '451')
    await sleep(DELAY + MARGIN)
    assert.equal(await bounce('10.2.7.1'), '250')
    const lines = await waitFor('both outcomes', () => {
      const found = greymx.log().filter((line) => line.includes('recipient=bounce@example.com'))
      return found.length === 2 ? found : undefined
    })
    for (const line of lines) assert.match(line, / identity=spf:helo\.test sender=<> /)
  })
})

test('an address verification callout sees a valid recipient, while a bounce to it is deferred', async () => {
  // The other side accepts mail only if the sender's MX, which is ours, would accept a bounce.
  const verifying = await startQueueingPostfix({
    dir,
    relayPort: mta.port,
    settings: {
      smtpd_relay_restrictions: 'reject_unverified_sender, permit_mynetworks, reject',
      address_verify_sender: '<>',
      address_verify_map: '',
      unverified_sender_reject_code: '550',
    },
  })
  const client = await connect(verifying)
  await client.ehlo('client.test')
  assert.match(await rcptOnce(client, 'real@example.com', 'u@elsewhere.test'), /^250 /)
  assert.match(await rcptOnce(client, 'nobody@elsewhere.test', 'u@elsewhere.test'), /^550 /)
  await client.quit()
  assert.match(await mta.log(), /from=<> to=<nobody@elsewhere\.test>/)
  assert.ok(
    !greymx.log().some((line) => line.includes('recipient=real@example.com')),
    'a callout left a record',
  )

  const bouncing = await startSession(mta, { ADDR: '10.8.1.1' })
  assert.match(await send(bouncing, '', ['real@example.com']), /^451/)
  await bouncing.quit()
})

test('a mail server that verifies senders, with the defaults of Postfix, takes our user’s mail at its first try', async () => {
  const verifying = await startQueueingPostfix({
    dir,
    relayPort: mta.port,
    settings: { smtpd_relay_restrictions: 'reject_unverified_sender, permit_mynetworks, reject' },
  })
  const client = await connect(verifying)
  await client.ehlo('client.test')
  assert.match(await rcptOnce(client, 'verified@example.com', 'u@elsewhere.test'), /^250 /)
  await client.quit()
  assert.match(await verifying.log(), /from=<double-bounce@/)
  assert.ok(!greymx.log().some((line) => line.includes('recipient=verified@example.com')))

  const posting = await startSession(mta, { ADDR: '10.8.2.1' })
  assert.match(await send(posting, 'double-bounce@verifying.test', ['verified@example.com']), /^451/)
  await posting.quit()
})

test('DNS that hangs holds mail up for two seconds once, and is used again when it answers', async (t) => {
  const inner = await scratch(t)
  const frozen = await startDns({ dir: inner, zones: ZONES })
  const settings = `store: "memory:"\ndns_servers: [${frozen.server}]\ngreylist: { delay: 1ms }`
  const greymx = await startGreymx({ dir: inner, settings })
  const mta = await startPostfix({ dir: inner, milter: `inet:127.0.0.1:${greymx.port}` })
  const client = await startSession(mta, { ADDR: '10.1.1.1' })
  const timed = async (sender: string) => {
    const startedAt = performance.now()
    const reply = await rcptOnce(client, sender, 'u@example.com')
    return { code: reply.slice(0, 3), took: performance.now() - startedAt }
  }
  await frozen.pause()
  const first = await timed('a@farm.test')
  assert.equal(first.code, '451')
  assert.ok(first.took < DNS_WAIT + DNS_WAIT_TOLERANCE, `the first took ${first.took} ms`)
  for (const sender of ['a@farm.test', 'b@farm.test', 'a@other.test']) {
    const { code, took } = await timed(sender)
    assert.equal(code, sender === 'a@farm.test' ? '250' : '451', sender)
    assert.ok(took < MAX_PROMPT_WAIT, `${sender} took ${took} ms`)
  }
  frozen.resume()
  await waitFor('DNS to be noticed', async () => {
    await timed('x@farm2.test')
    return greymx.log().some((line) => line.includes('DNS answers again'))
  })
  await timed('z@helo.test')
  await client.quit()
  const log = await waitFor('the log', () => {
    const text = greymx.log().join('\n')
    return text.includes('sender=z@helo.test') ? text : undefined
  })
  assert.match(log, /identity=network:10\.1\.1\.0\/24 sender=a@farm\.test/)
  assert.match(log, /identity=spf:helo\.test sender=z@helo\.test/)
  assert.equal(log.match(/DNS does not answer/g)?.length, 1)
})
