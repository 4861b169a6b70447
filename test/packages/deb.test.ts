// Tests of the Debian package: it is built, examined by lintian, and installed in a fresh Debian 13, where it greylists
// the mail of the real Postfix, is upgraded, removed and purged. systemd does not run there, so that the service is
// started as its unit says, with systemd's own systemd-socket-activate.

import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { mtaLines } from '../../src/cli/mta-lines.ts'
import { startDaemon } from '../support/daemon.ts'
import { type DebianSystem, SYSTEM_ADDRESS, startDebianSystem } from '../support/debian-system.ts'
import { endWith, scratch, waitFor } from '../support/scratch.ts'

const run = promisify(execFile)

/** The architecture of this machine, for which the package is built and installed. */
const NATIVE = execFileSync('dpkg', ['--print-architecture'], { encoding: 'utf8' }).trim()

/** Architectures for which the package is built; those of Debian's Node.js and of lmdb's native code are two. */
const ARCHITECTURES = (process.env.DEB_ARCHITECTURES ?? NATIVE).split(',')

/**
 * The checks of lintian that read all code of npm's packages, word by word. They take two fifths of its time, and
 * `npm run packages` runs them.
 */
const READ_ALL_CODE = [
  'languages/javascript/embedded',
  'files/contents',
  'binaries/spelling',
  'files/privacy-breach',
  'libraries/embedded',
]

/** What file(1) says of native code for each of them. */
const MACHINES: Readonly<Record<string, RegExp>> = { amd64: /x86-64/, arm64: /ARM aarch64/ }

const { version } = JSON.parse(readFileSync('package.json', 'utf8'))

/** The package of each architecture, built once for all tests. */
const built = build()

async function build(): Promise<ReadonlyMap<string, string>> {
  // Compression at its best takes longer than all else.
  const env = { ...process.env, DPKG_DEB_COMPRESSOR_TYPE: 'gzip', DPKG_DEB_COMPRESSOR_LEVEL: '1' }
  const { stdout } = await run('debian/build', ['--architecture', ARCHITECTURES.join()], { env })
  const files = stdout.trim().split('\n')
  return new Map(ARCHITECTURES.map((architecture, index) => [architecture, files[index] ?? '']))
}

async function fileFor(architecture: string): Promise<string> {
  return (await built).get(architecture) ?? assert.fail(`no package for ${architecture}`)
}

