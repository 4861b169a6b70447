// Starts a real Sendmail, which debian.ts unpacks, as root in namespaces of its own. There it has the host name, the
// hosts file, the syslog socket and the SASL configuration of the test, and the machine keeps its own.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Certificates } from './certificates.ts'
import { startDaemon } from './daemon.ts'
import { libraryPath } from './libraries.ts'
import type { Mta } from './mta.ts'
import { endWith, freePort, isListening } from './scratch.ts'
import { startSink } from './smtp.ts'

const run = promisify(execFile)

/** The folder with the unpacked Debian packages of Sendmail, below the root of the repository. */
export const sendmailRoot = join(process.cwd(), 'node_modules/.cache/greymx/sendmail')
export const sendmailBinary = join(sendmailRoot, 'usr/libexec/sendmail/sendmail')
export const saslpasswd = join(sendmailRoot, 'usr/sbin/saslpasswd2')

/** The one user that Sendmail authenticates, by CRAM-MD5; `{auth_authen}` reads as `user`. */
export const sendmailUser = { user: 'joe', password: 'correct horse' } as const

export interface SendmailOptions {
  /**
   * The equates of INPUT_MAIL_FILTER, such as `S=unix:/path, F=T, T=S:5s;R:5s`; without F, mail passes if the filter
   * fails.
   */
  readonly milter: string
  /** A folder of `scratch`. */
  readonly dir: string
  /** Forward-confirmed names of clients by address; other addresses have no name. */
  readonly hosts?: Readonly<Record<string, string>>
  /** If given, Sendmail offers STARTTLS and asks clients for a certificate. */
  readonly tls?: Certificates
  /** Lines of the .mc file before its features, such as `define(…)`. */
  readonly definitions?: string
}

