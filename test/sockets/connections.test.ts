// Tests of the limits on open connections, on real sockets: connections that stall are closed, and MTAs that behave are
// served meanwhile. Time-outs are short; the tests assert the order of events, and never how long they took.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { promisify } from 'node:util'
import { connectToFilter, type MilterClient } from '../../src/milter/client.ts'
import type { Command } from '../../src/milter/command.ts'
import { Session, type SessionFault } from '../../src/milter/session.ts'
import { Connections, SOCKET_OPTIONS } from '../../src/sockets/connections.ts'
import {
  CLIENT,
  COMMAND,
  CONTINUE,
  encode,
  LIMITS,
  type Limits,
  RecordingHandler,
} from '../milter/recording.ts'
import { type Greymx, startGreymx } from '../support/greymx.ts'
import { startServer } from '../support/milter-server.ts'
import { scratch, waitFor } from '../support/scratch.ts'

const WITH_TIMEOUT = { timeout: 20_000 }

/** The first commands of an MTA for whom every stage awaits its reply, so that it has much to read. */
const START: readonly Command[] = [
  { kind: 'OPTNEG', offer: { version: 6, actions: 0, steps: 0 } },
  COMMAND.CONNECT,
]
const IN_TRANSACTION: readonly Command[] = [...START, COMMAND.MAIL]

class Server {
  readonly port: number
  readonly errors: Array<{ readonly kind: string; readonly reason: string }>
  readonly #t: TestContext

  private constructor(t: TestContext, port: number, errors: Array<{ kind: string; reason: string }>) {
    this.#t = t
    this.port = port
    this.errors = errors
  }

  static async start(t: TestContext, limits: Partial<Limits>, newHandler = () => new RecordingHandler()) {
    const errors: Array<{ kind: string; reason: string }> = []
    const server = await startServer({
      listen: [{ kind: 'inet', host: '127.0.0.1', port: 0 }],
      socketMode: 0o600,
      limits: { ...LIMITS, ...limits },
      newHandler,
      onConnection: () => {},
      onProtocolError: (kind, reason) => errors.push({ kind, reason }),
    })
    t.after(() => server.close(0))
    const [spec] = server.addresses
    assert.ok(spec?.kind === 'inet')
    return new Server(t, spec.port, errors)
  }

  get kinds(): string[] {
    return this.errors.map(({ kind }) => kind)
  }

  /** Opens a connection, sends the commands, and waits for all bytes of the replies. */
  async open(...commands: readonly Command[]): Promise<Peer> {
    const socket = connect({ host: '127.0.0.1', port: this.port })
    this.#t.after(() => socket.destroy())
    const peer = new Peer(socket)
    await once(socket, 'connect')
    if (commands.length === 0) return peer
    socket.write(encode(...commands))
    const bytes = 17 + 5 * (commands.length - 1)
    await waitFor('the replies', () => peer.received >= bytes)
    return peer
  }

  /** Sends a whole message through a new connection. */
  async serves(): Promise<void> {
    const client = await connectToFilter({ kind: 'inet', host: '127.0.0.1', port: this.port }, 20_000)
    await client.connect(CLIENT)
    await client.mail('<s@example.org>')
    assert.equal((await client.rcpt('<r@example.com>')).code, 'c')
    assert.equal((await client.endOfMessage()).code, 'c')
    client.quit()
  }
}

class Peer {
  readonly socket: Socket
  received = 0
  isClosed = false

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.received += chunk.length
    })
    socket.on('error', () => {}) // the connection may be closed by a reset
    socket.on('close', () => {
      this.isClosed = true
    })
  }

  async closed(): Promise<void> {
    await waitFor('the end of the connection', () => this.isClosed)
  }
}

test(
  'a command that does not become whole closes its connection, however steadily its bytes come',
  WITH_TIMEOUT,
  async (t) => {
    const server = await Server.start(t, { stall: 200 })
    const [slow, steady, silent] = [await server.open(), await server.open(...START), await server.open()]
    const frame = encode({ kind: 'HELO', name: 'x'.repeat(10_000) })
    let sent = 0
    const timer = setInterval(() => {
      for (const { socket } of [slow, steady])
        if (!socket.destroyed) socket.write(frame.subarray(sent, sent + 1))
      sent += 1
    }, 10)
    t.after(() => clearInterval(timer))
    await Promise.all([slow.closed(), steady.closed(), silent.closed()])
    assert.deepEqual(server.kinds, ['slow-writer', 'slow-writer', 'slow-writer'])
    await server.serves()
  },
)

