// greymx decide, as Exim and an operator run it.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { runGreymx, startGreymx } from '../support/greymx.ts'
import { freePort, scratch } from '../support/scratch.ts'

test('greymx decide prints what Exim needs, and whether mail has to wait is its status', async (t) => {
  const exim = await freePort()
  const dir = await scratch(t)
  const settings = `store: "memory:"\nlisten_exim: inet:${exim}@127.0.0.1\n`
  await startGreymx({ dir, name: 'milter', settings })
  const decide = (...args: readonly string[]) => runGreymx(['decide', ...args], dir)
  const first = await decide('192.0.2.7', 'a@example.org', 'b@example.com', 'mail.example.org')
  assert.deepEqual([first.status, first.stderr], [75, ''])
  assert.match(first.stdout, /^451 4\.7\.1 Greylisted, please try again later \([0-9a-f]{8}\)\n$/)
  const again = await decide(
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
  assert.deepEqual(await decide('192.0.2.7', 'a@example.org', 'postmaster@example.com'), passed)
  assert.deepEqual(await decide('192.0.2.7', '<>', 'b@example.com'), passed)
  assert.deepEqual(
    (await decide('--json', '192.0.2.7', '<>', 'b@example.com')).stdout,
    '{"verdict":"pass"}\n',
  )
  for (const to of ['b@example.com', 'postmaster@example.com, b@example.com'])
    assert.equal((await decide('--data', '192.0.2.7', '', to)).status, 75)
  assert.deepEqual(await decide('--data', '192.0.2.7', '<>', 'postmaster@example.com'), passed)
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
  for (const [args, expected] of [
    [['x', 'a@example.org', 'b@example.com'], 'Cannot read IP "x": expected an IP address'],
    [['192.0.2.7', 'a@example.org', '<>'], 'Cannot read TO "<>": expected the address of a recipient'],
    [
      ['--socket', '/x', ...attempt],
      'Cannot read --socket "/x": expected inet:PORT@HOST, inet6:PORT@HOST or unix:/PATH',
    ],
    [['192.0.2.7', 'a@example.org'], 'decide needs TO'],
  ] as const) {
    const { status, stderr } = await runGreymx(['decide', ...args], dir)
    assert.equal(status, 64)
    assert.ok(stderr.includes(expected), stderr)
  }
})

test('greymx decide takes nothing but greymx for an answer', async (t) => {
  const dir = await scratch(t)
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
    const child = await runGreymx(
      ['decide', '--socket', `inet:${port}@127.0.0.1`, '192.0.2.7', 'a@example.org', 'b@example.com'],
      dir,
    )
    server.close()
    assert.equal(child.status, 69)
    assert.equal(child.stderr, `Cannot ask the daemon on inet:${port}@127.0.0.1: ${problem}\n`)
  }
})