/** Starts Sendmail. Clients are told apart by their loopback addresses, as Sendmail has no XCLIENT. */
export async function startSendmail(options: SendmailOptions): Promise<Mta> {
  const { milter, dir: parent, hosts = {}, tls, definitions = '' } = options
  const hostname = 'mx.sendmail.test'
  const port = await freePort()
  const dir = await mkdtemp(join(parent, 'sendmail-'))
  const env = await unpackedEnvironment()

  const names = { '127.0.0.1': `localhost ${hostname}`, ...hosts }
  const file = (name: string, content: string) => writeFile(join(dir, name), content)
  await file('hosts', lines(Object.entries(names).map(([ip, name]) => `${ip} ${name}`)))
  await file('nsswitch.conf', lines(['hosts: files', 'passwd: files', 'group: files']))
  await file('service.switch', lines(['hosts files', 'aliases files']))
  await run('install', ['-d', '-m', '700', join(dir, 'queue'), join(dir, 'dev'), join(dir, 'sasl')])
  await file('sasl/Sendmail.conf', lines(saslSettings(dir)))
  await addUser(dir, hostname, env)
  const sink = await startSink()
  endWith(parent, sink.close)
  await file(
    'sendmail.mc',
    masterConfig({ dir, hostname, port, sinkPort: sink.port, milter, tls, definitions }),
  )
  const { stdout } = await run('m4', [
    `-D_CF_DIR_=${sendmailRoot}/usr/share/sendmail/cf/`,
    join(dir, 'sendmail.mc'),
  ])
  await file('sendmail.cf', stdout)
  await file('start.sh', startScript)

  const logger = await startDaemon({
    command: 'perl',
    args: ['-e', logKeeper, 'log.sock', 'log'],
    cwd: dir,
    ready: (output) => output.includes('ready'),
  })
  endWith(parent, () => logger.stop())
  const daemon = await startDaemon({
    command: 'unshare',
    args: [
      ...['--uts', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'],
      ...['sh', 'start.sh', hostname, sendmailBinary, join(dir, 'sendmail.cf')],
    ],
    cwd: dir,
    env,
    // unshare ignores SIGTERM; when it is killed, the kernel kills all processes in its namespace.
    stopSignal: 'SIGKILL',
    ready: () => isListening(port),
  })
  endWith(parent, () => daemon.stop())

  return {
    host: '127.0.0.1',
    port,
    hostname,
    log: () => readFile(join(dir, 'log'), 'utf8').catch(() => ''),
    delivered: async () => [...sink.messages],
    stop: async () => {
      await daemon.stop()
      await logger.stop()
      await sink.close()
    },
  }
}

/** The environment in which unpacked programs find the libraries that were unpacked with them. */
export async function unpackedEnvironment(): Promise<NodeJS.ProcessEnv> {
  return { ...process.env, LD_LIBRARY_PATH: await libraryPath(sendmailRoot) }
}

function tlsSettings({ folder, authority, server }: Certificates): string {
  return `
define(\`confCACERT_PATH', \`${folder}')
define(\`confCACERT', \`${authority}')
define(\`confSERVER_CERT', \`${server.cert}')
define(\`confSERVER_KEY', \`${server.key}')
`
}

interface Settings {
  readonly dir: string
  readonly hostname: string
  readonly port: number
  readonly sinkPort: number
  readonly milter: string
  readonly tls: Certificates | undefined
  readonly definitions: string
}

// Every recipient goes to the sink by SMTP with its body unchanged: lines have no limit (L=0), and nothing is recoded
// (F=8). The machine's aliases and statistics are not used.
function masterConfig({ dir, hostname, port, sinkPort, milter, tls, definitions }: Settings): string {
  return `
include(\`${sendmailRoot}/usr/share/sendmail/cf/m4/cf.m4')
OSTYPE(\`linux')
define(\`confDOMAIN_NAME', \`${hostname}')
define(\`QUEUE_DIR', \`${dir}/queue')
define(\`STATUS_FILE', \`')
define(\`confPID_FILE', \`${dir}/pid')
undefine(\`ALIAS_FILE')
define(\`confSERVICE_SWITCH_FILE', \`${dir}/service.switch')
define(\`confDONT_PROBE_INTERFACES', \`true')
define(\`confTO_IDENT', \`0s')
define(\`confLOG_LEVEL', \`12')
define(\`confBAD_RCPT_THROTTLE', \`0')
dnl A machine that is busy with tests would have its mail queued, and its clients refused.
define(\`confQUEUE_LA', \`1000')
define(\`confREFUSE_LA', \`1000')
define(\`confAUTH_MECHANISMS', \`EXTERNAL CRAM-MD5')${tls ? tlsSettings(tls) : ''}
${definitions}
FEATURE(\`accept_unresolvable_domains')
FEATURE(\`accept_unqualified_senders')
FEATURE(\`nocanonify')
FEATURE(\`no_default_msa')
DAEMON_OPTIONS(\`Name=MTA, Family=inet, Addr=127.0.0.1, Port=${port}')
INPUT_MAIL_FILTER(\`greymx', \`${milter}')
MAILER(\`smtp')
MAILER_DEFINITIONS
Msink,	P=[IPC], F=mDFMuXak8, S=EnvFromSMTP/HdrFromSMTP, R=EnvToSMTP, E=\\r\\n, L=0, T=DNS/RFC822/SMTP, A=TCP $h ${sinkPort}
LOCAL_CONFIG
CRexample.com example.net
LOCAL_RULE_0
R$* < @ $+ . >	$#sink $@ [127.0.0.1] $: $1 < @ $2 . >
R$* < @ $+ >	$#sink $@ [127.0.0.1] $: $1 < @ $2 >
`
}

// Sendmail sleeps for a minute when the host name has no dot, and closes every descriptor that could be open at each
// fork. The folder of devices is replaced, as /dev/log, to which syslog(3) writes, may not exist to be mounted over.
const startScript = `
set -e
hostname "$1"
mount --bind hosts /etc/hosts
mount --bind nsswitch.conf /etc/nsswitch.conf
mount --bind sasl /usr/lib/sasl2
mount -t tmpfs none dev
for name in null zero random urandom log; do : > "dev/$name"; done
for name in null zero random urandom; do mount --bind "/dev/$name" "dev/$name"; done
mount --bind log.sock dev/log
mount --rbind dev /dev
ulimit -n 1024
exec "$2" -bD -q1s -C "$3"
`

// A minimal syslogd in Perl, which every Debian machine has, as Node.js has no unix datagram sockets.
const logKeeper = `
use Socket; $| = 1; my ($path, $log) = @ARGV;
socket(my $socket, AF_UNIX, SOCK_DGRAM, 0) or die "socket: $!";
bind($socket, sockaddr_un($path)) or die "$path: $!";
open(my $out, '>>', $log) or die "$log: $!";
print "ready\\n";
while (defined recv($socket, my $entry, 65536, 0)) { $entry =~ s/^<\\d+>//; syswrite $out, "$entry\\n" }
`

function saslSettings(dir: string): string[] {
  return [
    'pwcheck_method: auxprop',
    'auxprop_plugin: sasldb',
    'mech_list: CRAM-MD5 EXTERNAL',
    `sasldb_path: ${join(dir, 'sasldb2')}`,
  ]
}

async function addUser(dir: string, realm: string, env: NodeJS.ProcessEnv): Promise<void> {
  const { user, password } = sendmailUser
  const child = spawn(saslpasswd, ['-p', '-c', '-f', join(dir, 'sasldb2'), '-u', realm, user], {
    env,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  child.stdin.end(password)
  const [status] = await once(child, 'close')
  if (status !== 0) throw new Error(`Cannot make a SASL user: saslpasswd2 ended with ${status}`)
}

function lines(all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join('')
}
