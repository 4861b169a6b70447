// Tests of the program as an operator runs it: commands, exit statuses, output, signals and the admin server.

import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { anyOf, namesOf } from '../../src/cli/args.ts'
import { COMMANDS } from '../../src/cli/commands.ts'
import { connectToFilter } from '../../src/milter/client.ts'
import { startDaemon } from '../support/daemon.ts'
import { PROGRAM } from '../support/greymx.ts'
import { startRedis } from '../support/redis.ts'
import { endWith, freePort, scratch, waitFor } from '../support/scratch.ts'

const { version } = JSON.parse(readFileSync('package.json', 'utf8'))
const commit = readFileSync('dist/commit', 'utf8').trim()

/** Time after which a command that hangs is killed, in milliseconds; its status is then `null`. */
const COMMAND_TIMEOUT = 15_000

function greymx(args: readonly string[], cwd = process.cwd(), environment: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [PROGRAM, ...args], {
    cwd,
    env: { ...process.env, ...environment },
    encoding: 'utf8',
    timeout: COMMAND_TIMEOUT,
    killSignal: 'SIGKILL',
  })
  return { status, stdout, stderr }
}

/** Asks the daemon that listens on `port`. */
function probeAt(port: number, ...args: readonly string[]) {
  return greymx(['probe', '--socket', `inet:${port}@127.0.0.1`, '--client', '198.51.100.7', ...args])
}

/** Starts `greymx serve` on ports of its own; `settings` are YAML. */
async function startServe(t: TestContext, settings = '', store = 'memory:') {
  const dir = await scratch(t)
  const [port, adminPort] = [await freePort(), await freePort()]
  const file = join(dir, 'milter.yaml')
  const base = `listen: inet:${port}@127.0.0.1\nstore: "${store}"\nadmin: 127.0.0.1:${adminPort}\n`
  await writeFile(file, base + settings)
  const daemon = await startDaemon({
    command: process.execPath,
    args: [PROGRAM, 'serve', '--config', file],
    cwd: dir,
    ready: (output) => output.includes('INPUT_MAIL_FILTER'),
  })
  endWith(dir, () => daemon.stop())
  /** Replaces the whole file and sends SIGHUP; resolves to the log from then on, once it contains `logged`. */
  const rewrite = async (
    settings: string,
    logged: string,
    signal = () => daemon.signal('SIGHUP'),
  ): Promise<string> => {
    await writeFile(file, settings)
    const before = daemon.output().length
    signal()
    await waitFor(`${logged} in the log`, () => daemon.output().slice(before).includes(logged))
    return daemon.output().slice(before)
  }
  return {
    dir,
    port,
    adminPort,
    daemon,
    rewrite,
    get: (path: string, method = 'GET') => fetch(`http://127.0.0.1:${adminPort}${path}`, { method }),
    probe: (...args: string[]) => probeAt(port, ...args),
    /** Changes the file and sends SIGHUP; resolves to the log from then on. */
    async reload(changed: string, logged: string): Promise<void> {
      await rewrite(base + changed, logged)
    },
  }
}

test('greymx --help and --version print and succeed', () => {
  const help = greymx(['--help'])
  assert.deepEqual([help.status, help.stderr], [0, ''])
  assert.match(help.stdout, /^Usage: greymx COMMAND \[OPTIONS\]\n/)
  for (const word of [
    'serve',
    'check',
    'probe',
    'greymx help COMMAND',
    '--config FILE',
    '--json',
    '--help',
    '--version',
  ]) {
    assert.ok(help.stdout.includes(word), word)
  }
  for (const args of [['-h'], ['help']]) assert.deepEqual(greymx(args), help)
  for (const args of [['--version'], ['-V']])
    assert.deepEqual(greymx(args), {
      status: 0,
      stdout: `greymx ${version}${commit && ` (commit ${commit})`}\n`,
      stderr: '',
    })
})

test('greymx help COMMAND and greymx COMMAND --help explain a command', () => {
  const help = greymx(['help', 'check'])
  assert.deepEqual([help.status, help.stderr], [0, ''])
  assert.match(help.stdout, /^Usage: greymx check \[OPTIONS\]\n/)
  for (const word of ['--print', '--postfix DIR', '--sendmail FILE', '-c, --config FILE']) {
    assert.ok(help.stdout.includes(word), word)
  }
  for (const args of [
    ['check', '--help'],
    ['check', '-h'],
  ])
    assert.deepEqual(greymx(args), help)
  assert.match(
    greymx(['help', 'probe']).stdout,
    /^Usage: greymx probe --client IP --from ADDR --to ADDR\.\.\. \[OPTIONS\]\n/,
  )
})

test('greymx says in one line what is wrong with a command line, with status 64', () => {
  const commands = `expected ${anyOf(namesOf(COMMANDS))}`
  const cases: Array<[args: string[], problem: string, help: string]> = [
    [[], 'expected a command', 'greymx --help'],
    [['greylist'], `unknown command "greylist": ${commands}`, 'greymx --help'],
    [['prob'], 'unknown command "prob" (did you mean probe?)', 'greymx --help'],
    [['help', 'nonsense'], `unknown command "nonsense": ${commands}`, 'greymx --help'],
    [['serve', '--confg', 'x'], 'unknown option "--confg" (did you mean --config?)', 'greymx serve --help'],
    [['check', '--postfix'], '--postfix has no value: expected --postfix DIR', 'greymx check --help'],
    [['probe', '--json=yes'], '--json takes no value, but has "yes"', 'greymx probe --help'],
    [['probe', '--client', '::1'], 'probe needs --from ADDR', 'greymx probe --help'],
  ]
  for (const [args, problem, help] of cases) {
    const stderr = `greymx: ${problem}. Try '${help}'\n`
    assert.deepEqual(greymx(args), { status: 64, stdout: '', stderr })
  }
})

