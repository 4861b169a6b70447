// The scenarios that run against both Postfix and Sendmail. The windows are a second or two, and all scenarios of an
// MTA run concurrently, each with clients and addresses of its own.

import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Certificate, Certificates } from '../support/certificates.ts'
import { type Greymx, startGreymx, waitForOutcomes } from '../support/greymx.ts'
import type { DeliveredMessage, Mta } from '../support/mta.ts'
import { scratch, waitFor } from '../support/scratch.ts'
import type { SmtpClient } from '../support/smtp.ts'

/** X, the retry window and Y, in milliseconds. */
export const DELAY = 1500
export const RETRY_WINDOW = 4000
export const LIFETIME = 3000

/** Time to wait beyond a window, in milliseconds, for the clocks of two processes. */
export const MARGIN = 200

export const SETTINGS = `
store: "lmdb:STATE"
greylist: { delay: ${DELAY}ms, retry_window: ${RETRY_WINDOW}ms, lifetime: ${LIFETIME}ms, max_deferrals: 0 }
exempt:
  clients: [127.66.0.0/16, trusted.test, "64:ff9b::198.51.100.99"]
  senders: [exempt-sender.test]
  recipients: [postmaster@, abuse@]
limits: { recipients: 100 }
reply: |
  451 4.7.1 100% greylisted <{recipient}>
  Retry in {seconds}s, reference {ref}
`

/** Forward-confirmed host names, by client address. */
export const HOSTS = { '127.30.1.1': 'mail.trusted.test' }

export interface Subject {
  readonly name: string
  start(dir: string, greymx: Greymx): Promise<Mta>
  /** A session after EHLO, from a client with this address and, if there is one, its name in `HOSTS`. */
  session(mta: Mta, address: string): Promise<SmtpClient>
}

export interface Running {
  readonly mta: Mta
  readonly greymx: Greymx
  session(address: string): Promise<SmtpClient>
}

/** Runs all scenarios, and `more` beside them. */
export function describeMta(subject: Subject, more: (running: () => Running) => void): void {
  describe(`through ${subject.name}:`, { concurrency: true }, async () => {
    const dir = await scratch({ after })
    const greymx = await startGreymx({ dir, settings: SETTINGS.replace('STATE', `${dir}/state`) })
    const mta = await subject.start(dir, greymx)
    const session = (address: string) => subject.session(mta, address)
    const running = { mta, greymx, session }
    scenarios(running)
    more(() => running)
  })
}

