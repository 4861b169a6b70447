// Starts real Postfix instances as root, each in a folder of its own: one asks a milter and passes accepted mail on to
// a sink, the other queues and retries as sending servers do. Neither touches the machine's own Postfix.

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
  /**
   * The milter as in `smtpd_milters`, like `inet:127.0.0.1:10891`; the user postfix must have access to a unix socket.
   */
  readonly milter: string
  /** A folder of `scratch`. */
  readonly dir: string
  /** Settings of main.cf that add to or replace those of the harness. */
  readonly settings?: Readonly<Record<string, string>>
  /** Whether smtpd is chrooted in the queue directory, as on Debian. */
  readonly chroot?: boolean
}

export interface ReceivingPostfix extends Mta {
  readonly queueDirectory: string
}

/** Starts the receiving end. Clients may use XCLIENT, and count as authenticated if they claim a LOGIN there. */
export async function startPostfix(options: PostfixOptions): Promise<ReceivingPostfix> {
  const { milter, dir, settings, chroot = false } = options
  const sink = await startSink()
  endWith(dir, sink.close)
  const hostname = 'mx.postfix.test'
  const main = {
    myhostname: hostname,
    relay_domains: 'example.com example.net',
    // Not even its own network may relay, so that a recipient can be refused for every client.
    smtpd_relay_restrictions: 'reject_unauth_destination',
    // All addresses may use XCLIENT, as a client that has become another may become a third; the port is on loopback.
    smtpd_authorized_xclient_hosts: '0.0.0.0/0 [::]/0',
    relayhost: `[127.0.0.1]:${sink.port}`,
    // Lines of any length must arrive unchanged.
    smtp_line_length_limit: '0',
    smtpd_milters: milter,
    // Postfix's default is tempfail, which a test could not tell from greylisting.
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

/** The log lines about a failing milter, or about faults of Postfix itself. */
export async function complaintsOf(mta: Mta): Promise<string[]> {
  const log = await mta.log()
  return log.split('\n').filter((line) => /warning:|fatal:|panic:|4\.7\.1 Service unavailable/.test(line))
}

/** A session after EHLO, from a client without a name unless `claims` has one. */
export async function startSession(mta: Mta, claims: XclientAttributes): Promise<SmtpClient> {
  const client = await connect(mta)
  await client.ehlo('client.test')
  await client.xclient({ NAME: '[UNAVAILABLE]', ...claims })
  return client
}

export interface QueueingPostfixOptions {
  /** The port of the MTA to which all mail goes. */
  readonly relayPort: number
  /** A folder of `scratch`. */
  readonly dir: string
  /** The loopback address from which it connects. */
  readonly sourceAddress?: string
  /** Settings of main.cf that add to or replace those of the harness. */
  readonly settings?: Readonly<Record<string, string>>
}

export type QueueingPostfix = Omit<Mta, 'delivered'>

/** Starts the sending end: it accepts all mail, and retries deferred mail every two to three seconds. */
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
  // Only root may use a folder of mkdtemp, and most of Postfix runs as another user.
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
    // No name server is asked.
    smtpd_peername_lookup: 'no',
    smtp_dns_support_level: 'disabled',
    smtp_host_lookup: 'native',
    smtp_tls_security_level: 'none',
    smtpd_tls_security_level: 'none',
    smtputf8_enable: 'yes',
    // Without these settings, Postfix slows down clients that send faster than it delivers, and clients with many
    // refusals.
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
  // Every program of Postfix waits and reads again while a file is so new that it might still be written to
  // (dict_load_file_xt), which takes seconds in all.
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

// Runs the checks of `postfix start`, which also make the queue, and then the master as `postfix start-fg` does. The
// master outlives its parent, so both run in a PID namespace, whose end kills all processes in it. The limit on
// descriptors, which node raises to the hard limit, is lowered, as Postfix's programs begin by closing every descriptor
// that could be open.
async function startMaster(config: string, dir: string, port: number): Promise<Daemon> {
  const { stdout } = await run('postconf', ['-d', '-h', 'daemon_directory'])
  const script = 'ulimit -n 1024 && postfix -c "$1" check && { "$2/master" -c "$1" -s & wait; }'
  return startDaemon({
    command: 'unshare',
    args: ['--pid', '--fork', '--kill-child', 'sh', '-c', script, 'sh', config, stdout.trim()],
    cwd: dir,
    // unshare ignores SIGTERM.
    stopSignal: 'SIGKILL',
    ready: () => isListening(port),
  })
}

// Debian's master.cf, without services for other transports; at most smtpd is chrooted, and postlogd writes the log.
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
