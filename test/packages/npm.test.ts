// Tests of the npm package: it is packed as for publishing, installed into an empty folder, and used from there, as a
// daemon and as the library greymx/milter, whose guide is run as it stands.

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { connectToFilter } from '../../src/milter/client.ts'
import { parseSocketSpec } from '../../src/sockets/spec.ts'
import { startDaemon } from '../support/daemon.ts'
import type { Mta } from '../support/mta.ts'
import { startPostfix } from '../support/postfix.ts'
import { freePort, type Scope, scratch, waitFor } from '../support/scratch.ts'
import { startSendmail } from '../support/sendmail.ts'
import { connect } from '../support/smtp.ts'

const run = promisify(execFile)

/** What the package is packed from, beside the packages that its build needs. */
const SOURCES = [
  ...['package.json', 'package-lock.json', 'tsconfig.json', 'src', 'systemd', 'docker', 'milter.yaml'],
  ...['README.md', 'CHANGELOG.md', 'LICENSE'],
]

/** Whether the package comes from a registry, as npm heeds a shrinkwrap only there. */
const isByName = process.env.NPM_BY_NAME !== undefined

const dir = await scratch({ after })
const tarball = await pack()
/** A folder in which the package is installed. */
const home = await install()

async function pack(): Promise<string> {
  const clone = join(dir, 'clone')
  await mkdir(clone)
  for (const source of SOURCES) await cp(source, join(clone, source), { recursive: true })
  await symlink(join(process.cwd(), 'node_modules'), join(clone, 'node_modules'))
  const env = { ...process.env, SOURCE_COMMIT: 'abc' }
  await run('npm', ['pack', '--silent', '--pack-destination', dir], { cwd: clone, env })
  assert.ok(!(await readdir(clone)).includes('npm-shrinkwrap.json'))
  const [name = ''] = (await readdir(dir)).filter((file) => file.endsWith('.tgz'))
  return join(dir, name)
}

/** Installs from a registry, as npm heeds a shrinkwrap only there. */
async function install(): Promise<string> {
  const folder = join(dir, 'home')
  await mkdir(folder)
  await writeFile(join(folder, 'package.json'), '{ "private": true, "type": "module" }')
  const registry = await startRegistry({ after })
  const options = [
    '--registry',
    registry,
    '--prefer-offline',
    '--no-audit',
    '--no-fund',
    '--loglevel',
    'error',
  ]
  const { stderr } = await run('npm', ['install', ...options, 'greymx'], { cwd: folder })
  assert.equal(stderr, '')
  return folder
}

