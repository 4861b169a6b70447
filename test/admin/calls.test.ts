// Tests of the way in for operators' calls, over real sockets: what is answered, what is refused, and that nothing that
// a stranger sends changes, crashes or grows anything.

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { statSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { waitFor } from '../support/scratch.ts'
import { linesOf, newKey, post, raw, startAdmin } from './support.ts'

const TOKEN = 'tok-0123456789abcdefghij'
const BEARER = { authorization: `Bearer ${TOKEN}` }

function tokenFile(dir: string, text = `# for the tests\nmonitoring ${TOKEN}\n`, mode = 0o600): string {
  const file = join(dir, 'tokens')
  writeFileSync(file, text, { mode })
  return file
}

/** Admin servers with a file of tokens. */
async function startWithTokens(t: Parameters<typeof startAdmin>[0]) {
  const started = await startAdmin(t)
  const adminTokens = tokenFile(started.dir)
  const { admin, path } = started
  const settings = { admin: { host: '127.0.0.1', port: 0 }, adminSocket: path, adminTokens }
  await (await admin.prepare(settings)).apply()
  return { ...started, port: admin.port ?? 0, adminTokens, settings }
}

test('a call on the unix socket has its answer, and the name that the command says', async (t) => {
  const { path, seen } = await startAdmin(t)
  const headers = { 'greymx-caller': 'uid 0 (root, sudo by anna)' }
  const answer = await post(path, 'echo', { text: 'hä' }, { headers })
  assert.deepEqual([answer.status, answer.json], [200, { text: 'hä', caller: 'uid 0 (root, sudo by anna)' }])
  assert.equal(answer.headers['cache-control'], 'no-store')
  assert.deepEqual(seen.results, ['echo ok'])
  assert.deepEqual([seen.logged, seen.refusals], [[], []])
})

test('who calls through the socket cannot pass for a token, nor bring lines into the log', async (t) => {
  const { path, seen } = await startAdmin(t)
  for (const claim of ['token monitoring', 'uid 1 (a) token b', 'uid 1 (a"b)', 'x', undefined])
    await post(path, 'echo', { text: '' }, { headers: { 'greymx-caller': claim } })
  assert.deepEqual(seen.callers, Array(5).fill('uid unknown'))
})

test('a change is told once, with who made it and its parameters', async (t) => {
  const { path, seen } = await startAdmin(t)
  const headers = { 'greymx-caller': 'uid 1000 (anna)' }
  assert.deepEqual((await post(path, 'change', { to: 'a@example.org' }, { headers })).json, {
    changed: 'a@example.org',
  })
  assert.deepEqual(seen.logged, ['uid 1000 (anna) change {"to":"a@example.org"}'])
  await post(path, 'change', { to: 'x'.repeat(5000) }, { headers })
  assert.ok((seen.logged[1] ?? '').length < 600)
})

describe('the socket', () => {
  test('has mode 0660 and refuses another user', { skip: process.getuid?.() !== 0 }, async (t) => {
    const { path } = await startAdmin(t)
    assert.equal(statSync(path).mode & 0o777, 0o660)
    const script = `require('net').connect(${JSON.stringify(path)}).on('error', (e) => console.log(e.code)).on('connect', () => console.log('in'))`
    const as = ['--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath, '-e', script]
    assert.equal(spawnSync('setpriv', as, { encoding: 'utf8' }).stdout, 'EACCES\n')
  })

  test('of a daemon that is gone is replaced, that of a running one is not', async (t) => {
    const { dir, admin, path, seen, port } = await startAdmin(t)
    const other = join(dir, 'other.sock')
    const live = createServer().listen(other)
    await once(live, 'listening')
    t.after(() => live.close())
    const at = (adminSocket: string) => admin.prepare({ admin: { host: '127.0.0.1', port: 0 }, adminSocket })
    await assert.rejects(at(other), {
      message: `Cannot listen on unix:${other}: another process listens there`,
    })
    assert.equal((await post(path, 'echo', { text: '' })).status, 200)
    const stale = join(dir, 'stale.sock')
    const bound = `require('net').createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, 'SIGKILL'))`
    spawnSync(process.execPath, ['-e', bound])
    assert.ok(statSync(stale).isSocket())
    await (await at(stale)).apply()
    assert.equal((await post(stale, 'echo', { text: '' })).status, 200)
    await assert.rejects(post(path, 'echo', { text: '' }), /ENOENT/)
    assert.deepEqual(seen.problems, [])
    assert.equal(admin.port, port)
  })

  test('that cannot be opened at the start is told, and does not keep greymx from starting', async (t) => {
    const { seen, admin, port } = await startAdmin(t, { adminSocket: '/nowhere/admin.sock' })
    assert.deepEqual(seen.problems, ['Cannot listen on unix:/nowhere/admin.sock: there is no such folder'])
    assert.deepEqual(admin.warnings, [`commands cannot reach greymx: ${seen.problems[0]}`])
    const settings = { admin: { host: '127.0.0.1', port: 0 }, adminSocket: '/nowhere/admin.sock' }
    await (await admin.prepare(settings)).apply()
    assert.equal(seen.problems.length, 2)
    assert.equal(admin.port, port)
    await assert.rejects(admin.prepare({ adminSocket: '/elsewhere/admin.sock' }), /elsewhere.*no such folder/)
  })

  test('goes when it is turned off', async (t) => {
    const { path, admin } = await startAdmin(t)
    await (await admin.prepare({})).apply()
    await assert.rejects(post(path, 'echo', { text: '' }), /ENOENT/)
    assert.deepEqual([admin.port, admin.socket], [undefined, undefined])
  })
})

describe('the admin port', () => {
  test('takes calls with a token, and tells whose it is', async (t) => {
    const { port, seen } = await startWithTokens(t)
    const headers = { ...BEARER, 'greymx-caller': 'uid 0 (root)' }
    assert.equal((await post(port, 'echo', { text: '' }, { headers })).json.caller, 'token monitoring')
    assert.equal((await post(port, 'change', { to: 'x' }, { headers: BEARER })).status, 200)
    assert.deepEqual(seen.logged, ['token monitoring change {"to":"x"}'])
  })

  test('takes none without a token, or with a wrong one', async (t) => {
    const { port, seen } = await startWithTokens(t)
    const wrong = [
      undefined,
      'Bearer',
      'Bearer ',
      `Basic ${TOKEN}`,
      `Bearer ${TOKEN}x`,
      `Bearer ${TOKEN.slice(0, -1)}`,
      `Bearer ${TOKEN.toUpperCase()}`,
      `Bearer x ${TOKEN}`,
      'Bearer monitoring',
    ]
    for (const authorization of wrong) {
      const answer = await post(port, 'change', { to: 'x' }, { headers: { authorization } })
      assert.equal(answer.status, 401, authorization)
      assert.equal(answer.headers['www-authenticate'], 'Bearer')
      assert.ok(!answer.text.includes(TOKEN))
    }
    assert.deepEqual([seen.changes, seen.logged, seen.callers], [[], [], []])
    assert.deepEqual(seen.refusals, Array(wrong.length).fill('token 127.0.0.1'))
  })

  test('takes none at all without a file of tokens, and says what is missing', async (t) => {
    const { port, seen } = await startAdmin(t)
    const answer = await post(port, 'change', { to: 'x' }, { headers: BEARER })
    assert.equal(answer.status, 403)
    assert.match(String(answer.json.error), /admin_tokens.*admin_socket/)
    assert.deepEqual([seen.changes, seen.refusals], [[], ['token 127.0.0.1']])
  })

  test('refuses what a page in a browser can send, with a token as well', async (t) => {
    const { port, path, seen } = await startWithTokens(t)
    const forged: ReadonlyArray<readonly [number, Record<string, string>]> = [
      [403, { origin: 'https://evil.example' }],
      [403, { origin: 'null' }],
      [403, { host: 'evil.example' }],
      [403, { host: `evil.example:${port}` }],
      [403, { host: 'localhost.evil.example' }],
      [403, { host: '127.0.0.1.evil.example' }],
      [415, { 'content-type': 'text/plain' }],
      [415, { 'content-type': 'application/x-www-form-urlencoded' }],
      [415, { 'content-type': 'multipart/form-data; boundary=application/json' }],
      [415, { 'content-type': 'text/plain; application/json' }],
    ]
    for (const [status, headers] of forged) {
      const answer = await post(port, 'change', { to: 'x' }, { headers: { ...BEARER, ...headers } })
      assert.equal(answer.status, status, JSON.stringify(headers))
    }
    for (const origin of ['https://evil.example', ''])
      assert.equal((await post(path, 'change', { to: 'x' }, { headers: { origin } })).status, 403)
    assert.equal((await post(port, 'change', {}, { headers: BEARER, method: 'GET' })).status, 405)
    assert.deepEqual([seen.changes, seen.logged], [[], []])
    for (const host of [`127.0.0.1:${port}`, 'localhost', 'LOCALHOST:1', '[::1]:80', '192.0.2.1'])
      assert.equal(
        (await post(port, 'echo', { text: '' }, { headers: { ...BEARER, host } })).status,
        200,
        host,
      )
    assert.equal(
      (await post(path, 'echo', { text: '' }, { headers: { host: 'any.example' } })).status,
      200,
      'a browser cannot open the socket',
    )
  })

  test('obeys a changed file of tokens at once, and takes no token while the file is broken', async (t) => {
    const { port, seen, dir, admin, settings } = await startWithTokens(t)
    const ask = async (token: string) =>
      (await post(port, 'echo', { text: '' }, { headers: { authorization: `Bearer ${token}` } })).status
    assert.equal(await ask(TOKEN), 200)
    const next = 'another-token-of-some-length'
    tokenFile(dir, `a ${next}\nb ${'b'.repeat(20)}\n`)
    assert.deepEqual([await ask(TOKEN), await ask(next), await ask('b'.repeat(20))], [401, 200, 200])
    tokenFile(dir, `a ${next}\nb short\n`)
    assert.equal(await ask(next), 401)
    assert.deepEqual(seen.problems, [
      `${dir}/tokens: line 2: the token of b has 5 characters: expected 20 or more`,
    ])
    await assert.rejects(admin.prepare(settings), /Cannot read admin_tokens .*tokens: line 2/)
    tokenFile(dir)
    assert.equal(await ask(TOKEN), 200)
    assert.equal(seen.problems.length, 1)
  })
})

describe('a repeated request', () => {
  test('is refused, and changes nothing', async (t) => {
    const { path, seen } = await startAdmin(t)
    const headers = { 'idempotency-key': newKey() }
    assert.equal((await post(path, 'change', { to: 'x' }, { headers })).status, 200)
    for (const to of ['x', 'y']) {
      const again = await post(path, 'change', { to }, { headers })
      assert.equal(again.status, 409)
      assert.match(String(again.json.error), /made before/)
    }
    assert.deepEqual([seen.changes, seen.logged.length], [['x'], 1])
    assert.deepEqual(seen.refusals, ['repeated unix socket', 'repeated unix socket'])
  })

  test('is refused while the first one still runs', async (t) => {
    const { path, seen } = await startAdmin(t)
    const headers = { 'idempotency-key': newKey() }
    const answers = await Promise.all([1, 2, 3, 4].map(() => post(path, 'change', { to: 'x' }, { headers })))
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 409, 409, 409])
    assert.deepEqual(seen.changes, ['x'])
  })

  test('is refused after a restart and after a long time, by the time in its key', async (t) => {
    const { path, seen } = await startAdmin(t)
    for (const at of [Date.now() - 60_000, Date.now() - 400_000, Date.now() + 400_000]) {
      const headers = { 'idempotency-key': newKey(at) }
      assert.equal((await post(path, 'change', { to: 'x' }, { headers })).status, 409)
    }
    assert.deepEqual(seen.changes, [])
  })

  test('has no key only if it changes nothing', async (t) => {
    const { path, seen } = await startAdmin(t)
    for (const key of [undefined, '', 'x', '1', `${Date.now()}`, `${Date.now()}-short`, `${newKey()} x`]) {
      const headers = { 'idempotency-key': key }
      assert.equal((await post(path, 'change', { to: 'x' }, { headers })).status, 400, key)
      assert.equal((await post(path, 'echo', { text: '' }, { headers })).status, 200)
    }
    assert.deepEqual(seen.changes, [])
  })

  test('of one that was not understood counts as the first', async (t) => {
    const { path, seen } = await startAdmin(t)
    const headers = { 'idempotency-key': newKey() }
    assert.equal((await post(path, 'change', { two: 'x' }, { headers })).status, 400)
    assert.equal((await post(path, 'change', { to: 'x' }, { headers })).status, 200)
    assert.deepEqual(seen.changes, ['x'])
  })
})

