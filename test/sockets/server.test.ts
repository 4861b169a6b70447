// Tests of Server with the milter protocol on real sockets: free loopback ports, and unix sockets in folders of their
// own. Only the test of an expiring grace waits for time to pass.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connectToFilter, type MilterClient } from '../../src/milter/client.ts'
import { FrameReader, MAX_FRAME } from '../../src/milter/frame.ts'
import { type Handler, type Peer, Session, type SessionFault } from '../../src/milter/session.ts'
import { Server } from '../../src/sockets/server.ts'
import type { SocketSpec } from '../../src/sockets/spec.ts'
import {
  CLIENT,
  COMMAND,
  CONTINUE,
  encode,
  LIMITS,
  mail,
  OFFER,
  RecordingHandler,
  wantsAll,
} from '../milter/recording.ts'
import { type MilterServer, type ServerOptions, startServer } from '../support/milter-server.ts'

/** Time-out of tests in which everything has to happen at once: a fault shows as this time-out. */
const WITH_TIMEOUT = { timeout: 20_000 }

/** A grace that never expires within a test. */
const AN_HOUR = 3_600_000

const LOOPBACK: SocketSpec = { kind: 'inet', host: '127.0.0.1', port: 0 }

interface Running {
  readonly server: MilterServer
  readonly specs: readonly SocketSpec[]
  readonly handlers: readonly RecordingHandler[]
  readonly errors: ReadonlyArray<{ readonly kind: string; readonly reason: string; readonly peer: string }>
  readonly counts: readonly number[]
}

/** Starts a server that records events; it is closed when the test ends. */
async function start(
  t: TestContext,
  listen: readonly SocketSpec[],
  options: Partial<ServerOptions> = {},
): Promise<Running> {
  const handlers: RecordingHandler[] = []
  const errors: Array<{ kind: string; reason: string; peer: string }> = []
  const counts: number[] = []
  const server = await startServer({
    listen,
    socketMode: 0o660,
    limits: LIMITS,
    newHandler: (): Handler => {
      const handler = new RecordingHandler()
      handlers.push(handler)
      return handler
    },
    onConnection: (open) => counts.push(open),
    onProtocolError: (kind, reason, peer) => errors.push({ kind, reason, peer }),
    ...options,
  })
  t.after(() => server.close(0))
  return { server, specs: server.addresses, handlers, errors, counts }
}

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'greymx-server-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

function first(specs: readonly SocketSpec[]): SocketSpec {
  const [spec] = specs
  assert.ok(spec)
  return spec
}

function target(spec: SocketSpec) {
  return spec.kind === 'unix' ? { path: spec.path } : { host: spec.host, port: spec.port }
}

/** An MTA that sends and closes only as the test says. */
class RawMta {
  readonly socket: Socket
  readonly ended: Promise<unknown>
  readonly #reader = new FrameReader()
  readonly #frames: string[] = []
  #wake: (() => void) | undefined

  constructor(spec: SocketSpec) {
    this.socket = connect({ ...target(spec), allowHalfOpen: true })
    this.socket.on('error', () => {}) // the connection may be closed by a reset
    this.ended = Promise.race([once(this.socket, 'end'), once(this.socket, 'close')])
    this.socket.on('data', (chunk: Buffer) => {
      this.#reader.push(chunk)
      for (let next = this.#reader.next(); next.kind === 'frame'; next = this.#reader.next()) {
        this.#frames.push(next.bytes.toString('latin1', 0, 1))
      }
      this.#wake?.()
    })
  }

  send(bytes: Buffer): void {
    this.socket.write(bytes)
  }