describe('the Debian package', { concurrency: true }, () => {
  for (const architecture of ARCHITECTURES) {
    test(`lintian has no objection to it for ${architecture}`, async () => {
      const file = await fileFor(architecture)
      const unchecked =
        process.env.DEB_ARCHITECTURES === undefined ? ['--dont-check-part', READ_ALL_CODE.join()] : []
      const { stdout } = await run('lintian', [
        '--fail-on',
        'error,warning',
        '--allow-root',
        ...unchecked,
        file,
      ])
      assert.equal(stdout, '')
    })

    test(`has native code for ${architecture} and no other`, async (t) => {
      const dir = await scratch(t)
      await run('dpkg-deb', ['-x', await fileFor(architecture), dir])
      const { stdout } = await run('find', [dir, '-name', '*.node', '-exec', 'file', '--brief', '{}', '+'])
      const found = stdout.trim().split('\n')
      assert.ok(found.length >= 3, stdout)
      for (const line of found) assert.match(line, MACHINES[architecture] ?? assert.fail(architecture))
      assert.doesNotMatch(stdout, /musl/)
      const packages = await readdir(join(dir, 'usr/lib/greymx/node_modules'))
      for (const name of ['typescript', 'fast-check', '@biomejs', '@types'])
        assert.ok(!packages.includes(name), name)
      const copyright = await readFile(join(dir, 'usr/share/doc/greymx/copyright'), 'utf8')
      for (const name of packages.filter((each) => !/^[@.]/.test(each)))
        assert.ok(copyright.includes(`\nFiles: node_modules/${name}/*\n`), name)
    })
  }

  test('has the lines for the MTAs in README.Debian that greymx prints at its start', async () => {
    const readme = await readFile('debian/README.Debian', 'utf8')
    const sockets = ['/run/greymx/greymx.sock', '/var/spool/postfix/greymx/greymx.sock']
    const { postfix, sendmail } = mtaLines(sockets.map((path) => ({ kind: 'unix', path }) as const))
    for (const line of [postfix, sendmail]) assert.ok(readme.includes(`    ${line}\n`), line)
  })

  test('is installed, greylists, is upgraded and goes without a trace, on Debian 13', async (t) => {
    const dir = await scratch(t)
    const file = await fileFor(NATIVE)
    const [debian, upgrade] = await Promise.all([startDebianSystem(dir), nextRevision(file, dir)])
    const before = await filesOf(debian)
    assert.ok(before.length > 1000)
    await debian.bring(file)
    await debian.bring(upgrade)

    await debian.run('dpkg -i /root/greymx_*-1_*.deb')
    const commit = readFileSync('dist/commit', 'utf8').trim()
    assert.equal(await debian.run('greymx --version'), `greymx ${version} (commit ${commit})\n`)
    assert.equal(await debian.run('greymx check'), 'configuration is fine\n')
    // The alerts lead to a page of the package, and that page to the rules.
    const links = await debian.run(
      "grep -oh 'file:/[^#]*' /usr/share/doc/greymx/docker/monitoring/rules.yaml | sort -u",
    )
    assert.equal(links, 'file:///usr/share/doc/greymx/docker/monitoring/README.md\n')
    await debian.run('test -f /usr/share/doc/greymx/docker/monitoring/README.md')
    // It names faults of the units, such as a program that is not there, on standard error.
    assert.equal(
      await debian.run('cd /usr/lib/systemd/system; systemd-analyze verify --man=no greymx* 2>&1'),
      '',
    )
    assert.equal(
      await debian.run('stat -c "%U %a" /var/lib/greymx /etc/greymx/milter.yaml'),
      'greymx 700\nroot 644\n',
    )
    assert.equal(
      await debian.run('cd /etc/systemd/system && ls *.wants/greymx*'),
      [
        'multi-user.target.wants/greymx.service',
        'sockets.target.wants/greymx-admin.socket',
        'sockets.target.wants/greymx.socket',
      ]
        .map((unit) => `${unit}\n`)
        .join(''),
    )

    // Postfix is Debian's, in its chroot, with the line of README.Debian.
    const readme = await debian.run('cat /usr/share/doc/greymx/README.Debian')
    const line = /^ {4}(smtpd_milters = .*)$/m.exec(readme)?.[1]
    await debian.run(`
      postconf -e '${line}' 'myhostname = mx.example.com' 'mydestination = example.com' 'maillog_file = /var/log/mail.log' \\
        'local_recipient_maps =' 'smtpd_peername_lookup = no' 'inet_protocols = ipv4'
      [[ $(postconf -Mf smtp/inet) =~ ^smtp\\ +inet\\ +n\\ +-\\ +y ]]
      postfix start 2> /dev/null`)
    await debian.run("sed -i 's/^  delay: 3m$/  delay: 1s/' /etc/greymx/milter.yaml")
    assert.equal(await debian.run('greymx check --postfix /etc/postfix'), 'configuration is fine\n')

    // Its commands for the policy socket; what was enabled goes with the package as well.
    const [sed = '', enable = ''] = /^ {4}(sed .*)\n {4}(systemctl enable .*)$/m.exec(readme)?.slice(1) ?? []
    await debian.run(`${sed}; ${enable.replace(' --now', '').replace(/ &&.*/, '')} 2>&1`)
    assert.match(await debian.run('greymx check --print'), /^listen_policy: .*greymx\/policy\.sock/m)

    const first = await startService(debian, dir)
    assert.match(await recipientReply(debian), /^451 4\.7\.1 .*Greylisted, please try again later/)
    assert.match(await debian.run('greymx list'), /a@example\.org/)

    await debian.run('dpkg -i /root/greymx_*-2_*.deb')
    await first.stop()
    assert.match(await debian.run('cat /etc/greymx/milter.yaml'), /^ {2}delay: 1s$/m)
    const second = await startService(debian, dir)
    assert.match(await recipientReply(debian), /^250 2\.1\.5 Ok/)
    await waitFor('the outcome', () => /verdict=pass reason=retry .* waited=/.test(second.output()))
    await second.stop()

    await debian.run('dpkg --remove greymx')
    assert.match(await debian.run('ls /var/lib/greymx/state /etc/greymx/milter.yaml'), /data\.mdb/)
    await debian.run('postfix stop 2> /dev/null; dpkg --purge greymx')
    assert.deepEqual(await filesOf(debian), before)
  })
})

