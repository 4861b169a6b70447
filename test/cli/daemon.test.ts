// Tests of greymx check beside a running daemon, and beside another program at the daemon's address.

import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { test } from 'node:test'
import { runGreymx, startGreymx } from '../support/greymx.ts'
import { scratch } from '../support/scratch.ts'

test('check goes by where the daemon listens, and takes nothing from another program at that address', async (t) => {
  const dir = await scratch(t)
  const greymx = await startGreymx({ dir, settings: 'store: "memory:"' })
  assert.equal(
    (await runGreymx(['check', '--config', greymx.configFile])).stderr.includes('does not listen'),
    false,
  )
  await greymx.stop()
  for (const body of [
    'not JSON',
    '[]',
    '{"warnings":"x","listeners":[1]}',
    '{"listeners":[],"warnings":["a\\u001b[2Jb"]}',
  ]) {
    const server = createServer((_, response) => response.end(body))
    await new Promise<void>((resolve) => server.listen(greymx.adminPort, '127.0.0.1', resolve))
    const { status, stdout, stderr } = await runGreymx(['check', '--config', greymx.configFile])
    server.close()
    const count = stderr.trimEnd().split('\n').length
    const counted = `${count} ${count === 1 ? 'warning' : 'warnings'}`
    assert.deepEqual([status, stdout], [0, `configuration is fine, with ${counted}\n`], body)
    assert.equal(stderr.includes('\u001b'), false)
    assert.equal(stderr.includes(': warning: a [2Jb\n'), body.includes('2Jb'), stderr)
  }
})
