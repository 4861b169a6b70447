// Starts and ends a process for a test. The process runs in the foreground in a group of its own, counts as ended when
// the whole group has, and dies with the test process even if that is killed and cannot clean up.

import { spawn } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { waitFor } from './scratch.ts'

export interface DaemonOptions {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd: string
  readonly env?: NodeJS.ProcessEnv
  /** The signal that stops the process, also when the test process dies. */
  readonly stopSignal?: 'SIGTERM' | 'SIGKILL'
  /** Tells from the output so far whether the process serves. */
  readonly ready: (output: string) => boolean | Promise<boolean>
}

export interface Daemon {
  readonly pid: number
  /** Its standard output and error so far. */
  output(): string
  signal(signal: NodeJS.Signals): void
  /** Resolves to its exit status, or to `null` if a signal ended it. */
  exited(): Promise<number | null>
  /** Ends it, with its children; resolves when none of them is left. May be called again. */
  stop(signal?: NodeJS.Signals): Promise<void>
}

/**
 * Starts a process and resolves when it is ready; rejects with its output if it ends before, or is not ready in 20 s.
 */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  // A process that changes its user while it runs, as mail servers do, loses its death signal. A parent in a PID
  // namespace, which does not change, ends it instead.
  const { command, args, cwd, env = process.env, stopSignal = 'SIGTERM', ready } = options
  const child = spawn('setpriv', ['--pdeathsig', stopSignal.slice(3), '--', command, ...args], {
    cwd,
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  let failure: Error | undefined
  child.once('error', (error) => {
    failure = error
  })
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  }
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve))
  const { pid } = child
  const hasEnded = () => failure !== undefined || child.exitCode !== null || child.signalCode !== null

  const stop = async (signal: NodeJS.Signals = stopSignal) => {
    if (pid === undefined) return
    const gone = async () => hasEnded() && !(await isGroupAlive(pid))
    if (await gone()) return
    signalGroup(pid, signal, hasEnded())
    // A process that the test has stopped with SIGSTOP handles no other signal.
    signalGroup(pid, 'SIGCONT', true)
    await waitFor(`${command} to end`, gone, 5000).catch(() => signalGroup(pid, 'SIGKILL', true))
    await waitFor(`${command} to be killed`, gone, 5000)
  }

  try {
    await waitFor(`${command} to be ready`, async () => hasEnded() || (await ready(output)), 20_000)
    if (hasEnded()) throw failure ?? new Error(`${command} ended with ${child.exitCode ?? child.signalCode}`)
  } catch (error) {
    await stop('SIGKILL')
    throw new Error(`Cannot start ${command} ${args.join(' ')}: ${output}`, { cause: error })
  }
  if (pid === undefined) throw new Error(`${command} is ready without having been started`)
  return {
    pid,
    output: () => output,
    signal: (signal) => void process.kill(pid, signal),
    exited: () => exited,
    stop,
  }
}

// Only the leader gets the first signal, as masters end their children in order. Children that outlive it get their
// own.
function signalGroup(pid: number, signal: NodeJS.Signals, whole: boolean): void {
  try {
    process.kill(whole || signal === 'SIGKILL' ? -pid : pid, signal)
  } catch (error) {
    if (!isNoSuchProcess(error)) throw error
  }
}

// In a container, where nobody reaps orphans, children may stay as zombies, which kill(2) cannot tell from living ones.
async function isGroupAlive(group: number): Promise<boolean> {
  const processes = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const stats = await Promise.all(
    processes.map((id) => readFile(`/proc/${id}/stat`, 'latin1').catch(() => '')),
  )
  return stats.some((stat) => {
    // proc(5): pid (name) state parent group …, and the name may contain anything
    const [state, , itsGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return itsGroup === `${group}` && state !== 'Z'
  })
}

function isNoSuchProcess(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ESRCH'
}

/** The processes that the main thread of `pid` has started, such as the one that has LMDB open. */
export async function childrenOf(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return children.split(' ').filter(Boolean).map(Number)
}

/** The resident memory of a process, in bytes. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024
}
