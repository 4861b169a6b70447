// Tests of how a command asks the daemon: through its real socket, and in a process of its own, with everything that can
// stand in the way.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { startAdmin } from '../admin/support.ts'
import { startGreymx } from '../support/greymx.ts'
import { scratch, waitFor } from '../support/scratch.ts'

const PROGRAM = join(import.meta.dirname, 'call-process.js')
const AS_ROOT = { skip: process.getuid?.() !== 0 }

interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A file of settings that names the socket. */
function settingsFor(dir: string, socket: string): string {
  const file = join(dir, 'client.yaml')
  writeFileSync(file, `admin_socket: ${socket}\n`)
  return file
}

async function ask(
  config: string,
  name: string,
  params: unknown,
  { stream = false, env = {} }: { readonly stream?: boolean; readonly env?: NodeJS.ProcessEnv } = {},
): Promise<Ended> {
  const args = [PROGRAM, config, name, JSON.stringify(params), ...(stream ? ['stream'] : [])]
  const { SUDO_USER: _, ...inherited } = process.env
  const child = spawn(process.execPath, args, { env: { ...inherited, ...env } })
  const [stdout, stderr] = [child.stdout, child.stderr].map((each) => each.setEncoding('utf8').toArray())
  const [status] = await once(child, 'close')
  return { status, stdout: ((await stdout) ?? []).join(''), stderr: ((await stderr) ?? []).join('') }
}

async function start(t: TestContext) {
  const started = await startAdmin(t)
  return { ...started, config: settingsFor(started.dir, started.path) }
}

/** A program that is not greymx, at the socket of greymx. */
async function startOther(t: TestContext, status: number, body: string | undefined) {
  const dir = await scratch(t)
  const path = join(dir, 'other.sock')
  const server = createServer((request, response) => {
    request.resume()
    if (body === undefined) request.socket.destroy()
    else response.writeHead(status).end(body)
  }).listen(path)
  await once(server, 'listening')
  t.after(() => server.close())
  return { path, config: settingsFor(dir, path) }
}

test('an answer is handed on, and the daemon knows who asked', async (t) => {
  const { config, seen } = await start(t)
  const { status, stdout, stderr } = await ask(config, 'echo', { text: 'hä' })
  const { uid, username } = userInfo()
  const caller = `uid ${uid} (${username})`
  assert.deepEqual([status, JSON.parse(stdout), stderr], [0, { text: 'hä', caller }, ''])
  await ask(config, 'change', { to: 'x' }, { env: { SUDO_USER: 'an"na' } })
  assert.deepEqual(seen.logged, [`uid ${uid} (${username}, sudo by an?na) change {"to":"x"}`])
})

test('a user without a name asks by number', AS_ROOT, async (t) => {
  const { config, path, seen } = await start(t)
  chmodSync(path, 0o666)
  assert.equal((await ask(config, 'echo', { text: '' }, { env: { AS_USER: '54321' } })).status, 0)
  assert.deepEqual(seen.callers, ['uid 54321'])
})

test('each command has a key of its own, so that two in a row are two changes', async (t) => {
  const { config, seen } = await start(t)
  for (const to of ['x', 'x']) assert.equal((await ask(config, 'change', { to })).status, 0)
  assert.deepEqual(seen.changes, ['x', 'x'])
})

test('nothing from the daemon can drive the terminal', async (t) => {
  const { config } = await start(t)
  const text = '\x1b]0;x\x07 \x9b31m \u202e \r\n end'
  assert.equal(JSON.parse((await ask(config, 'echo', { text })).stdout).text, ' ]0;x   31m      end')
  const other = await startOther(t, 500, JSON.stringify({ error: 'a\x1b[2Jb\nc' }))
  const { status, stderr } = await ask(other.config, 'echo', {})
  assert.deepEqual([status, stderr], [69, `Cannot ask the daemon on unix:${other.path}: a [2Jb c\n`])
})

describe('without a daemon', () => {
  test('the problem names the socket and what was expected', async (t) => {
    const { config, path, admin } = await start(t)
    await admin.close()
    const { status, stdout, stderr } = await ask(config, 'echo', { text: '' })
    const expected = 'expected greymx serve to run, and admin_socket to be the same in both'
    assert.deepEqual(
      [status, stdout, stderr],
      [69, '', `Cannot ask the daemon on unix:${path}: connect ENOENT ${path}: ${expected}\n`],
    )
  })

  test('there is nobody to ask where admin_socket is false, or the settings are faulty', async (t) => {
    const dir = await scratch(t)
    const off = await ask(settingsFor(dir, 'false'), 'echo', {})
    assert.deepEqual(off, {
      status: 69,
      stdout: '',
      stderr: 'Cannot ask the daemon: admin_socket is false: expected the path of its socket\n',
    })
    const faulty = await ask(settingsFor(dir, '[]'), 'echo', {})
    assert.equal(faulty.status, 78)
    assert.match(faulty.stderr, /client\.yaml:1:15: Cannot read admin_socket/)
  })
})

test('who may not open the socket learns which group may', AS_ROOT, async (t) => {
  const { config, path, dir, seen } = await start(t)
  const env = { AS_USER: '65534' }
  const named = await ask(config, 'change', { to: 'x' }, { env })
  assert.deepEqual(
    [named.status, named.stderr],
    [
      69,
      `Cannot ask the daemon on unix:${path}: no permission: expected a user who may open ${path}, such as one in its group, root\n`,
    ],
  )
  chownSync(path, 0, 54321)
  assert.match(
    (await ask(config, 'change', { to: 'x' }, { env })).stderr,
    /in its group, which has the number 54321\n$/,
  )
  chownSync(path, 0, 65534)
  assert.equal((await ask(config, 'change', { to: 'x' }, { env })).status, 0)
  chmodSync(dir, 0o700)
  const closed = settingsFor('/run', path)
  t.after(() => import('node:fs').then(({ rmSync }) => rmSync(closed)))
  assert.match(
    (await ask(closed, 'change', { to: 'x' }, { env })).stderr,
    /no permission: expected a user who may open .*, such as one who may also open the folder that it is in\n$/,
  )
  assert.deepEqual(seen.changes, ['x'])
})