/** Resolves to the files of the system, its users and its groups, without what Debian's own programs keep for themselves. */
async function filesOf(debian: DebianSystem): Promise<string[]> {
  const own = [
    '/var/lib/dpkg',
    '/var/cache',
    '/var/lib/systemd',
    '/var/lib/postfix',
    '/var/log',
    '/root',
    '/tmp',
  ]
  const kept = [
    ...own.map((path) => `-path ${path}`),
    "-path '/etc/*-'",
    '-path /var/spool/postfix/greymx -prune -false',
  ]
  const listed = await debian.run(
    `find / -xdev \\( ${kept.join(' -o ')} \\) -prune -o -print; cat /etc/passwd /etc/group`,
  )
  // Postfix makes what it needs in its queue.
  return listed
    .split('\n')
    .filter((path) => !/^\/var\/spool\/postfix\/(?!greymx)/.test(path))
    .sort()
}

/** Makes the package of the next revision: the same files, and a new comment in its settings. */
async function nextRevision(file: string, dir: string): Promise<string> {
  const folder = join(dir, 'next')
  await mkdir(folder)
  await run('dpkg-deb', ['-R', file, folder])
  const control = join(folder, 'DEBIAN/control')
  await writeFile(control, (await readFile(control, 'utf8')).replace(`${version}-1`, `${version}-2`))
  const next = join(dir, `greymx_${version}-2_${NATIVE}.deb`)
  await run('dpkg-deb', ['-Znone', '-b', folder, next])
  return next
}

/** The socket units that are enabled, with the name by which greymx knows the descriptors of each. */
const SOCKET_UNITS = {
  'greymx.socket': 'greymx.socket',
  'greymx-admin.socket': 'admin',
  'greymx-policy.socket': 'policy',
}

/** Starts what the unit of the service runs, as its user, in its folder, with the sockets of the socket units. */
async function startService(debian: DebianSystem, dir: string) {
  const read = async (unit: string) => {
    const text = await debian.run(`cat /usr/lib/systemd/system/${unit}`)
    return (name: string) =>
      [...text.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value = '']) => value)
  }
  const sockets: { readonly path: string; readonly name: string; readonly group: string | undefined }[] = []
  for (const [unit, name] of Object.entries(SOCKET_UNITS)) {
    const settings = await read(unit)
    for (const path of settings('ListenStream'))
      sockets.push({ path, name, group: settings('SocketGroup')[0] })
  }
  const service = await read('greymx.service')
  const [user, command, folder] = ['User', 'ExecStart', 'WorkingDirectory'].map((name) => service(name)[0])
  const paths = sockets.map(({ path }) => path)
  const script = `
    rm -f ${paths.join(' ')}
    mkdir -p ${paths.map((path) => dirname(path)).join(' ')}
    cd ${folder}
    systemd-socket-activate ${paths.map((path) => `--listen=${path}`).join(' ')} \\
      --fdname=${sockets.map(({ name }) => name).join(':')} \\
      setpriv --reuid=${user} --regid=${user} --init-groups ${command} &
    echo $! > /run/service.pid
    until [ -S ${paths.at(-1)} ]; do sleep 0.05; done
    chmod 660 ${paths.join(' ')}
    ${sockets.map(({ path, group }) => `chgrp ${group} ${path}`).join('\n    ')}
    # It starts the service when somebody connects.
    greymx status > /dev/null || true
    wait $(cat /run/service.pid)`
  const [program = '', ...args] = [...debian.inside, 'bash', '-euc', script]
  const daemon = await startDaemon({
    command: program,
    args,
    cwd: dir,
    ready: (output) => output.includes('smtpd_milters'),
  })
  endWith(dir, () => daemon.stop())
  return {
    output: () => daemon.output(),
    /** Ends it as systemd does. */
    async stop() {
      await debian.run('kill -TERM $(cat /run/service.pid)')
      assert.equal(await daemon.exited(), 0)
    },
  }
}

/** The reply to RCPT that a client from outside gets for one message, always the same. */
async function recipientReply(debian: DebianSystem): Promise<string> {
  const replies = await debian.run(`
    exec 3<> /dev/tcp/${SYSTEM_ADDRESS}/25
    read -r line <&3
    for command in 'HELO client.test' 'MAIL FROM:<a@example.org>' 'RCPT TO:<b@example.com>'; do
      printf '%s\\r\\n' "$command" >&3
      read -r line <&3
    done
    printf '%s\\n' "$line"`)
  return replies.trim()
}
