// Starts a real Exim, which debian.ts unpacks, as root in a mount namespace of its own. There it has Debian's user for
// it, the configuration and the hosts file of the test, and the machine keeps its own.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, cp, mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { parseIp } from '../../src/ip.ts'
import type { Certificates } from './certificates.ts'
import { startDaemon } from './daemon.ts'
import { libraryPath } from './libraries.ts'
import type { Mta } from './mta.ts'
import { endWith, freePort, isListening } from './scratch.ts'
import { connect, type SmtpClient, startSink } from './smtp.ts'

const run = promisify(execFile)

/** The folder with the unpacked Debian packages of Exim and greylistd, below the root of the repository. */
export const eximRoot = join(process.cwd(), 'node_modules/.cache/greymx/exim')
export const eximBinary = join(eximRoot, 'usr/sbin/exim4')
/** The file in which greylistd documents its ACL. */
export const greylistdExample = join(eximRoot, 'usr/share/doc/greylistd/examples/exim4-acl-example.txt')
/** The program that writes greylistd's ACL into Exim's configuration. */
export const greylistdSetup = join(eximRoot, 'usr/sbin/greylistd-setup-exim4')
/** Debian's program that writes Exim's configuration from the files in /etc/exim4. */
const updateConfig = join(eximRoot, 'usr/sbin/update-exim4.conf')

/** A user that no other process has; it is Debian-exim within the namespace only. */
const EXIM_UID = 64_999

export interface EximOptions {
  /** A folder of `scratch`. */
  readonly dir: string
  /** Names to which the addresses of clients lead. Exim confirms none, as it asks DNS whether they lead back. */
  readonly hosts?: Readonly<Record<string, string>>
  /** If given, Exim offers STARTTLS and asks clients for a certificate. */
  readonly tls?: Certificates
  /**
   * Files of the configuration by their paths, such as /etc/exim4/conf.d/main/00_greymx. With Debian's, they are added
   * to the split configuration of exim4-config; with `own`, /etc/exim4/main, /etc/exim4/rcpt and /etc/exim4/data are
   * included in a small configuration.
   */
  readonly files: Readonly<Record<string, string>>
  readonly configuration: 'debian' | 'own'
  /** Lines of shell that change the files in /etc before the configuration is made of them. */
  readonly prepare?: string
}

/** What a client says of itself in place of its connection: Exim has no XCLIENT, but believes the root user. */
export interface EximClaims {
  readonly address: string
  /** Its host name, which counts as confirmed. */
  readonly name?: string
  /** The authenticator by which it has logged in. */
  readonly authenticator?: string
}

export interface Exim extends Mta {
  /** A session after EHLO with `exim -bs`, for a client at any address. */
  session(claims: EximClaims): Promise<SmtpClient>
  /** What `exim -bP config` prints. */
  printedConfig(): Promise<string>
}

