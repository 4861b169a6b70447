// Runs hundreds of hostile peers against the built daemon, beside an MTA that behaves: the MTA gets right answers, and
// the daemon's memory does not grow. The times of answers are printed; the only assertion on them is that none was as
// long as an MTA would wait.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { MilterClient } from '../../src/milter/client.ts'
import { residentBytes } from '../support/daemon.ts'
import { type Greymx, startGreymx } from '../support/greymx.ts'
import { scratch } from '../support/scratch.ts'
import { CLIENT, COMMAND, encode, mail, rcpt } from './recording.ts'

const MIB = 1024 * 1024

/** Longest wait that no MTA would call late, in milliseconds: Sendmail waits 10 s (T=S:10s;R:10s), Postfix 30 s. */
const MAX_WAIT = 5000

/** Number of messages of the MTA that behaves. */
const MESSAGES = 200

const BARE_OFFER = { kind: 'OPTNEG', offer: { version: 6, actions: 0, steps: 0 } } as const

async function start(t: TestContext, limits: string): Promise<Greymx> {
  const settings = `store: "memory:"\ngreylist: { max_deferrals: 0 }\nlimits: { ${limits} }\nlog: { level: warn }`
  return startGreymx({ dir: await scratch(t), settings })
}

/** Opens `count` connections that have sent `bytes`. */
async function crowd(t: TestContext, { port }: Greymx, count: number, bytes: Buffer): Promise<Socket[]> {
  const sockets: Socket[] = []
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  while (sockets.length < count) {
    const some = Array.from({ length: 100 }, () => connect({ host: '127.0.0.1', port }))
    sockets.push(...some)
    for (const socket of some) socket.on('error', () => {}) // a reset is one way to be closed
    await Promise.all(some.map((socket) => once(socket, 'connect')))
    for (const socket of some) socket.resume().write(bytes)
  }
  return sockets
}

/**
 * Sends messages, each of them a new triplet that is deferred. Resolves to the waits in milliseconds: for the
 * connection, and from RCPT to its answer.
 */
async function behave(t: TestContext, greymx: Greymx, messages = MESSAGES): Promise<number[]> {
  const waits: number[] = []
  const startedAt = performance.now()
  const client: MilterClient = await greymx.connect()
  waits.push(performance.now() - startedAt)
  t.after(() => client.quit())
  await client.connect(CLIENT)
  for (let count = 0; count < messages; count += 1) {
    await client.mail(`<s${startedAt}-${count}@example.org>`)
    const askedAt = performance.now()
    const { code, text } = await client.rcpt(`<r${count}@example.com>`)
    waits.push(performance.now() - askedAt)
    assert.match(`${code}${text}`, /^y451 4\.7\.1 /)
    client.abort()
  }
  return waits.sort((a, b) => a - b)
}

/** Prints the waits, and asserts that none is longer than `MAX_WAIT`. */
function assertPrompt(t: TestContext, what: string, waits: readonly number[]): void {
  const at = (share: number) =>
    waits[Math.min(waits.length - 1, Math.floor(waits.length * share))] ?? Number.NaN
  t.diagnostic(
    `${what}: p50 ${at(0.5).toFixed(2)} ms, p99 ${at(0.99).toFixed(2)} ms, most ${at(1).toFixed(2)} ms`,
  )
  assert.ok(at(1) < MAX_WAIT)
}

test('senders of rubbish, of floods that they do not read, and of frames in single bytes', {
  timeout: 60_000,
}, async (t) => {
  const greymx = await start(t, 'stall: 5s, memory: 16MiB')
  await behave(t, greymx)
  const before = await residentBytes(greymx.pid)
  // These connections send commands and never read the replies.
  const deaf = await crowd(t, greymx, 50, encode(BARE_OFFER, COMMAND.CONNECT))
  const flood = encode(...Array.from({ length: 5000 }, () => COMMAND.HELO))
  for (const socket of deaf) {
    socket.pause()
    for (let count = 0; count < 20; count += 1) socket.write(flood)
  }
  // These announce 1 MiB, and send it in pieces that the kernel cannot join.
  const dribbling = await crowd(
    t,
    greymx,
    100,
    Buffer.concat([encode(COMMAND.OPTNEG), Buffer.from('0010000048', 'hex')]),
  )
  for (const socket of dribbling) socket.setNoDelay(true)
  // These send a thousand recipients at once, all of which are judged.
  const many = await crowd(t, greymx, 100, encode(COMMAND.OPTNEG, COMMAND.CONNECT, mail('<a@example.net>')))
  const recipients = encode(...Array.from({ length: 1000 }, (_, index) => rcpt(`<u${index}@example.com>`)))
  const timer = setInterval(() => {
    for (const socket of dribbling) for (let count = 0; count < 20; count += 1) socket.write('x')
    for (const socket of many.splice(0, 10)) socket.write(recipients)
    const rubbish = connect({ host: '127.0.0.1', port: greymx.port })
    rubbish.on('error', () => {}).end('GET / HTTP/1.1\r\n\r\n')
  }, 20)
  t.after(() => clearInterval(timer))
  assertPrompt(t, 'beside them', await behave(t, greymx, 100))
  const grown = (await residentBytes(greymx.pid)) - before
  t.diagnostic(`they took ${(grown / MIB).toFixed(1)} MiB`)
  assert.ok(grown < 250 * MIB)
  assert.ok(greymx.log().filter((line) => line.includes('kind=length')).length <= 2)
})