function scenarios({ mta, greymx, session }: Running): void {
  test('1a, 1b, 1d: unknown is deferred, early is deferred without restarting the clock, then it passes', async () => {
    const client = await session('127.1.1.1')
    assert.equal(
      await rcptOnce(client, 'one@a.test', 'u@example.com'),
      `451-4.7.1 100% greylisted <u@example.com>\n451 4.7.1 Retry in 2s, reference ${await refOf('one@a.test')}`,
    )
    await sleep(DELAY * 0.6)
    assert.match(await rcptOnce(client, 'one@a.test', 'u@example.com'), /^451-4\.7\.1 /)
    await sleep(DELAY * 0.4 + MARGIN)
    assert.match(await send(client, 'one@a.test', ['u@example.com']), /^250 /)
    assert.match(await send(client, 'one@a.test', ['u@example.com']), /^250 /)
    await client.quit()
    assert.deepEqual(await waitForOutcomes(greymx, 'one@a.test', 4), [
      'tempfail new',
      'tempfail early',
      'pass retry',
      'pass known',
    ])
    // Sendmail delivers messages concurrently, so that the second may overtake the first.
    const isMarked = (message: DeliveredMessage) => /^X-Greylist:/m.test(headerOf(message))
    const messages = await deliveries('one@a.test', 2)
    const [first] = messages.filter(isMarked)
    assert.equal(messages.filter(isMarked).length, 1, 'only the first message was delayed')
    assert.match(
      headerOf(first),
      new RegExp(
        `^X-Greylist: delayed 00:00:0[12] by ${mta.hostname}; \\w{3}, \\d\\d \\w{3} \\d{4} [\\d:]{8} \\+0000 \\(network:127\\.1\\.1\\.0/24\\)\\r$`,
        'm',
      ),
    )
    assert.equal(first?.body.toString(), BODY)
  })

  test('1c: a pass slides with its use, and what was not used for Y starts over', async () => {
    const client = await session('127.2.1.1')
    await rcptOnce(client, 'slide@a.test', 'u@example.com')
    await sleep(DELAY + MARGIN)
    assert.match(await rcptOnce(client, 'slide@a.test', 'u@example.com'), /^250 /)
    for (let use = 0; use < 2; use += 1) {
      await sleep(LIFETIME * 0.65)
      assert.match(await rcptOnce(client, 'slide@a.test', 'u@example.com'), /^250 /)
    }
    await sleep(LIFETIME + MARGIN)
    assert.match(await rcptOnce(client, 'slide@a.test', 'u@example.com'), /^451/)
    await client.quit()
    assert.deepEqual(await waitForOutcomes(greymx, 'slide@a.test', 5), [
      'tempfail new',
      'pass retry',
      'pass known',
      'pass known',
      'tempfail new',
    ])
  })

  test('2: what did not come back within the retry window is forgotten', async () => {
    const client = await session('127.3.1.1')
    await rcptOnce(client, 'late@a.test', 'u@example.com')
    await sleep(RETRY_WINDOW + MARGIN)
    assert.match(await rcptOnce(client, 'late@a.test', 'u@example.com'), /^451/)
    await sleep(DELAY + MARGIN)
    assert.match(await rcptOnce(client, 'late@a.test', 'u@example.com'), /^250 /)
    await client.quit()
    assert.deepEqual(await waitForOutcomes(greymx, 'late@a.test', 3), [
      'tempfail new',
      'tempfail new',
      'pass retry',
    ])
  })

  test('an address that is spelt otherwise is the same one, and what follows it is no part of it', async () => {
    const client = await session('127.5.1.1')
    const ask = async (from: string, to: string) => {
      assert.match(await client.command(`MAIL FROM:${from}`), /^250 /, from)
      const reply = await client.command(`RCPT TO:${to}`)
      await client.command('RSET')
      assert.match(reply, /^451/, `${from} ${to}`)
    }
    const pairs: Array<[from: string, to: string]> = [
      ['<spelt@a.test>', '<spelt@example.com>'],
      ['<spelt@a.test> BODY=8BITMIME', '<spelt@example.com> NOTIFY=NEVER'],
      ['spelt@a.test BODY=8BITMIME', 'spelt@example.com NOTIFY=NEVER'],
      ['<spelt@a.test>(x)', '<spelt@example.com(x)>'],
      ['(x)spelt@a.test', 'x<spelt@example.com>'],
      ['<(x)spelt@(y)a.test>', '<spelt @ example.com>'],
    ]
    for (const [from, to] of pairs) await ask(from, to)
    await client.quit()
    assert.deepEqual(await waitForOutcomes(greymx, 'spelt@a.test', pairs.length), [
      'tempfail new',
      ...pairs.slice(1).map(() => 'tempfail early'),
    ])
  })

  test('a recipient beyond the limit does not pass for being beyond it', async () => {
    const client = await session('127.6.1.1')
    const ask = async (recipients: readonly string[]) => {
      assert.match(await client.command('MAIL FROM:<beyond@a.test>'), /^250 /)
      const replies: string[] = []
      for (const recipient of recipients)
        replies.push(await client.command(`RCPT TO:<${recipient}@example.com>`))
      await client.command('RSET')
      return replies.map((reply) => reply.slice(0, 3))
    }
    const exempt = Array.from({ length: 100 }, () => 'postmaster')
    assert.deepEqual(await ask([...exempt, 'u', 'v', 'postmaster']), [
      ...exempt.map(() => '250'),
      '451',
      '451',
      '451',
    ])
    const deferred = Array.from({ length: 100 }, (_, index) => `u${index}`)
    assert.deepEqual(new Set(await ask([...deferred, 'w', 'postmaster'])), new Set(['451']))
    await client.quit()
    assert.equal((await waitForOutcomes(greymx, 'beyond@a.test', 201)).length, 201)
  })

  test('mixed recipients get mixed replies, and the message goes to those who passed', async () => {
    const client = await session('127.4.1.1')
    await rcptOnce(client, 'mixed@a.test', 'known@example.com')
    await sleep(DELAY + MARGIN)
    await client.command('MAIL FROM:<mixed@a.test>')
    assert.match(await client.command('RCPT TO:<new1@example.com>'), /^451/)
    assert.match(await client.command('RCPT TO:<known@example.com>'), /^250 /)
    assert.match(await client.command('RCPT TO:<new2@example.com>'), /^451/)
    assert.match(await client.data(MESSAGE), /^250 /)
    await client.quit()
    const [message] = await deliveries('mixed@a.test', 1)
    assert.deepEqual(message?.to, ['known@example.com'])
  })

  test('a client is its /24, and another network starts anew', async () => {
    const first = await session('127.5.1.1')
    const neighbour = await session('127.5.1.200')
    const stranger = await session('127.5.2.1')
    await rcptOnce(first, 'network@a.test', 'u@example.com')
    await sleep(DELAY + MARGIN)
    assert.match(await rcptOnce(stranger, 'network@a.test', 'u@example.com'), /^451/)
    assert.match(await rcptOnce(neighbour, 'network@a.test', 'u@example.com'), /^250 /)
    for (const client of [first, neighbour, stranger]) await client.quit()
  })

  test('several messages and RSETs in one session are attempts of their own', async () => {
    const client = await session('127.6.1.1')
    assert.match(await rcptOnce(client, 'first@s.test', 'u@example.com'), /^451/)
    assert.match(await rcptOnce(client, 'second@s.test', 'u@example.com'), /^451/)
    await sleep(DELAY + MARGIN)
    assert.match(await send(client, 'first@s.test', ['u@example.com']), /^250 /)
    assert.match(await rcptOnce(client, 'third@s.test', 'u@example.com'), /^451/)
    assert.match(await send(client, 'second@s.test', ['u@example.com']), /^250 /)
    await client.quit()
    for (const sender of ['first@s.test', 'second@s.test']) {
      const [message] = await deliveries(sender, 1)
      assert.match(headerOf(message), /^X-Greylist: delayed/m)
    }
  })

  test('a pipelined transaction is answered in order', async () => {
    const client = await session('127.7.1.1')
    const lines = [
      'MAIL FROM:<pipe@a.test>',
      'RCPT TO:<one@example.com>',
      'RCPT TO:<postmaster@example.com>',
      'RCPT TO:<two@example.com>',
      'RSET',
    ]
    const first = await client.pipeline(lines)
    assert.deepEqual(
      first.map((reply) => reply.slice(0, 3)),
      ['250', '451', '250', '451', '250'],
    )
    await sleep(DELAY + MARGIN)
    const second = await client.pipeline(lines)
    assert.deepEqual(
      second.map((reply) => reply.slice(0, 3)),
      ['250', '250', '250', '250', '250'],
    )
    await client.quit()
  })

  test('a bounce is deferred at DATA, and a callout that stops before it leaves no record', async () => {
    const callout = await session('127.8.1.1')
    await callout.command('MAIL FROM:<>')
    assert.match(await callout.command('RCPT TO:<callout@example.com>'), /^250 /)
    await callout.quit()
    const client = await session('127.8.1.1')
    assert.match(await send(client, '', ['bounce@example.com']), /^451/)
    await sleep(DELAY + MARGIN)
    assert.match(await send(client, '', ['bounce@example.com']), /^250 /)
    await client.quit()
    const lines = await waitFor('both outcomes', () => {
      const found = greymx
        .log()
        .filter((line) => line.includes(' sender=<> ') && line.includes('client=127.8.1.1 '))
      return found.length >= 2 ? found : undefined
    })
    assert.deepEqual(
      lines.map((line) => /reason=(\S+).* recipient=(\S+)/.exec(line)?.slice(1)),
      [
        ['new', 'bounce@example.com'],
        ['retry', 'bounce@example.com'],
      ],
    )
  })

  test('exempt clients, names, senders and recipients pass at once, and nobody else with them', async () => {
    const cases: Array<[address: string, sender: string, recipient: string, reason: string]> = [
      ['127.66.1.1', 'client@x.test', 'u@example.com', 'exempt-client'],
      ['127.30.1.1', 'name@x.test', 'u@example.com', 'exempt-client'],
      ['127.9.1.1', 'a@sub.exempt-sender.test', 'u@example.com', 'exempt-sender'],
      ['127.9.1.1', 'rcpt@x.test', 'Postmaster@example.com', 'exempt-recipient'],
      ['127.9.1.1', 'rcpt2@x.test', 'ABUSE@example.net', 'exempt-recipient'],
    ]
    for (const [address, sender, recipient, reason] of cases) {
      const client = await session(address)
      assert.match(await rcptOnce(client, sender, recipient), /^250 /, sender)
      await client.quit()
      assert.deepEqual(await waitForOutcomes(greymx, sender, 1), [`pass ${reason}`])
    }
  })

  test('spellings of one sender are one sender, and near misses are not', async () => {
    const client = await session('127.10.1.1')
    await rcptOnce(client, 'spelt@q.test', 'u@example.com')
    await rcptOnce(client, '"quo ted"@q.test', 'u@example.com')
    await sleep(DELAY + MARGIN)
    for (const same of ['SPELT@Q.test', '"spelt"@q.test', '@relay.test:spelt@q.test', '"quo\\ ted"@q.test']) {
      assert.match(await rcptOnce(client, same, 'U@EXAMPLE.com'), /^250 /, same)
    }
    for (const other of ['spelt@q.test.q.test', 'spelt.@q.test', '"quo  ted"@q.test', 'quo@q.test']) {
      assert.doesNotMatch(await rcptOnce(client, other, 'u@example.com'), /^250 /, other)
    }
    await client.quit()
  })

  test('a client that leaves in the middle disturbs nobody', async () => {
    const client = await session('127.11.1.1')
    await client.command('MAIL FROM:<gone@a.test>')
    await client.command('RCPT TO:<u@example.com>')
    client.close()
    const other = await session('127.11.1.1')
    await sleep(DELAY + MARGIN)
    assert.match(await rcptOnce(other, 'gone@a.test', 'u@example.com'), /^250 /)
    await other.quit()
  })

  async function refOf(sender: string): Promise<string | undefined> {
    await waitForOutcomes(greymx, sender, 1)
    return /ref=(\S+)/.exec(greymx.log().find((line) => line.includes(` sender=${sender} `)) ?? '')?.[1]
  }

  function deliveries(sender: string, count: number): Promise<DeliveredMessage[]> {
    return deliveriesOf(mta, sender, count)
  }
}

