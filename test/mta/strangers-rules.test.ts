// Tests attacks by strangers who know the rules, through a real Postfix and with a real DNS server: they try to be
// taken for a sender that retries, for a neighbour that has come back, or for another client behind the same address.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Dns, startDns } from '../support/dns.ts'
import { type Greymx, startGreymx } from '../support/greymx.ts'
import { startPostfix, startSession } from '../support/postfix.ts'
import { scratch, waitFor } from '../support/scratch.ts'
import type { XclientAttributes } from '../support/smtp.ts'
import { MARGIN, rcptOnce, send } from './scenarios.ts'

/** X, in milliseconds. */
const DELAY = 500

const ZONES = {
  test: `
    popular TXT "v=spf1 ip4:192.0.2.0/24 -all"
    plain   TXT "no record"
    open    TXT "v=spf1 +all"
    named   TXT "v=spf1 exists:%{i}.named.test -all"
    100.64.0.1.named A 127.0.0.2
    100.64.1.1.named A 127.0.0.2
    100.64.2.1.named A 127.0.0.2
    100.64.3.1.named A 127.0.0.2
    slow    TXT "v=spf1 ip4:198.51.100.0/24 -all"`,
}

interface Running {
  readonly greymx: Greymx
  readonly dns: Dns
  /** The reply that a client gets at RCPT, or for a bounce at the end of the message. */
  ask(sender: string, ADDR: string, claims?: XclientAttributes, recipient?: string): Promise<string>
}

async function start(t: TestContext, greylist: string): Promise<Running> {
  const dir = await scratch(t)
  const dns = await startDns({ dir, zones: ZONES })
  const greymx = await startGreymx({
    dir,
    settings: `store: "memory:"\ndns_servers: [${dns.server}]\ngreylist: { delay: ${DELAY}ms, ${greylist} }`,
  })
  const mta = await startPostfix({ dir, milter: `inet:127.0.0.1:${greymx.port}` })
  const ask = async (
    sender: string,
    ADDR: string,
    claims: XclientAttributes = {},
    recipient = 'u@example.com',
  ) => {
    const client = await startSession(mta, { ADDR, ...claims })
    const reply =
      sender === '' ? await send(client, sender, [recipient]) : await rcptOnce(client, sender, recipient)
    await client.quit()
    return reply.slice(0, 3)
  }
  return { greymx, dns, ask }
}

async function linesOf(greymx: Greymx, sender: string, count: number): Promise<string[]> {
  return waitFor(`${count} outcomes of ${sender}`, () => {
    const lines = greymx.log().filter((line) => line.includes(` sender=${sender} `))
    return lines.length >= count ? lines : undefined
  })
}

const WITHOUT_WHITELIST = 'auto_whitelist: false'

test('eleven RCPT in one session are deferred, however few the operator allows', async (t) => {
  const dir = await scratch(t)
  const greymx = await startGreymx({ dir, settings: 'store: "memory:"\ngreylist: { max_deferrals: 3 }' })
  const mta = await startPostfix({ dir, milter: `inet:127.0.0.1:${greymx.port}` })
  const client = await startSession(mta, { ADDR: '198.51.100.7' })
  for (let count = 0; count < 11; count += 1) {
    assert.match(await rcptOnce(client, 'a@popular.test', 'u@example.com'), /^451/)
  }
  assert.match(await client.command('MAIL FROM:<a@popular.test>'), /^250/)
  for (let count = 0; count < 11; count += 1) {
    assert.match(await client.command('RCPT TO:<u@example.com>'), /^451/)
  }
  await client.quit()
})

for (const [domain, what] of [
  ['popular.test', 'that SPF speaks for'],
  ['plain.test', 'without SPF'],
  ['open.test', 'that passes everyone'],
] as const) {
  test(`33 bots in 33 networks that forge a domain ${what} are deferred`, async (t) => {
    const { ask } = await start(t, `${WITHOUT_WHITELIST}, max_deferrals: 10`)
    // There are waves of attempts at once, and attempts more than a delay apart, but fewer than ten of these.
    for (let wave = 0; wave < 3; wave += 1) {
      const bots = Array.from({ length: 11 }, (_, bot) => `100.${wave}.${bot}.1`)
      const replies = await Promise.all(bots.map((bot) => ask(`ceo@${domain}`, bot)))
      assert.deepEqual(new Set(replies), new Set(['451']))
      await sleep(DELAY + MARGIN)
    }
  })
}

