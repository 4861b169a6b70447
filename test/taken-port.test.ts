// Tests what is said of a port that is taken.

import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { withHolder } from '../src/taken-port.ts'

function taken(message: string): NodeJS.ErrnoException {
  return Object.assign(new Error(message), { code: 'EADDRINUSE' })
}

test('the program that /proc names has the port, without its arguments', async (t) => {
  const code =
    'require("net").createServer().listen(0, "127.0.0.1", function () { console.log(this.address().port) })'
  const child: ChildProcess = spawn(process.execPath, ['-e', code, '--', '--password=secret'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  t.after(() => child.kill())
  assert.ok(child.stdout)
  const [port] = await once(child.stdout, 'data')
  const said = withHolder(taken('in use'), Number(port))
  assert.match(said, new RegExp(`^in use; node \\(PID ${child.pid}\\) has it: expected a free port$`))
  assert.doesNotMatch(said, /secret/)
})

test('of a port that no visible program has, its usual owner is named', async () => {
  const cases: Array<[port: number, usual: string]> = [
    [8891, 'OpenDKIM'],
    [8893, 'OpenDMARC'],
    [11332, "rspamd's proxy"],
    [10025, 'Postfix, for mail that comes back from amavisd'],
  ]
  for (const [port, usual] of cases) {
    // Where a program has the port, that is named instead.
    if (!(await isFree(port))) continue
    const said = withHolder(taken('in use'), port)
    assert.equal(said, `in use; it is the usual port of ${usual}: expected a free port`)
  }
  assert.equal(withHolder(taken('in use'), 1), 'in use: expected a free port')
  assert.equal(withHolder(Object.assign(new Error('denied'), { code: 'EACCES' }), 8891), 'denied')
})

async function isFree(port: number): Promise<boolean> {
  const server = createServer().listen(port)
  const free = await once(server, 'listening').then(
    () => (server.address() as AddressInfo).port === port,
    () => false,
  )
  server.close()
  return free
}
