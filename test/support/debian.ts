// Runs before the tests, as root on Debian 12 or 13, and provides the servers and tools that they use. It installs
// Postfix, Redis, Knot (a DNS server), systemd's tools, podman, debhelper and lintian, the shells zsh and fish, Chromium and nginx.
// Sendmail and Exim, which conflict with Postfix, and Postgrey, sqlgrey, greylistd, Prometheus and Valkey, which are not
// to run as services of the machine, are unpacked below node_modules. A whole Debian 13, in which the package of greymx
// is installed, is unpacked below /var/cache. Debian 12 has no Valkey; the tests go without it there, and say so.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, chmod, mkdir, mkdtemp, readdir, rename, rm, unlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { debianRoot } from './debian-system.ts'
import { eximBinary, eximRoot, greylistdExample, greylistdSetup } from './exim.ts'
import { libraryPath } from './libraries.ts'
import { postgreyClients, postgreyRecipients, postgreyRoot } from './postgrey.ts'
import { prometheusRoot, prometheusServer, promtool } from './prometheus.ts'
import { saslpasswd, sendmailBinary, sendmailRoot, unpackedEnvironment } from './sendmail.ts'
import { sqlgreyProgram, sqlgreyRoot, sqlgreySettings } from './sqlgrey.ts'
import { valkeyBinary, valkeyRoot, valkeyServer } from './valkey.ts'

const run = promisify(execFile)

// libsasl2-modules has CRAM-MD5, which the SASL library finds in the system's folder only.
const toInstall = [
  'postfix',
  'redis-server',
  'knot',
  'm4',
  'libsasl2-modules',
  'libfaketime',
  'openssl',
  'systemd',
  // Its parser of mail reads what greymx report --mail prints.
  'python3',
  // Shells that complete greymx.
  'zsh',
  'fish',
  // docker/trial needs podman; if it cannot run containers, it says why.
  'podman',
  'runc',
  'netavark',
  'aardvark-dns',
  'iptables',
  'nftables',
  'debootstrap',
  'podman-compose',
  'docker-compose',
  // The Debian package is built and examined with these.
  'debhelper',
  'lintian',
  'mmdebstrap',
  'file',
  // The page is read with a browser, and by way of a reverse proxy.
  'chromium',
  'nginx-light',
  // What Postgrey and sqlgrey need to run.
  'libnet-server-perl',
  'libio-multiplex-perl',
  'libnetaddr-ip-perl',
  'libberkeleydb-perl',
  'libdbd-sqlite3-perl',
  // With these, greymx import reads the databases of both.
  'db-util',
  'sqlite3',
]

/** Packages that are only unpacked. */
interface Unpacked {
  readonly packages: readonly string[]
  readonly root: string
  readonly files: readonly string[]
  readonly unpack: (packages: readonly string[], work: string, root: string) => Promise<void>
  /** Prepares the files in `root` for use. */
  readonly prepare?: () => Promise<void>
}

const toUnpack: readonly Unpacked[] = [
  {
    packages: ['sendmail-bin', 'sendmail-cf', 'sasl2-bin'],
    root: sendmailRoot,
    files: [sendmailBinary, saslpasswd],
    unpack: unpackWithLibraries,
    prepare: prepareSendmail,
  },
  {
    packages: ['exim4-daemon-light', 'exim4-config', 'greylistd'],
    root: eximRoot,
    files: [eximBinary, greylistdExample, greylistdSetup],
    unpack: unpackWithLibraries,
    prepare: prepareExim,
  },
  {
    packages: ['postgrey'],
    root: postgreyRoot,
    files: [postgreyClients, postgreyRecipients],
    unpack: unpackAlone,
  },
  {
    packages: ['sqlgrey'],
    root: sqlgreyRoot,
    files: [sqlgreyProgram, sqlgreySettings],
    unpack: unpackAlone,
  },
  {
    packages: ['prometheus'],
    root: prometheusRoot,
    files: [promtool, prometheusServer],
    unpack: unpackAlone,
  },
  {
    packages: ['nodejs', 'postfix', 'procps', 'systemd'],
    root: debianRoot,
    files: ['node', 'kill', 'systemd-socket-activate'].map((name) => join(debianRoot, 'usr/bin', name)),
    unpack: unpackSystem,
  },
]