test('bots that take their time are deferred too, where SPF speaks against them', async (t) => {
  const { ask, greymx } = await start(t, `${WITHOUT_WHITELIST}, max_deferrals: 3`)
  for (let bot = 0; bot < 8; bot += 1) {
    assert.equal(await ask('ceo@popular.test', `100.64.${bot}.1`), '451')
    await sleep(DELAY + MARGIN)
  }
  assert.doesNotMatch(greymx.log().join('\n'), /hint=/)
})

test('bots that forge a domain whose name servers do not answer are deferred, however long they take', async (t) => {
  const { ask, dns } = await start(t, `${WITHOUT_WHITELIST}, max_deferrals: 3`)
  await dns.pause()
  for (let bot = 0; bot < 8; bot += 1) {
    assert.equal(await ask('ceo@popular.test', `100.64.${bot}.1`), '451')
    await sleep(DELAY + MARGIN)
  }
})

test('bots that SPF speaks against cannot keep the sender that they forge from getting through', async (t) => {
  const { ask } = await start(t, `${WITHOUT_WHITELIST}, max_deferrals: 3`)
  const replies: string[] = []
  for (let network = 0; network < 4; network += 1) {
    replies.push(await ask('a@named.test', `100.64.${network}.1`))
    assert.equal(await ask('a@named.test', `203.0.${network}.1`), '451')
    await sleep(DELAY + MARGIN)
  }
  assert.deepEqual(replies, ['451', '451', '451', '250'])
})

test('bounces of many clients to one recipient have no counter in common', async (t) => {
  const { ask } = await start(t, `${WITHOUT_WHITELIST}, max_deferrals: 3`)
  for (let client = 0; client < 8; client += 1) {
    assert.equal(await ask('', `100.1.${client}.1`), '451')
    await sleep(DELAY + MARGIN)
  }
})

test('the log names the sender’s domain where the host’s name has proved it, and no other', async (t) => {
  const greylist = `${WITHOUT_WHITELIST}, max_deferrals: 3, client: { host_domain: false }`
  const { ask, greymx } = await start(t, greylist)
  for (const [index, domain] of ['plain.test', 'mail.plain.test'].entries()) {
    for (let client = 0; client < 4; client += 1) {
      const NAME = `mx${client}.${index === 0 ? 'stranger' : 'plain'}.test`
      assert.equal(await ask(`a@${domain}`, `100.${index}.${client}.1`, { NAME }), client < 3 ? '451' : '250')
      await sleep(DELAY + MARGIN)
    }
  }
  const [stranger, own] = [
    (await linesOf(greymx, 'a@plain.test', 4)).at(-1),
    (await linesOf(greymx, 'a@mail.plain.test', 4)).at(-1),
  ]
  assert.match(stranger ?? '', /reason=max-deferrals(?!.*hint=)/)
  assert.match(own ?? '', /reason=max-deferrals.*hint="exempt\.senders: mail\.plain\.test"/)
})

