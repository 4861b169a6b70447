// A client from outside: it offers one message to each MX in turn, and waits for the delay in between, as a sending
// mail server would. It prints the replies, and succeeds if the message was deferred everywhere except at the last MX.
// Usage: node try.mjs MX…, with the delay of greymx in GREYMX_GREYLIST_DELAY. It runs in greymx's image.

import { randomUUID } from 'node:crypto'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { formatDuration, parseDuration } from '/opt/greymx/dist/config/duration.js'

const DELAY = parseDuration(process.env.GREYMX_GREYLIST_DELAY || '3m')
const hosts = process.argv.slice(2)
// Each run uses a new sender, which no MX has seen.
const sender = `try-${randomUUID().slice(0, 8).replaceAll(/[0-9]/g, 'x')}@example.org`
const recipient = 'you@example.com'

const accepted = []
for (const [index, host] of hosts.entries()) {
  if (index > 0) {
    console.log(`waiting ${formatDuration(DELAY)}`)
    await sleep(DELAY + 500)
  }
  const reply = await offer(host)
  console.log(`${host}: ${reply}`)
  accepted.push(reply.startsWith('250 '))
}
process.exitCode = accepted.every((isAccepted, index) => isAccepted === (index === hosts.length - 1)) ? 0 : 1

/** The reply that decides on the message: the reply to RCPT if that is a refusal, else the reply to its end. */
async function offer(host) {
  const socket = connect(25, host)
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]()
  const reply = async () => {
    for (;;) {
      const { value, done } = await lines.next()
      if (done) throw new Error(`${host} closed the connection`)
      if (!/^\d{3}-/.test(value)) return value
    }
  }
  const say = (command) => {
    socket.write(`${command}\r\n`)
    return reply()
  }
  await reply()
  await say('EHLO client.example.org')
  await say(`MAIL FROM:<${sender}>`)
  let settled = await say(`RCPT TO:<${recipient}>`)
  if (settled.startsWith('250')) {
    await say('DATA')
    settled = await say(`From: <${sender}>\r\nTo: <${recipient}>\r\nSubject: try\r\n\r\nHello.\r\n.`)
  }
  await say('QUIT')
  socket.end()
  return settled
}