// Like head(1), which goes once it has what it wants: no stack trace, and the status is the command's own.
test('greymx says nothing of a reader that goes away', async (t) => {
  const dir = await scratch(t)
  await writeFile(join(dir, 'good.yaml'), 'admin: false\n')
  await writeFile(join(dir, 'bad.yaml'), 'header: maybe\n')
  const cases: Array<[args: string[], unread: string, status: number]> = [
    [['--help'], '>&4', 0],
    [['help', 'check'], '>&4', 0],
    [['check', '--print', '-c', 'good.yaml'], '>&4', 0],
    [['check', '-c', 'bad.yaml'], '2>&4', 78],
    [['nonsense'], '>&4 2>&4', 64],
  ]
  for (const [args, unread, status] of cases) {
    // File 4 is a pipe whose reader has ended.
    const line = `exec 4> >(:); wait $!; "$@" ${unread}`
    const ended = spawnSync('bash', ['-c', line, 'bash', process.execPath, PROGRAM, ...args], {
      cwd: dir,
      encoding: 'utf8',
      timeout: COMMAND_TIMEOUT,
    })
    assert.deepEqual([ended.status, ended.stdout, ended.stderr], [status, '', ''], args.join(' '))
  }
})

test('greymx says that it cannot write what it prints, with status 69', () => {
  const { status, stderr } = spawnSync(
    'bash',
    ['-c', '"$@" --help > /dev/full', 'bash', process.execPath, PROGRAM],
    {
      encoding: 'utf8',
      timeout: COMMAND_TIMEOUT,
    },
  )
  assert.deepEqual(
    [status, stderr],
    [69, 'Cannot write the output: ENOSPC: no space left on device, write\n'],
  )
})

test('greymx probe says which of its values it cannot read, with status 64', () => {
  const rest = ['--from', 'a@b', '--to', 'c@d']
  assert.deepEqual(greymx(['probe', '--client', 'localhost', ...rest]), {
    status: 64,
    stdout: '',
    stderr: 'greymx: Cannot read --client "localhost": expected an IP address. Try \'greymx probe --help\'\n',
  })
  assert.deepEqual(greymx(['probe', '--client', '::1', '--socket', '10891', ...rest]), {
    status: 64,
    stdout: '',
    stderr:
      'greymx: Cannot read --socket "10891": expected inet:PORT@HOST, inet6:PORT@HOST or unix:/PATH. ' +
      "Try 'greymx probe --help'\n",
  })
})

test('greymx check prints every fault on standard error, with status 78', async (t) => {
  const dir = await scratch(t)
  await writeFile(join(dir, 'good.yaml'), 'header: false\n')
  await writeFile(join(dir, 'bad.yaml'), 'header: maybe\nadmin: 10892\n')
  await writeFile(join(dir, 'milter.yaml'), 'header: false\nheader: true\n')
  assert.deepEqual(greymx(['check', '--config', 'good.yaml'], dir), {
    status: 0,
    stdout: 'configuration is fine\n',
    stderr: '',
  })
  assert.deepEqual(greymx(['check', '--config', 'bad.yaml'], dir), {
    status: 78,
    stdout: '',
    stderr:
      'bad.yaml:1:9: Cannot read header "maybe": expected true or false\n' +
      'bad.yaml:2:8: Cannot read admin "10892": expected HOST:PORT like 127.0.0.1:10892, or false\n',
  })
  // Without --config, the file in the working directory is read.
  assert.deepEqual(greymx(['check'], dir), {
    status: 78,
    stdout: '',
    stderr: 'milter.yaml:2:1: Map keys must be unique\n',
  })
  const missing = greymx(['check', '--config', 'absent.yaml'], dir)
  assert.deepEqual([missing.status, missing.stdout], [78, ''])
  assert.equal(missing.stderr, 'absent.yaml: no such file\n')
})

