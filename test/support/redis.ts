// A real redis-server on a loopback port and a unix socket, which the test can stop, kill, freeze and start again.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { startDaemon } from './daemon.ts'
import { endWith, freePort } from './scratch.ts'

export interface RedisOptions {
  /** A folder of `scratch`; what Redis writes goes there, and it ends before the folder does. */
  readonly dir: string
  /** A free port by default; give that of a stopped server to have it back. */
  readonly port?: number
  readonly unixSocket?: string
  /** More settings in the manner of its command line, such as `--appendonly yes`. */
  readonly args?: readonly string[]
}

export interface Redis {
  readonly port: number
  readonly url: string
  readonly unixSocketPath: string
  readonly pid: number
  stop(): Promise<void>
  /** Kills it without a chance to say good-bye, and waits until it is gone. */
  kill9(): Promise<void>
  /** Freezes it: connections stay, and nothing is answered. */
  pause(): void
  resume(): void
  /** What redis-cli prints for a command. */
  cli(...args: string[]): Promise<string>
}

/** Starts redis-server without persistence and resolves when it accepts commands. */
export async function startRedis(options: RedisOptions): Promise<Redis> {
  const { dir, port = await freePort(), args = [] } = options
  const unixSocketPath = options.unixSocket ?? join(dir, `redis-${port}.sock`)
  const daemon = await startDaemon({
    command: 'redis-server',
    args: [
      ...['--bind', '127.0.0.1', '--port', `${port}`],
      ...['--unixsocket', unixSocketPath, '--unixsocketperm', '777'],
      ...['--dir', dir, '--save', '', '--appendonly', 'no'],
      ...args,
    ],
    cwd: dir,
    ready: (output) => output.includes('Ready to accept connections'),
  })
  endWith(dir, () => daemon.stop())
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    unixSocketPath,
    pid: daemon.pid,
    stop: () => daemon.stop(),
    kill9: () => daemon.stop('SIGKILL'),
    pause: () => daemon.signal('SIGSTOP'),
    resume: () => daemon.signal('SIGCONT'),
    cli: async (...command) => {
      const { stdout } = await promisify(execFile)('redis-cli', ['-p', `${port}`, ...command])
      return stdout.trimEnd()
    },
  }
}