/** What the tests can do without: they are left out where apt has none. */
const ifAvailable: readonly Unpacked[] = [
  {
    packages: ['valkey-server', 'valkey-tools'],
    root: valkeyRoot,
    files: [valkeyServer],
    unpack: unpackWithLibraries,
    prepare: prepareValkey,
  },
]

/** The script that invoke-rc.d asks before a package starts its service; Debian ships none. */
const servicePolicy = '/usr/sbin/policy-rc.d'

if (await provide()) for (const unpacked of ifAvailable) await provideIfAvailable(unpacked)

/** Whether there is all that the tests cannot do without. */
async function provide(): Promise<boolean> {
  const missing = await notInstalled(toInstall)
  const lacking: Unpacked[] = []
  for (const unpacked of toUnpack) if (!(await allExist(unpacked.files))) lacking.push(unpacked)
  const isRoot = process.getuid?.() === 0
  if (isRoot && missing.length === 0 && lacking.length === 0) return true

  if (!isRoot || !(await exists('/usr/bin/apt-get'))) {
    console.error(shortcomings(isRoot, missing, lacking))
    process.exitCode = 1
    return false
  }
  const packages = [...missing, ...lacking.flatMap((unpacked) => unpacked.packages)]
  console.log(`Fetching for the tests: ${packages.join(', ')}`)
  await apt(['update'])
  if (missing.length > 0) await install(missing)
  await Promise.all(lacking.map(unpackIntoPlace))
  return true
}

async function provideIfAvailable(unpacked: Unpacked): Promise<void> {
  if (await allExist(unpacked.files)) return
  const names = unpacked.packages.join(', ')
  const known = await run('apt-cache', ['show', ...unpacked.packages]).catch(() => undefined)
  if (!known) {
    console.log(`Left out: the tests with ${names}, which apt does not know here`)
    return
  }
  console.log(`Fetching for the tests: ${names}`)
  try {
    await unpackIntoPlace(unpacked)
  } catch (error) {
    console.log(`Left out: the tests with ${names}: ${error instanceof Error ? error.message : error}`)
  }
}

function shortcomings(isRoot: boolean, missing: readonly string[], lacking: readonly Unpacked[]): string {
  return [
    'Cannot run the tests, which start real Postfix, Sendmail, Redis and DNS servers:',
    ...(isRoot ? [] : ['- not root, and mail servers have to change their user and their host name']),
    ...(missing.length > 0 ? [`- not installed: ${missing.join(', ')} (Debian packages)`] : []),
    ...lacking.map(
      ({ packages, root }) => `- not unpacked to ${root}: ${packages.join(', ')} (Debian packages)`,
    ),
    'As root on Debian 12 or 13 with apt-get, `npm test` fetches by itself what is missing.',
  ].join('\n')
}

async function install(packages: readonly string[]): Promise<void> {
  if (packages.includes('postfix')) {
    await runWith('debconf-set-selections', 'postfix postfix/main_mailer_type select No configuration\n')
  }
  // Status 101 forbids the package to start its service, as only the instances of the tests are to run.
  const isOurs = !(await exists(servicePolicy))
  if (isOurs) await writeFile(servicePolicy, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    // On a machine with another mail server this fails, and that server stays.
    await apt(['install', '-y', '--no-install-recommends', '--no-remove', ...packages])
  } finally {
    if (isOurs) await unlink(servicePolicy)
  }
}