test('a mistake in the parameters is named, with the value and what was expected', async (t) => {
  const { path, seen } = await startAdmin(t)
  const cases: ReadonlyArray<readonly [params: unknown, error: string]> = [
    [{}, 'Cannot read text (absent): expected string, received undefined'],
    [{ text: 7 }, 'Cannot read text 7: expected string, received number'],
    [{ text: 'a', count: 'b' }, 'Cannot read count "b": expected number, received string'],
    [
      { text: true, count: [1] },
      'Cannot read text true: expected string, received boolean; Cannot read count [1]: expected number, received array',
    ],
    [{ text: 'a', other: 1 }, 'unknown parameter "other": expected text, count'],
    [{ text: 'a', b: 1, c: 2 }, 'unknown parameter "b", "c": expected text, count'],
    [[], 'Cannot read the parameters: expected object, received array'],
    [null, 'Cannot read the parameters: expected object, received null'],
    [{ text: 'x'.repeat(60_000) }, `Cannot read text "${'x'.repeat(99)}…: expected 50000 characters at most`],
  ]
  for (const [params, error] of cases) {
    const answer = await post(path, 'echo', params)
    assert.deepEqual([answer.status, answer.json], [400, { error }])
  }
  const proto = await post(path, 'echo', {}, { body: '{"text":"","__proto__":{"text":"x"}}' })
  assert.equal(proto.status, 400)
  assert.deepEqual(seen.refusals, [])
})

