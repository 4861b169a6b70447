// What counts as evidence, through a real Postfix and with a real DNS server: customers of one provider, senders that make
// up a domain for each message, and sister hosts.

import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startDns } from '../support/dns.ts'
import { startGreymx, waitForOutcomes } from '../support/greymx.ts'
import { startPostfix, startSession } from '../support/postfix.ts'
import { scratch } from '../support/scratch.ts'
import type { XclientAttributes } from '../support/smtp.ts'
import { DELAY, MARGIN, rcptOnce } from './scenarios.ts'

const ZONES = {
  test: `
    _spf.provider TXT "v=spf1 ip4:198.51.100.0/24 ip4:203.0.113.0/24 -all"
    one   TXT "v=spf1 include:_spf.provider.test -all"
    two   TXT "v=spf1 include:_spf.provider.test -all"
    three TXT "v=spf1 include:_spf.provider.test -all"
    four  TXT "v=spf1 include:_spf.provider.test -all"
    five  TXT "v=spf1 include:_spf.provider.test -all"
    sisters TXT "v=spf1 ip4:192.0.2.0/24 ~all"
  `,
}

const dir = await scratch({ after })
const dns = await startDns({ dir, zones: ZONES })

/** A daemon with Postfix in front of it; `ask` gives the SMTP code for mail of `sender`. */
async function start(name: string, greylist: string) {
  const greymx = await startGreymx({
    dir,
    name,
    settings: `store: "memory:"\ndns_servers: [${dns.server}]\ngreylist: { delay: ${DELAY}ms, ${greylist} }`,
  })
  const mta = await startPostfix({ dir, milter: `inet:127.0.0.1:${greymx.port}` })
  const ask = async (sender: string, ADDR: string, claims: XclientAttributes = {}): Promise<string> => {
    const client = await startSession(mta, { ADDR, ...claims })
    const reply = await rcptOnce(client, sender, 'u@example.com')
    await client.quit()
    return reply.slice(0, 3)
  }
  return { greymx, ask }
}

describe('through Postfix', { concurrency: true }, () => {
  test('once two customers of a provider have come back, none of its other customers waits', async () => {
    const { greymx, ask } = await start('provider', 'max_deferrals: 0')
    for (const domain of ['one', 'two']) assert.equal(await ask(`a@${domain}.test`, '198.51.100.1'), '451')
    await sleep(DELAY + MARGIN)
    for (const domain of ['one', 'two']) assert.equal(await ask(`a@${domain}.test`, '203.0.113.7'), '250')
    for (const domain of ['three', 'four', 'five']) {
      assert.equal(await ask(`a@${domain}.test`, '198.51.100.2'), '250')
      assert.deepEqual(await waitForOutcomes(greymx, `a@${domain}.test`, 1), ['pass carrier'])
    }
    const [line] = greymx.log().filter((text) => text.includes('reason=carrier'))
    assert.match(line ?? '', / evidence=carrier:provider\.test\(2\/2\)$/)
    // Who is not the provider's customer waits, from its network as well.
    assert.equal(await ask('a@sisters.test', '198.51.100.2'), '451')
  })

  const mailers: Array<[name: string, senderOf: (count: number) => string]> = [
    [
      'Salesforce',
      (count) => `support=acme.example__x9k${count}@r4nd${count}m.a-abc.na6${count}.bnc.salesforce.example`,
    ],
    [
      'Mailchimp',
      (count) =>
        `bounce-mc.us1_${count}.355197${count}-joe=example.com@mail1${count}.atl3${count}.rsgsv.example`,
    ],
    [
      'HubSpot',
      (count) => `1axbzngfdqrw3qttkekmmouflkgrjnzptdk8s${count}@bf0${count}.eu1.hubspotemail.example`,
    ],
  ]
  for (const [name, senderOf] of mailers) {
    test(`${name} makes up a sender for each message, and only its first one waits`, async () => {
      const { ask } = await start(name, 'max_deferrals: 0, auto_whitelist: false')
      assert.equal(await ask(senderOf(1), '192.0.2.9'), '451')
      await sleep(DELAY + MARGIN)
      for (let count = 1; count <= 6; count += 1)
        assert.equal(await ask(senderOf(count), '192.0.2.9'), '250', senderOf(count))
    })
  }

  test('the retry of a sister host that SPF does not name is the retry', async () => {
    const { ask } = await start('sisters', 'max_deferrals: 0')
    assert.equal(await ask('a@sisters.test', '192.0.2.1', { NAME: 'out1.sisters.test' }), '451')
    await sleep(DELAY + MARGIN)
    assert.equal(await ask('a@sisters.test', '198.18.7.1', { NAME: 'out2.sisters.test' }), '250')
  })
})