/** Starts Exim. Clients of its port are told apart by their loopback addresses. */
export async function startExim(options: EximOptions): Promise<Exim> {
  const { dir: parent, hosts = {}, tls, files, configuration, prepare = '' } = options
  const hostname = 'mx.exim.test'
  const port = await freePort()
  const dir = await mkdtemp(join(parent, 'exim-'))
  await chmod(dir, 0o755) // Exim drops its privileges
  const etc = join(dir, 'etc')
  const sink = await startSink()
  endWith(parent, sink.close)

  const write = async (path: string, content: string) => {
    const place = join(dir, path)
    await mkdir(dirname(place), { recursive: true })
    await writeFile(place, content)
  }
  // Exim reads what is in /etc, so that it gets one of its own.
  await run('cp', ['-a', '/etc', etc])
  await run('rm', ['-rf', join(etc, 'exim4')])
  const names = { '127.0.0.1': `localhost ${hostname}`, ...hosts }
  await write('etc/hosts', lines(Object.entries(names).map(([ip, name]) => `${ip} ${name}`)))
  await write('etc/nsswitch.conf', lines(['hosts: files', 'passwd: files', 'group: files']))
  await write('etc/mailname', `${hostname}\n`)
  const user = `Debian-exim:x:${EXIM_UID}:${EXIM_UID}::/:/bin/false\n`
  for (const [name, line] of [
    ['passwd', user],
    ['group', `Debian-exim:x:${EXIM_UID}:\n`],
  ] as const)
    await write(`etc/${name}`, `${await readFile(`/etc/${name}`, 'utf8')}${line}`)
  await mkdir(join(dir, 'spool'))
  await chown(join(dir, 'spool'), EXIM_UID, EXIM_UID)

  const config = join(dir, 'exim.conf')
  await write('etc/exim4/trusted_configs', `${config}\n`)
  if (tls) {
    await cp(tls.folder, join(dir, 'tls'), { recursive: true })
    await run('chown', ['-R', `${EXIM_UID}`, join(dir, 'tls')])
  }
  const settings = { dir, hostname, port, sinkPort: sink.port, tls }
  if (configuration === 'own') await write('exim.conf', ownConfig(settings))
  else {
    await cp(join(eximRoot, 'etc/exim4'), join(etc, 'exim4'), { recursive: true })
    await write('etc/exim4/update-exim4.conf.conf', lines(debianSettings(port)))
    await write('etc/exim4/conf.d/main/000_test', mainSettings(settings, DEBIAN_NAMES))
    await write('etc/exim4/conf.d/router/050_test', ROUTER)
    await write('etc/exim4/conf.d/transport/20_test', transport(sink.port))
  }
  for (const [path, content] of Object.entries(files)) await write(path, content)
  await write('start.sh', startScript)
  await write('prepare.sh', prepare)

  const env = { ...process.env, LD_LIBRARY_PATH: await libraryPath(eximRoot) }
  const exim = [eximBinary, '-C', config]
  const generate = configuration === 'debian' ? updateConfig : ''
  const daemon = await startDaemon({
    command: 'unshare',
    args: [
      ...['--mount', '--pid', '--fork', '--kill-child', '--mount-proc'],
      ...['sh', 'start.sh', generate, config, ...exim, '-bdf', '-q10m'],
    ],
    cwd: dir,
    env,
    // unshare ignores SIGTERM; when it is killed, the kernel kills all processes in its namespace.
    stopSignal: 'SIGKILL',
    ready: () => isListening(port),
  })
  endWith(parent, () => daemon.stop())
  const inside = (...args: readonly string[]) => [
    'unshare',
    '--mount',
    'sh',
    'start.sh',
    '',
    config,
    ...exim,
    ...args,
  ]

  return {
    host: '127.0.0.1',
    port,
    hostname,
    log: () => readFile(join(dir, 'spool/mainlog'), 'utf8').catch(() => ''),
    delivered: async () => [...sink.messages],
    stop: async () => {
      await daemon.stop()
      await sink.close()
    },
    session: (claims) => sessionBy(inside('-bs', ...claimsOf(claims)), dir, env),
    async printedConfig() {
      const [command = '', ...args] = inside('-bP', 'config')
      const { stdout } = await run(command, args, { cwd: dir, env })
      return stdout
    },
  }
}

function claimsOf({ address, name, authenticator }: EximClaims): string[] {
  return [
    // Exim would take the last part of an IPv4 address in an IPv6 address for a port.
    ...['-oMa', parseIp(address)?.text ?? address],
    ...(name === undefined ? [] : ['-oMs', name]),
    ...(authenticator === undefined ? [] : ['-oMaa', authenticator, '-oMai', 'joe']),
  ]
}

