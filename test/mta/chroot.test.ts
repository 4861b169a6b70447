// Tests a unix socket below the queue directory with a Postfix whose smtpd is chrooted, as on Debian, and one whose
// smtpd is not: both find it by the line that serve and README name, and nobody else may use it.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { postfixMilter } from '../../src/check/main-cf.ts'
import { startActivated } from '../support/activation.ts'
import { startGreymx } from '../support/greymx.ts'
import { complaintsOf, startPostfix, startSession } from '../support/postfix.ts'
import { scratch } from '../support/scratch.ts'
import { rcptOnce } from './scenarios.ts'

const run = promisify(execFile)

for (const chroot of [true, false]) {
  test(`smtpd ${chroot ? 'in a chroot' : 'without chroot'} finds a socket below its queue directory, others do not get in`, async (t) => {
    const dir = await scratch(t)
    // The README tells the operator to make this folder before greymx starts.
    const milter = 'unix:greymx/greymx.sock'
    const mta = await startPostfix({ dir, milter, chroot })
    const folder = join(mta.queueDirectory, 'greymx')
    await run('install', ['-d', '-o', 'nobody', '-g', 'postfix', '-m', '2750', folder])
    const path = join(folder, 'greymx.sock')
    assert.equal(postfixMilter({ kind: 'unix', path }, mta.queueDirectory), milter)
    await startActivated({ dir, sockets: [path], settings: 'store: "memory:"\nadmin: false' })
    // systemd opens the socket like this, with SocketGroup= and SocketMode=.
    await run('chgrp', ['postfix', path])
    await run('chmod', ['660', path])

    const client = await startSession(mta, { ADDR: '198.51.100.7' })
    assert.match(await rcptOnce(client, 'a@a.test', 'u@example.com'), /^451 4\.7\.1 Greylisted/)
    await client.quit()
    assert.deepEqual(await complaintsOf(mta), [])
    const { mode } = await stat(path)
    assert.equal(mode & 0o007, 0)
    const others = run('setpriv', [
      '--reuid',
      'daemon',
      '--clear-groups',
      '--regid',
      'daemon',
      process.execPath,
      '-e',
      CONNECT,
      path,
    ])
    await assert.rejects(others, /EACCES/)
  })
}

const CONNECT =
  'require("node:net").connect(process.argv[1]).on("error", (error) => { throw error }).on("connect", () => process.exit())'

test('a path from the root leads a chrooted smtpd nowhere', async (t) => {
  const dir = await scratch(t)
  const greymx = await startGreymx({ dir, settings: 'store: "memory:"' })
  const mta = await startPostfix({ dir, milter: `unix:${greymx.socketPath}`, chroot: true })
  const client = await startSession(mta, { ADDR: '198.51.100.7' })
  assert.match(await rcptOnce(client, 'a@a.test', 'u@example.com'), /^250 /)
  await client.quit()
  assert.match(
    (await complaintsOf(mta)).join('\n'),
    /connect to Milter service unix:\S+: No such file or directory/,
  )
})
