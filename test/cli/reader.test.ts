// Tests that a reader of the log that is stuck delays neither the answers nor the end of the daemon.

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync, readSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { connectToFilter } from '../../src/milter/client.ts'
import { PROGRAM } from '../support/greymx.ts'
import { freePort, scratch, waitFor } from '../support/scratch.ts'

/** More outcomes than a pipe and all buffers on the way to it hold (64 KiB, and some 250 bytes a line). */
const OUTCOMES = 1000

test('answers go on, and SIGTERM ends the daemon, while nobody reads its log', async (t) => {
  const dir = await scratch(t)
  const [config, pipe, port] = [join(dir, 'milter.yaml'), join(dir, 'pipe'), await freePort()]
  writeFileSync(config, `listen: inet:${port}@127.0.0.1\nstore: "memory:"\nadmin: false\n`)
  execFileSync('mkfifo', [pipe])
  const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK)
  const writer = openSync(pipe, constants.O_WRONLY)
  const daemon = spawn(process.execPath, [PROGRAM, 'serve', '--config', config], {
    stdio: ['ignore', writer, 'inherit'],
  })
  t.after(() => daemon.kill('SIGKILL'))
  closeSync(writer)

  const spec = { kind: 'inet', host: '127.0.0.1', port } as const
  const client = await waitFor('the daemon to listen', () =>
    connectToFilter(spec, 5000).catch(() => undefined),
  )
  await client.connect({ hostName: '[192.0.2.7]', family: 'inet', port: 25, address: '192.0.2.7' })
  await client.mail('<a@b.test>')
  for (let index = 0; index < OUTCOMES; index += 1) {
    assert.equal((await client.rcpt(`<u${index}@example.com>`)).code, 'y')
  }
  client.quit()

  const ended = once(daemon, 'exit')
  daemon.kill('SIGTERM')
  const timeout = setTimeout(() => daemon.kill('SIGKILL'), 5000)
  assert.deepEqual(await ended, [0, null])
  clearTimeout(timeout)
  const bytes = Buffer.alloc(4096)
  assert.match(bytes.toString('utf8', 0, readSync(reader, bytes)), /^level=info msg="store is up"/)
  closeSync(reader)
})