/** A session with a command that speaks SMTP on its standard input and output. */
async function sessionBy(
  [command = '', ...args]: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<SmtpClient> {
  const server = createServer((socket) => {
    const child = spawn(command, args, { cwd, env, stdio: ['pipe', 'pipe', 'ignore'] })
    socket.on('error', () => child.kill())
    child.stdin.on('error', () => socket.destroy())
    socket.pipe(child.stdin)
    child.stdout.pipe(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // it listens on TCP
  const client = await connect({ host: '127.0.0.1', port })
  server.close()
  await client.ehlo()
  return client
}

interface Settings {
  readonly dir: string
  readonly hostname: string
  readonly port: number
  readonly sinkPort: number
  readonly tls: Certificates | undefined
}

/** The names of settings in Debian's configuration, where macros have some. */
const DEBIAN_NAMES = {
  primary_hostname: 'MAIN_HARDCODE_PRIMARY_HOSTNAME',
  spool_directory: 'SPOOLDIR',
  keep_environment: 'MAIN_KEEP_ENVIRONMENT',
  smtputf8_advertise_hosts: 'MAIN_SMTPUTF8_ADVERTISE_HOSTS',
  tls_certificate: 'MAIN_TLS_CERTIFICATE',
  tls_privatekey: 'MAIN_TLS_PRIVATEKEY',
  tls_verify_certificates: 'MAIN_TLS_VERIFY_CERTIFICATES',
  tls_try_verify_hosts: 'MAIN_TLS_TRY_VERIFY_HOSTS',
}

function mainSettings(
  { dir, hostname, tls }: Settings,
  names: Readonly<Record<string, string>> = {},
): string {
  // Exim reads them as its own user.
  const copyOf = (file: string) => join(dir, 'tls', basename(file))
  const settings: Record<string, string> = {
    primary_hostname: hostname,
    spool_directory: join(dir, 'spool'),
    log_file_path: join(dir, 'spool/%slog'),
    pid_file_path: join(dir, 'spool/pid'),
    // The processes that deliver start anew, with the libraries that are unpacked beside Exim.
    keep_environment: 'LD_LIBRARY_PATH',
    deliver_drop_privilege: 'true',
    // Exim would ask a name server first, and wait for it.
    host_lookup_order: 'byaddr',
    smtputf8_advertise_hosts: '*',
    // A machine that is busy with tests would have its mail queued.
    queue_only_load: '1000',
    ...(tls
      ? {
          tls_certificate: copyOf(tls.server.cert),
          tls_privatekey: copyOf(tls.server.key),
          tls_verify_certificates: copyOf(tls.authority),
          tls_try_verify_hosts: '*',
        }
      : { tls_advertise_hosts: '' }),
  }
  const isDebian = names === DEBIAN_NAMES
  return lines([
    ...(tls && isDebian ? ['MAIN_TLS_ENABLE = yes'] : []),
    ...Object.entries(settings).map(([name, value]) => `${names[name] ?? name} = ${value}`),
  ])
}

function debianSettings(port: number): string[] {
  return [
    "dc_eximconfig_configtype='internet'",
    "dc_other_hostnames=''",
    `dc_local_interfaces='127.0.0.1.${port}'`,
    "dc_relay_domains='example.com;example.net'",
    "dc_relay_nets=''",
    "dc_smarthost=''",
    "dc_minimaldns='false'",
    "CFILEMODE='644'",
    "dc_use_split_config='true'",
    "dc_hide_mailname=''",
    "dc_mailname_in_oh='true'",
    "dc_localdelivery='mail_spool'",
  ]
}

const ROUTER = `
test_sink:
  driver = manualroute
  domains = example.com : example.net
  route_list = * 127.0.0.1 byname
  self = send
  transport = test_sink
`

function transport(sinkPort: number): string {
  return `\ntest_sink:\n  driver = smtp\n  port = ${sinkPort}\n  hosts_avoid_tls = *\n`
}

/** A small configuration, with the files of the test in it. */
function ownConfig(settings: Settings): string {
  return `
${mainSettings(settings)}
.include_if_exists /etc/exim4/main
domainlist local_domains =
domainlist relay_to_domains = example.com : example.net
hostlist relay_from_hosts =
local_interfaces = 127.0.0.1.${settings.port}
auth_advertise_hosts =
acl_smtp_rcpt = acl_check_rcpt
acl_smtp_data = acl_check_data
begin acl
acl_local_deny_exceptions:
  deny
acl_check_rcpt:
  deny
    domains = !+relay_to_domains
    message = relay not permitted
.include_if_exists /etc/exim4/rcpt
  accept
acl_check_data:
.include_if_exists /etc/exim4/data
  accept
begin routers
${ROUTER}
begin transports
${transport(settings.sinkPort)}
`
}

const startScript = `
set -e
mount --bind etc /etc
update="$1"; config="$2"; shift 2
if [ "$update" ]; then sh -e prepare.sh; sh "$update" -o "$config"; fi
exec "$@"
`

function lines(all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join('')
}