/** A scenario with a daemon and an MTA of its own, as it has another key. */
export async function senderIsJudgedAtMail(dir: string, subject: Subject): Promise<void> {
  const settings = SETTINGS.replace('STATE', `${dir}/state`).replace(
    'lifetime:',
    'key: [client, sender], lifetime:',
  )
  const greymx = await startGreymx({ dir, settings })
  const mta = await subject.start(dir, greymx)
  const client = await subject.session(mta, '127.1.1.1')
  assert.match(await client.command('MAIL FROM:<rudd@a.test>'), /^451/)
  assert.match(await client.command('MAIL FROM:<x@exempt-sender.test>'), /^250 /)
  await client.command('RSET')
  await sleep(DELAY + MARGIN)
  assert.match(await send(client, 'rudd@a.test', ['u@example.com', 'v@example.com']), /^250 /)
  await client.quit()
  assert.deepEqual(await waitForOutcomes(greymx, 'rudd@a.test', 2), ['tempfail new', 'pass retry'])
  const [message] = await deliveriesOf(mta, 'rudd@a.test', 1)
  assert.match(headerOf(message), /^X-Greylist: delayed/m)
}

export type CertifiedClient = 'none' | 'stranger' | 'other' | 'trusted'

/**
 * A scenario with a daemon and an MTA of its own: a certificate exempts only if a rule names it. `passing` has, for
 * each list of rules, the clients that pass and the rule that is logged.
 */
