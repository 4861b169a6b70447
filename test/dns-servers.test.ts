// Tests that greymx follows when the machine's name servers change. The daemon has a resolv.conf of its own, which
// names servers of the test.

import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { type Dns, startDns } from './support/dns.ts'
import { type Greymx, startGreymx, waitForOutcomes } from './support/greymx.ts'
import { scratch, waitFor } from './support/scratch.ts'

const dir = await scratch({ after })

/**
 * The address of a server; resolv.conf knows no ports, and the machine's own server may have 127.0.0.1 or 127.0.0.53.
 */
function addressOf(number: number): string {
  return `127.78.${process.pid % 256}.${number}`
}

/** Starts a server with records that only it has. */
function startNameServer(number: number): Promise<Dns> {
  return startDns({
    dir,
    address: addressOf(number),
    port: 53,
    zones: { [`of${number}.test`]: '* TXT "v=spf1 ip4:192.0.2.0/24 -all"', test: '' },
  })
}

async function start(name: string, resolvConf: string): Promise<Greymx> {
  return startGreymx({ dir, name, resolvConf, settings: 'store: "memory:"\ndns_servers: []' })
}

let senders = 0

/** The identity of a client that sends as some host of `domain`. */
async function identityFor(greymx: Greymx, domain: string): Promise<string | undefined> {
  senders += 1
  const sender = `a@host${senders}.${domain}`
  const client = await greymx.connect()
  await client.connect({ hostName: '[192.0.2.7]', family: 'inet', port: 25, address: '192.0.2.7' }, [])
  await client.mail(`<${sender}>`)
  await client.rcpt('<u@example.com>')
  client.quit()
  await waitForOutcomes(greymx, sender, 1)
  return greymx
    .log()
    .map((line) => (line.includes(` sender=${sender} `) ? / identity=(\S+)/.exec(line)?.[1] : undefined))
    .find(Boolean)
}

test('SIGHUP reads again which name servers the machine has', async () => {
  await startNameServer(1)
  await startNameServer(2)
  const resolvConf = join(dir, 'sighup.conf')
  await writeFile(resolvConf, `nameserver ${addressOf(1)}\n`)
  const greymx = await start('sighup', resolvConf)
  assert.match((await identityFor(greymx, 'of1.test')) ?? '', /^spf:/)
  assert.match((await identityFor(greymx, 'of2.test')) ?? '', /^network:/)
  await writeFile(resolvConf, `nameserver ${addressOf(2)}\n`)
  greymx.signal('SIGHUP')
  await waitFor('the reload', () => greymx.log().some((line) => line.includes('configuration read again')))
  assert.match((await identityFor(greymx, 'of2.test')) ?? '', /^spf:/)
})

test('while no name server answers, it is looked for those that the machine has by now', async () => {
  await startNameServer(3)
  const resolvConf = join(dir, 'silent.conf')
  await writeFile(resolvConf, `nameserver ${addressOf(4)}\n`)
  const greymx = await start('silent', resolvConf)
  assert.match((await identityFor(greymx, 'of3.test')) ?? '', /^network:/)
  await waitFor('the silence to be noticed', () =>
    greymx.log().some((line) => line.includes('DNS does not answer')),
  )
  await writeFile(resolvConf, `nameserver ${addressOf(3)}\n`)
  await waitFor('the servers to be found', () =>
    greymx.log().some((line) => line.includes('DNS answers again')),
  )
  assert.match((await identityFor(greymx, 'of3.test')) ?? '', /^spf:/)
})
