// Tests of MilterClient, the MTA's side, against a real server and against peers that are no proper filter.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { connectToFilter, type MilterClient } from '../../src/milter/client.ts'
import { encodeFrame } from '../../src/milter/frame.ts'
import type { SocketSpec } from '../../src/sockets/spec.ts'
import { startServer } from '../support/milter-server.ts'
import { CLIENT, CONTINUE, LIMITS, RecordingHandler, wantsAll } from './recording.ts'

const TIMEOUT = 20_000

async function serve(t: TestContext, handler: RecordingHandler, spec?: SocketSpec): Promise<SocketSpec> {
  const server = await startServer({
    listen: [spec ?? { kind: 'inet', host: '127.0.0.1', port: 0 }],
    socketMode: 0o600,
    limits: LIMITS,
    newHandler: () => handler,
    onConnection: () => {},
    onProtocolError: (_kind, reason) => assert.fail(reason),
  })
  t.after(() => server.close(0))
  const [address] = server.addresses
  assert.ok(address)
  return address
}

async function open(t: TestContext, spec: SocketSpec): Promise<MilterClient> {
  const client = await connectToFilter(spec, TIMEOUT)
  t.after(() => client.quit())
  return client
}

/** A server that is no filter, and calls `behave` with each connection. */
async function impostor(t: TestContext, behave: (socket: Socket) => void) {
  const sockets: Socket[] = []
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    behave(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  assert.ok(typeof address === 'object' && address)
  const spec: SocketSpec = { kind: 'inet', host: '127.0.0.1', port: address.port }
  return { spec, sockets }
}

describe('MilterClient', () => {
  test('passes a whole message, macros included, and the headers that come with it', async (t) => {
    const handler = new RecordingHandler()
    handler.macro = 'i'
    handler.messageEnd = {
      headers: [
        ['X-Greylist', 'delayed 00:05:00 by mx; 100%'],
        ['X-Empty', ''],
      ],
      reply: CONTINUE,
    }
    const client = await open(t, await serve(t, handler))
    const passed = { code: 'c', text: '', headers: [] }
    assert.deepEqual(await client.connect(CLIENT, [['j', 'mx']]), passed)
    assert.deepEqual(await client.helo('h.example'), passed)
    assert.deepEqual(await client.mail('<s@example.org>', [['i', 'ID']]), passed)
    assert.deepEqual(await client.rcpt('<r@example.com>', [['rcpt_addr', 'r']]), passed)
    assert.deepEqual(await client.data(), passed)
    assert.deepEqual(await client.endOfMessage(), { ...passed, headers: handler.messageEnd.headers })
    assert.deepEqual(handler.events, [
      'negotiated 6',
      'connect client.example 192.0.2.7',
      'helo h.example',
      'mail <s@example.org> [ID]',
      'rcpt <r@example.com> [ID]',
      'data [ID]',
      'endOfMessage [ID]',
      'endTransaction',
    ])
  })

  test('gives replies with their text as the SMTP client sees it', async (t) => {
    const handler = new RecordingHandler()
    handler.answer = (stage) => {
      if (stage === 'mail') return { kind: 'tempfail' }
      if (stage !== 'rcpt') return CONTINUE
      return { kind: 'smtp', reply: { code: '451', enhanced: '4.7.1', lines: ['wait', '50% of 5m'] } }
    }
    const client = await open(t, await serve(t, handler))
    await client.connect(CLIENT)
    assert.deepEqual(await client.mail('<s@example.org>'), { code: 't', text: '', headers: [] })
    assert.deepEqual(await client.rcpt('<r@example.com>'), {
      code: 'y',
      text: '451-4.7.1 wait\r\n451 4.7.1 50% of 5m',
      headers: [],
    })
  })

  test('neither sends what was asked away nor waits for what was waived', async (t) => {
    const handler = new RecordingHandler()
    const { stages } = wantsAll('note')
    handler.wants = { ...wantsAll('note'), stages: { ...stages, helo: 'skip', data: 'skip' } }
    const client = await open(t, await serve(t, handler))
    const replies = [
      await client.connect(CLIENT),
      await client.helo('h'),
      await client.mail('<s>'),
      await client.rcpt('<r>'),
      await client.data(),
      await client.endOfMessage(),
    ]
    assert.equal(replies.map(({ code }) => code).join(''), 'cccccc')
    assert.deepEqual(handler.events.slice(1), [
      'connect client.example 192.0.2.7',
      'mail <s>',
      'rcpt <r>',
      'endOfMessage',
      'endTransaction',
    ])
  })

  test('sends a second message, after ABORT and without', async (t) => {
    const handler = new RecordingHandler()
    const client = await open(t, await serve(t, handler))
    await client.connect(CLIENT)
    await client.mail('<a>')
    client.abort()
    await client.mail('<b>')
    await client.mail('<c>')
    await client.rcpt('<r>')
    assert.deepEqual(handler.events.slice(2), [
      'mail <a>',
      'endTransaction',
      'mail <b>',
      'endTransaction',
      'mail <c>',
      'rcpt <r>',
    ])
  })

  test('speaks to a unix socket', async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'greymx-client-'))
    t.after(() => rm(dir, { recursive: true, force: true }))
    const handler = new RecordingHandler()
    const client = await open(t, await serve(t, handler, { kind: 'unix', path: join(dir, 'milter.sock') }))
    assert.equal((await client.connect({ hostName: 'localhost', family: 'unknown' })).code, 'c')
  })

  test('reads replies that arrive in pieces', async (t) => {
    const { spec } = await impostor(t, (socket) => {
      const offer = encodeFrame('O', Buffer.from('000000060000000000000000', 'hex'))
      const reply = encodeFrame('y', Buffer.from('451 later\0'))
      socket.setNoDelay(true)
      socket.once('data', async () => {
        for (const byte of Buffer.concat([offer, reply])) {
          await new Promise((resolve) => socket.write(Buffer.of(byte), resolve))
        }
      })
    })
    const client = await open(t, spec)
    assert.deepEqual(await client.connect(CLIENT), { code: 'y', text: '451 later', headers: [] })
  })
})