  /** The letters of the next `count` replies. */
  async replies(count: number): Promise<string> {
    while (this.#frames.length < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return this.#frames.splice(0, count).join('')
  }
}

function raw(t: TestContext, spec: SocketSpec): RawMta {
  const mta = new RawMta(spec)
  t.after(() => mta.socket.destroy())
  return mta
}

/** An MTA with an open transaction. */
async function inTransaction(t: TestContext, spec: SocketSpec): Promise<MilterClient> {
  const client = await connectToFilter(spec, 20_000)
  t.after(() => client.quit())
  await client.connect(CLIENT)
  await client.mail('<s@example.org>')
  return client
}

async function isRefused(spec: SocketSpec): Promise<boolean> {
  const socket = connect(target(spec))
  try {
    await once(socket, 'connect')
    return false
  } catch {
    return true
  } finally {
    socket.destroy()
  }
}

/** Sends a whole message through a new connection. */
async function assertServes(spec: SocketSpec): Promise<void> {
  const client = await connectToFilter(spec, 20_000)
  const replies = [
    await client.connect(CLIENT),
    await client.helo('h'),
    await client.mail('<s@example.org>'),
    await client.rcpt('<r@example.com>'),
    await client.data(),
    await client.endOfMessage(),
  ]
  assert.equal(replies.map(({ code }) => code).join(''), 'cccccc')
  client.quit()
}

describe('Server listens', () => {
  test('on several inet and unix sockets at once, and tells the ports it found', WITH_TIMEOUT, async (t) => {
    const dir = await folder(t)
    const { specs } = await start(t, [
      LOOPBACK,
      { kind: 'unix', path: join(dir, 'a.sock') },
      LOOPBACK,
      { kind: 'inet6', host: '::1', port: 0 },
      { kind: 'unix', path: join(dir, 'b.sock') },
    ])
    assert.deepEqual(
      specs.map(({ kind }) => kind),
      ['inet', 'unix', 'inet', 'inet6', 'unix'],
    )
    const ports = specs.flatMap((spec) => (spec.kind === 'unix' ? [] : [spec.port]))
    assert.ok(ports.every((port) => port > 0))
    assert.notEqual(ports[0], ports[1])
    for (const spec of specs) await assertServes(spec)
  })

  test('on IPv4 where inet names a host, whatever else the host has', WITH_TIMEOUT, async (t) => {
    const { specs } = await start(t, [{ kind: 'inet', host: 'localhost', port: 0 }])
    const spec = first(specs)
    assert.ok(spec.kind === 'inet')
    await assertServes({ ...spec, host: '127.0.0.1' })
  })

  test('on IPv6 alone where inet6 names all addresses', WITH_TIMEOUT, async (t) => {
    const { specs } = await start(t, [{ kind: 'inet6', host: '::', port: 0 }])
    const spec = first(specs)
    assert.ok(spec.kind === 'inet6')
    await assertServes({ ...spec, host: '::1' })
    assert.equal(await isRefused({ ...spec, kind: 'inet', host: '127.0.0.1' }), true)
  })

  for (const mode of [0o600, 0o660, 0o666]) {
    test(
      `on a unix socket of mode ${mode.toString(8)}, and leaves the umask as it was`,
      WITH_TIMEOUT,
      async (t) => {
        const path = join(await folder(t), 'milter.sock')
        const umask = process.umask()
        await start(t, [{ kind: 'unix', path }], { socketMode: mode })
        assert.equal(statSync(path).mode & 0o777, mode)
        assert.equal(process.umask(), umask)
      },
    )
  }

  test('and removes its socket file when it closes', WITH_TIMEOUT, async (t) => {
    const path = join(await folder(t), 'milter.sock')
    const { server } = await start(t, [{ kind: 'unix', path }])
    await server.close(0)
    assert.equal(existsSync(path), false)
  })

  test('in place of a socket file that nobody serves any more', WITH_TIMEOUT, async (t) => {
    const path = join(await folder(t), 'milter.sock')
    const gone = createServer().listen(`${path}.tmp`)
    await once(gone, 'listening')
    renameSync(`${path}.tmp`, path) // so that closing does not find the file
    await new Promise((resolve) => gone.close(resolve))
    assert.ok(statSync(path).isSocket())
    await start(t, [{ kind: 'unix', path }])
    await assertServes({ kind: 'unix', path })
  })
})

describe('Server.prepare() refuses', () => {
  test('a unix socket that is in use, and leaves it alone', WITH_TIMEOUT, async (t) => {
    const spec: SocketSpec = { kind: 'unix', path: join(await folder(t), 'milter.sock') }
    await start(t, [spec])
    await assert.rejects(start(t, [spec]), {
      message: `Cannot listen on unix:${spec.path}: another process listens there`,
    })
    await assertServes(spec)
  })

  // connect(2) also fails on a live socket: with EAGAIN if its queue is full, and EACCES if it is another user's.
  test('a unix socket whose process is too busy to accept, and leaves it alone', WITH_TIMEOUT, async (t) => {
    const path = join(await folder(t), 'milter.sock')
    const program = `require('node:net').createServer().listen({ path: ${JSON.stringify(path)}, backlog: 1 }, () => {
      require('node:fs').writeSync(1, 'listening')
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    })`
    const busy = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.after(() => busy.kill('SIGKILL'))
    await once(busy.stdout, 'data')
    const queued: Socket[] = []
    t.after(() => {
      for (const socket of queued) socket.destroy()
    })
    for (let isFull = false; !isFull; ) {
      const socket = connect({ path })
      queued.push(socket)
      isFull = await once(socket, 'connect').then(
        () => false,
        () => true,
      )
    }
    await assert.rejects(start(t, [{ kind: 'unix', path }]), /^Error: Cannot listen on unix:/)
    assert.ok(existsSync(path))
  })

  test('a folder that is not there', WITH_TIMEOUT, async (t) => {
    const path = join(await folder(t), 'missing', 'greymx.sock')
    await assert.rejects(start(t, [{ kind: 'unix', path }]), {
      message: `Cannot listen on unix:${path}: there is no such folder`,
    })
  })

  test('a host that has no address of the family asked for', WITH_TIMEOUT, async (t) => {
    await assert.rejects(start(t, [{ kind: 'inet', host: 'no-such-host.invalid', port: 0 }]), {
      message: /^Cannot listen on inet:0@no-such-host\.invalid: getaddrinfo /,
    })
  })

  test('a file that is not a socket, and leaves it alone', WITH_TIMEOUT, async (t) => {
    const dir = await folder(t)
    const path = join(dir, 'precious')
    writeFileSync(path, 'content')
    symlinkSync('precious', join(dir, 'link'))
    for (const name of ['precious', 'link']) {
      await assert.rejects(start(t, [{ kind: 'unix', path: join(dir, name) }]), {
        message: `Cannot listen on unix:${join(dir, name)}: there is a file that is not a socket`,
      })
    }
    assert.equal(readFileSync(path, 'utf8'), 'content')
  })

  test('a port in use, and says which', WITH_TIMEOUT, async (t) => {
    const { specs } = await start(t, [LOOPBACK])
    const spec = first(specs)
    assert.ok(spec.kind === 'inet')
    const message = new RegExp(`^Error: Cannot listen on inet:${spec.port}@127\\.0\\.0\\.1: .*EADDRINUSE`)
    await assert.rejects(start(t, [spec]), message)
    await assertServes(spec)
  })

  test('all sockets when one cannot be opened: those opened before are closed', WITH_TIMEOUT, async (t) => {
    const dir = await folder(t)
    const { server, specs } = await start(t, [LOOPBACK])
    const inet = first(specs)
    await server.close(0)
    const unix: SocketSpec = { kind: 'unix', path: join(dir, 'first.sock') }
    const missing: SocketSpec = { kind: 'unix', path: join(dir, 'missing', 'milter.sock') }
    await assert.rejects(start(t, [inet, unix, missing]), /^Error: Cannot listen on unix:.*missing/)
    assert.equal(await isRefused(inet), true)
    assert.equal(existsSync(unix.path), false)
  })
})

describe('Server closes a connection that breaks the protocol, and no other:', () => {
  const broken: ReadonlyArray<readonly [what: string, bytes: Buffer, kind: string]> = [
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), 'length'],
    ['a length of 4 GiB', Buffer.from('ffffffff', 'hex'), 'length'],
    ['a length of 0', Buffer.alloc(4), 'length'],
    ['a length above the limit', Buffer.from((MAX_FRAME + 1).toString(16).padStart(8, '0'), 'hex'), 'length'],
    ['an unknown command', Buffer.from('0000000158', 'hex'), 'malformed'],
    ['a truncated offer', Buffer.from('000000024f00', 'hex'), 'malformed'],
    ['RCPT before anything else', encode(COMMAND.RCPT), 'order'],
    ['two offers', encode(COMMAND.OPTNEG, COMMAND.OPTNEG), 'order'],
    ['MAIL before CONNECT', encode(COMMAND.OPTNEG, COMMAND.MAIL), 'order'],
    ['version 1', encode({ kind: 'OPTNEG', offer: { ...OFFER, version: 1 } }), 'version'],
  ]
  for (const [what, bytes, kind] of broken) {
    test(what, WITH_TIMEOUT, async (t) => {
      const { specs, errors } = await start(t, [LOOPBACK])
      const undisturbed = await inTransaction(t, first(specs))
      const mta = raw(t, first(specs))
      mta.send(Buffer.concat([bytes, encode(COMMAND.MAIL), bytes]))
      await mta.ended
      assert.equal((await undisturbed.rcpt('<r@example.com>')).code, 'c')
      assert.equal((await undisturbed.endOfMessage()).code, 'c')
      assert.deepEqual(
        errors.map((error) => error.kind),
        [kind],
      )
      assert.match(errors[0]?.peer ?? '', /^127\.0\.0\.1 on inet:\d+@127\.0\.0\.1$/)
    })
  }