export async function listedCertificatePasses(
  dir: string,
  { start, session }: Pick<Subject, 'session'> & { start(greymx: Greymx, tls: Certificates): Promise<Mta> },
  tls: Certificates,
  lists: ReadonlyArray<
    readonly [rules: readonly string[], passing: Partial<Record<CertifiedClient, string>>]
  >,
): Promise<void> {
  for (const [index, [rules, passing]] of lists.entries()) {
    const settings = SETTINGS.replace('STATE', `${dir}/state${index}`).replace(
      'exempt:',
      `exempt:\n  tls_clients: ${JSON.stringify(rules)}`,
    )
    const greymx = await startGreymx({ dir, name: `greymx${index}`, settings })
    const mta = await start(greymx, tls)
    const clients: Array<[who: CertifiedClient, certificate: Certificate | undefined]> = [
      ['none', undefined],
      ['stranger', tls.stranger],
      ['other', tls.other],
      ['trusted', tls.trusted],
    ]
    for (const [who, certificate] of clients) {
      const client = await session(mta, '127.1.1.1')
      assert.match(await client.startTls(certificate), /^250/)
      const sender = `${who}@tls.test`
      const rule = passing[who]
      const reply = await rcptOnce(client, sender, 'u@example.com')
      assert.match(reply, rule === undefined ? /^451/ : /^250 /, `${who} by ${rules}`)
      await client.quit()
      const verdict = rule === undefined ? 'tempfail new' : 'pass authenticated'
      assert.deepEqual(await waitForOutcomes(greymx, sender, 1), [verdict])
      if (rule === undefined) continue
      const line = greymx.log().find((each) => each.includes(` sender=${sender} `)) ?? ''
      assert.ok(line.includes(`rule=${/[ "=]/.test(rule) ? JSON.stringify(rule) : rule} `), line)
    }
    await mta.stop()
    await greymx.stop()
  }
}

