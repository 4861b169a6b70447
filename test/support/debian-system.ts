// Runs commands in a fresh Debian 13, which debian.ts unpacks: with namespaces of its own, and a network that has nothing
// but its own addresses. What is changed in it is gone afterwards.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { childrenOf, startDaemon } from './daemon.ts'
import { endWith } from './scratch.ts'

const run = promisify(execFile)

/** The folder with the system: Debian's minimal base, Node.js, Postfix, procps, systemd. All clones share it, as it is large. */
export const debianRoot = '/var/cache/greymx-tests/debian13'

/** The address of the system, from which clients inside connect that are not on loopback. */
export const SYSTEM_ADDRESS = '198.51.100.7'

export interface DebianSystem {
  /** Runs a script of bash inside as root, and resolves to its output; rejects with both outputs if it fails. */
  run(script: string): Promise<string>
  /** Copies a file of the machine into the folder /root of the system. */
  bring(file: string): Promise<void>
  /** The beginning of a command that runs inside. */
  readonly inside: readonly string[]
}

/** Starts a system that ends with `dir`, a folder of `scratch`. */
export async function startDebianSystem(dir: string): Promise<DebianSystem> {
  const daemon = await startDaemon({
    command: 'unshare',
    args: [
      ...['--mount', '--net', '--uts', '--ipc', '--pid', '--fork', '--kill-child'],
      ...['sh', '-c', SETUP, 'sh', debianRoot, dir, SYSTEM_ADDRESS],
    ],
    cwd: dir,
    // unshare ignores SIGTERM; when it is killed, the kernel kills all processes in its namespace.
    stopSignal: 'SIGKILL',
    ready: (output) => output.includes('ready\n'),
  })
  endWith(dir, () => daemon.stop())
  const [init] = await childrenOf(daemon.pid)
  const root = join(dir, 'system/root')
  const enter = ['nsenter', '--target', `${init}`, '--mount', '--net', '--uts', '--ipc', '--pid']
  const environment = [
    'env',
    '-i',
    'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
    'DEBIAN_FRONTEND=noninteractive',
    'LC_ALL=C',
  ]
  const inside = [...enter, 'chroot', root, ...environment]
  return {
    inside,
    async run(script) {
      const [command = '', ...args] = [...inside, 'bash', '-euo', 'pipefail', '-c', script]
      const { stdout } = await run(command, args).catch(({ stdout, stderr }) => {
        throw new Error(`This failed in Debian 13: ${script}\n${stdout}${stderr}`)
      })
      return stdout
    },
    bring: async (file) => {
      await run('cp', [file, `/proc/${init}/root${root}/root/`])
    },
  }
}

const SETUP = `
set -e
mkdir "$2/system"
mount -t tmpfs none "$2/system"
cd "$2/system"
mkdir upper work root
mount -t overlay -o "lowerdir=$1,upperdir=upper,workdir=work" none root
mount -t proc none root/proc
mount --rbind /dev root/dev
mount -t tmpfs none root/run
echo mx.example.com > /proc/sys/kernel/hostname
ip link set lo up
ip address add "$3/32" dev lo
echo ready
exec sleep infinity
`