  test('a connection that breaks off is no error, and its transaction ends', WITH_TIMEOUT, async (t) => {
    const { specs, errors, handlers, counts } = await start(t, [LOOPBACK])
    const undisturbed = await inTransaction(t, first(specs))
    const mta = raw(t, first(specs))
    mta.send(encode(COMMAND.OPTNEG, COMMAND.CONNECT, COMMAND.MAIL))
    assert.equal(await mta.replies(3), 'Occ')
    mta.socket.resetAndDestroy()
    while (counts.at(-1) !== 1) await undisturbed.rcpt('<r@example.com>')
    assert.deepEqual(errors, [])
    assert.deepEqual(
      handlers.map((handler) => handler.count('endTransaction')),
      [0, 1],
    )
  })

  test('one connection that waits for its answer does not hold up another', WITH_TIMEOUT, async (t) => {
    const slow = new RecordingHandler()
    const waiting: Array<() => void> = []
    slow.answer = (stage) =>
      stage === 'rcpt' ? new Promise((resolve) => waiting.push(() => resolve(CONTINUE))) : CONTINUE
    const handlers = [slow, new RecordingHandler()]
    const { specs } = await start(t, [LOOPBACK], {
      newHandler: () => handlers.shift() ?? new RecordingHandler(),
    })
    const held = await inTransaction(t, first(specs))
    const answer = held.rcpt('<r@example.com>')
    await assertServes(first(specs))
    assert.equal(waiting.length, 1)
    waiting[0]?.()
    assert.equal((await answer).code, 'c')
  })

