// Real Postfix instances, each in a folder of its own, as root: one that asks a milter and passes what it accepts on to
// a sink, and one that queues and retries as sending mail servers do. Neither touches the machine's own Postfix.

import { execFile } from 'node:child_process'
import { mkdtemp, readFile, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Daemon, startDaemon } from './daemon.ts'
import type { Mta } from './mta.ts'
import { endWith, freePort, isListening } from './scratch.ts'
import { connect, type SmtpClient, startSink, type XclientAttributes } from './smtp.ts'

const run = promisify(execFile)

export interface PostfixOptions {
  /** As in `smtpd_milters`: `inet:127.0.0.1:8891` or `unix:/path`; the user postfix must be able to write to the socket. */
  readonly milter: string
  /** A folder of `scratch`. */
  readonly dir: string
  /** Settings of main.cf that add to or replace those of the harness. */
  readonly settings?: Readonly<Record<string, string>>
  /** Has smtpd see nothing but the queue directory, as Debian sets it up. */
  readonly chroot?: boolean
}

export interface ReceivingPostfix extends Mta {
  readonly queueDirectory: string
}

/** The receiving end. Its clients may say XCLIENT; authenticated ones are those that claim a LOGIN there. */
export async function startPostfix(options: PostfixOptions): Promise<ReceivingPostfix> {
  const { milter, dir, settings, chroot = false } = options
  const sink = await startSink()
  endWith(dir, sink.close)
  const hostname = 'mx.postfix.test'
  const main = {
    myhostname: hostname,
    relay_domains: 'example.com example.net',
    // Not even its own network may send elsewhere: a refused recipient must be possible for every client.
    smtpd_relay_restrictions: 'reject_unauth_destination',
    // The port is on loopback alone; and one that has become another client may become a third.
    smtpd_authorized_xclient_hosts: '0.0.0.0/0 [::]/0',
    relayhost: `[127.0.0.1]:${sink.port}`,
    // Lines of any length are to arrive as they were sent.
    smtp_line_length_limit: '0',
    smtpd_milters: milter,
    // The milter's own default is to tempfail, which a test could not tell from greylisting.
    milter_default_action: 'accept',
    milter_connect_timeout: '5s',
    milter_command_timeout: '5s',
    milter_content_timeout: '10s',
    ...settings,
  }
  const instance = await startInstance(dir, main, chroot)
  return {
    queueDirectory: instance.queueDirectory,
    host: '127.0.0.1',
    hostname,
    port: instance.port,
    log: instance.log,
    delivered: async () => [...sink.messages],
    stop: async () => {
      await instance.stop()
      await sink.close()
    },
  }
}

/** What it has logged of a milter that failed it, or of itself. */
export async function complaintsOf(mta: Mta): Promise<string[]> {
  const log = await mta.log()
  return log.split('\n').filter((line) => /warning:|fatal:|panic:|4\.7\.1 Service unavailable/.test(line))
}

/** A session after EHLO, from a client that has, but for what `claims` says, no name. */
export async function startSession(mta: Mta, claims: XclientAttributes): Promise<SmtpClient> {
  const client = await connect(mta)
  await client.ehlo('client.test')
  await client.xclient({ NAME: '[UNAVAILABLE]', ...claims })
  return client
}

export interface QueueingPostfixOptions {
  /** The port of the MTA that gets everything. */
  readonly relayPort: number
  /** A folder of `scratch`. */
  readonly dir: string
  /** The loopback address it connects from. */
  readonly sourceAddress?: string
  /** Settings of main.cf that add to or replace those of the harness. */
  readonly settings?: Readonly<Record<string, string>>
}

export type QueueingPostfix = Omit<Mta, 'delivered'>

/** The sending end: takes any mail from anyone and tries again every two to three seconds where it is deferred. */
export async function startQueueingPostfix(options: QueueingPostfixOptions): Promise<QueueingPostfix> {
  const { relayPort, dir, sourceAddress = '127.0.0.1', settings } = options
  const hostname = 'out.postfix.test'
  const instance = await startInstance(dir, {
    myhostname: hostname,
    relayhost: `[127.0.0.1]:${relayPort}`,
    smtpd_relay_restrictions: 'permit_mynetworks, reject',
    smtp_bind_address: sourceAddress,
    minimal_backoff_time: '2s',
    maximal_backoff_time: '3s',
    queue_run_delay: '1s',
    ...settings,
  })
  return { host: '127.0.0.1', hostname, ...instance }
}

interface Instance {
  readonly port: number
  readonly queueDirectory: string
  log(): Promise<string>
  stop(): Promise<void>
}