test('customers of a hoster do not vouch for each other, whatever their machines are called', async (t) => {
  const { ask } = await start(
    t,
    'max_deferrals: 0, auto_whitelist: { after: 2, spacing: 1ms, lifetime: 60s }',
  )
  const forms: Array<[first: string, second: string, bot: string]> = [
    ['vmi1000001.hoster-a.test', 'vmi1000001.hoster-a.test', 'vmi1937462.hoster-a.test'],
    ['vps-d0669a91.vps.hoster-b.test', 'vps-d0669a91.vps.hoster-b.test', 'vps-a30a123f.vps.hoster-b.test'],
    ['001a2b3c4d5e.isp-c.test', '001a2b3c4d5e.isp-c.test', '001a2b3c4d5f.isp-c.test'],
    ['p1234-ipngn.tokyo.isp-d.test', 'p1234-ipngn.tokyo.isp-d.test', 'p5678-ipngn.tokyo.isp-d.test'],
    // No list of words has these names, and the customers are in two networks.
    ['berlin-anton.hoster-e.test', 'berlin-berta.hoster-e.test', 'berlin-caesar.hoster-e.test'],
    ['rosa.hoster-f.test', 'lila.hoster-f.test', 'blau.hoster-f.test'],
  ]
  const senders = forms.flatMap((_, index) => [`a${index}@one${index}.test`, `b${index}@two${index}.test`])
  const customers = forms.flatMap(
    ([first, second], index): Array<[string, string]> => [
      [`100.${index}.1.1`, first],
      [`100.${index}.${first === second ? 1 : 2}.1`, second],
    ],
  )
  for (const reply of ['451', '250']) {
    for (const [index, [address, NAME]] of customers.entries()) {
      assert.equal(await ask(senders[index] ?? '', address, { NAME }), reply, NAME)
    }
    await sleep(DELAY + MARGIN)
  }
  for (const [index, [, , NAME]] of forms.entries()) {
    for (const sender of [`spam${index}@spam.test`, senders[2 * index] ?? '']) {
      assert.equal(await ask(sender, `100.${index}.3.1`, { NAME }, 'victim@example.com'), '451', NAME)
    }
  }
})

test('three machines of one customer, and senders that he forges, do not open a hoster for its other customers', async (t) => {
  const { ask } = await start(
    t,
    'max_deferrals: 0, auto_whitelist: { after: 2, spacing: 1ms, lifetime: 60s }',
  )
  const forged = ['popular.test', 'plain.test', 'open.test', 'named.test', 'slow.test']
  for (const reply of ['451', '250']) {
    for (const [index, domain] of forged.entries()) {
      const NAME = `mail${index}.hoster.test`
      assert.equal(await ask(`ceo@${domain}`, `100.${index}.1.1`, { NAME }), reply, domain)
    }
    await sleep(DELAY + MARGIN)
  }
  assert.equal(await ask('spam@plain.test', '100.200.1.1', { NAME: 'mail9.hoster.test' }), '451')
})

test('a private address never earns that whoever stands behind it passes', async (t) => {
  const { ask } = await start(
    t,
    'max_deferrals: 0, auto_whitelist: { after: 1, spacing: 1ms, lifetime: 60s }',
  )
  const senders = Array.from({ length: 5 }, (_, index) => `s${index}@plain.test`)
  // One after another, as nobody earns anything while several wait.
  for (const sender of senders) {
    for (const reply of ['451', '250']) {
      for (const ADDR of ['172.18.0.1', '198.51.100.1']) assert.equal(await ask(sender, ADDR), reply)
      await sleep(DELAY + MARGIN)
    }
  }
  assert.equal(await ask('x@plain.test', '172.18.0.1'), '451')
  assert.equal(await ask('x@plain.test', '198.51.100.1'), '250')
})

test('both attempts of a triplet have one reference, though DNS failed at the first', async (t) => {
  const { ask, dns, greymx } = await start(t, 'max_deferrals: 0')
  await dns.pause()
  assert.equal(await ask('a@slow.test', '198.51.100.7'), '451')
  dns.resume()
  await sleep(DELAY + MARGIN)
  await waitFor('DNS to be used again', async () => {
    await ask('b@slow.test', '198.51.100.7')
    return greymx.log().some((line) => line.includes('identity=spf:slow.test sender=b@slow.test'))
  })
  assert.equal(await ask('a@slow.test', '198.51.100.7'), '250')
  const lines = await linesOf(greymx, 'a@slow.test', 2)
  const told = lines.map((line) => / identity=(\S+) .* ref=(\S+) /.exec(line)?.slice(1))
  assert.deepEqual(
    told.map((each) => each?.[0]),
    ['network:198.51.100.0/24', 'spf:slow.test'],
  )
  assert.ok(told[0]?.[1])
  assert.equal(told[0][1], told[1]?.[1])
})
