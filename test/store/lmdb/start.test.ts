// Tests of starts that cannot succeed or take too long: directories that cannot hold a store, a disk that hangs, names
// that nobody resolves, a stop meanwhile; and of two daemons in PID namespaces of their own with one directory.

import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { connectToFilter } from '../../../src/milter/client.ts'
import { childrenOf, startDaemon } from '../../support/daemon.ts'
import { PROGRAM } from '../../support/greymx.ts'
import { ask, milterSession } from '../../support/milter.ts'
import { endWith, scratch, waitFor } from '../../support/scratch.ts'

const run = promisify(execFile)

const NOBODY = '65534'

/** A program to preload, which stops the process that opens the environment, as a disk that hangs does. */
const HANGING = 'if (process.argv[1]?.endsWith("/lmdb/process.js")) process.kill(process.pid, "SIGSTOP")'

/** The command that serves `settings`, killed after the ten seconds that a start may take to fail or to be stopped. */
async function serving(dir: string, settings: string): Promise<[string, string[]]> {
  await writeFile(
    `${dir}/milter.yaml`,
    `listen: inet:0@127.0.0.1\nadmin: false\ndns_servers: [127.0.0.1:1]\n${settings}\n`,
  )
  return [
    'timeout',
    [
      '--foreground',
      '-s',
      'KILL',
      '10',
      process.execPath,
      PROGRAM,
      'serve',
      '--config',
      `${dir}/milter.yaml`,
    ],
  ]
}

async function preloaded(dir: string): Promise<NodeJS.ProcessEnv> {
  await writeFile(`${dir}/hanging.mjs`, HANGING)
  return { ...process.env, NODE_OPTIONS: `--import=file://${dir}/hanging.mjs` }
}

/** Sends SIGTERM to the process that `timeout` has started, and resolves to its exit status or the signal that ended it. */
async function terminate(child: ChildProcess): Promise<number | string> {
  const exited = once(child, 'exit')
  const [daemon] = await childrenOf(child.pid ?? 0)
  process.kill(daemon ?? 0, 'SIGTERM')
  const [status, signal] = await exited
  return status ?? signal
}

/** What a start ends with, and prints how long that took. */
async function timed<T>(t: TestContext, what: string, end: Promise<T>): Promise<T> {
  const beganAt = performance.now()
  const ended = await end
  t.diagnostic(`${what} after ${(performance.now() - beganAt).toFixed()} ms`)
  return ended
}

const STORES = {
  store: (directory: string) => `store: "lmdb:${directory}"`,
  local_store: (directory: string) =>
    `store: "memory:"\nlocal_store: "lmdb:${directory}"\non_store_error: local`,
}

const UNUSABLE = [
  ['in /proc, which makes no directories', async () => '/proc/nope', /no such file or directory/],
  ['below that', async () => '/proc/nope/state', /no such file or directory/],
  ['in /sys', async () => '/sys/nope', /not permitted|denied|read-only/i],
  ['a device', async () => '/dev/null', /it is not a directory$/],
  [
    'a FIFO',
    async (dir: string) => made(dir, async (path) => void (await run('mkfifo', [path]))),
    /it is not a directory$/,
  ],
  ['a file', async (dir: string) => made(dir, (path) => writeFile(path, '')), /it is not a directory$/],
  ['a link to nothing', async (dir: string) => made(dir, (path) => symlink('/nothing/here', path)), /exist/],
] as const

async function made(dir: string, make: (path: string) => Promise<void>): Promise<string> {
  await make(`${dir}/state`)
  return `${dir}/state`
}

for (const [setting, settings] of Object.entries(STORES)) {
  for (const [name, directoryIn, reason] of UNUSABLE) {
    // Regression: mkdir with `recursive` went round for ever in /proc, and nothing was logged.
    test(`${setting}: a directory that is ${name} is named, with status 69`, async (t) => {
      const dir = await scratch(t)
      const directory = await directoryIn(dir)
      const [command, args] = await serving(dir, settings(directory))
      const failed = run(command, args, { cwd: dir }).catch((error) => error)
      const failure = await timed(t, `${setting}, ${name}: status 69`, failed)
      assert.equal(failure.code, 69, failure.stderr)
      assert.ok(failure.stderr.startsWith(`Cannot open the LMDB store in ${directory}: `), failure.stderr)
      assert.match(failure.stderr.trim(), reason)
    })
  }

  test(`${setting}: a directory without permission is named, with status 69`, async (t) => {
    const dir = await scratch(t)
    await chmod(dir, 0o755)
    await mkdir(`${dir}/state`, { mode: 0o700 })
    const [command, args] = await serving(dir, settings(`${dir}/state`))
    const asNobody = ['--reuid', NOBODY, '--regid', NOBODY, '--clear-groups', command, ...args]
    const failed = run('setpriv', asNobody, { cwd: dir }).catch((error) => error)
    const failure = await timed(t, `${setting}, without permission: status 69`, failed)
    assert.equal(failure.code, 69, failure.stderr)
    assert.match(failure.stderr, /^Cannot open the LMDB store in \S+\/state: .*denied/i)
  })

  // Regression: a start waited for ever, and no signal but SIGKILL ended it.
  test(`${setting}: a disk that hangs is named, with status 69`, async (t) => {
    const dir = await scratch(t)
    const [command, args] = await serving(dir, settings(`${dir}/state`))
    const failed = run(command, args, { cwd: dir, env: await preloaded(dir) }).catch((error) => error)
    const failure = await timed(t, `${setting}, a disk that hangs: status 69`, failed)
    assert.equal(failure.code, 69, failure.stderr)
    assert.match(failure.stderr, /^Cannot open the LMDB store in \S+\/state: it is not open after 6 s/)
  })

  test(`${setting}: SIGTERM ends a start that a disk holds up`, async (t) => {
    const dir = await scratch(t)
    const [command, args] = await serving(dir, settings(`${dir}/state`))
    const child = spawn(command, args, { cwd: dir, env: await preloaded(dir), stdio: 'ignore' })
    const hanging = await waitFor('the process that opens the store to hang', async () => {
      const [daemon] = await childrenOf(child.pid ?? 0)
      const [opening] = daemon ? await childrenOf(daemon) : []
      const status = opening && (await readFile(`/proc/${opening}/status`, 'latin1').catch(() => ''))
      return status && /^State:\tT/m.test(status) ? opening : undefined
    })
    assert.equal(await timed(t, `${setting}, a disk that hangs: ended by SIGTERM`, terminate(child)), 0)
    process.kill(hanging, 'SIGKILL') // it would wait for its disk
  })
}

