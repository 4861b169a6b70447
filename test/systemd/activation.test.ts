// Tests of sockets that a service manager opens: reading the environment, and running greymx with real ones.

import assert from 'node:assert/strict'
import { existsSync, statSync } from 'node:fs'
import { readFile, readlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { askDoor } from '../../src/exim/client.ts'
import { formatRequest } from '../../src/exim/request.ts'
import { connectToFilter } from '../../src/milter/client.ts'
import type { SocketSpec } from '../../src/sockets/spec.ts'
import { inheritedSockets } from '../../src/systemd/activation.ts'
import { post } from '../admin/support.ts'
import { startActivated } from '../support/activation.ts'
import { startDaemon } from '../support/daemon.ts'
import { PROGRAM } from '../support/greymx.ts'
import { ask } from '../support/milter.ts'
import { connectPolicy } from '../support/policy.ts'
import { startRedis } from '../support/redis.ts'
import { freePort, scratch, waitFor } from '../support/scratch.ts'

const WITH_TIMEOUT = { timeout: 60_000 }

describe('inheritedSockets()', () => {
  const cases: ReadonlyArray<
    readonly [
      what: string,
      environment: NodeJS.ProcessEnv,
      fds: readonly number[],
      admin?: number | undefined,
      policy?: readonly number[],
      exim?: readonly number[],
    ]
  > = [
    ['nothing', {}, []],
    ['descriptors from 3 on', { LISTEN_PID: '7', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b' }, [3, 4]],
    ['the one for commands', { LISTEN_PID: '7', LISTEN_FDS: '3', LISTEN_FDNAMES: 'a:admin:a' }, [3, 5], 4],
    [
      'those of the policy protocol',
      { LISTEN_PID: '7', LISTEN_FDS: '4', LISTEN_FDNAMES: 'policy:a:admin:policy' },
      [4],
      5,
      [3, 6],
    ],
    ['one for Exim', { LISTEN_PID: '7', LISTEN_FDS: '2', LISTEN_FDNAMES: 'exim:a' }, [4], undefined, [], [3]],
    ['none', { LISTEN_PID: '7', LISTEN_FDS: '0' }, []],
    ['what was meant for a parent', { LISTEN_PID: '6', LISTEN_FDS: '2' }, []],
    ['no process', { LISTEN_FDS: '2' }, []],
  ]
  for (const [what, environment, fds, admin, policy = [], exim = []] of cases) {
    test(`reads ${what}, and leaves nothing of it for children`, () => {
      const given = { ...environment, OTHER: 'stays' }
      const socket = (fd: number) => ({ kind: 'inherited', fd })
      assert.deepEqual(inheritedSockets(given, 7), {
        mtas: fds.map(socket),
        policy: policy.map(socket),
        exim: exim.map(socket),
        ...(admin === undefined ? {} : { admin: socket(admin) }),
      })
      assert.deepEqual(given, { OTHER: 'stays' })
    })
  }

  test('says what it cannot read', () => {
    for (const count of ['x', '-1', '1e3', '']) {
      assert.throws(() => inheritedSockets({ LISTEN_PID: '7', LISTEN_FDS: count }, 7), {
        message: `Cannot read LISTEN_FDS "${count}": expected a number`,
      })
    }
  })
})

test(
  'greymx serves inherited sockets in the place of listen, and leaves them to their owner',
  WITH_TIMEOUT,
  async (t) => {
    const dir = await scratch(t)
    const [port, unused] = [await freePort(), await freePort()]
    const path = join(dir, 'inherited.sock')
    const settings = `listen: inet:${unused}@127.0.0.1\nsocket_mode: "0600"\nstore: "memory:"\nadmin: false`
    const greymx = await startActivated({ dir, sockets: [port, path], settings })
    const inet: SocketSpec = { kind: 'inet', host: '127.0.0.1', port }
    const unix: SocketSpec = { kind: 'unix', path }
    assert.match(
      greymx.output(),
      new RegExp(
        `^greymx \\S+ is listening on inet:${port}@127\\.0\\.0\\.1, unix:${path} \\(inherited\\)$`,
        'm',
      ),
    )
    const { ino } = statSync(path)
    for (const spec of [inet, unix]) (await connectToFilter(spec, 10_000)).quit()
    await assert.rejects(connectToFilter({ ...inet, port: unused }, 10_000), /ECONNREFUSED/)

    // A reload ignores changes of listen and socket_mode.
    await writeFile(greymx.configFile, settings.replace('0600', '0666').replace(String(unused), '1'))
    greymx.signal('SIGHUP')
    await waitFor('the reload', () => greymx.output().includes('msg="configuration read again"\n'))

    await greymx.restart()
    assert.equal(greymx.pids().length, 2)
    assert.match(greymx.output(), /^activator: status 0$/m)
    assert.deepEqual([statSync(path).ino, statSync(path).mode & 0o777], [ino, 0o666])
    for (const spec of [inet, unix]) (await connectToFilter(spec, 10_000)).quit()
    await greymx.stop()
    assert.ok(existsSync(path))
  },
)

test('an MTA that connects while nobody runs waits for the next start', WITH_TIMEOUT, async (t) => {
  const dir = await scratch(t)
  const port = await freePort()
  const greymx = await startActivated({ dir, sockets: [port], settings: 'store: "memory:"\nadmin: false' })
  // An open transaction delays the stop.
  const spec: SocketSpec = { kind: 'inet', host: '127.0.0.1', port }
  const open = await connectToFilter(spec, 10_000)
  await open.connect({ hostName: 'client.test', family: 'inet', port: 25, address: '192.0.2.7' })
  await open.mail('<a@example.org>')
  const restarted = greymx.restart()
  await waitFor('the stop', () => greymx.output().includes('msg="stopping'))
  const waiting = connectToFilter(spec, 20_000)
  assert.match((await open.rcpt('<b@example.com>')).code, /[cy]/)
  open.quit()
  await restarted
  ;(await waiting).quit()
})

test(
  'commands reach greymx on the socket that has their name, over a restart as well',
  WITH_TIMEOUT,
  async (t) => {
    const dir = await scratch(t)
    const [port, path] = [await freePort(), join(dir, 'admin.sock')]
    const settings = `store: "memory:"\nadmin: false\nadmin_socket: ${dir}/unused.sock`
    const greymx = await startActivated({
      dir,
      sockets: [port, path],
      names: ['greymx.socket', 'admin'],
      settings,
    })
    assert.match(greymx.output(), new RegExp(`^commands: unix:${path}$`, 'm'))
    assert.match(
      greymx.output(),
      new RegExp(`is listening on inet:${port}@127\\.0\\.0\\.1 \\(inherited\\)$`, 'm'),
    )
    const unknown = async () => (await post(path, 'no-such-call', {})).status
    assert.equal(await unknown(), 404)
    assert.ok(!existsSync(join(dir, 'unused.sock')))
    const problem = `systemd has opened ${path}, and admin_socket is ${dir}/unused.sock: expected the same in both`
    assert.ok(greymx.output().includes(`problem="${problem}"\n`), greymx.output())
    greymx.signal('SIGHUP')
    await waitFor('the reload', () => greymx.output().includes('msg="configuration read again"'))
    assert.equal(await unknown(), 404)
    await greymx.restart()
    assert.equal(await unknown(), 404)
    ;(await connectToFilter({ kind: 'inet', host: '127.0.0.1', port }, 10_000)).quit()
  },
)

test('Postfix asks greymx on the socket that is named policy', WITH_TIMEOUT, async (t) => {
  const dir = await scratch(t)
  const [port, path] = [await freePort(), join(dir, 'policy.sock')]
  const greymx = await startActivated({
    dir,
    sockets: [port, path],
    names: ['greymx.socket', 'policy'],
    settings: `store: "memory:"\nadmin: false\nlisten_policy: unix:${dir}/unused.sock`,
  })
  assert.match(greymx.output(), new RegExp(`^policy: unix:${path} \\(inherited\\)$`, 'm'))
  assert.ok(!existsSync(join(dir, 'unused.sock')))
  const { ask } = await connectPolicy(dir, path)
  const request = { client_address: '192.0.2.7', sender: 'a@example.org', recipient: 'b@example.com' }
  assert.match(await ask(request), /^DEFER_IF_PERMIT 4\.7\.1 Greylisted/)
  ;(await connectToFilter({ kind: 'inet', host: '127.0.0.1', port }, 10_000)).quit()
})

test('Exim asks greymx on the socket that is named exim', WITH_TIMEOUT, async (t) => {
  const dir = await scratch(t)
  const [port, path] = [await freePort(), join(dir, 'exim.sock')]
  const greymx = await startActivated({
    dir,
    sockets: [port, path],
    names: ['greymx.socket', 'exim'],
    settings: `store: "memory:"\nadmin: false\nlisten_exim: unix:${dir}/unused.sock`,
  })
  assert.match(greymx.output(), new RegExp(`^exim: unix:${path} \\(inherited\\)$`, 'm'))
  assert.ok(!existsSync(join(dir, 'unused.sock')))
  const request = formatRequest({ client: '192.0.2.7', sender: 'a@example.org' }, ['b@example.com'], 'rcpt')
  const answer = await askDoor({ kind: 'unix', path }, request, 10_000)
  assert.equal(answer.verdict, 'tempfail')
  ;(await connectToFilter({ kind: 'inet', host: '127.0.0.1', port }, 10_000)).quit()
})

test('two processes serve the same sockets, with one state in Redis', WITH_TIMEOUT, async (t) => {
  const dir = await scratch(t)
  const redis = await startRedis({ dir })
  const path = join(dir, 'inherited.sock')
  const settings = `store: "${redis.url}"\nadmin: false\ngreylist: { delay: 1s, lifetime: 1h, retry_window: 1h }`
  const greymx = await startActivated({ dir, sockets: [path], settings, processes: 2 })
  const [one = 0, other = 0] = greymx.pids()
  /** The verdict of one process, while the other one is stopped. */
  const askWithout = async (pid: number) => {
    process.kill(pid, 'SIGSTOP')
    try {
      const client = await connectToFilter({ kind: 'unix', path }, 10_000)
      await client.connect({ hostName: '[192.0.2.7]', family: 'inet', port: 25, address: '192.0.2.7' })
      const verdict = await ask(client, 'a@example.org')
      client.quit()
      return verdict
    } finally {
      process.kill(pid, 'SIGCONT')
    }
  }
  assert.equal(await askWithout(one), 'tempfail')
  await sleep(1100)
  assert.equal(await askWithout(other), 'pass')
  await greymx.stop()
  assert.equal(greymx.output().match(/^activator: status 0$/gm)?.length, 2)
})

test('children of greymx get none of it', WITH_TIMEOUT, async (t) => {
  const dir = await scratch(t)
  const port = await freePort()
  const greymx = await startActivated({ dir, sockets: [port], settings: 'store: "memory:"\nadmin: false' })
  const pid = greymx.pids()[0]
  assert.match(await readlink(`/proc/${pid}/fd/3`), /^socket:/)
  // exec(2) closes the descriptor: octal 02000000 is O_CLOEXEC.
  assert.match(await readFile(`/proc/${pid}/fdinfo/3`, 'utf8'), /^flags:\s+02\d{6}$/m)
})

test(
  'greymx says which inherited descriptor is not a listening socket, with status 69',
  WITH_TIMEOUT,
  async (t) => {
    const dir = await scratch(t)
    await writeFile(join(dir, 'milter.yaml'), 'store: "memory:"\nadmin: false\n')
    const program = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3</dev/null'
    const daemon = startDaemon({
      command: 'sh',
      args: ['-c', program, 'sh', process.execPath, PROGRAM, 'serve'],
      cwd: dir,
      ready: () => false,
    })
    await assert.rejects(daemon, /Cannot listen on inherited descriptor 3: /)
  },
)
