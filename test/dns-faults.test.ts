// The matrix of DNS faults: 64 sessions send mail of ever new domains while answers are lost, late, refused, truncated
// or forged. It prints how long RCPT takes from the tenth second of each fault on, and how soon SPF counts again.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { MilterClient } from '../src/milter/client.ts'
import { startDns } from './support/dns.ts'
import { type DnsFault, startFaultyDns } from './support/faulty-dns.ts'
import { type Greymx, startGreymx } from './support/greymx.ts'
import { scratch } from './support/scratch.ts'

const SESSIONS = 64

/** Time in milliseconds from which a fault is measured, and for how long. */
const SETTLING = 10_000
const MEASURED = 3_000

/** What a RCPT took may be at most half of what mail waits for DNS that is well, in milliseconds. */
const LONGEST = 750

const FAULTS: readonly DnsFault[] = [
  'silent',
  'half lost',
  'one second late',
  'SERVFAIL',
  'REFUSED',
  'truncated, TCP refused',
  'truncated, TCP hangs',
  'forged',
]

const dir = await scratch({ after })
const zones = Array.from(
  { length: SESSIONS },
  (_, session) => `*.s${session} TXT "v=spf1 ip4:198.18.${session}.0/24 -all"`,
)
const real = await startDns({ dir, zones: { '.': 'root TXT "x"', test: zones.join('\n') } })
const faulty = await startFaultyDns({ after }, real.port)
let greymx: Greymx

before(async () => {
  const settings =
    'store: "memory:"\ngreylist: { auto_whitelist: false, max_deferrals: 0 }\nlog: { level: info }'
  greymx = await startGreymx({ dir, settings: `dns_servers: ["${faulty.server}"]\n${settings}` })
})

interface Sent {
  readonly sender: string
  readonly took: number
  readonly code: string
}

let messages = 0

/** One message of a domain that was never seen. */
async function send(client: MilterClient, session: number): Promise<Sent> {
  messages += 1
  const sender = `a@d${messages}.s${session}.test`
  const startedAt = performance.now()
  await client.mail(`<${sender}>`)
  const { code } = await client.rcpt('<u@example.com>')
  client.abort()
  return { sender, took: performance.now() - startedAt, code }
}

async function openSession(session: number): Promise<MilterClient> {
  const client = await greymx.connect()
  await client.connect({ hostName: '[198.18.0.1]', family: 'inet', port: 25, address: `198.18.${session}.1` })
  return client
}

function senderIn(line: string): string {
  return / sender=(\S+)/.exec(line)?.[1] ?? ''
}

for (const fault of FAULTS) {
  test(`DNS that is ${fault} holds up nobody for long, and changes no verdict`, async (t) => {
    const clients = await Promise.all(Array.from({ length: SESSIONS }, (_, session) => openSession(session)))
    faulty.fault = fault
    const begun = performance.now()
    const sent: Array<Sent & { readonly at: number }> = []
    await Promise.all(
      clients.map(async (client, session) => {
        while (performance.now() - begun < SETTLING + MEASURED) {
          const at = performance.now() - begun
          sent.push({ ...(await send(client, session)), at })
          await sleep(20)
        }
      }),
    )
    faulty.fault = undefined
    const healed = performance.now()
    let back: number | undefined
    const since = new Map<string, number>()
    while (back === undefined && performance.now() - healed < 10_000) {
      const at = performance.now() - healed
      since.set((await send(clients[0] as MilterClient, 0)).sender, at)
      await sleep(100)
      // The log may be a moment behind.
      const known = greymx.log().find((line) => line.includes('identity=spf:') && since.has(senderIn(line)))
      if (known !== undefined) back = since.get(senderIn(known))
    }
    for (const client of clients) client.quit()

    const measured = sent.filter(({ at }) => at >= SETTLING)
    const times = measured.map(({ took }) => took).sort((a, b) => a - b)
    const p99 = times[Math.floor(times.length * 0.99)] ?? Number.NaN
    const longest = Math.max(...sent.map(({ took }) => took))
    t.diagnostic(
      `${fault}: ${Math.round(measured.length / (MEASURED / 1000))} RCPT/s, p99 ${Math.round(p99)} ms, ` +
        `longest since its beginning ${Math.round(longest)} ms, SPF counts again after ${Math.round(back ?? Number.NaN)} ms`,
    )
    assert.ok(
      sent.every(({ code }) => code === 'y'),
      'new senders are deferred',
    )
    assert.ok(p99 < LONGEST, `p99 ${p99}`)
    assert.ok(longest < 2300, `longest ${longest}`)
    assert.ok(back !== undefined && back < 5000, `${back}`)
  })
}