async function startInstance(
  parent: string,
  settings: Readonly<Record<string, string>>,
  chroot = false,
): Promise<Instance> {
  const port = await freePort()
  const dir = await mkdtemp(join(parent, 'postfix-'))
  const config = join(dir, 'config')
  const queue = join(dir, 'queue')
  const data = join(dir, 'data')
  const mailLog = join(dir, 'log')
  // mkdtemp leaves the folder to root alone, and most of Postfix runs as another user.
  await run('chmod', ['755', dir])
  await run('install', ['-d', config, queue])
  await run('install', ['-d', '-o', 'postfix', data])
  const main = {
    compatibility_level: '3.6',
    queue_directory: queue,
    data_directory: data,
    maillog_file: mailLog,
    maillog_file_prefixes: parent,
    inet_interfaces: '127.0.0.1',
    inet_protocols: 'all',
    mynetworks: '127.0.0.0/8',
    mydestination: '',
    local_recipient_maps: '',
    alias_maps: '',
    alias_database: '',
    // No name server is to be asked anything.
    smtpd_peername_lookup: 'no',
    smtp_dns_support_level: 'disabled',
    smtp_host_lookup: 'native',
    smtp_tls_security_level: 'none',
    smtpd_tls_security_level: 'none',
    smtputf8_enable: 'yes',
    // What Postfix does against clients that make mistakes would slow down or end a scenario full of refusals.
    // Postfix makes whoever sends faster than it delivers wait for a second; no answer of the milter takes that long.
    in_flow_delay: '0',
    smtpd_error_sleep_time: '0',
    smtpd_soft_error_limit: '1000000',
    smtpd_hard_error_limit: '1000000',
    smtpd_junk_command_limit: '1000000',
    ...settings,
  }
  const lines = Object.entries(main).map(([name, value]) => `${name} = ${value}\n`)
  await writeFile(join(config, 'main.cf'), lines.join(''))
  await writeFile(join(config, 'master.cf'), masterCf(port, chroot))
  // Every program of Postfix waits and reads again while a file is so young that it might still be being written
  // (dict_load_file_xt): seconds in all.
  for (const name of ['main.cf', 'master.cf']) await utimes(join(config, name), 0, 0)

  const daemon = await startMaster(config, dir, port)
  endWith(parent, () => daemon.stop())
  return {
    port,
    queueDirectory: queue,
    log: () => readFile(mailLog, 'utf8').catch(() => ''),
    stop: () => daemon.stop(),
  }
}

// The checks that `postfix start` begins with, which also make the queue, and then the master as `postfix start-fg` runs
// it. As the master ignores what becomes of its parent, both are in a PID namespace: its end is the end of all in it.
// The limit, which node raises as far as it may, matters: Postfix's programs begin by closing every descriptor that
// could be open.
async function startMaster(config: string, dir: string, port: number): Promise<Daemon> {
  const { stdout } = await run('postconf', ['-d', '-h', 'daemon_directory'])
  const script = 'ulimit -n 1024 && postfix -c "$1" check && { "$2/master" -c "$1" -s & wait; }'
  return startDaemon({
    command: 'unshare',
    args: ['--pid', '--fork', '--kill-child', 'sh', '-c', script, 'sh', config, stdout.trim()],
    cwd: dir,
    // unshare turns a deaf ear to SIGTERM.
    stopSignal: 'SIGKILL',
    ready: () => isListening(port),
  })
}

// Debian's master.cf with chroot for smtpd at most, and without services for other transports; log entries go through postlogd.
function masterCf(port: number, chroot: boolean): string {
  return `
127.0.0.1:${port} inet n - ${chroot ? 'y' : 'n'} - - smtpd
cleanup    unix n - n -     0 cleanup
qmgr       unix n - n 300   1 qmgr
tlsmgr     unix - - n 1000? 1 tlsmgr
rewrite    unix - - n -     - trivial-rewrite
bounce     unix - - n -     0 bounce
defer      unix - - n -     0 bounce
trace      unix - - n -     0 bounce
verify     unix - - n -     1 verify
proxymap   unix - - n -     - proxymap
proxywrite unix - - n -     1 proxymap
smtp       unix - - n -     - smtp
relay      unix - - n -     - smtp
error      unix - - n -     - error
retry      unix - - n -     - error
anvil      unix - - n -     1 anvil
scache     unix - - n -     1 scache
flush      unix n - n 1000? 0 flush
showq      unix n - n -     - showq
pickup     unix n - n 60    1 pickup
postlog    unix-dgram n - n - 1 postlogd
`
}
