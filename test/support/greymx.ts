// Starts the daemon as an operator runs it: the built program in a process of its own, with a settings file.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connectToFilter, type MilterClient } from '../../src/milter/client.ts'
import type { MovedClock } from './clock.ts'
import { startDaemon } from './daemon.ts'
import { LIBFAKETIME } from './libfaketime.ts'
import { endWith, freePort, waitFor } from './scratch.ts'

export const PROGRAM = join(process.cwd(), 'dist/main.js')

export interface GreymxOptions {
  /** A folder of `scratch`. */
  readonly dir: string
  /** Settings other than `listen`, `socket_mode` and `admin`, as YAML; without `dns_servers` there is no DNS. */
  readonly settings: string
  /** Name in files, if several daemons run in one folder. */
  readonly name?: string
  /** Offset of the daemon's clock, as libfaketime takes it: `+1d`. */
  readonly clockOffset?: string
  /** The daemon runs by a clock that the test moves. */
  readonly clock?: MovedClock
  /** A small disk that only the daemon sees mounted; tests reach it below `Greymx.root`. */
  readonly disk?: { readonly path: string; readonly size: string }
  /** A file that only the daemon sees in place of /etc/resolv.conf. */
  readonly resolvConf?: string
  /** The name of the host, as only the daemon sees it. */
  readonly hostName?: string
}

export interface Greymx {
  readonly port: number
  readonly socketPath: string
  /** Path of the socket for commands, if the settings do not name another. */
  readonly adminSocket: string
  readonly adminPort: number
  readonly configFile: string
  readonly pid: number
  /** Path of the daemon's root directory, as seen from outside of its mount namespace. */
  readonly root: string
  /** The log lines so far, in either format. */
  log(): string[]
  /** The outcomes so far as `verdict reason`, of one sender if given. */
  outcomes(sender?: string): string[]
  /** A negotiated connection, on which no stage was sent yet. */
  connect(): Promise<MilterClient>
  signal(signal: NodeJS.Signals): void
  /** Resolves to its exit status. */
  exited(): Promise<number | null>
  stop(signal?: NodeJS.Signals): Promise<void>
}

/**
 * The environment of a process whose clock is `offset` ahead. faketime(1) would set it, but does not start where a process
 * with its PID was killed before and has left shared memory behind. The monotonic clock stays, as it does where the date
 * of a host is set.
 */
function shifted(offset: string): NodeJS.ProcessEnv {
  return {
    ...LIBFAKETIME,
    FAKETIME: offset,
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  }
}

export async function startGreymx({
  dir,
  settings,
  name = 'greymx',
  clockOffset,
  clock: movedClock,
  disk,
  resolvConf,
  hostName,
}: GreymxOptions): Promise<Greymx> {
  const [port, adminPort] = [await freePort(), await freePort()]
  const socketPath = join(dir, `${name}.sock`)
  const adminSocket = join(dir, `${name}-admin.sock`)
  const configFile = join(dir, `${name}.yaml`)
  // This server refuses all questions at once, so that without `dns_servers` no server is asked.
  const dns = /^dns_servers:/m.test(settings) ? '' : 'dns_servers: [127.0.0.1:1]\n'
  const commands = /^admin_socket:/m.test(settings) ? '' : `admin_socket: ${adminSocket}\n`
  await writeFile(
    configFile,
    `${dns}${commands}listen: ["inet:${port}@127.0.0.1", "unix:${socketPath}"]\nsocket_mode: "0666"\nadmin: 127.0.0.1:${adminPort}\n${settings}\n`,
  )
  if (disk) await mkdir(disk.path)
  const serve = [process.execPath, PROGRAM, 'serve', '--config', configFile]
  const onDisk = disk ? mounted('mount -t tmpfs -o "size=$1" none "$2"', disk.size, disk.path) : []
  const withResolvConf = resolvConf ? mounted('mount --bind "$1" /etc/resolv.conf', resolvConf) : []
  const onHost = hostName === undefined ? [] : named(hostName)
  const [command = '', ...args] = [...onDisk, ...withResolvConf, ...onHost, ...serve]
  const daemon = await startDaemon({
    command,
    args,
    env: { ...process.env, ...(clockOffset === undefined ? {} : shifted(clockOffset)), ...movedClock?.env },
    cwd: dir,
    ready: (output) => output.includes('smtpd_milters'),
  })
  endWith(dir, () => daemon.stop())
  const log = () =>
    daemon
      .output()
      .split('\n')
      .filter((line) => /^(?:(?:verdict|level)=|{"time":)/.test(line))
  return {
    port,
    socketPath,
    adminSocket,
    adminPort,
    configFile,
    pid: daemon.pid,
    root: `/proc/${daemon.pid}/root`,
    log,
    outcomes: (sender) =>
      log()
        .filter(
          (line) =>
            line.startsWith('verdict=') && (sender === undefined || line.includes(` sender=${sender} `)),
        )
        .map((line) => line.replace(/^verdict=(\S+) reason=(\S+).*$/, '$1 $2')),
    connect: () => connectToFilter({ kind: 'inet', host: '127.0.0.1', port }, 10_000),
    signal: (signal) => daemon.signal(signal),
    exited: () => daemon.exited(),
    stop: (signal) => daemon.stop(signal),
  }
}

/** The beginning of a command with a mount namespace of its own; `args` are those of `mount`, a line of shell. */
function mounted(mount: string, ...args: readonly string[]): string[] {
  return ['unshare', '--mount', 'sh', '-c', `${mount} && shift ${args.length} && exec "$@"`, 'sh', ...args]
}

/** The beginning of a command on a host of this name. */
function named(hostName: string): string[] {
  return [
    'unshare',
    '--uts',
    'sh',
    '-c',
    'printf %s "$1" > /proc/sys/kernel/hostname && shift && exec "$@"',
    'sh',
    hostName,
  ]
}

/** Waits until the log has `count` outcomes of a sender, as the daemon writes its log a moment after it answers. */
export async function waitForOutcomes(greymx: Greymx, sender: string, count: number): Promise<string[]> {
  return waitFor(`${count} outcomes of ${sender}`, () => {
    const found = greymx.outcomes(sender)
    return found.length >= count ? found : undefined
  })
}

export interface Finished {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command of the program, and resolves when it has ended. */
export async function runGreymx(
  args: readonly string[],
  cwd = process.cwd(),
  env: NodeJS.ProcessEnv = {},
): Promise<Finished> {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [stdout, stderr] = [child.stdout, child.stderr].map((stream) => stream.setEncoding('utf8').toArray())
  const [status] = await once(child, 'close')
  return { status, stdout: ((await stdout) ?? []).join(''), stderr: ((await stderr) ?? []).join('') }
}