// The folder is renamed when it is complete, so that a folder of this name is complete.
async function unpackIntoPlace({ packages, root: place, unpack, prepare }: Unpacked): Promise<void> {
  await mkdir(dirname(place), { recursive: true })
  const work = await mkdtemp(`${place}-`)
  const root = join(work, 'root')
  try {
    await unpack(packages, work, root)
    await rm(place, { recursive: true, force: true })
    await rename(root, place)
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  await prepare?.()
}

async function prepareSendmail(): Promise<void> {
  // With the set-gid bit, the loader would ignore the path to the libraries that are unpacked beside it.
  await chmod(sendmailBinary, 0o755)
  const env = await unpackedEnvironment()
  for (const program of [sendmailBinary, saslpasswd]) {
    const { stdout } = await run('ldd', [program], { env })
    if (stdout.includes('not found')) throw new Error(`Cannot find all libraries of ${program}:\n${stdout}`)
  }
}

async function prepareExim(): Promise<void> {
  // With the set-uid bit, the loader would ignore the path to the libraries that are unpacked beside it.
  await chmod(eximBinary, 0o755)
  const env = { ...process.env, LD_LIBRARY_PATH: await libraryPath(eximRoot) }
  const { stdout } = await run('ldd', [eximBinary], { env })
  if (stdout.includes('not found')) throw new Error(`Cannot find all libraries of ${eximBinary}:\n${stdout}`)
}

async function prepareValkey(): Promise<void> {
  const start = `#!/bin/sh\nLD_LIBRARY_PATH='${await libraryPath(valkeyRoot)}' exec '${valkeyBinary}' "$@"\n`
  const script = `${valkeyServer}.new`
  await writeFile(script, start, { mode: 0o755 })
  await run(script, ['--version'])
  await rename(script, valkeyServer) // once it is there, it works
}

/** Unpacks packages into `root`, with all libraries that they need and that are not installed. */
async function unpackWithLibraries(packages: readonly string[], work: string, root: string): Promise<void> {
  const unpacked = new Set<string>()
  for (let wanted = packages; wanted.length > 0; ) {
    const debs = await download(wanted, work)
    for (const name of wanted) unpacked.add(name)

    const libraries = new Set<string>()
    for (const deb of debs) {
      await run('dpkg', ['-x', deb, root])
      const { stdout } = await run('dpkg-deb', ['-f', deb, 'Depends'])
      for (const library of await missingLibraries(stdout)) libraries.add(library)
    }
    wanted = [...libraries].filter((name) => !unpacked.has(name))
  }
}

async function unpackAlone(packages: readonly string[], work: string, root: string): Promise<void> {
  for (const deb of await download(packages, work)) await run('dpkg', ['-x', deb, root])
}

/** Makes a system of Debian 13 with the packages, from the mirror that apt uses. */
async function unpackSystem(packages: readonly string[], _work: string, root: string): Promise<void> {
  const { stdout } = await run('apt-get', ['indextargets', '--format', '$' + '(SITE)'])
  const mirror = stdout.split('\n').find((site) => site !== '' && !site.includes('security'))
  const include = `--include=${packages.join()}`
  // It needs a third of the time that debootstrap takes.
  await run('mmdebstrap', [
    '--quiet',
    '--variant=minbase',
    include,
    'trixie',
    root,
    ...(mirror ? [mirror] : []),
  ])
}

/** Downloads the packages into a new folder in `work`, and returns the paths of their files. */
async function download(packages: readonly string[], work: string): Promise<string[]> {
  const folder = await mkdtemp(join(work, 'debs-'))
  await apt(['download', ...packages], folder)
  const names = await readdir(folder)
  return names.map((name) => join(folder, name))
}

/**
 * The libraries of a Depends field (Debian policy 7.1) of which no alternative is installed; the first one is named.
 */
async function missingLibraries(depends: string): Promise<string[]> {
  const missing: string[] = []
  for (const dependency of depends.split(',')) {
    const alternatives = dependency.split('|').map((name) => name.trim().replace(/[ (:].*$/s, ''))
    const [first = ''] = alternatives
    if (!first.startsWith('lib')) continue
    if ((await notInstalled(alternatives)).length === alternatives.length) missing.push(first)
  }
  return missing
}

async function notInstalled(packages: readonly string[]): Promise<string[]> {
  const query = ['-W', '-f', '$' + '{Package} $' + '{db:Status-Status}\n', ...packages]
  // dpkg-query fails if it does not know one of the packages, after it has listed the others.
  const { stdout } = await run('dpkg-query', query).catch((error: { stdout?: string }) => error)
  const states = (stdout ?? '').split('\n')
  return packages.filter((name) => !states.includes(`${name} installed`))
}

async function apt(args: readonly string[], cwd?: string): Promise<void> {
  // apt downloads as root, as its own user may not write here.
  await runWith('apt-get', '', ['-qq', '-o', 'APT::Sandbox::User=root', ...args], cwd)
}

async function runWith(
  command: string,
  input: string,
  args: readonly string[] = [],
  cwd?: string,
): Promise<void> {
  const child = spawn(command, args, {
    cwd,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    stdio: ['pipe', 'inherit', 'inherit'],
  })
  child.stdin.end(input)
  const [status] = await once(child, 'close')
  if (status !== 0)
    throw new Error(`Cannot provide what the tests need: ${command} ${args.join(' ')} ended with ${status}`)
}

async function allExist(paths: readonly string[]): Promise<boolean> {
  const found = await Promise.all(paths.map(exists))
  return found.every(Boolean)
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