/** A registry that has greymx as it is packed, and refers to npm's for all else. Returns its URL. */
async function startRegistry(scope: Scope): Promise<string> {
  const bytes = await readFile(tarball)
  const [{ stdout: manifest }, { stdout: others }] = await Promise.all([
    run('tar', ['-xzOf', tarball, 'package/package.json']),
    run('npm', ['config', 'get', 'registry', '--loglevel', 'error']),
  ])
  const server = createServer((request, response) => {
    if (request.url === '/greymx.tgz') {
      response.end(bytes)
      return
    }
    if (request.url !== '/greymx') {
      response.writeHead(302, { location: new URL(request.url ?? '', others.trim()).href }).end()
      return
    }
    const described = JSON.parse(manifest)
    const { version } = described
    const integrity = `sha512-${hash('sha512', bytes, 'base64')}`
    // What the registry adds when a version with a shrinkwrap is published.
    const added = { _hasShrinkwrap: true, dist: { tarball: `${url}greymx.tgz`, integrity } }
    const packument = { name: 'greymx', 'dist-tags': { latest: version } }
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({ ...packument, versions: { [version]: { ...described, ...added } } }))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  scope.after(async () => {
    server.close()
  })
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/` // that of a listening TCP server
  return url
}

test('the tarball has what runs, and nothing else of the repository', async () => {
  const { stdout } = await run('tar', ['-tzf', tarball])
  const files = stdout.trim().split('\n')
  const outside = files.filter((file) => !file.startsWith('package/dist/')).sort()
  assert.deepEqual(
    outside.filter((file) => !file.startsWith('package/systemd/')),
    [
      ...['CHANGELOG.md', 'LICENSE', 'README.md'],
      ...['docker/monitoring/README.md', 'docker/monitoring/dashboard.json', 'docker/monitoring/rules.yaml'],
      ...['milter.yaml', 'npm-shrinkwrap.json', 'package.json', 'src/library/README.md'],
    ].map((file) => `package/${file}`),
  )
  assert.deepEqual(
    files.filter((file) => /\.(ts|map)$/.test(file) && !file.endsWith('.d.ts')),
    [],
  )
})

test('the tarball pins the packages of the lock file', async () => {
  const { stdout } = await run('tar', ['-xzOf', tarball, 'package/npm-shrinkwrap.json'])
  assert.equal(stdout, await readFile('package-lock.json', 'utf8'))
})

if (isByName)
  test('the packages installed by name are those of the lock file', async () => {
    const [lock, installed] = await Promise.all(
      ['package-lock.json', join(home, 'node_modules/.package-lock.json')].map(async (file) =>
        JSON.parse(await readFile(file, 'utf8')),
      ),
    )
    const ours = Object.entries<{ version: string }>(installed.packages).filter(
      ([path]) => path !== 'node_modules/greymx',
    )
    assert.ok(ours.length > 20, `${ours.length}`)
    for (const [path, { version }] of ours)
      assert.equal(version, lock.packages[path.replace('node_modules/greymx/', '')]?.version, path)
  })

test('npx greymx check and serve run from the folder, with settings of its own', async (t) => {
  const port = await freePort()
  const settings = `listen: "inet:${port}@127.0.0.1"\nstore: "memory:"\nadmin: false\nadmin_socket: false\n`
  await writeFile(join(home, 'milter.yaml'), `${settings}dns_servers: [127.0.0.1:1]\n`)
  const greymx = async (...args: string[]) => (await run('npx', ['greymx', ...args], { cwd: home })).stdout
  assert.equal(await greymx('check'), 'configuration is fine\n')
  const { version } = JSON.parse(await readFile('package.json', 'utf8'))
  assert.equal(await greymx('--version'), `greymx ${version} (commit abc)\n`)
  const daemon = await startDaemon({
    command: 'npx',
    args: ['greymx', 'serve'],
    cwd: home,
    ready: (output) => output.includes('smtpd_milters'),
  })
  t.after(() => daemon.stop())
  const client = await connectToFilter({ kind: 'inet', host: '127.0.0.1', port }, 5000)
  client.quit()
})

test('the types of greymx/milter are those that a strict compiler accepts', async () => {
  await writeFile(
    join(home, 'typed.ts'),
    `import { CONTINUE, Filter, type Macros, type MessageEnd, serveMilter, type Wants, WANTS_NOTHING } from 'greymx/milter'
class Typed extends Filter {
  override readonly wants: Wants = { ...WANTS_NOTHING, addHeaders: true }
  override endOfMessage(macros: Macros): MessageEnd {
    return { headers: [['X-Queue-Id', macros.get('i') ?? '']], reply: CONTINUE }
  }
}
const { addresses, close } = await serveMilter({ listen: 'inet:0@127.0.0.1', newFilter: () => new Typed() })
const first: string | undefined = addresses[0]
await close(0)
// @ts-expect-error: there is no such reply
const refusal: Awaited<ReturnType<Filter['mail']>> = { kind: 'reject' }
export { first, refusal }
`,
  )
  const types = join(process.cwd(), 'node_modules/@types')
  const options = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--types', 'node']
  const tsc = join(process.cwd(), 'node_modules/.bin/tsc')
  await run(tsc, [...options, '--typeRoots', types, 'typed.ts'], { cwd: home }).catch(({ stdout }) =>
    assert.fail(stdout),
  )
})

test('the filter of the guide adds its header, under Postfix and under Sendmail', async (t) => {
  const guide = await readFile(join(home, 'node_modules/greymx/src/library/README.md'), 'utf8')
  const [, filter = ''] = /^```js\n(.*?)^```$/ms.exec(guide) ?? []
  await writeFile(join(home, 'filter.mjs'), filter)
  const port = await freePort()
  const daemon = await startDaemon({
    command: process.execPath,
    args: ['filter.mjs', `inet:${port}@127.0.0.1`],
    cwd: home,
    ready: (output) => output.includes(`listening on inet:${port}@127.0.0.1`),
  })
  t.after(() => daemon.stop())
  const parts = await scratch(t)
  await headerIsAdded(await startPostfix({ dir: parts, milter: `inet:127.0.0.1:${port}` }))
  await headerIsAdded(
    await startSendmail({ dir: parts, milter: `S=inet:${port}@127.0.0.1, T=C:5s;S:5s;R:5s;E:10s` }),
  )
  daemon.signal('SIGTERM')
  assert.equal(await daemon.exited(), 0)
})

async function headerIsAdded(mta: Mta): Promise<void> {
  const client = await connect(mta)
  await client.ehlo('client.test')
  for (const count of [2, 1]) {
    await client.command('MAIL FROM:<a@a.test>')
    for (let index = 0; index < count; index += 1) await client.command(`RCPT TO:<u${index}@example.com>`)
    assert.match(await client.data(`Subject: ${count}\r\n\r\ntext\r\n`), /^250 /)
    const found = await waitFor('the message', async () =>
      (await mta.delivered()).find(({ data }) => data.includes(`Subject: ${count}`)),
    )
    assert.match(found.data.toString('latin1'), new RegExp(`^X-Recipients: ${count}\r?$`, 'm'))
  }
  await client.quit()
}

test('serveMilter() names the socket that it cannot listen on', async () => {
  const { serveMilter, Filter } = await import('../../src/library/milter.ts')
  const newFilter = () => new Filter()
  await assert.rejects(
    serveMilter({ listen: 'localhost:1', newFilter }),
    /"localhost:1": expected inet:PORT@HOST/,
  )
  const milter = await serveMilter({ listen: ['inet:0@127.0.0.1', `unix:${dir}/filter.sock`], newFilter })
  const [taken = '', path = ''] = milter.addresses
  await assert.rejects(serveMilter({ listen: taken, newFilter }), /Cannot listen on inet:\d+@127\.0\.0\.1/)
  const spec = parseSocketSpec(path)
  assert.ok(spec)
  const client = await connectToFilter(spec, 5000)
  const connection = { hostName: 'a.test', family: 'inet', port: 1, address: '192.0.2.1' } as const
  assert.equal((await client.connect(connection)).code, 'c')
  client.quit()
  await milter.close()
})