test('one that sends whole commands, as slowly as it likes, stays', WITH_TIMEOUT, async (t) => {
  const server = await Server.start(t, { stall: 150 })
  const peer = await server.open(...START)
  const stalled = await server.open(...START)
  stalled.socket.write(Buffer.of(0))
  const [start, rest] = [encode(COMMAND.HELO).subarray(0, 7), encode(COMMAND.HELO).subarray(7)]
  // Each write ends with the beginning of the next command, so that a command has always begun.
  peer.socket.write(start)
  const timer = setInterval(() => peer.socket.write(Buffer.concat([rest, start])), 10)
  t.after(() => clearInterval(timer))
  await stalled.closed()
  assert.deepEqual([peer.isClosed, server.kinds], [false, ['slow-writer']])
})

test('silence outside of a transaction ends sooner than within one', WITH_TIMEOUT, async (t) => {
  const server = await Server.start(t, { idle: 100, idleInTransaction: 60_000 })
  const [inTransaction, idle, negotiated] = [
    await server.open(...IN_TRANSACTION),
    await server.open(...START),
    await server.open(...START.slice(0, 1)),
  ]
  await Promise.all([idle.closed(), negotiated.closed()])
  assert.equal(inTransaction.isClosed, false)
  assert.deepEqual(server.kinds, ['idle', 'idle'])
})

test('silence within a transaction ends too', WITH_TIMEOUT, async (t) => {
  const server = await Server.start(t, { idleInTransaction: 100 })
  await (await server.open(...IN_TRANSACTION)).closed()
  assert.deepEqual(server.errors, [
    { kind: 'idle', reason: 'the MTA sent no command for 100 ms in a transaction' },
  ])
})

test('an MTA that waits for us is never too slow', WITH_TIMEOUT, async (t) => {
  let answer = () => {}
  const slow = new RecordingHandler()
  const server = await Server.start(t, { stall: 50, idle: 50, idleInTransaction: 50 }, () => {
    slow.answer = (stage) =>
      stage === 'rcpt'
        ? new Promise((resolve) => {
            answer = () => resolve(CONTINUE)
          })
        : CONTINUE
    return slow
  })
  const peer = await server.open(...IN_TRANSACTION)
  peer.socket.write(encode(COMMAND.RCPT))
  await waitFor('RCPT', () => slow.count('rcpt') === 1)
  await new Promise((resolve) => setTimeout(resolve, 300))
  assert.equal(peer.isClosed, false)
  const before = peer.received
  answer()
  await waitFor('the reply', () => peer.received > before)
})

test(
  'one that does not take its replies is closed, and costs next to nothing until then',
  WITH_TIMEOUT,
  async (t) => {
    const handlers: RecordingHandler[] = []
    const server = await Server.start(t, { stall: 300 }, () => {
      const handler = new RecordingHandler()
      handlers.push(handler)
      return handler
    })
    const peer = await server.open(...START)
    peer.socket.pause()
    const flood = encode(...Array.from({ length: 10_000 }, () => COMMAND.HELO))
    for (let count = 0; count < 400; count += 1) peer.socket.write(flood)
    await server.serves()
    // A paused socket does not notice its end; a write to it does.
    await waitFor('the end of the slow reader', () => server.kinds.length > 0, 15_000)
    assert.deepEqual(server.kinds, ['slow-reader'])
    assert.ok((handlers[0]?.events.length ?? 0) < 400 * 10_000)
    await server.serves()
  },
)

test('beyond the most connections the oldest without a transaction makes room', WITH_TIMEOUT, async (t) => {
  const server = await Server.start(t, { connections: 3 })
  const [busy, oldest, newer] = [
    await server.open(...IN_TRANSACTION),
    await server.open(...START),
    await server.open(...START),
  ]
  const newest = await server.open(...START)
  await oldest.closed()
  assert.deepEqual(server.errors, [
    {
      kind: 'connections',
      reason: 'more than 3 connections: this one had no transaction open, and made room',
    },
  ])
  assert.deepEqual([busy.isClosed, newer.isClosed, newest.isClosed], [false, false, false])
  await server.serves()
})

