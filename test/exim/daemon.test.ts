// The door for Exim in the built daemon, over real sockets: a peer that closes its half of the connection gets its
// answer, and hostile peers do not keep others from theirs.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { residentBytes } from '../support/daemon.ts'
import { type Greymx, startGreymx } from '../support/greymx.ts'
import { freePort, type Scope, scratch, waitFor } from '../support/scratch.ts'

const MIB = 1024 * 1024
/** The longest that Exim waits for an answer with the lines of our page, in milliseconds. */
const MAX_WAIT = 5000

const RCPT = 'rcpt client=192.0.2.7 sender="a@b.test" recipient='

interface Running {
  readonly greymx: Greymx
  readonly path: string
  readonly port: number
}

async function start(scope: Scope, settings = ''): Promise<Running> {
  const dir = await scratch(scope)
  const [port, path] = [await freePort(), join(dir, 'exim.sock')]
  const doors = `listen_exim: ["unix:${path}", "inet:${port}@127.0.0.1"]\n`
  const greymx = await startGreymx({
    dir,
    settings: `store: "memory:"\nlog: { level: warn }\n${doors}${settings}`,
  })
  return { greymx, path, port }
}

const running = await start({ after })

/** What comes back for a request, as Exim asks: it closes its half behind the request, and reads to the end. */
async function ask(where: { path: string } | { port: number }, request: string): Promise<string> {
  const socket = connect('port' in where ? { ...where, host: '127.0.0.1' } : where)
  socket.end(request)
  return (await socket.setEncoding('utf8').toArray()).join('')
}

test('a request is answered behind which the peer has closed its half of the connection', async () => {
  const { path, port } = running
  for (const where of [{ path }, { port }]) {
    assert.match(await ask(where, `${RCPT}"u@example.com"`), /^defer 451 4\.7\.1 Greylisted, .*\)$/)
    assert.match(
      await ask(where, `${RCPT}"u@example.com"\n--grey 192.0.2.7 a@b.test u@example.com\n`),
      /^defer .*\ntrue\n$/,
    )
    assert.equal(await ask(where, ''), '')
  }
})

test('the half that a milter’s peer closes ends the connection', async () => {
  const { greymx } = running
  const socket = connect({ port: greymx.port, host: '127.0.0.1' })
  socket.end(Buffer.from('0000000d4f000000060000000000000000', 'hex'))
  assert.equal(
    Buffer.concat(await socket.toArray())
      .subarray(4, 5)
      .toString(),
    'O',
  )
})

test('a line that cannot be answered is logged, and lets mail pass', async () => {
  const { greymx, path } = running
  assert.equal(await ask({ path }, 'rcpt client=192.0.2.7 sender=a@b.test recipient=u'), 'pass')
  await waitFor('the warning', () => greymx.log().find((line) => line.includes('kind=exim-malformed')))
  assert.ok(
    greymx
      .log()
      .includes(
        'level=warn msg="a line of Exim\'s cannot be answered: Exim lets the recipient, or the bounce, pass" ' +
          'kind=exim-malformed reason="no field like name=$' +
          '{quote:…} begins there: \\"sender=a@b.test recipient=u\\"" ' +
          `mta="local on unix:${path}"`,
      ),
    greymx.log().join('\n'),
  )
})

test('peers that are silent, slow, deaf or endless do not keep others from their answers', {
  timeout: 60_000,
}, async (t) => {
  const { greymx, path, port } = await start(t, 'limits: { stall: 1s, memory: 16MiB, connections: 300 }\n')
  await ask({ path }, `${RCPT}"u@example.com"`)
  const before = await residentBytes(greymx.pid)
  const sockets: Socket[] = []
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  const open = async (bytes: string) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.on('error', () => {}) // a reset is one way to be closed
    sockets.push(socket)
    await once(socket, 'connect')
    socket.write(bytes)
    return socket
  }
  const silent = await Promise.all(Array.from({ length: 50 }, () => open('')))
  const slow = await Promise.all(Array.from({ length: 50 }, () => open(RCPT)))
  const endless = await Promise.all(Array.from({ length: 20 }, () => open('x'.repeat(200 * 1024))))
  const deaf = await Promise.all(
    Array.from({ length: 5 }, () => open('--black 1.2.3.4 u@example.com\n'.repeat(20_000))),
  )
  for (const socket of deaf) socket.pause()
  const dribble = setInterval(() => {
    for (const socket of [...slow, ...endless]) socket.write('x'.repeat(10))
  }, 50)
  t.after(() => clearInterval(dribble))
  let longest = 0
  for (let count = 0; count < 50; count += 1) {
    const askedAt = performance.now()
    assert.match(await ask(count % 2 ? { path } : { port }, `${RCPT}"u${count}@example.com"`), /^defer 451 /)
    longest = Math.max(longest, performance.now() - askedAt)
  }
  t.diagnostic(`the longest wait was ${longest.toFixed(1)} ms`)
  assert.ok(longest < MAX_WAIT)
  const grown = (await residentBytes(greymx.pid)) - before
  t.diagnostic(`they took ${(grown / MIB).toFixed(1)} MiB`)
  assert.ok(grown < 250 * MIB)
  for (const socket of [...silent, ...slow])
    await waitFor('a connection that completes no request to be closed', () => socket.closed)
})