  test(
    'many MTAs that connect at once wait until they are taken, and none is refused',
    WITH_TIMEOUT,
    async (t) => {
      const { specs } = await start(t, [{ kind: 'unix', path: join(await folder(t), 'milter.sock') }])
      // The event loop does not turn meanwhile, so that none is accepted before the last has connected.
      const mtas = Array.from({ length: 1000 }, () => raw(t, first(specs)))
      for (const mta of mtas) mta.send(encode(COMMAND.OPTNEG))
      const refused = mtas.map(({ ended }) => ended.then(() => 'refused'))
      const replies = mtas.map((mta) => mta.replies(1))
      const all = await Promise.all(replies.map((reply, index) => Promise.race([reply, refused[index]])))
      assert.deepEqual(new Set(all), new Set(['O']))
    },
  )

  test('an MTA that reads no replies for long gets all of them, in the end', WITH_TIMEOUT, async (t) => {
    const { specs, errors } = await start(t, [LOOPBACK])
    const mta = raw(t, first(specs))
    mta.socket.pause()
    mta.send(encode(COMMAND.OPTNEG, COMMAND.CONNECT))
    const many = Buffer.alloc(4_000_000, encode(COMMAND.HELO)) // cut within a command
    const count = Math.floor(many.length / encode(COMMAND.HELO).length)
    mta.socket.write(many)
    await assertServes(first(specs))
    mta.socket.resume()
    assert.equal(await mta.replies(2 + count), `O${'c'.repeat(1 + count)}`)
    assert.deepEqual(errors, [])
  })