test('a refusal is printed as it is, with a status for each kind', async (t) => {
  const { config, path, seen } = await start(t)
  const at = `Cannot ask the daemon on unix:${path}: `
  const cases = [
    ['change', { to: 'unknown' }, 64, 'cannot change: unknown\n'],
    ['change', { to: 'unsuited' }, 64, 'cannot change: unsuited\n'],
    ['change', { to: 'unavailable' }, 69, `${at}cannot change: unavailable\n`],
    ['change', { to: 'fail' }, 69, `${at}the store is away\n`],
    ['change', { to: 1 }, 64, 'Cannot read to 1: expected string, received number\n'],
    ['nothing', {}, 64, 'there is no call "nothing": expected echo, change, wait, count\n'],
  ] as const
  for (const [name, params, status, stderr] of cases)
    assert.deepEqual(await ask(config, name, params), { status, stdout: '', stderr })
  assert.deepEqual(seen.changes, [])
})

describe('a stream', () => {
  test('is handed on item by item', async (t) => {
    const { config } = await start(t)
    const { status, stdout, stderr } = await ask(
      config,
      'count',
      { to: 2500, padding: 100 },
      { stream: true },
    )
    assert.deepEqual([status, stdout.split('\n').length, stderr], [0, 2501, ''])
    assert.equal(JSON.parse(stdout.split('\n')[2499] ?? '').number, 2500)
  })

  test('that ends with an error prints it after the items', async (t) => {
    const { config, path } = await start(t)
    const failed = await ask(config, 'count', { to: 3, failAt: 3 }, { stream: true })
    assert.deepEqual(
      [failed.status, failed.stdout.split('\n').length, failed.stderr],
      [69, 3, `Cannot ask the daemon on unix:${path}: the store has gone\n`],
    )
    const mistaken = await ask(config, 'count', { to: 'x' }, { stream: true })
    assert.equal(mistaken.status, 64)
  })

  test('that breaks off is told from a complete one', async (t) => {
    const { config, path, admin } = await start(t)
    const child = spawn(process.execPath, [PROGRAM, config, 'count', '{"to":1e9,"padding":1000}', 'stream'])
    const stderr = child.stderr.setEncoding('utf8').toArray()
    await once(child.stdout, 'data')
    child.stdout.resume()
    await admin.close()
    const [status] = await once(child, 'close')
    const problem = 'the answer broke off: what was printed is not all of it'
    assert.deepEqual(
      [status, (await stderr).join('')],
      [69, `Cannot ask the daemon on unix:${path}: ${problem}\n`],
    )
    const other = await startOther(t, 200, '{"item":1}\n{"item":2}\n')
    const cut = await ask(other.config, 'count', {}, { stream: true })
    assert.deepEqual([cut.status, cut.stdout], [69, '1\n2\n'])
    assert.match(cut.stderr, /broke off/)
  })

  test('ends when the reader of the command goes', async (t) => {
    const { config, seen } = await start(t)
    const child = spawn(process.execPath, [PROGRAM, config, 'count', '{"to":1e9}', 'stream'])
    child.stdout.once('data', () => child.stdout.destroy())
    const [status] = await once(child, 'close')
    assert.equal(status, 0)
    await waitFor('the end of the stream', () => seen.streamsEnded === 1)
  })
})

test('another program at the socket is not taken for greymx', async (t) => {
  const cases = [
    [404, '<html>', /the answer has the status 404 of HTTP: expected greymx serve at this socket\n$/, 69],
    [200, '<html>', /the answer is not complete, or is not from greymx\n$/, 69],
    [200, undefined, /the daemon closed the connection without an answer \(ECONNRESET\)\n$/, 69],
  ] as const
  for (const [code, body, expected, status] of cases) {
    const { config } = await startOther(t, code, body)
    const ended = await ask(config, 'echo', {})
    assert.match(ended.stderr, expected)
    assert.equal(ended.status, status)
  }
})

test('commands reach a daemon on its socket, and follow it when a reload moves it', async (t) => {
  const dir = await scratch(t)
  const greymx = await startGreymx({ dir, settings: 'store: "memory:"' })
  const asked = async (config = greymx.configFile) => (await ask(config, 'no-such-call', {})).stderr
  const reached = /there is no call "no-such-call": expected /
  assert.match(await asked(), reached)
  const before = settingsFor(dir, greymx.adminSocket)
  const moved = join(dir, 'moved.sock')
  writeFileSync(
    greymx.configFile,
    `listen: inet:${greymx.port}@127.0.0.1\nadmin: false\nstore: "memory:"\nadmin_socket: unix:${moved}\n`,
  )
  greymx.signal('SIGHUP')
  await waitFor('the reload', () => greymx.log().some((line) => line.includes('configuration read again')))
  assert.match(await asked(), reached)
  assert.match(await asked(before), /ENOENT/)
  const faulty = `admin_socket: ${dir}/none/admin.sock\nlisten: inet:${greymx.port}@127.0.0.1\nadmin: false\n`
  writeFileSync(greymx.configFile, `${faulty}store: "memory:"\n`)
  greymx.signal('SIGHUP')
  await waitFor('the refusal', () => greymx.log().some((line) => line.includes('reload refused')))
  assert.match(await asked(settingsFor(dir, moved)), reached)
})
