// Tests of the messages to a service manager, read from a real unix datagram socket.

import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { Notifier } from '../../src/systemd/notify.ts'
import { startActivated, startNotifySocket } from '../support/activation.ts'
import { freePort, scratch, waitFor } from '../support/scratch.ts'

const WITH_TIMEOUT = { timeout: 60_000 }

for (const kind of ['a path', 'an abstract address']) {
  test(
    `greymx tells ${kind} when it is ready, reloads and stops, and that it is alive`,
    WITH_TIMEOUT,
    async (t) => {
      const dir = await scratch(t)
      const port = await freePort()
      const manager = await startNotifySocket(dir, kind === 'a path' ? undefined : `@greymx-test-${port}`)
      const heard = (start: string) =>
        manager.messages().filter((message) => message.startsWith(start)).length
      const greymx = await startActivated({
        dir,
        sockets: [port],
        settings: 'store: "memory:"\nadmin: false',
        env: { NOTIFY_SOCKET: manager.address, WATCHDOG_USEC: '400000' },
      })
      const ready = `READY=1 STATUS=listening on inet:${port}@127.0.0.1`
      await waitFor('signs of life', () => heard('WATCHDOG=1') >= 2)
      assert.deepEqual(manager.messages().slice(0, 2), [ready, 'WATCHDOG=1'])

      const before = process.hrtime.bigint() / 1000n
      greymx.signal('SIGHUP')
      await waitFor('the end of the reload', () => heard('READY=1') === 2)
      const messages = manager.messages().filter((message) => message !== 'WATCHDOG=1')
      const reloading = /^RELOADING=1 MONOTONIC_USEC=(\d+) STATUS=reading the configuration again$/.exec(
        messages[1] ?? '',
      )
      assert.ok(reloading, messages[1])
      assert.ok(BigInt(reloading[1] ?? '') >= before)
      assert.equal(messages[2], ready)

      // After a refused reload, the manager must be told that the reload has ended.
      await writeFile(greymx.configFile, 'foo: 1\n')
      greymx.signal('SIGHUP')
      await waitFor('the end of the refused reload', () => heard('READY=1') === 3)

      await writeFile(greymx.configFile, 'store: "memory:"\nadmin: false')
      await greymx.restart()
      assert.equal(heard('STOPPING=1 STATUS=stopping'), 1)
      await waitFor('the next process', () => heard('READY=1') === 4)
    },
  )
}

test('a daemon whose event loop stands still shows no sign of life', WITH_TIMEOUT, async (t) => {
  const dir = await scratch(t)
  const manager = await startNotifySocket(dir)
  const greymx = await startActivated({
    dir,
    sockets: [await freePort()],
    settings: 'store: "memory:"\nadmin: false',
    env: { NOTIFY_SOCKET: manager.address, WATCHDOG_USEC: '200000' },
  })
  await waitFor('signs of life', () => manager.messages().includes('WATCHDOG=1'))
  greymx.signal('SIGSTOP')
  await waitFor('the stop', async () => {
    const stat = await readFile(`/proc/${greymx.pids()[0]}/stat`, 'latin1')
    return stat.includes(') T ')
  })
  const count = manager.messages().length
  await new Promise((resolve) => setTimeout(resolve, 600))
  assert.ok(manager.messages().length <= count + 1) // one message may have been sent before
  greymx.signal('SIGCONT')
  await waitFor('signs of life', () => manager.messages().length > count + 2)
})

test('Notifier tells nobody where nobody asks, and leaves nothing for children', async () => {
  const environment = { WATCHDOG_USEC: '1000', WATCHDOG_PID: '8', OTHER: 'stays' }
  const problems: string[] = []
  const notifier = new Notifier(environment, 7, (problem) => problems.push(problem))
  notifier.ready('x')
  notifier.reloading()
  notifier.stopping()
  await notifier.close()
  assert.deepEqual([environment, problems], [{ OTHER: 'stays' }, []])
})

test('Notifier says once that nobody takes its messages, and goes on', async () => {
  const problems: string[] = []
  const environment = { NOTIFY_SOCKET: '/nowhere/notify.sock', PATH: process.env.PATH }
  const notifier = new Notifier(environment, 7, (problem) => problems.push(problem))
  notifier.ready('x')
  notifier.stopping()
  await notifier.close()
  assert.equal(problems.length, 1)
  assert.match(problems[0] ?? '', /No such file or directory/)
})

test('Notifier says that systemd-notify is not there', async () => {
  const problems: string[] = []
  const environment = { NOTIFY_SOCKET: '/nowhere/notify.sock', PATH: '/nowhere' }
  const notifier = new Notifier(environment, 7, (problem) => problems.push(problem))
  notifier.ready('x')
  await notifier.close()
  assert.deepEqual(problems, ['spawn systemd-notify ENOENT'])
})