  test('counts its open connections', WITH_TIMEOUT, async (t) => {
    const { server, specs, counts } = await start(t, [LOOPBACK])
    const one = raw(t, first(specs))
    one.send(encode(COMMAND.OPTNEG))
    await one.replies(1)
    const two = raw(t, first(specs))
    two.send(encode(COMMAND.OPTNEG))
    await two.replies(1)
    await server.close(0)
    assert.deepEqual(counts, [1, 2, 1, 0])
  })
})

describe('Server.prepare()', () => {
  test('opens what is new, closes what is gone, and leaves the rest untouched', WITH_TIMEOUT, async (t) => {
    const dir = await folder(t)
    const [stays, goes, comes] = ['stays', 'goes', 'comes'].map(
      (name): SocketSpec => ({ kind: 'unix', path: join(dir, name) }),
    ) as [SocketSpec & { kind: 'unix' }, SocketSpec & { kind: 'unix' }, SocketSpec]
    const { server } = await start(t, [stays, goes])
    const before = statSync(stays.path).ino
    const throughStaying = await inTransaction(t, stays)
    const throughGone = await inTransaction(t, goes)
    await server.listen([comes, stays], 0o660)
    assert.deepEqual(server.addresses, [comes, stays])
    assert.equal(statSync(stays.path).ino, before)
    assert.equal(existsSync(goes.path), false)
    for (const client of [throughStaying, throughGone]) {
      assert.equal((await client.rcpt('<r@example.com>')).code, 'c')
      assert.equal((await client.endOfMessage()).code, 'c')
      assert.equal((await client.mail('<s@example.org>')).code, 'c')
    }
    await assertServes(stays)
    await assertServes(comes)
  })

  test('keeps a port that it found by itself', WITH_TIMEOUT, async (t) => {
    const { server, specs } = await start(t, [LOOPBACK])
    await server.listen([LOOPBACK, LOOPBACK], 0o660)
    assert.deepEqual(server.addresses[0], first(specs))
    assert.equal(server.addresses.length, 2)
    await server.listen([LOOPBACK], 0o660)
    assert.deepEqual(server.addresses, specs)
    await assertServes(first(specs))
  })

  test('changes nothing when a new socket cannot be opened', WITH_TIMEOUT, async (t) => {
    const dir = await folder(t)
    const old: SocketSpec & { kind: 'unix' } = { kind: 'unix', path: join(dir, 'old') }
    const { server } = await start(t, [old])
    const fresh: SocketSpec = { kind: 'unix', path: join(dir, 'new') }
    const missing: SocketSpec = { kind: 'unix', path: join(dir, 'missing', 'sock') }
    await assert.rejects(server.listen([fresh, missing], 0o666), {
      message: `Cannot listen on unix:${missing.path}: there is no such folder`,
    })
    assert.deepEqual(server.addresses, [old])
    assert.equal(existsSync(fresh.path), false)
    assert.equal(statSync(old.path).mode & 0o777, 0o660)
    await assertServes(old)
  })

  test('sets the mode of unix sockets that stay, or of none', WITH_TIMEOUT, async (t) => {
    const dir = await folder(t)
    const [one, two] = ['one', 'two'].map((name) => join(dir, name)) as [string, string]
    const both: SocketSpec[] = [one, two].map((path) => ({ kind: 'unix', path }))
    const { server } = await start(t, both)
    await server.listen(both, 0o600)
    for (const path of [one, two]) assert.equal(statSync(path).mode & 0o777, 0o600)
    unlinkSync(two)
    await assert.rejects(server.listen(both, 0o666), {
      message: new RegExp(`^Cannot set the mode of unix:${two}: ENOENT`),
    })
    assert.equal(statSync(one).mode & 0o777, 0o600)
  })
})

