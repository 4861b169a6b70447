// A real systemd-journald of the test's own: in a mount namespace, where its sockets and files are where it wants them,
// and the machine keeps its own.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access } from 'node:fs/promises'
import { startDaemon } from './daemon.ts'
import { endWith } from './scratch.ts'

export interface Journald {
  /** What journalctl prints of the journal with these options. */
  journalctl(...options: readonly string[]): Promise<string>
  /** Runs a command whose output goes to the journal, and resolves when it has ended, however it ends. */
  run(identifier: string, command: readonly string[]): Promise<void>
  /** A program whose lines the journal keeps, each with the time at which it comes. */
  logger(identifier: string): JournalLogger
}

export interface JournalLogger {
  write(line: string): void
  /** Resolves when all lines have been taken. */
  end(): Promise<void>
}

/** Starts it; it ends with `dir`, a folder of `scratch`. */
export async function startJournald(dir: string): Promise<Journald> {
  const script = `
set -e
mkdir -p /run/systemd /run/log
mount -t tmpfs none /run/systemd
mount -t tmpfs none /run/log
mkdir -p /run/systemd/journal /run/log/journal
exec /lib/systemd/systemd-journald
`
  // Nothing of it appears on the outside; its sockets are looked for where it sees them.
  let pid: number | undefined
  const daemon = await startDaemon({
    command: 'unshare',
    args: ['--mount', 'sh', '-c', `echo "pid $$"; ${script}`],
    cwd: dir,
    ready: async (output) => {
      pid = Number(/^pid (\d+)$/m.exec(output)?.[1])
      return exists(`/proc/${pid}/root/run/systemd/journal/stdout`)
    },
  })
  endWith(dir, () => daemon.stop())
  const inside = ['--target', `${pid}`, '--mount']

  return {
    async journalctl(...options) {
      const child = spawn('nsenter', [...inside, 'journalctl', '--directory=/run/log/journal', ...options], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      const [chunks] = await Promise.all([child.stdout.setEncoding('utf8').toArray(), once(child, 'close')])
      return chunks.join('')
    },
    async run(identifier, command) {
      // As the service manager does, but systemd-cat of Debian 12 does not, it is told which socket is the journal.
      const told = 'exec env JOURNAL_STREAM="$(stat -L -c %d:%i /proc/$$/fd/2)" "$@" 1>&2'
      const args = [
        ...inside,
        'systemd-cat',
        `--identifier=${identifier}`,
        'sh',
        '-c',
        told,
        'sh',
        ...command,
      ]
      await once(spawn('nsenter', args, { stdio: 'ignore' }), 'close')
    },
    logger(identifier) {
      const child = spawn('nsenter', [...inside, 'systemd-cat', `--identifier=${identifier}`, 'cat'], {
        stdio: ['pipe', 'inherit', 'inherit'],
      })
      const closed = once(child, 'close')
      endWith(dir, async () => void child.kill('SIGKILL'))
      return {
        write: (line) => void child.stdin.write(`${line}\n`),
        async end() {
          child.stdin.end()
          await closed
        },
      }
    },
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
