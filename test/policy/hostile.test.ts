// Runs hostile peers against the policy door of the built daemon, beside a Postfix that behaves: it gets right answers,
// and the daemon's memory does not grow. The times of answers are printed; the only assertion on them is that none was
// as long as Postfix would wait.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { quantile } from '../bench/figures.ts'
import { residentBytes } from '../support/daemon.ts'
import { startGreymx } from '../support/greymx.ts'
import { connectPolicy } from '../support/policy.ts'
import { scratch } from '../support/scratch.ts'
import { encodeRequest, RCPT } from './recording.ts'

const MIB = 1024 * 1024
/** Half of the time that Postfix waits with timeout=10s, in milliseconds. */
const MAX_WAIT = 5000
const MESSAGES = 50

/** Opens `count` connections that have sent `bytes`. */
async function crowd(t: TestContext, path: string, count: number, bytes: Buffer): Promise<Socket[]> {
  const sockets = Array.from({ length: count }, () => connect(path))
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  for (const socket of sockets) socket.on('error', () => {}) // a reset is one way to be closed
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  for (const socket of sockets) socket.resume().write(bytes)
  return sockets
}

/** Asks about messages with two recipients each, and returns the waits in milliseconds. */
async function behave(dir: string, path: string, name: string): Promise<number[]> {
  const { ask } = await connectPolicy(dir, path)
  const waits: number[] = []
  for (let count = 0; count < MESSAGES; count += 1) {
    for (const recipient of ['postmaster@example.com', 'u@example.com']) {
      const askedAt = performance.now()
      const action = await ask({
        ...RCPT,
        instance: `${name}${count}`,
        sender: `${name}${count}@b.test`,
        recipient,
      })
      waits.push(performance.now() - askedAt)
      assert.match(action, recipient === 'u@example.com' ? /^DEFER_IF_PERMIT 4\.7\.1 Greylisted/ : /^DUNNO$/)
    }
  }
  return waits
}

test('senders of rubbish, of floods that they do not read, of single bytes, and of messages without end', {
  timeout: 60_000,
}, async (t) => {
  const dir = await scratch(t)
  const path = `${dir}/policy.sock`
  const greymx = await startGreymx({
    dir,
    settings: `listen_policy: unix:${path}\nstore: "memory:"\ngreylist: { max_deferrals: 0 }\nlimits: { stall: 5s, memory: 16MiB }\nlog: { level: warn }`,
  })
  await behave(dir, path, 'before')
  const before = await residentBytes(greymx.pid)
  // These ask and never read the replies.
  const flood = Buffer.concat(Array.from({ length: 500 }, () => encodeRequest(RCPT)))
  for (const socket of await crowd(t, path, 50, flood)) {
    socket.pause()
    for (let count = 0; count < 4; count += 1) socket.write(flood)
  }
  // These send a request byte by byte.
  const dribbling = await crowd(t, path, 100, encodeRequest(RCPT).subarray(0, 100))
  // These name thousands of recipients of one bounce, which are remembered until DATA.
  const bounce = (index: number) =>
    encodeRequest({
      ...RCPT,
      sender: '',
      instance: 'shared',
      recipient: `u${index}${'x'.repeat(200)}@example.com`,
    })
  const bounces = Buffer.concat(Array.from({ length: 200 }, (_, index) => bounce(index)))
  const many = await crowd(t, path, 5, bounces)
  const timer = setInterval(() => {
    for (const socket of dribbling) socket.write('x')
    for (const socket of many) if (socket.writableLength === 0) socket.write(bounces)
    const rubbish = connect(path)
    rubbish.on('error', () => {}).end('EHLO client.test\r\n\n\n')
  }, 20)
  t.after(() => clearInterval(timer))
  const waits = await behave(dir, path, 'beside')
  clearInterval(timer)
  const [p50, p99, most] = [0.5, 0.99, 1].map((share) => quantile(waits, share) ?? Number.NaN)
  t.diagnostic(
    `beside them: p50 ${p50?.toFixed(2)} ms, p99 ${p99?.toFixed(2)} ms, most ${most?.toFixed(2)} ms`,
  )
  assert.ok((most ?? Number.NaN) < MAX_WAIT)
  const grown = (await residentBytes(greymx.pid)) - before
  t.diagnostic(`they took ${(grown / MIB).toFixed(1)} MiB`)
  assert.ok(grown < 250 * MIB)
  assert.ok(greymx.log().some((line) => line.includes('kind=policy-malformed')))
  assert.ok(greymx.log().filter((line) => line.includes('kind=policy-malformed')).length <= 2)
})