describe('an abandoned change', () => {
  test(
    'leaves sockets, modes and limits as they were, and nothing that it opened',
    WITH_TIMEOUT,
    async (t) => {
      const dir = await folder(t)
      const [old, fresh] = ['old', 'fresh'].map((name) => join(dir, name)) as [string, string]
      const server = new Server<SessionFault>(LIMITS, { onConnection: () => {}, onFault: () => {} })
      t.after(() => server.close(0))
      const newSession = (peer: Peer) => new Session(new RecordingHandler(), peer, LIMITS)
      const endpointAt = (path: string) => ({
        on: { kind: 'unix', path } as const,
        protocol: 'milter',
        newSession,
      })
      await (
        await server.prepare({ endpoints: [endpointAt(old)], socketMode: 0o660, limits: LIMITS })
      ).apply()
      const limits = { ...LIMITS, stall: 1000, connections: 1 }
      const change = await server.prepare({ endpoints: [endpointAt(fresh)], socketMode: 0o600, limits })
      await assertServes({ kind: 'unix', path: old })
      await change.abandon()
      assert.deepEqual(server.addresses, [{ kind: 'unix', path: old }])
      assert.equal(existsSync(fresh), false)
      assert.equal(statSync(old).mode & 0o777, 0o660)
      await assertServes({ kind: 'unix', path: old })
    },
  )

  test('does not fail where somebody has removed a socket meanwhile', WITH_TIMEOUT, async (t) => {
    const path = join(await folder(t), 'gone')
    const server = new Server<SessionFault>(LIMITS, { onConnection: () => {}, onFault: () => {} })
    t.after(() => server.close(0))
    const newSession = (peer: Peer) => new Session(new RecordingHandler(), peer, LIMITS)
    const endpoints = [{ on: { kind: 'unix', path } as const, protocol: 'milter', newSession }]
    await (await server.prepare({ endpoints, socketMode: 0o660, limits: LIMITS })).apply()
    const change = await server.prepare({ endpoints, socketMode: 0o600, limits: LIMITS })
    unlinkSync(path)
    await change.abandon()
  })
})

