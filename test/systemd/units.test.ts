// Tests of the units as they are installed: systemd finds no fault in them, and little that the service could do to the
// host.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { policyEntry } from '../../src/check/main-cf.ts'
import { checkPostfix } from '../../src/check/postfix.ts'
import { checkSendmail } from '../../src/check/sendmail.ts'
import { mtaLines } from '../../src/cli/mta-lines.ts'
import { inheritedSockets } from '../../src/systemd/activation.ts'
import { configOf } from '../check/support.ts'
import { scratch } from '../support/scratch.ts'

const run = promisify(execFile)

const UNITS = ['greymx.service', 'greymx.socket', 'greymx-admin.socket'] as const

/** Largest exposure by `systemd-analyze security`, out of 10. */
const EXPOSURE = 2.0

function settings(unit: string, name: string): string[] {
  const lines = readFileSync(join('systemd', unit), 'utf8').split('\n')
  return lines.filter((line) => line.startsWith(`${name}=`)).map((line) => line.slice(name.length + 1))
}

test(`systemd-analyze security rates greymx.service ${EXPOSURE.toFixed(1)} or less`, async () => {
  const analyze = ['security', '--offline=true', '--no-pager', `--threshold=${EXPOSURE * 10}`]
  const { stdout } = await run('systemd-analyze', [...analyze, 'systemd/greymx.service'])
  const [, exposure] = /Overall exposure level for greymx\.service: (\d+\.\d)/.exec(stdout) ?? []
  assert.ok(Number(exposure) <= EXPOSURE, exposure)
})

test('systemd-analyze verify finds no fault in the units', async (t) => {
  // The copy names commands that exist on this machine, such as its node.
  const dir = await scratch(t)
  await mkdir(join(dir, 'units'))
  for (const unit of UNITS) await copyFile(join('systemd', unit), join(dir, 'units', unit))
  const service = readFileSync('systemd/greymx.service', 'utf8').replace('/usr/bin/node', process.execPath)
  await writeFile(join(dir, 'units', 'greymx.service'), service)
  const second = await secondService(join(dir, 'units', 'greymx.service'))
  await writeFile(join(dir, 'units', 'greymx-2.service'), second)
  assert.match(
    second,
    /^Sockets=greymx\.socket\nEnvironment=GREYMX_ADMIN=127\.0\.0\.1:10893 GREYMX_ADMIN_SOCKET=false\nExecStart=/m,
  )
  const paths = [...UNITS, 'greymx-2.service'].map((unit) => join(dir, 'units', unit))
  const { stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', ...paths])
  const faults = `${stdout}${stderr}`.split('\n').filter((line) => line.includes('greymx'))
  assert.deepEqual(faults, [])
})

/** The unit that the README makes of the service's `file`, for another process. */
async function secondService(file: string): Promise<string> {
  const readme = readFileSync('systemd/README.md', 'utf8')
  const [, script = ''] = /^ {4}sed '(s\|\^ExecStart=[^']*)' \\$/m.exec(readme) ?? []
  const { stdout } = await run('sed', [script, file])
  return stdout
}

