// greymx decide, as Exim and an operator run it.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { decide } from '../../src/cli/decide.ts'
import { askDoor } from '../../src/exim/client.ts'
import { runGreymx, startGreymx } from '../support/greymx.ts'
import { freePort, scratch } from '../support/scratch.ts'

test('greymx decide prints what Exim needs, and whether mail has to wait is its status', async (t) => {
  const exim = await freePort()
  const dir = await scratch(t)
  const settings = `store: "memory:"\nlisten_exim: inet:${exim}@127.0.0.1\n`
  await startGreymx({ dir, name: 'milter', settings })
  const run = (...args: readonly string[]) => runGreymx(['decide', ...args], dir)
  const first = await run('192.0.2.7', 'a@example.org', 'b@example.com', 'mail.example.org')
  assert.deepEqual([first.status, first.stderr], [75, ''])
  assert.match(first.stdout, /^451 4\.7\.1 Greylisted, please try again later \([0-9a-f]{8}\)\n$/)
  const again = await run(
    '--json',
    '--socket',
    `inet:${exim}@127.0.0.1`,
    '--',
    '192.0.2.9',
    '<A@example.org>',
    '<b@example.com>',
  )
  assert.equal(again.status, 75)
  assert.deepEqual(JSON.parse(again.stdout), { verdict: 'tempfail', reply: first.stdout.trim() })
  const passed = { status: 0, stdout: 'pass\n', stderr: '' }
  assert.deepEqual(await run('192.0.2.7', 'a@example.org', 'postmaster@example.com'), passed)
  assert.deepEqual(await run('192.0.2.7', '<>', 'b@example.com'), passed)
  assert.deepEqual((await run('--json', '192.0.2.7', '<>', 'b@example.com')).stdout, '{"verdict":"pass"}\n')
  for (const to of ['b@example.com', 'postmaster@example.com, b@example.com'])
    assert.equal((await run('--data', '192.0.2.7', '', to)).status, 75)
  assert.deepEqual(await run('--data', '192.0.2.7', '<>', 'postmaster@example.com'), passed)
})

test('greymx decide lets mail pass by its status when it cannot ask', async (t) => {
  const dir = await scratch(t)
  const port = await freePort()
  await writeFile(join(dir, 'milter.yaml'), 'store: "memory:"\n')
  const attempt = ['192.0.2.7', 'a@example.org', 'b@example.com']
  const stopped = await runGreymx(['decide', '--socket', `inet:${port}@127.0.0.1`, ...attempt], dir)
  assert.deepEqual([stopped.status, stopped.stdout], [69, ''])
  assert.match(stopped.stderr, /^Cannot ask the daemon on inet:\d+@127\.0\.0\.1: .*ECONNREFUSED.*\n$/)
  assert.deepEqual(await runGreymx(['decide', ...attempt], dir), {
    status: 78,
    stdout: '',
    stderr: 'listen_exim is empty: expected a socket there, or --socket\n',
  })
  const { status, stderr } = await runGreymx(['decide', '192.0.2.7', 'a@example.org', '<>'], dir)
  assert.equal(status, 64)
  assert.match(stderr, /Cannot read TO "<>": expected the address of a recipient/)
})

test('decide() says which value it cannot read', async () => {
  const values = { from: '', helo: undefined, name: undefined, data: false, config: undefined, json: false }
  for (const [ip, socket, problem] of [
    ['x', undefined, 'Cannot read IP "x": expected an IP address'],
    ['::1', '/x', 'Cannot read --socket "/x": expected inet:PORT@HOST, inet6:PORT@HOST or unix:/PATH'],
  ] as const) {
    const misuse = await decide({ ...values, ip, to: 'u@example.com', socket })
    assert.deepEqual(misuse, { kind: 'misuse', problem, command: 'decide' })
  }
})

test('askDoor() takes nothing but greymx for an answer', async () => {
  for (const [answer, problem] of [
    ['', 'expected pass or defer, got ""'],
    ['HTTP/1.1 400 Bad Request\r\n', 'expected pass or defer, got "HTTP/1.1 400 Bad Request\\r\\n"'],
    ['defer ', 'expected pass or defer, got "defer "'],
    ['x'.repeat(5000), 'the answer has no end'],
  ] as const) {
    const server = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).end(answer))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const address = { kind: 'inet', host: '127.0.0.1', port } as const
    await assert.rejects(askDoor(address, Buffer.from('x\n'), 5000), { message: problem })
    server.close()
  }
})

test('askDoor() does not wait for longer than it is told', async () => {
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.on('error', () => {}).resume())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const address = { kind: 'inet', host: '127.0.0.1', port } as const
  await assert.rejects(askDoor(address, Buffer.from('x\n'), 50), { message: 'no answer within 50ms' })
  server.close()
})