test('what cannot be done has a status for each kind, and its reason', async (t) => {
  const { path, seen } = await startAdmin(t)
  for (const [to, status] of [
    ['unknown', 404],
    ['unsuited', 409],
    ['unavailable', 503],
  ] as const) {
    const answer = await post(path, 'change', { to })
    assert.deepEqual([answer.status, answer.json], [status, { error: `cannot change: ${to}` }])
  }
  const failed = await post(path, 'change', { to: 'fail' })
  assert.deepEqual([failed.status, failed.json], [500, { error: 'the store is away' }])
  assert.deepEqual(seen.failures, ['uid unknown change {"to":"fail"}: the store is away'])
  assert.deepEqual([seen.changes, seen.logged], [[], []])
  assert.deepEqual(seen.results, [...Array(3).fill('change refused'), 'change failed'])
  const none = await post(path, 'nothing', {})
  assert.deepEqual(
    [none.status, none.json],
    [404, { error: 'there is no call "nothing": expected echo, change, wait, count' }],
  )
})

describe('a stream', () => {
  test('has a line for each item and a last line for its end', async (t) => {
    const { path, seen } = await startAdmin(t)
    const answer = await post(path, 'count', { to: 3 })
    assert.equal(answer.headers['content-type'], 'application/x-ndjson')
    assert.deepEqual(linesOf(answer), [
      ...[1, 2, 3].map((number) => ({ item: { number, padding: '' } })),
      { end: { items: 3 } },
    ])
    assert.deepEqual(linesOf(await post(path, 'count', { to: 0 })), [{ end: { items: 0 } }])
    assert.deepEqual(seen.results, ['count ok', 'count ok'])
  })

  test('that fails on the way tells it in its last line', async (t) => {
    const { path } = await startAdmin(t)
    const failed = linesOf(await post(path, 'count', { to: 3, failAt: 2 }))
    assert.deepEqual(failed.at(-1), { error: 'the store has gone', status: 500 })
    assert.equal(failed.length, 2)
    const refused = linesOf(await post(path, 'count', { to: 3, refuseAt: 1 }))
    assert.deepEqual(refused, [{ error: 'no further', status: 503 }])
  })

  test('gives its first items at once, however slowly others come', async (t) => {
    const { path } = await startAdmin(t)
    const stream = await openStream(path, { to: 1000, pause: 60_000 })
    const [first] = (await once(stream, 'data')) as [Buffer]
    assert.match(first.toString(), /^\{"item":\{"number":1,/)
    stream.destroy()
  })

  test('ends when its reader goes, and makes room', async (t) => {
    const { path, seen } = await startAdmin(t)
    for (let round = 0; round < 20; round += 1) {
      const stream = await openStream(path, { to: 1e9, padding: 1000 })
      await once(stream, 'data')
      stream.destroy()
      await waitFor('the end of the stream', () => seen.streamsEnded > round)
    }
    const waiting = await openStream(path, { to: 2, pause: 60_000 })
    await once(waiting, 'data')
    waiting.destroy()
    await waitFor('the end of the stream', () => seen.streamsEnded === 21)
    assert.equal((await post(path, 'count', { to: 1 })).status, 200)
    assert.deepEqual(seen.failures, [])
  })

  test('waits for a reader that does not read on, and holds nobody up', async (t) => {
    const { path } = await startAdmin(t)
    const stream = await openStream(path, { to: 1e9, padding: 10_000 })
    stream.pause()
    await sleep(300)
    const before = process.memoryUsage().external
    await sleep(500)
    assert.ok(process.memoryUsage().external - before < 20e6)
    assert.equal((await post(path, 'echo', { text: '' })).status, 200)
    stream.destroy()
  })

  test('of many items lets the event loop go round', async (t) => {
    const { path } = await startAdmin(t)
    let turns = 0
    const timer = setInterval(() => {
      turns += 1
    }, 1)
    const answer = post(path, 'count', { to: 200_000 })
    assert.equal(linesOf(await answer).length, 200_001)
    clearInterval(timer)
    assert.ok(turns > 20, `${turns} turns`)
  })
})

describe('what is no call', () => {
  test('of 1 MB is refused, on the socket and with a token, and nothing of it is kept', async (t) => {
    const { path, port, seen } = await startWithTokens(t)
    const junk = Buffer.alloc(1_000_000, 'a')
    for (const where of [path, port]) {
      const headers = BEARER
      const answer = await post(where, 'change', {}, { headers, body: junk }).catch((error) => error)
      // The server answers before all was sent; whether that is still read depends on the kernel.
      assert.ok(answer.status === 413 || /EPIPE|ECONNRESET/.test(answer.code), String(answer))
    }
    const head = 'POST /v1/change HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n'
    const chunked = await raw({ path }, `${head}transfer-encoding: chunked\r\n\r\n`, `f4240\r\n`, junk)
    assert.match(chunked, /^HTTP\/1\.1 413 |^$/)
    const declared = await raw({ path }, `${head}content-length: 1000000\r\n\r\n`)
    assert.match(declared, /^HTTP\/1\.1 413 .*connection: close/is)
    assert.deepEqual(seen.changes, [])
    assert.deepEqual(
      seen.refusals.map((text) => text.split(' ')[0]),
      Array(4).fill('oversized'),
    )
  })

  test('of random bytes is answered 400 or not at all, and the connection is closed', async (t) => {
    const { path, port, seen } = await startWithTokens(t)
    for (const where of [{ path }, { port, host: '127.0.0.1' }]) {
      assert.match(await raw(where, 'HELO mx.example.org\r\n'), /^HTTP\/1\.1 400 /)
      for (let round = 0; round < 20; round += 1) await raw(where, randomBytes(50_000), '\r\n\r\n')
      await raw(where, randomBytes(1_000_000))
    }
    assert.equal((await post(path, 'echo', { text: '' })).status, 200)
    assert.deepEqual(new Set(seen.refusals), new Set(['malformed unix socket', 'malformed 127.0.0.1']))
  })

  test('of JSON that is none is answered 400', async (t) => {
    const { path, seen } = await startAdmin(t)
    const bodies = [
      '',
      '{',
      'x',
      "{'to':'x'}",
      '{"to":"x"}{',
      '['.repeat(60_000),
      Buffer.from('{"to":"\xff"}', 'latin1'),
    ]
    for (const body of bodies) {
      const answer = await post(path, 'change', {}, { body })
      assert.equal(answer.status, 400, String(body).slice(0, 20))
    }
    assert.deepEqual([seen.changes, seen.refusals.length], [[], bodies.length])
  })

  test('and stops halfway changes nothing', async (t) => {
    const { path, seen } = await startAdmin(t)
    const text =
      'POST /v1/change HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n' +
      `idempotency-key: ${newKey()}\r\ncontent-length: 10\r\n\r\n{"to":"x"}`
    for (let length = 1; length < text.length; length += 7) {
      const socket = connect({ path })
      socket.on('error', () => undefined)
      socket.end(text.slice(0, length))
      socket.resume()
      await once(socket, 'close')
    }
    assert.deepEqual(seen.changes, [])
    assert.equal((await post(path, 'change', { to: 'y' })).status, 200)
  })

  test('and comes byte by byte is cut off in time', async (t) => {
    const { path, port, seen } = await startAdmin(t, {}, { head: 300, request: 600, idle: 300, answer: 600 })
    const body =
      'POST /v1/change HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n{'
    const cases = [
      [{ path }, ''],
      [{ port, host: '127.0.0.1' }, 'POST /v1/change HTTP/1.1\r\nhost: localhost\r\n'],
      [{ path }, body],
    ] as const
    await Promise.all(
      cases.map(async ([where, begin]) => {
        const socket = connect(where)
        socket.on('error', () => undefined).resume()
        socket.write(`${begin}`)
        const timer = setInterval(() => socket.write('x'), 50)
        await once(socket, 'close')
        clearInterval(timer)
      }),
    )
    assert.deepEqual(seen.changes, [])
    assert.ok(seen.refusals.includes('slow unix socket'), seen.refusals.join())
  })
})

test('an answer that is not made and read in time is broken off, unless it is that of a call', async (t) => {
  const never = () => new Promise<never>(() => undefined)
  const times = { head: 1000, request: 1000, idle: 1000, answer: 100 }
  const { port, path } = await startAdmin(t, {}, times, { metrics: never })
  const at = { host: '127.0.0.1', port }
  assert.equal(await raw(at, 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'), '')
  assert.match(await raw(at, 'GET /livez HTTP/1.0\r\n\r\n'), /^HTTP\/1.1 200/)
  assert.equal(linesOf(await post(path, 'count', { to: 3, pause: 100 })).length, 4)
})

describe('many at once', () => {
  test('more calls than run at once are sent away, and the others go on', async (t) => {
    const { path, seen } = await startAdmin(t)
    const waiting = Array.from({ length: 8 }, () => {
      const asked = request({
        socketPath: path,
        method: 'POST',
        path: '/v1/wait',
        headers: { 'content-type': 'application/json' },
      })
      asked.on('error', () => undefined).end('{}')
      return asked
    })
    await waitFor('the calls', () => seen.callers.length === 8)
    const busy = await post(path, 'change', { to: 'x' })
    assert.equal(busy.status, 503)
    assert.match(String(busy.json.error), /8 calls run already/)
    assert.equal((await post(path, 'count', { to: 1 })).status, 200, 'a stream has its own room')
    for (const asked of waiting) asked.destroy()
    await waitFor('room', async () => (await post(path, 'change', { to: 'y' })).status === 200)
    assert.deepEqual(seen.changes, ['y'])
  })

  test('thousands of requests leave nothing behind', async (t) => {
    const { path, port, seen } = await startWithTokens(t)
    for (let round = 0; round < 50; round += 1) {
      await Promise.all(
        Array.from({ length: 40 }, (_, index) =>
          index % 2 === 0
            ? post(port, 'change', { to: 'x' })
            : post(path, 'echo', { text: 'x' }, { headers: { origin: 'x' } }),
        ),
      )
    }
    assert.equal(seen.refusals.length, 2000)
    assert.deepEqual(seen.changes, [])
    assert.equal((await post(path, 'echo', { text: '' })).status, 200)
  })
})

async function openStream(path: string, params: unknown) {
  const asked = request({
    socketPath: path,
    method: 'POST',
    path: '/v1/count',
    headers: { 'content-type': 'application/json' },
    agent: false,
  })
  asked.end(JSON.stringify(params))
  const [response] = (await once(asked, 'response')) as [import('node:http').IncomingMessage]
  response.on('error', () => undefined)
  return response
}