test('where all are in transactions the newest is closed, and they go on', WITH_TIMEOUT, async (t) => {
  const server = await Server.start(t, { connections: 2 })
  const busy = [await server.open(...IN_TRANSACTION), await server.open(...IN_TRANSACTION)]
  const newest = await server.open()
  await newest.closed()
  assert.deepEqual(server.errors, [
    { kind: 'connections', reason: 'more than 2 connections, all with a transaction open' },
  ])
  for (const peer of busy) {
    const before = peer.received
    peer.socket.write(encode(COMMAND.RCPT))
    await waitFor('the reply', () => peer.received > before)
  }
})

test('a connection that is over, or whose end is yet to be handled, makes room', WITH_TIMEOUT, async (t) => {
  const listening = createServer(SOCKET_OPTIONS).listen(0, '127.0.0.1')
  t.after(() => listening.close())
  await once(listening, 'listening')
  const { port } = listening.address() as AddressInfo
  const faults: string[] = []
  const limits = { ...LIMITS, connections: 2 }
  const connections = new Connections<SessionFault>(limits, {
    onConnection: () => {},
    onFault: (kind) => faults.push(kind),
  })
  t.after(() => connections.destroy())
  const open = async () => {
    const accepted = once(listening, 'connection')
    const peer = new Peer(connect({ host: '127.0.0.1', port }))
    t.after(() => peer.socket.destroy())
    const [socket] = (await accepted) as [Socket]
    const add = () => connections.add(socket, (to) => new Session(new RecordingHandler(), to, limits), 'mx')
    return { peer, socket, add }
  }
  const [leaving, staying, coming] = [await open(), await open(), await open()]
  for (const { peer, add } of [leaving, staying]) {
    add()
    peer.socket.write(encode(...START, COMMAND.MAIL))
    await waitFor('the replies', () => peer.received >= 27)
  }
  // Both commands come within one turn, so that there is load, and what arrives is gathered.
  const arrived = Promise.all([once(leaving.socket, 'data'), once(staying.socket, 'data')])
  leaving.peer.socket.write(encode(COMMAND.ABORT, COMMAND.QUIT))
  staying.peer.socket.write(encode(COMMAND.RCPT))
  await arrived
  coming.add()
  await leaving.peer.closed()
  assert.deepEqual(faults, [])
})

test(
  'where an MTA has closed its half behind many commands, it gets all replies',
  WITH_TIMEOUT,
  async (t) => {
    const server = await Server.start(t, {})
    const peers = await Promise.all(Array.from({ length: 20 }, () => server.open(...START)))
    for (const { socket } of peers) socket.end(encode(...Array.from({ length: 40 }, () => COMMAND.HELO)))
    await Promise.all(peers.map((peer) => peer.closed()))
    assert.deepEqual(
      peers.map(({ received }) => received),
      peers.map(() => 17 + 5 * 41),
    )
  },
)

test('a flood of connections leaves as many as there may be', WITH_TIMEOUT, async (t) => {
  const server = await Server.start(t, { connections: 20 })
  const busy = await server.open(...IN_TRANSACTION)
  const flood = await Promise.all(Array.from({ length: 300 }, () => server.open()))
  await waitFor('the others to be closed', () => flood.filter(({ isClosed }) => !isClosed).length <= 19)
  assert.equal(busy.isClosed, false)
  await server.serves()
})

test('when too much is kept, those that have most kept are closed', WITH_TIMEOUT, async (t) => {
  const server = await Server.start(t, { memory: 1_000_000 })
  const modest = await server.open(...IN_TRANSACTION)
  modest.socket.write(encode(COMMAND.RCPT).subarray(0, -1))
  const greedy = await Promise.all(Array.from({ length: 20 }, () => server.open(...START)))
  const piece = encode({ kind: 'HELO', name: 'x'.repeat(200_000) }).subarray(0, 100_000)
  for (const { socket } of greedy) socket.write(piece)
  await waitFor('some to be closed', () => greedy.filter(({ isClosed }) => isClosed).length >= 10)
  assert.equal(modest.isClosed, false)
  assert.deepEqual(new Set(server.kinds), new Set(['memory']))
  await server.serves()
  const before = modest.received
  modest.socket.write(encode(COMMAND.RCPT).subarray(-1))
  await waitFor('the reply', () => modest.received > before)
})