test('greymx check --print prints what is in effect, without password, so that it can be read back', async (t) => {
  const dir = await scratch(t)
  await writeFile(
    join(dir, 'milter.yaml'),
    'store: redis://somebody:secret@localhost:6379/1\ngreylist: { delay: 5m }\n',
  )
  const { status, stdout, stderr } = greymx(['check', '--print'], dir, { GREYMX_GREYLIST_DELAY: '10s' })
  assert.deepEqual([status, stderr], [0, ''])
  assert.match(stdout, /^store: redis:\/\/localhost:6379\/1 # milter\.yaml:1$/m)
  assert.match(stdout, /^ {2}delay: 10s # GREYMX_GREYLIST_DELAY$/m)
  assert.doesNotMatch(stdout, /secret|somebody/)
  await writeFile(join(dir, 'printed.yaml'), stdout)
  const again = greymx(['check', '--print', '--config', 'printed.yaml'], dir)
  assert.deepEqual([again.status, again.stderr], [0, ''])
  assert.equal(again.stdout.replaceAll(/ # .*/g, ''), stdout.replaceAll(/ # .*/g, ''))
  assert.deepEqual(greymx(['check', '--print'], dir, { GREYMX_GREYLIST_DELAY: '10' }), {
    status: 78,
    stdout: '',
    stderr:
      'GREYMX_GREYLIST_DELAY: Cannot read greylist.delay "10": expected a number and ms, s, m, h, d or w\n',
  })
})

test('greymx check --json prints what it finds as one object, and settings with --print', async (t) => {
  const dir = await scratch(t)
  await writeFile(join(dir, 'clients'), 'not a client\n')
  const settings = `admin: false\nexempt: { client_files: [${dir}/clients] }\ngreylist: { lifetime: 12h }\n`
  await writeFile(join(dir, 'milter.yaml'), `${settings}store: redis://somebody:secret@localhost:6379/1\n`)
  await writeFile(join(dir, 'bad.yaml'), 'header: maybe\nadmin: 10892\n')
  const { status, stdout, stderr } = greymx(['check', '--json'], dir)
  assert.deepEqual([status, stderr], [0, ''])
  const { faults, warnings, ...rest } = JSON.parse(stdout)
  assert.deepEqual([faults, rest], [[], {}])
  // The same as without --json, which prints one a line.
  assert.deepEqual(warnings, greymx(['check'], dir).stderr.trimEnd().split('\n'))
  assert.match(
    warnings.join('\n'),
    /clients:1: Cannot read .*\nmilter\.yaml: warning: greylist\.lifetime 12h is below /,
  )
  const printed = greymx(['check', '--json', '--print'], dir, { GREYMX_GREYLIST_DELAY: '10s' })
  const all: Array<{ name: string; value: unknown; origin?: string }> = JSON.parse(printed.stdout).settings
  const find = (name: string) => all.find((setting) => setting.name === name)
  assert.deepEqual(find('greylist.delay'), {
    name: 'greylist.delay',
    value: '10s',
    origin: 'GREYMX_GREYLIST_DELAY',
  })
  assert.deepEqual(find('header'), { name: 'header', value: 'true' })
  assert.deepEqual(find('exempt.client_files')?.value, [`${dir}/clients`])
  assert.doesNotMatch(printed.stdout, /secret|somebody/)
  const bad = greymx(['check', '--json', '--config', 'bad.yaml'], dir)
  assert.deepEqual([bad.status, bad.stderr], [78, ''])
  const text = greymx(['check', '--config', 'bad.yaml'], dir).stderr
  assert.deepEqual(JSON.parse(bad.stdout), { faults: text.trimEnd().split('\n'), warnings: [] })
})

/** Starts the daemon in `dir`, with ports of its own, by what `environment` sets. */
async function startByEnvironment(dir: string, environment: NodeJS.ProcessEnv) {
  const [port, adminPort] = [await freePort(), await freePort()]
  const daemon = await startDaemon({
    command: process.execPath,
    args: [PROGRAM, 'serve'],
    cwd: dir,
    env: {
      ...process.env,
      GREYMX_LISTEN: `inet:${port}@127.0.0.1`,
      GREYMX_ADMIN: `127.0.0.1:${adminPort}`,
      ...environment,
    },
    ready: (output) => output.includes('INPUT_MAIL_FILTER'),
  })
  endWith(dir, () => daemon.stop())
  return { daemon, port, adminPort }
}

test('greymx serve takes settings from the environment, and again at SIGHUP', async (t) => {
  const dir = await scratch(t)
  await writeFile(join(dir, 'milter.yaml'), '')
  const { daemon, port } = await startByEnvironment(dir, { GREYMX_STORE: 'memory:' })
  assert.ok(daemon.output().includes(`is listening on inet:${port}@127.0.0.1\nstate: memory:\n`))
  daemon.signal('SIGHUP')
  await waitFor('the settings to be read again', () =>
    daemon.output().includes('msg="configuration read again"\n'),
  )
})

test('the milter.yaml that comes with greymx is fine, and nothing is to be warned of', () => {
  assert.deepEqual(greymx(['check', '--config', 'milter.yaml']), {
    status: 0,
    stdout: 'configuration is fine\n',
    stderr: '',
  })
})

test('greymx check warns of what will not do well, with status 0, and reads the configurations of the MTAs', async (t) => {
  const dir = await scratch(t)
  await writeFile(join(dir, 'milter.yaml'), 'greylist: { lifetime: 12h }\n')
  await writeFile(join(dir, 'main.cf'), 'smtpd_milters = inet:127.0.0.1:10891\n')
  await writeFile(join(dir, 'sendmail.mc'), "INPUT_MAIL_FILTER(`g', `S=inet:10891@127.0.0.1, F=T')\n")
  await writeFile(join(dir, 'exim.conf'), '.include acl.conf\n')
  await writeFile(join(dir, 'acl.conf'), 'warn\n  set acl_m_a = $' + '{run{greymx decide 1 2 3}}\n')
  const mtas = ['--postfix', '.', '--sendmail', 'sendmail.mc', '--exim', 'exim.conf']
  const { status, stdout, stderr } = greymx(['check', ...mtas], dir)
  assert.deepEqual([status, stdout], [0, 'configuration is fine, with 5 warnings\n'])
  assert.deepEqual(
    stderr.split('\n').map((line) => line.slice(0, 60)),
    [
      'milter.yaml: warning: greylist.lifetime 12h is below greylist.',
      'main.cf: warning: milter_default_action is not set for inet:127',
      'sendmail.mc: warning: F=T of g defers all mail while greymx i',
      'exim.conf: warning: no defer has $acl_m_a in its condition: expe',
      'exim.conf: warning: no ACL asks at DATA, so that bounces are nev',
      '',
    ].map((line) => line.slice(0, 60)),
  )
  const missing = greymx(['check', '--postfix', 'absent'], dir)
  assert.deepEqual([missing.status, missing.stdout], [64, ''])
  assert.equal(missing.stderr, "greymx: absent/main.cf: no such file. Try 'greymx check --help'\n")
  // A path to main.cf itself does as well, and with --strict warnings make the status 1.
  const strict = greymx(['check', '--strict', '--postfix', 'main.cf'], dir)
  assert.deepEqual([strict.status, strict.stdout], [1, 'configuration is fine, with 2 warnings\n'])
  assert.match(strict.stderr, /^main\.cf: warning: milter_default_action is not set/m)
  assert.equal(greymx(['check', '--strict', '--json'], dir).status, 1)
  await writeFile(join(dir, 'milter.yaml'), 'header: true\n')
  assert.deepEqual(greymx(['check', '--strict'], dir), {
    status: 0,
    stdout: 'configuration is fine\n',
    stderr: '',
  })
})

test('greymx check says that list entries with faults are ignored', async (t) => {
  const dir = await scratch(t)
  await writeFile(join(dir, 'clients'), '192.0.2.0/24\nnot a client\n')
  await writeFile(join(dir, 'milter.yaml'), `admin: false\nexempt: { client_files: [${dir}/clients] }\n`)
  const { status, stdout, stderr } = greymx(['check'], dir)
  assert.deepEqual(
    [status, stdout],
    [0, 'configuration is fine, except that list entries with faults are ignored, with 1 warning\n'],
  )
  assert.match(stderr, /^\/.*\/clients:2: Cannot read "not a client": .*\n$/)
})

test('greymx serve and probe refuse a faulty file with status 78', async (t) => {
  const dir = await scratch(t)
  await writeFile(join(dir, 'milter.yaml'), 'greylist:\n  delay: 3d\n')
  const fault =
    'milter.yaml:2:10: greylist.delay 3d is not below greylist.retry_window 20h: expected a retry window that is longer than the delay, as no retry would pass otherwise\n'
  assert.deepEqual(greymx(['serve'], dir), { status: 78, stdout: '', stderr: fault })
  assert.deepEqual(greymx(['probe', '--client', '::1', '--from', 'a@b', '--to', 'c@d'], dir), {
    status: 78,
    stdout: '',
    stderr: fault,
  })
})

test('greymx probe says when nobody listens, with status 69', async (t) => {
  const dir = await scratch(t)
  const port = await freePort()
  await writeFile(join(dir, 'milter.yaml'), `listen: inet:${port}@127.0.0.1\n`)
  const rest = ['--client', '::1', '--from', 'a@b', '--to', 'c@d']
  const { status, stdout, stderr } = greymx(['probe', ...rest], dir)
  assert.deepEqual([status, stdout], [69, ''])
  assert.match(
    stderr,
    new RegExp(`^Cannot ask the daemon on inet:${port}@127\\.0\\.0\\.1: .*ECONNREFUSED.*\\n$`),
  )
  const other = greymx(['probe', '--socket', `unix:${dir}/absent.sock`, ...rest])
  assert.equal(other.status, 69)
  assert.match(other.stderr, /^Cannot ask the daemon on unix:\/.*\/absent\.sock: .*ENOENT.*\n$/)
})

test('greymx serve says where it listens and what to write into the MTAs, and ends with status 0', async (t) => {
  const { daemon, port, adminPort } = await startServe(t)
  assert.equal(
    daemon.output(),
    `level=info msg="store is up" store=memory:
greymx ${version} is listening on inet:${port}@127.0.0.1
state: memory:
admin: http://127.0.0.1:${adminPort}/ for browsers, /healthz and /metrics
commands: unix:./admin.sock
hint: anyone who can reach a TCP socket, such as any user of this machine, can have any mail passed; use unix sockets in listen instead: unix:/var/spool/postfix/greymx/greymx.sock for Postfix, unix:/run/greymx/greymx.sock for Sendmail

Postfix, in main.cf:    smtpd_milters = { inet:127.0.0.1:${port}, default_action=accept }
Sendmail, in its .mc:   INPUT_MAIL_FILTER(\`greymx', \`S=inet:${port}@127.0.0.1, T=C:10s;S:10s;R:10s;E:1m')dnl

`,
  )
  daemon.signal('SIGTERM')
  assert.equal(await daemon.exited(), 0)
  assert.match(
    daemon.output(),
    /level=info msg="stopping: waiting up to 8 s for open SMTP sessions to finish"\nlevel=info msg=stopped\n$/,
  )
})

test('greymx serve says where Postfix asks by its policy protocol, and what to write there', async (t) => {
  const policy = await freePort()
  const { daemon, port, adminPort, rewrite } = await startServe(
    t,
    `listen_policy: inet:${policy}@127.0.0.1\n`,
  )
  const output = daemon.output()
  assert.ok(
    output.includes(
      `is listening on inet:${port}@127.0.0.1\npolicy: inet:${policy}@127.0.0.1\nstate: memory:\n`,
    ),
    output,
  )
  const entry = `check_policy_service { inet:127.0.0.1:${policy}, default_action=DUNNO, timeout=10s }`
  assert.ok(output.includes(`default_action=accept }\n  or in restrictions:   ${entry}\nSendmail, `), output)
  const health = await fetch(`http://127.0.0.1:${adminPort}/healthz`)
  const { listeners, policy: found } = (await health.json()) as Record<string, unknown>
  assert.deepEqual([listeners, found], [[`inet:${port}@127.0.0.1`], [`inet:${policy}@127.0.0.1`]])
  const base = `listen: inet:${port}@127.0.0.1\nstore: "memory:"\nadmin: false\n`
  await rewrite(base, 'msg="configuration read again" listen_policy=off\n')
  await assert.rejects(once(connect({ host: '127.0.0.1', port: policy }), 'connect'), /ECONNREFUSED/)
  const again = `msg="configuration read again" listen_policy=inet:${policy}@127.0.0.1\n`
  await rewrite(`${base}listen_policy: inet:${policy}@127.0.0.1\n`, again)
})

test('greymx serve says where Exim asks, and opens and closes the door by a reload', async (t) => {
  const exim = await freePort()
  const { daemon, port, adminPort, rewrite } = await startServe(t, `listen_exim: inet:${exim}@127.0.0.1\n`)
  const output = daemon.output()
  assert.ok(output.includes(`@127.0.0.1\nexim: inet:${exim}@127.0.0.1\nstate: memory:\n`), output)
  const health = await fetch(`http://127.0.0.1:${adminPort}/healthz`)
  const { listeners, exim: found } = (await health.json()) as Record<string, unknown>
  assert.deepEqual([listeners, found], [[`inet:${port}@127.0.0.1`], [`inet:${exim}@127.0.0.1`]])
  const base = `listen: inet:${port}@127.0.0.1\nstore: "memory:"\nadmin: false\n`
  await rewrite(base, 'msg="configuration read again" listen_exim=off\n')
  await assert.rejects(once(connect({ host: '127.0.0.1', port: exim }), 'connect'), /ECONNREFUSED/)
  const again = `msg="configuration read again" listen_exim=inet:${exim}@127.0.0.1\n`
  await rewrite(`${base}listen_exim: inet:${exim}@127.0.0.1\n`, again)
})

test('greymx serve warns of a Redis that drops entries', async (t) => {
  const redis = await startRedis({ dir: await scratch(t), args: ['--maxmemory-policy', 'allkeys-lru'] })
  const { daemon } = await startServe(t, '', redis.url)
  const lines = `level=warn msg="the store is in use, but is not set up as it should be" store=${redis.url}/0 warning="maxmemory-policy is allkeys-lru: expected noeviction, as Redis otherwise drops entries when memory runs short, and their senders wait again"
level=info msg="store is up" store=${redis.url}/0
`
  assert.ok(daemon.output().startsWith(lines), daemon.output())
})

test('greymx serve ends with status 0 on SIGINT as well', async (t) => {
  const { daemon } = await startServe(t)
  daemon.signal('SIGINT')
  assert.equal(await daemon.exited(), 0)
})

test('an IPv6 address stands in brackets where a URL or an MTA needs them', async (t) => {
  const dir = await scratch(t)
  const [port, adminPort] = [await freePort(), await freePort()]
  const settings = `listen: inet6:${port}@::1\nstore: "memory:"\nadmin: "[::1]:${adminPort}"\n`
  await writeFile(join(dir, 'milter.yaml'), settings)
  const daemon = await startDaemon({
    command: process.execPath,
    args: [PROGRAM, 'serve'],
    cwd: dir,
    ready: (output) => output.includes('INPUT_MAIL_FILTER'),
  })
  endWith(dir, () => daemon.stop())
  assert.ok(daemon.output().includes(`smtpd_milters = { inet:[::1]:${port},`), daemon.output())
  assert.ok(
    daemon.output().includes(`admin: http://[::1]:${adminPort}/ for browsers, /healthz`),
    daemon.output(),
  )
})

test('greymx serve that cannot listen says so and ends with status 69', async (t) => {
  const dir = await scratch(t)
  const taken = createServer().listen(0, '127.0.0.1')
  t.after(() => taken.close())
  await once(taken, 'listening')
  const address = taken.address()
  assert.ok(address !== null && typeof address === 'object')
  const free = await freePort()
  const cases: Array<[name: string, settings: string, stderr: RegExp]> = [
    [
      'the milter port is taken',
      `listen: inet:${address.port}@127.0.0.1\nadmin: false\nstore: "memory:"\n`,
      /^Cannot listen on inet:\d+@127\.0\.0\.1: .*EADDRINUSE.*\n$/,
    ],
    // Parts that were opened before the fault must not keep the process alive.
    [
      'the admin port is taken',
      `listen: inet:${free}@127.0.0.1\nadmin: 127.0.0.1:${address.port}\nstore: "memory:"\n`,
      /^Cannot listen on http:\/\/127\.0\.0\.1:\d+: .*EADDRINUSE.*\n$/,
    ],
    [
      'the milter port is taken, and Redis is waited for',
      `listen: inet:${address.port}@127.0.0.1\nadmin: false\nstore: redis://127.0.0.1:1/0\n`,
      /^Cannot listen on inet:\d+@127\.0\.0\.1: .*EADDRINUSE.*\n$/,
    ],
  ]
  for (const [name, settings, stderr] of cases) {
    await writeFile(join(dir, 'milter.yaml'), settings)
    const ended = greymx(['serve'], dir)
    assert.match(ended.stderr, stderr, name)
    assert.equal(ended.status, 69, name)
    assert.doesNotMatch(ended.stdout, /is listening/, name)
  }
})

test('greymx probe prints the SMTP replies, and whether mail was deferred is its status', async (t) => {
  const { probe } = await startServe(t)
  const ref = /\(([0-9a-f]{8})\)/
  const first = probe('--from', 'a@example.org', '--to', 'b@example.com')
  assert.deepEqual([first.status, first.stderr], [75, ''])
  assert.equal(
    first.stdout.replace(ref, '(REF)'),
    'MAIL FROM:<a@example.org>\n250 2.1.0 Ok\nRCPT TO:<b@example.com>\n' +
      '451 4.7.1 Greylisted, please try again later (REF)\n',
  )
  const again = probe('--from', 'A@EXAMPLE.ORG', '--to', '"b"@example.com')
  assert.equal(ref.exec(again.stdout)?.[1], ref.exec(first.stdout)?.[1])
  assert.deepEqual(probe('--from', 'a@example.org', '--to', 'postmaster@example.com'), {
    status: 0,
    stdout:
      'MAIL FROM:<a@example.org>\n250 2.1.0 Ok\nRCPT TO:<postmaster@example.com>\n250 2.1.5 Ok\n' +
      'DATA\n354 End data with <CR><LF>.<CR><LF>\n',
    stderr: '',
  })
  const mixed = probe('--from', 'a@example.org', '--to', 'b@example.com', '--to', 'Postmaster', '--json')
  assert.equal(mixed.status, 75)
  const exchanges: Array<{ command: string; reply: string }> = JSON.parse(mixed.stdout)
  assert.deepEqual(exchanges, [
    { command: 'MAIL FROM:<a@example.org>', reply: '250 2.1.0 Ok' },
    { command: 'RCPT TO:<b@example.com>', reply: exchanges[1]?.reply },
    { command: 'RCPT TO:<Postmaster>', reply: '250 2.1.5 Ok' },
    { command: 'DATA', reply: '354 End data with <CR><LF>.<CR><LF>' },
  ])
  assert.match(exchanges[1]?.reply ?? '', /^451 4\.7\.1 /)
})

test('a bounce is deferred at DATA, so that a callout sees a valid recipient', async (t) => {
  const { probe } = await startServe(t)
  const bounce = probe('--from', '<>', '--to', 'b@example.com')
  assert.equal(bounce.status, 75)
  assert.match(
    bounce.stdout,
    /^MAIL FROM:<>\n250 .*\nRCPT TO:<b@example.com>\n250 .*\nDATA\n451 4\.7\.1 .*\n$/,
  )
})

test('SIGHUP takes a good file over, and keeps the old settings where the new ones are faulty', async (t) => {
  const { probe, reload, daemon } = await startServe(t)
  const reply = () => probe('--from', 'a@example.org', '--to', 'b@example.com').stdout.split('\n')[3]
  assert.match(reply() ?? '', /^451 4\.7\.1 Greylisted/)
  await reload('reply: 450 4.2.0 Later\n', 'msg="configuration read again"\n')
  assert.equal(reply(), '450 4.2.0 Later')
  await reload('reply: 550 Never\nfoo: 1\n', 'unknown setting foo')
  assert.equal(reply(), '450 4.2.0 Later')
  const faults =
    daemon.output().match(/^level=error msg="reload refused, configuration unchanged" fault=.*$/gm) ?? []
  assert.equal(faults.length, 2)
  assert.match(
    faults[0] ?? '',
    /milter\.yaml:4:8: Cannot read reply \\"550 Never\\": expected a temporary reply code/,
  )
  assert.match(faults[1] ?? '', /milter\.yaml:5:1: unknown setting foo: /)
  await reload('', 'msg="configuration read again"\n')
  assert.match(reply() ?? '', /^451 4\.7\.1 Greylisted/)
})

test('SIGHUP swaps sockets and the admin page, and what is open goes on', async (t) => {
  const { port, adminPort, daemon, dir, rewrite } = await startServe(t)
  const [newPort, newAdminPort] = [await freePort(), await freePort()]
  const spec = (of: number) => ({ kind: 'inet', host: '127.0.0.1', port: of }) as const
  const open = await connectToFilter(spec(port), 10_000)
  t.after(() => open.quit())
  await open.connect({ hostName: 'client.test', family: 'inet', port: 25, address: '192.0.2.7' })
  await open.mail('<a@example.org>')
  const listen = `inet:${newPort}@127.0.0.1, unix:${dir}/new.sock`
  await rewrite(
    `listen: [${listen.replace(/,/g, ' ,')}]\nsocket_mode: "0600"\nstore: "memory:"\nadmin: 127.0.0.1:${newAdminPort}\n`,
    `msg="configuration read again" listen="${listen}"\n`,
  )
  assert.equal((await open.rcpt('<b@example.com>')).code, 'y')
  ;(await connectToFilter(spec(newPort), 10_000)).quit()
  assert.equal(statSync(join(dir, 'new.sock')).mode & 0o777, 0o600)
  await assert.rejects(connectToFilter(spec(port), 10_000), /ECONNREFUSED/)
  await assert.rejects(fetch(`http://127.0.0.1:${adminPort}/healthz`))
  const health = await fetch(`http://127.0.0.1:${newAdminPort}/healthz`)
  assert.deepEqual(((await health.json()) as { listeners: unknown }).listeners, listen.split(', '))

  // This undoes the changes, and turns the admin server off.
  await rewrite(
    `listen: inet:${port}@127.0.0.1\nsocket_mode: "0666"\nstore: "memory:"\nadmin: false\n`,
    `msg="configuration read again" listen=inet:${port}@127.0.0.1\n`,
  )
  assert.equal(existsSync(join(dir, 'new.sock')), false)
  await assert.rejects(fetch(`http://127.0.0.1:${newAdminPort}/healthz`))
  ;(await connectToFilter(spec(port), 10_000)).quit()
  assert.doesNotMatch(daemon.output(), /level=error/)
})

test('SIGHUP takes limits over together with sockets, or neither', async (t) => {
  const { port, daemon, rewrite } = await startServe(t)
  const newPort = await freePort()
  /** Connects, and announces a command of 100,000 bytes. */
  const announce = (of: number) => {
    const socket = connect({ host: '127.0.0.1', port: of }).resume()
    t.after(() => socket.destroy())
    socket.on('error', () => {}) // a reset is one way to be closed
    socket.write(Buffer.from('000186a0', 'hex'))
    return socket
  }
  const rest = 'admin: false\nstore: "memory:"\nlimits: { frame: 64KiB }\n'
  const before = announce(port)
  await rewrite(`listen: unix:/nowhere/greymx.sock\n${rest}`, 'msg="reload refused, configuration unchanged"')
  const refused = announce(port)
  ;(await connectToFilter({ kind: 'inet', host: '127.0.0.1', port }, 10_000)).quit()
  await rewrite(`listen: inet:${newPort}@127.0.0.1\n${rest}`, 'msg="configuration read again"')
  await once(announce(newPort), 'close')
  assert.deepEqual([before.readyState, refused.readyState], ['open', 'open'])
  await waitFor('the reason', () => daemon.output().includes('frame of 100000 bytes: expected 1 to 65536'))
})

test('SIGHUP changes nothing when one of the new sockets cannot be opened', async (t) => {
  const { port, adminPort, probe, get, rewrite } = await startServe(t)
  const [newPort, newAdminPort] = [await freePort(), await freePort()]
  const rest = 'store: "memory:"\nreply: 450 4.2.0 New\n'
  const cases: Array<[settings: string, fault: RegExp]> = [
    [
      `listen: [inet:${newPort}@127.0.0.1, unix:/nowhere/greymx.sock]\nadmin: 127.0.0.1:${newAdminPort}\n`,
      /fault="Cannot listen on unix:\/nowhere\/greymx\.sock: there is no such folder"/,
    ],
    [
      `listen: inet:${newPort}@127.0.0.1\nadmin: 127.0.0.1:${port}\n`,
      /fault="Cannot listen on http:\/\/127\.0\.0\.1:\d+: .*EADDRINUSE/,
    ],
  ]
  for (const [settings, fault] of cases) {
    const logged = await rewrite(settings + rest, 'msg="reload refused, configuration unchanged"')
    assert.match(logged, fault)
    assert.match(probe('--from', 'a@example.org', '--to', 'b@example.com').stdout, /^451 4\.7\.1 Greylisted/m)
    for (const free of [newPort, newAdminPort]) {
      if (free === adminPort) continue
      await assert.rejects(
        connectToFilter({ kind: 'inet', host: '127.0.0.1', port: free }, 10_000),
        /ECONNREFUSED/,
      )
    }
    assert.equal((await get('/healthz')).status, 200)
  }
})

// The log had the faults of lists that were never used, as if they had been taken.
test('a reload that is refused logs nothing of lists that it did not take', async (t) => {
  const { dir, port, adminPort, rewrite } = await startServe(t)
  const list = join(dir, 'clients')
  await writeFile(list, 'not a client at all\n')
  const settings = (listen: string) =>
    `listen: ${listen}\nadmin: 127.0.0.1:${adminPort}\nstore: "memory:"\nexempt: { client_files: [${list}] }\n`
  const refused = await rewrite(settings('unix:/nowhere/greymx.sock'), 'there is no such folder')
  assert.doesNotMatch(refused, /list entr/)
  const taken = await rewrite(settings(`inet:${port}@127.0.0.1`), 'list entries are left out')
  assert.match(taken, /clients:1: /)
})

test('many SIGHUPs at once are as good as one', async (t) => {
  const { daemon, rewrite } = await startServe(t)
  const port = await freePort()
  await rewrite(`listen: inet:${port}@127.0.0.1\nstore: "memory:"\nadmin: false\n`, 'read again', () => {
    for (let count = 0; count < 50; count += 1) daemon.signal('SIGHUP')
  })
  assert.equal(probeAt(port, '--from', 'a@b.test', '--to', 'b@c.test').status, 75)
  daemon.signal('SIGHUP')
  daemon.signal('SIGTERM')
  assert.equal(await daemon.exited(), 0)
  assert.doesNotMatch(daemon.output(), /level=error/)
})

test('SIGHUP and SIGTERM before it listens wait until it does', async (t) => {
  const dir = await scratch(t)
  const settings = `listen: inet:${await freePort()}@127.0.0.1\nstore: "memory:"\nadmin: false\n`
  await writeFile(join(dir, 'milter.yaml'), settings)
  for (const signals of [['SIGHUP'], ['SIGHUP', 'SIGTERM', 'SIGHUP']] as const) {
    const child = spawn(process.execPath, [PROGRAM, 'serve'], {
      cwd: dir,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    t.after(() => child.kill('SIGKILL'))
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
    // The daemon handles SIGHUP once it is a caught signal: bit 0 of SigCgt in proc(5).
    await waitFor('the handlers', async () => {
      const status = await readFile(`/proc/${child.pid}/status`, 'latin1')
      return /^SigCgt:\s+[0-9a-f]+[13579bdf]$/m.test(status)
    })
    for (const signal of signals) child.kill(signal)
    if (signals.length === 1) {
      await waitFor('the reload', () => output.includes('msg="configuration read again"\n'))
      child.kill('SIGTERM')
    }
    const [status] = await once(child, 'close')
    assert.equal(status, 0)
    assert.match(output, /is listening on.*msg=stopped\n$/s)
  }
})

test('SIGTERM again, and SIGHUP, do not hurry a stop', async (t) => {
  const { port, daemon } = await startServe(t)
  const open = await connectToFilter({ kind: 'inet', host: '127.0.0.1', port }, 10_000)
  await open.connect({ hostName: 'client.test', family: 'inet', port: 25, address: '192.0.2.7' })
  await open.mail('<a@example.org>')
  daemon.signal('SIGTERM')
  await waitFor('the stop', () => daemon.output().includes('msg="stopping'))
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGTERM'] as const) daemon.signal(signal)
  assert.equal((await open.rcpt('<b@example.com>')).code, 'y')
  assert.equal((await open.endOfMessage()).code, 'c')
  open.quit()
  assert.equal(await daemon.exited(), 0)
  assert.doesNotMatch(daemon.output(), /read again/)
})

test('the log follows its settings at once', async (t) => {
  const { reload, probe, daemon } = await startServe(t)
  await reload('log: { format: json }\n', 'msg="configuration read again"')
  probe('--from', 'a@example.org', '--to', 'b@example.com')
  await waitFor('an outcome in JSON', () =>
    /^\{"time":.*"verdict":"tempfail","reason":"new"/m.test(daemon.output()),
  )
})

test('probe refuses an empty recipient, and says of the admin port that it is no milter', async (t) => {
  const { adminPort } = await startServe(t)
  const options = [
    '--client',
    '192.0.2.7',
    '--from',
    'a@example.org',
    '--socket',
    `inet:${adminPort}@127.0.0.1`,
  ]
  for (const to of ['', '<>', ' ']) {
    const { status, stderr } = spawnSync(process.execPath, [PROGRAM, 'probe', ...options, `--to=${to}`], {
      encoding: 'utf8',
    })
    assert.equal(status, 64)
    assert.ok(
      stderr.startsWith(`greymx: Cannot read --to "${to}": expected the address of a recipient`),
      stderr,
    )
  }
  const { status, stderr } = spawnSync(
    process.execPath,
    [PROGRAM, 'probe', ...options, '--to', 'b@example.com'],
    { encoding: 'utf8' },
  )
  assert.equal(status, 69)
  assert.match(stderr, /: what listens there is no milter: it speaks HTTP, as greymx's admin port does$/m)
})

test('/healthz answers 200 with JSON', async (t) => {
  const { get, port } = await startServe(t)
  const response = await get('/healthz')
  assert.equal(response.status, 200)
  assert.match(response.headers.get('content-type') ?? '', /^application\/json/)
  const { store, ...rest } = (await response.json()) as { store: { since: string } }
  const { since, ...state } = store
  assert.ok(Math.abs(Date.parse(since) - Date.now()) < 60_000)
  assert.deepEqual(
    { store: state, ...rest },
    {
      status: 'ok',
      store: { name: 'memory:', up: true },
      listeners: [`inet:${port}@127.0.0.1`],
      policy: [],
      exim: [],
      warnings: [],
    },
  )
})

test('without a store, /livez and /readyz answer 200, and /healthz 503', async (t) => {
  // Without a file, the environment alone says everything.
  const { daemon, port, adminPort } = await startByEnvironment(await scratch(t), {
    GREYMX_STORE: 'redis://127.0.0.1:1/0',
    GREYMX_DNS_SERVERS: '127.0.0.1:1',
  })
  const status = async (path: string) => (await fetch(`http://127.0.0.1:${adminPort}${path}`)).status
  assert.equal(await status('/livez'), 200)
  assert.equal(await status('/readyz'), 200)
  assert.equal(await status('/healthz'), 503)
  assert.match(daemon.output(), /^state: redis:\/\/127\.0\.0\.1:1\/0$/m)
  // While greymx waits for an open session to end, it is alive, and takes no other.
  const session = connect(port, '127.0.0.1')
  await once(session, 'connect')
  session.on('error', () => undefined)
  daemon.signal('SIGTERM')
  await waitFor('greymx to stop listening', async () => (await status('/readyz')) === 503)
  assert.equal(await status('/livez'), 200)
  session.destroy()
  assert.equal(await daemon.exited(), 0)
})

test('/metrics has every promised name, and counts what was decided', async (t) => {
  const { get, probe } = await startServe(t, 'greylist: { delay: 1ms, retry_window: 1h }\n')
  probe('--from', 'a@example.org', '--to', 'b@example.com')
  probe('--from', 'a@example.org', '--to', 'b@example.com')
  probe('--from', 'a@example.org', '--to', 'postmaster@example.com')
  const response = await get('/metrics')
  assert.equal(response.status, 200)
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/)
  const text = await response.text()
  const types: Array<[name: string, type: string]> = [
    ['greymx_decisions_total', 'counter'],
    ['greymx_decision_seconds', 'histogram'],
    ['greymx_retry_delay_seconds', 'histogram'],
    ['greymx_store_operations_total', 'counter'],
    ['greymx_store_up', 'gauge'],
    ['greymx_store_outages_total', 'counter'],
    ['greymx_local_decisions_total', 'counter'],
    ['greymx_mta_connections', 'gauge'],
    ['greymx_protocol_errors_total', 'counter'],
    ['process_resident_memory_bytes', 'gauge'],
    ['nodejs_eventloop_lag_seconds', 'gauge'],
  ]
  for (const [name, type] of types) assert.ok(text.includes(`# TYPE ${name} ${type}\n`), name)
  const samples = [
    'greymx_decisions_total{verdict="tempfail",reason="new"} 1',
    'greymx_decisions_total{verdict="pass",reason="retry"} 1',
    'greymx_decisions_total{verdict="pass",reason="exempt-recipient"} 1',
    'greymx_decision_seconds_count 3',
    'greymx_retry_delay_seconds_count 1',
    'greymx_store_operations_total{operation="find",result="ok"} 2',
    'greymx_store_operations_total{operation="pass",result="ok"} 1',
    'greymx_store_up 1',
  ]
  for (const sample of samples) assert.ok(text.includes(`\n${sample}\n`), `${sample}\n${text}`)
})

test('/metrics counts connections that broke the protocol', async (t) => {
  const { get, port, daemon } = await startServe(t)
  const answer = await fetch(`http://127.0.0.1:${port}/`).then(
    () => 'answered',
    () => 'closed',
  )
  assert.equal(answer, 'closed')
  await waitFor('the warning', () =>
    daemon.output().includes('msg="connection closed, as it broke the milter protocol: '),
  )
  assert.match(await (await get('/metrics')).text(), /^greymx_protocol_errors_total\{kind="[a-z-]+"\} 1$/m)
})

test('the admin server knows no other path, and changes nothing', async (t) => {
  const { get } = await startServe(t)
  const cases: Array<[path: string, method: string, status: number]> = [
    ['/', 'GET', 200],
    ['/nothing', 'GET', 404],
    ['/healthz/', 'GET', 404],
    ['/metrics/x', 'GET', 404],
    ['/healthz?verbose', 'GET', 200],
    ['/healthz', 'HEAD', 200],
    ['/healthz', 'POST', 405],
    ['/livez', 'GET', 200],
    ['/livez', 'HEAD', 200],
    ['/readyz', 'GET', 200],
    ['/readyz/', 'GET', 404],
    ['/metrics', 'DELETE', 405],
  ]
  for (const [path, method, status] of cases) {
    assert.equal((await get(path, method)).status, status, `${method} ${path}`)
  }
})

test('without admin there is no admin server', async (t) => {
  const dir = await scratch(t)
  const port = await freePort()
  await writeFile(
    join(dir, 'milter.yaml'),
    `listen: inet:${port}@127.0.0.1\nstore: "memory:"\nadmin: false\n`,
  )
  const daemon = await startDaemon({
    command: process.execPath,
    args: [PROGRAM, 'serve'],
    cwd: dir,
    ready: (output) => output.includes('INPUT_MAIL_FILTER'),
  })
  endWith(dir, () => daemon.stop())
  assert.match(daemon.output(), /^admin: off$/m)
})