describe('Server.close()', () => {
  test('takes no new connections while a transaction ends within the grace', WITH_TIMEOUT, async (t) => {
    const path = join(await folder(t), 'milter.sock')
    const { server, specs, handlers } = await start(t, [LOOPBACK, { kind: 'unix', path }])
    const client = await inTransaction(t, first(specs))
    const closed = server.close(AN_HOUR)
    for (const spec of specs) assert.equal(await isRefused(spec), true)
    assert.equal((await client.rcpt('<r@example.com>')).code, 'c')
    assert.equal((await client.endOfMessage()).code, 'c')
    await closed
    assert.equal(handlers[0]?.count('endOfMessage'), 1)
  })

  test('cuts a transaction that is still open when the grace is over', WITH_TIMEOUT, async (t) => {
    const { server, specs, handlers } = await start(t, [LOOPBACK])
    const mta = raw(t, first(specs))
    mta.send(encode(COMMAND.OPTNEG, COMMAND.CONNECT, COMMAND.MAIL))
    await mta.replies(3)
    await server.close(20)
    await mta.ended
    assert.equal(handlers[0]?.count('endTransaction'), 1)
  })

  // Postfix and Sendmail do not read a milter's socket between two commands, so they do not close it in return.
  test(
    'ends connections without a transaction at once, even of an MTA that does not notice',
    WITH_TIMEOUT,
    async (t) => {
      const { server, specs } = await start(t, [LOOPBACK])
      const stages = [[], [COMMAND.OPTNEG], [COMMAND.OPTNEG, COMMAND.CONNECT]]
      for (const commands of stages) {
        const mta = raw(t, first(specs))
        mta.send(encode(...commands))
        if (commands.length > 0) await mta.replies(commands.length)
      }
      await assertServes(first(specs)) // all three are accepted by now
      await server.close(AN_HOUR)
    },
  )

  test(
    'is done when an MTA that was answered at its end of message does not close',
    WITH_TIMEOUT,
    async (t) => {
      const { server, specs } = await start(t, [LOOPBACK])
      const mta = raw(t, first(specs))
      mta.send(encode(COMMAND.OPTNEG, COMMAND.CONNECT, mail('<a>')))
      await mta.replies(3)
      const closed = server.close(AN_HOUR)
      mta.send(encode(COMMAND.BODYEOB))
      assert.equal(await mta.replies(1), 'c')
      await closed
    },
  )

  // If the connection closes, Postfix and Sendmail do not use the filter for the rest of the SMTP session.
  test('lets the MTA begin another message while it is not silent', WITH_TIMEOUT, async (t) => {
    const { server, specs, handlers } = await start(t, [LOOPBACK])
    const client = await connectToFilter(first(specs), 20_000)
    const closed = server.close(AN_HOUR, 1000)
    await client.connect(CLIENT)
    for (const message of ['one', 'two']) {
      assert.equal((await client.mail(`<${message}@example.org>`)).code, 'c')
      assert.equal((await client.rcpt('<r@example.com>')).code, 'c')
      assert.equal((await client.endOfMessage()).code, 'c')
    }
    client.quit()
    await closed
    assert.equal(handlers[0]?.count('endOfMessage'), 2)
  })

  test('ends a connection that falls silent once its transaction is over', WITH_TIMEOUT, async (t) => {
    const { server, specs } = await start(t, [LOOPBACK])
    const client = await inTransaction(t, first(specs))
    const closed = server.close(AN_HOUR, 5)
    for (let silence = 0; silence < 3; silence += 1) {
      await sleep(20)
      assert.equal((await client.rcpt('<r@example.com>')).code, 'c')
    }
    assert.equal((await client.endOfMessage()).code, 'c')
    await closed
  })

  test('closes nobody for a silence that is in the limits', WITH_TIMEOUT, async (t) => {
    const { server, specs, errors } = await start(t, [LOOPBACK])
    const client = await inTransaction(t, first(specs))
    const stalled = raw(t, first(specs))
    stalled.send(encode(COMMAND.OPTNEG, COMMAND.CONNECT, COMMAND.MAIL))
    await stalled.replies(3)
    stalled.send(encode(COMMAND.RCPT).subarray(0, -1))
    await server.useLimits({ ...LIMITS, stall: 1, idle: 1, idleInTransaction: 1 })
    const closed = server.close(AN_HOUR, 5)
    await sleep(100)
    stalled.send(encode(COMMAND.RCPT).subarray(-1))
    assert.equal(await stalled.replies(1), 'c')
    assert.equal((await client.rcpt('<r@example.com>')).code, 'c')
    assert.equal((await client.endOfMessage()).code, 'c')
    stalled.send(encode(COMMAND.ABORT))
    await closed
    assert.deepEqual(errors, [])
  })

  test('may be called again', WITH_TIMEOUT, async (t) => {
    const { server } = await start(t, [LOOPBACK])
    await server.close(AN_HOUR)
    await server.close(AN_HOUR)
  })
})

test('MilterServer closes the connection of an MTA that has said QUIT', WITH_TIMEOUT, async (t) => {
  const { specs } = await start(t, [LOOPBACK], {
    newHandler: () => {
      const handler = new RecordingHandler()
      handler.wants = wantsAll('skip')
      return handler
    },
  })
  const mta = raw(t, first(specs))
  mta.send(encode(COMMAND.OPTNEG, COMMAND.CONNECT, COMMAND.QUIT))
  assert.equal(await mta.replies(1), 'O')
  await mta.ended
})