test('macros are kept within the memory too', WITH_TIMEOUT, async (t) => {
  const server = await Server.start(t, { memory: 1_000_000 })
  const peer = await server.open(...START)
  const macros = [['i', 'x'.repeat(300_000)]] as const
  for (const stage of ['CONNECT', 'HELO', 'MAIL', 'RCPT', 'DATA'] as const) {
    peer.socket.write(encode({ kind: 'MACRO', stage, macros }))
  }
  await peer.closed()
  assert.deepEqual(server.kinds, ['memory'])
})

test(
  'a peer that vanishes is asked after: its connection has a keep-alive timer',
  WITH_TIMEOUT,
  async (t) => {
    const server = await Server.start(t, {})
    const peer = await server.open(...START)
    const hex = (port: number | undefined) => (port ?? 0).toString(16).toUpperCase().padStart(4, '0')
    const ends = `0100007F:${hex(server.port)} 0100007F:${hex(peer.socket.localPort)}`
    const line = await waitFor('the connection', async () =>
      (await readFile('/proc/net/tcp', 'latin1')).split('\n').find((text) => text.includes(ends)),
    )
    assert.match(line, / 02:[0-9A-F]{8} /) // proc_net_tcp: 2 is the keepalive timer
  },
)

/** Starts the daemon, which has some 25 descriptors open at rest, and limits it to `descriptors` from then on. */
async function startWithDescriptors(t: TestContext, descriptors: number): Promise<Greymx> {
  const greymx = await startGreymx({ dir: await scratch(t), settings: 'store: "memory:"' })
  await promisify(execFile)('prlimit', [`--pid=${greymx.pid}`, `--nofile=${descriptors}:${descriptors}`])
  return greymx
}

function silentCrowd(t: TestContext, { port }: Greymx): Peer[] {
  const crowd = Array.from({ length: 300 }, () => new Peer(connect({ host: '127.0.0.1', port })))
  t.after(() => {
    for (const { socket } of crowd) socket.destroy()
  })
  return crowd
}

async function assertDefers(client: MilterClient, count: number): Promise<void> {
  for (; count > 0; count -= 1) {
    assert.equal((await client.rcpt(`<r${count}@example.com>`)).code, 'y')
    await turn()
  }
}

test(
  'where file descriptors allow fewer connections than the limits do, a crowd makes room for MTAs',
  WITH_TIMEOUT,
  async (t) => {
    const greymx = await startWithDescriptors(t, 200)
    greymx.signal('SIGHUP') // a reload reads the limit again, as a start does
    await waitFor('the new settings', () => greymx.log().some((line) => line.includes('read again')))
    const early = await greymx.connect()
    await early.connect(CLIENT)
    await early.mail('<a@example.org>')
    const crowd = silentCrowd(t, greymx)
    await waitFor('some to be closed', () => crowd.filter(({ isClosed }) => isClosed).length > 300 - 200)
    const late = await greymx.connect()
    await late.connect(CLIENT)
    await late.mail('<b@example.org>')
    for (const client of [early, late]) {
      await assertDefers(client, 20)
      client.quit()
    }
    assert.equal((await fetch(`http://127.0.0.1:${greymx.adminPort}/healthz`)).status, 200)
    const said = 'reason="more than 136 connections, which is what file descriptors allow: '
    await waitFor('a line of log', () => greymx.log().some((line) => line.includes(said)))
  },
)

// libuv accepts a connection without a descriptor for it and closes it at once, so that its MTA does not wait.
test('out of file descriptors, the daemon goes on with the connections it has', WITH_TIMEOUT, async (t) => {
  const greymx = await startWithDescriptors(t, 60)
  const client = await greymx.connect()
  await client.connect(CLIENT)
  await client.mail('<a@example.org>')
  const crowd = silentCrowd(t, greymx)
  await waitFor('some to be closed', () => crowd.filter(({ isClosed }) => isClosed).length > 300 - 60)
  await assertDefers(client, 20)
  client.quit()
  for (const { socket } of crowd) socket.destroy()
  const late = await waitFor('room', () => greymx.connect().catch(() => undefined))
  late.quit()
  assert.deepEqual(
    greymx.log().filter((line) => line.includes('level=error')),
    [],
  )
})
