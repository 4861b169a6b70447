// Tests that strangers cannot pass at once by what one of them has earned, through a real Postfix and with a real DNS
// server: one host retries two mails, and then bots in other networks use the same domain.

import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startDns } from '../support/dns.ts'
import { startGreymx } from '../support/greymx.ts'
import { startPostfix, startSession } from '../support/postfix.ts'
import { scratch } from '../support/scratch.ts'
import { DELAY, MARGIN, rcptOnce } from './scenarios.ts'

/** Addresses that an earlier greymx, whose source had them, tried to find out whether a record passes for anyone. */
const SAMPLED = [
  ...['21.74.115.9', '55.201.18.83', '73.158.97.44', '126.65.212.177'],
  ...['153.209.33.118', '175.196.84.203', '214.39.166.71'],
]
const SIXTEEN_8 = Array.from({ length: 16 }, (_, n) => `ip4:${n * 16 + 10}.0.0.0/8`)

/** Domains whose records pass for bots everywhere, each in another way. */
const RECORDS: Readonly<Record<string, string>> = {
  sampled: `v=spf1 ${SAMPLED.map((address) => `-ip4:${address}`).join(' ')} +all`,
  all: 'v=spf1 +all',
  halves: 'v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all',
  eights: `v=spf1 ${SIXTEEN_8.join(' ')} -all`,
  included: 'v=spf1 include:halves.test -all',
  redirected: 'v=spf1 redirect=all.test',
  exists: 'v=spf1 exists:%{i}.any.test -all',
  existing: 'v=spf1 exists:any.test -all',
  client: 'v=spf1 a:%{i}.host.test -all',
  policy: 'v=spf1 include:%{i}.policy.test -all',
  target: 'v=spf1 redirect=%{i}.policy.test',
  local: 'v=spf1 include:%{l}.policy.test -all',
  helo: 'v=spf1 a:%{h}/0 -all',
  wide: 'v=spf1 a:any.test/0 -all',
  mx: 'v=spf1 mx/1 -all',
  trap: 'v=spf1 include:end.trap.test ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all',
}

/** The host that retries, then bots of three networks; the records above pass for all of them. */
const HOST = '26.20.1.1'
const BOTS = ['26.30.1.1', '26.40.1.1', '26.50.1.1']
/** A host of which nothing is known, as the first has proven its name after two retries. */
const FARMER = '26.20.1.9'

const OWNERS: Readonly<Record<string, string>> = {
  [HOST]: 'retrier',
  [FARMER]: 'farmer',
  ...Object.fromEntries(BOTS.map((bot, index) => [bot, ['anna', 'berta', 'carla'][index]])),
}

const ZONES = {
  test: [
    ...Object.entries(RECORDS).map(([name, record]) => `${name} TXT "${record}"`),
    'any A 26.20.1.1',
    // Every evaluation ends at the first term with neutral, and one that went on would end with an error.
    'end.trap TXT "v=spf1 ?ip4:0.0.0.0/0 include:gone.test"',
    '*.any A 127.0.0.2',
    'mx MX 10 any',
    'farm TXT "v=spf1 ip4:26.20.0.0/16 ip4:26.30.0.0/16 ip4:26.40.0.0/16 ip4:26.50.0.0/16 -all"',
    ...[HOST, ...BOTS].flatMap((address) => [
      `${address}.host A ${address}`,
      `${address}.policy TXT "v=spf1 ip4:${address} -all"`,
    ]),
    ...['one', 'two'].map((local) => `${local}.policy TXT "v=spf1 ip4:${HOST} -all"`),
    ...BOTS.map((address, index) => `bot${index}.policy TXT "v=spf1 ip4:${address} -all"`),
  ].join('\n'),
}

const dir = await scratch({ after })
const dns = await startDns({ dir, zones: ZONES })
const greymx = await startGreymx({
  dir,
  settings: `store: "memory:"
dns_servers: [${dns.server}]
greylist: { delay: ${DELAY}ms, auto_whitelist: { after: 2, spacing: 1ms } }`,
})
const mta = await startPostfix({ dir, milter: `inet:127.0.0.1:${greymx.port}` })

async function ask(sender: string, ADDR: string): Promise<string> {
  // Each has a confirmed, telling name of its own, so that two first passes would be enough.
  const client = await startSession(mta, { ADDR, NAME: `mx.${OWNERS[ADDR]}.test` })
  await client.ehlo('any.test')
  const reply = await rcptOnce(client, sender, 'u@example.com')
  await client.quit()
  return reply.slice(0, 3)
}

async function retryFrom(domain: string, host = HOST): Promise<void> {
  const senders = [`one@${domain}`, `two@${domain}`]
  for (const sender of senders) assert.equal(await ask(sender, host), '451', sender)
  await sleep(DELAY + MARGIN)
  for (const sender of senders) assert.equal(await ask(sender, host), '250', sender)
}

describe('what one host has shown is no credit for those', { concurrency: true }, () => {
  for (const name of Object.keys(RECORDS)) {
    test(`who pass by the record “${name}”`, async () => {
      await retryFrom(`${name}.test`)
      for (const [index, bot] of BOTS.entries()) {
        assert.equal(await ask(`one@${name}.test`, bot), '451', bot)
        assert.equal(await ask(`bot${index}@${name}.test`, bot), '451', bot)
      }
    })
  }
})

test('a record that names its hosts gives them the credit of one', async () => {
  await retryFrom('farm.test', FARMER)
  for (const [index, sister] of BOTS.entries())
    assert.equal(await ask(`sister${index}@farm.test`, sister), '250', sister)
})