test('SIGTERM ends a start that waits for a silent Redis', async (t) => {
  const dir = await scratch(t)
  const redis = createServer()
  redis.listen(0, '127.0.0.1')
  await once(redis, 'listening')
  t.after(() => redis.close())
  const { port } = redis.address() as { port: number }
  const [command, args] = await serving(dir, `store: redis://127.0.0.1:${port}/0`)
  const child = spawn(command, args, { cwd: dir, stdio: 'ignore' })
  await once(redis, 'connection')
  assert.equal(await timed(t, 'a silent Redis: ended by SIGTERM', terminate(child)), 0)
})

// Regression: the end of a process waits for its look-ups, which take 20 s and more with several silent servers.
test('SIGTERM ends a start that waits for a name server', async (t) => {
  const dir = await scratch(t)
  const server = createSocket('udp4')
  server.bind(53, '127.0.0.77')
  await once(server, 'listening')
  t.after(() => server.close())
  await writeFile(`${dir}/resolv.conf`, 'nameserver 127.0.0.77\n')
  const [command, args] = await serving(dir, '')
  await writeFile(`${dir}/milter.yaml`, 'listen: inet:0@mx.example.test\nadmin: false\nstore: "memory:"\n')
  const mount = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
  const child = spawn(
    'unshare',
    ['--mount', 'sh', '-c', mount, 'sh', `${dir}/resolv.conf`, command, ...args],
    {
      cwd: dir,
      stdio: 'ignore',
    },
  )
  await once(server, 'message')
  // A thread that looks up a name ends with the process only by a signal.
  assert.equal(await timed(t, 'a silent name server: ended by SIGTERM', terminate(child)), 'SIGTERM')
})

test('two daemons in PID namespaces of their own, where both have the same PIDs, share a directory', async (t) => {
  const dir = await scratch(t)
  const start = async (name: string) => {
    const config = `${dir}/${name}.yaml`
    const socket = `${dir}/${name}.sock`
    const times = 'greylist: { delay: 100ms, retry_window: 60s, lifetime: 60s, max_deferrals: 0 }'
    await writeFile(
      config,
      `listen: "unix:${socket}"\nadmin: false\ndns_servers: [127.0.0.1:1]\nstore: "lmdb:${dir}/state"\n${times}\n`,
    )
    const daemon = await startDaemon({
      command: 'unshare',
      args: [
        '--pid',
        '--fork',
        '--kill-child',
        '--mount-proc',
        process.execPath,
        PROGRAM,
        'serve',
        '--config',
        config,
      ],
      cwd: dir,
      ready: (output) => output.includes('smtpd_milters'),
    })
    endWith(dir, () => daemon.stop('SIGKILL'))
    const client = await milterSession({
      connect: () => connectToFilter({ kind: 'unix', path: socket }, 10_000),
    })
    return { daemon, client }
  }
  const first = await start('first')
  assert.equal(await ask(first.client, 'before@a.test'), 'tempfail')
  // Regression: LMDB refused the second, which ended with "No transaction to renew".
  const second = await start('second')
  await Promise.all(
    [first, second].map(async ({ client }, of) => {
      for (let count = 0; count < 100; count += 1) {
        assert.equal(await ask(client, `new${count}@of${of}.test`), 'tempfail')
      }
    }),
  )
  await sleep(120)
  assert.equal(await ask(second.client, 'before@a.test'), 'pass')
  // One that is killed leaves its PID in the state, and the next has the same.
  await first.daemon.stop('SIGKILL')
  const third = await start('third')
  assert.equal(await ask(third.client, 'before@a.test'), 'pass')
  assert.equal(await ask(second.client, 'before@a.test'), 'pass')
})