test('the socket unit listens on unix sockets alone, for the group of the MTA', () => {
  const listen = settings('greymx.socket', 'ListenStream')
  assert.equal(listen.length, 2)
  for (const each of listen) assert.match(each, /^\//)
  assert.deepEqual(settings('greymx.socket', 'SocketMode'), ['0660'])
  assert.deepEqual(settings('greymx.socket', 'SocketGroup'), ['postfix'])
})

test('the socket unit for commands is for root, and greymx knows it by its name', () => {
  assert.deepEqual(settings('greymx-admin.socket', 'SocketMode'), ['0660'])
  assert.deepEqual(settings('greymx-admin.socket', 'SocketGroup'), ['root'])
  assert.deepEqual(settings('greymx-admin.socket', 'Service'), ['greymx.service'])
  const [name] = settings('greymx-admin.socket', 'FileDescriptorName')
  const environment = { LISTEN_PID: '1', LISTEN_FDS: '2', LISTEN_FDNAMES: `greymx.socket:${name}` }
  assert.equal(inheritedSockets(environment, 1).admin?.fd, 4)
})

test('the socket unit for the policy protocol is for the MTA, and greymx knows it by its name', () => {
  assert.deepEqual(settings('greymx-policy.socket', 'SocketMode'), ['0660'])
  assert.deepEqual(settings('greymx-policy.socket', 'SocketGroup'), ['postfix'])
  assert.deepEqual(settings('greymx-policy.socket', 'Service'), ['greymx.service'])
  const [name] = settings('greymx-policy.socket', 'FileDescriptorName')
  const environment = { LISTEN_PID: '1', LISTEN_FDS: '2', LISTEN_FDNAMES: `greymx.socket:${name}` }
  assert.deepEqual(inheritedSockets(environment, 1), {
    mtas: [{ kind: 'inherited', fd: 3 }],
    policy: [{ kind: 'inherited', fd: 4 }],
    exim: [],
  })
  const [listenPolicy] = configOf(
    `listen_policy: unix:${settings('greymx-policy.socket', 'ListenStream')[0]}`,
  ).listenPolicy
  assert.ok(listenPolicy)
  assert.equal(
    policyEntry(listenPolicy),
    'check_policy_service { unix:greymx/policy.sock, default_action=DUNNO, timeout=10s }',
  )
})

test('the socket unit for Exim is for its group, is that of the ACLs, and greymx knows it by its name', () => {
  assert.deepEqual(settings('greymx-exim.socket', 'SocketMode'), ['0660'])
  assert.deepEqual(settings('greymx-exim.socket', 'SocketGroup'), ['Debian-exim'])
  assert.deepEqual(settings('greymx-exim.socket', 'Service'), ['greymx.service'])
  const [name] = settings('greymx-exim.socket', 'FileDescriptorName')
  const environment = { LISTEN_PID: '1', LISTEN_FDS: '1', LISTEN_FDNAMES: name }
  assert.deepEqual(inheritedSockets(environment, 1).exim, [{ kind: 'inherited', fd: 3 }])
  const page = readFileSync('src/doors/exim.md', 'utf8')
  const [path] = settings('greymx-exim.socket', 'ListenStream')
  assert.ok(page.includes(`\nGREYMX_SOCKET = ${path}\n`) && page.includes(`\nlisten_exim: unix:${path}\n`))
})

test('README sends both MTAs, probe, check and commands to the sockets of the units', async (t) => {
  const dir = await scratch(t)
  const readme = readFileSync('README.md', 'utf8')
  // This runs the command of the README on another file than the machine's own.
  const [command = ''] = /^ {4}sed '.*milter\.yaml > .*$/m.exec(readme) ?? []
  const file = join(dir, 'milter.yaml')
  await run('sh', ['-c', command.replace('/etc/greymx/milter.yaml', file)])
  const config = configOf(readFileSync(file, 'utf8'))
  const sockets = settings('greymx.socket', 'ListenStream').map((path) => ({ kind: 'unix', path }) as const)
  assert.deepEqual(config.listen, sockets)
  assert.deepEqual(settings('greymx-admin.socket', 'ListenStream'), [config.adminSocket])

  const { postfix, sendmail, hint } = mtaLines(sockets)
  assert.equal(hint, undefined)
  for (const line of [postfix, sendmail]) assert.ok(readme.includes(`    ${line}\n`), line)
  const masterCf = 'smtp inet n - y - - smtpd\nsubmission inet n - n - - smtpd\n'
  assert.deepEqual(checkPostfix({ mainCf: `${postfix}\n`, masterCf }, config), [])
  assert.deepEqual(checkSendmail(`${sendmail}\n`, config), [])
})

// systemd would remove such a directory, and the socket in it, whenever the service stops.
test('the service has no runtime directory', () => {
  assert.deepEqual(settings('greymx.service', 'RuntimeDirectory'), [])
})