export const BODY = 'Hello.\r\n.. two dots, a tab\tand =20 trailing  \r\n\r\nBye\r\n'
export const MESSAGE = `From: a@a.test\r\nSubject: test\r\n\r\n${BODY}`

/** The reply to RCPT in a transaction of its own, or the reply to MAIL if that was refused. */
export async function rcptOnce(client: SmtpClient, sender: string, recipient: string): Promise<string> {
  const mail = await client.command(`MAIL FROM:<${sender}>`)
  if (!mail.startsWith('250')) return mail
  const reply = await client.command(`RCPT TO:<${recipient}>`)
  await client.command('RSET')
  return reply
}

/** The verdict in a reply to RCPT, with the default `reply`; `undefined` if not greymx has answered. */
export function verdictOf(reply: string): 'pass' | 'tempfail' | undefined {
  if (reply.startsWith('250 ')) return 'pass'
  return /^451 4\.7\.1 Greylisted, .*\(\w{8}\)$/.test(reply) ? 'tempfail' : undefined
}

/** Sends a message; resolves to the first reply that is a refusal, or else to the last one. */
export async function send(
  client: SmtpClient,
  sender: string,
  recipients: readonly string[],
  message: string | Buffer = MESSAGE,
): Promise<string> {
  for (const line of [`MAIL FROM:<${sender}>`, ...recipients.map((recipient) => `RCPT TO:<${recipient}>`)]) {
    const reply = await client.command(line)
    if (!reply.startsWith('250')) {
      await client.command('RSET')
      return reply
    }
  }
  const reply = await client.data(message)
  if (!reply.startsWith('250')) await client.command('RSET')
  return reply
}

export function deliveriesOf(mta: Mta, sender: string, count: number): Promise<DeliveredMessage[]> {
  return waitFor(`${count} deliveries from ${sender}`, async () => {
    const found = (await mta.delivered()).filter(({ from }) => from === sender)
    return found.length >= count ? found : undefined
  })
}

export function headerOf(message: DeliveredMessage | undefined): string {
  assert.ok(message)
  return message.data.subarray(0, message.data.length - message.body.length).toString()
}