describe('MilterClient says what went wrong when', () => {
  test('nobody listens', async (t) => {
    const { spec, sockets } = await impostor(t, () => {})
    assert.equal(sockets.length, 0)
    const dir = await mkdtemp(join(tmpdir(), 'greymx-client-'))
    t.after(() => rm(dir, { recursive: true, force: true }))
    await assert.rejects(connectToFilter({ kind: 'unix', path: join(dir, 'no.sock') }, TIMEOUT), /ENOENT/)
    const closed = createServer().listen(0, '127.0.0.1')
    await once(closed, 'listening')
    const address = closed.address()
    assert.ok(typeof address === 'object' && address)
    await new Promise((resolve) => closed.close(resolve))
    await assert.rejects(connectToFilter({ ...spec, port: address.port }, TIMEOUT), /ECONNREFUSED/)
  })

  test('the filter closes instead of negotiating', async (t) => {
    const { spec } = await impostor(t, (socket) => socket.end())
    await assert.rejects(connectToFilter(spec, TIMEOUT), /^Error: the filter closed the connection$/)
  })

  test('the filter closes instead of answering, and at every command after that', async (t) => {
    const handler = new RecordingHandler()
    const client = await open(t, await serve(t, handler))
    await client.connect(CLIENT)
    client.quit()
    await assert.rejects(client.endOfMessage(), Error)
    await assert.rejects(client.endOfMessage(), Error)
  })

  test('no answer comes in time', async (t) => {
    const { spec } = await impostor(t, () => {})
    await assert.rejects(connectToFilter(spec, 20), /^Error: no answer within 20ms$/)
  })

  test('a filter that has negotiated does not answer in time', async (t) => {
    const handler = new RecordingHandler()
    handler.answer = () => new Promise(() => {})
    const client = await connectToFilter(await serve(t, handler), 20)
    await assert.rejects(client.connect(CLIENT), /^Error: no answer within 20ms$/)
  })

  for (const [what, answer, message] of [
    ['with something else', encodeFrame('c'), /^Error: the filter did not negotiate$/],
    ['with too little', encodeFrame('O', Buffer.alloc(11)), /^Error: the filter did not negotiate$/],
    [
      'in another protocol',
      Buffer.from('220 mx ESMTP\r\n'),
      /^Error: what listens there is no milter: it speaks SMTP, as an MTA does \("220 mx ESMTP"\)$/,
    ],
  ] as const) {
    test(`the other side answers ${what}, and it leaves no connection behind`, {
      timeout: TIMEOUT,
    }, async (t) => {
      const { spec, sockets } = await impostor(t, (socket) => socket.write(answer))
      await assert.rejects(connectToFilter(spec, 3_600_000), message)
      const [socket] = sockets
      assert.ok(socket)
      socket.resume()
      if (!socket.closed) await once(socket, 'close')
    })
  }
})

test('a server of another protocol is no milter, and the message says which it seems to be', async (t) => {
  const cases: Array<[first: string, message: RegExp]> = [
    ['HTTP/1.1 400 Bad Request\r\n\r\n', /no milter: it speaks HTTP, as greymx's admin port does$/],
    [
      '220 mx.example.org ESMTP Postfix\r\n',
      /no milter: it speaks SMTP, .*\("220 mx\.example\.org ESMTP Postfix"\)$/,
    ],
    ['-ERR unknown command\r\n', /no milter: it answers "-ERR unknown command"$/],
    ['* OK IMAP ready\u001b[31m\r\n', /no milter: it answers "\* OK IMAP ready"$/],
  ]
  for (const [first, message] of cases) {
    const server = createServer((socket) => socket.on('error', () => undefined).write(first))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close())
    const { port } = server.address() as AddressInfo
    await assert.rejects(connectToFilter({ kind: 'inet', host: '127.0.0.1', port }, 5000), { message })
  }
})
