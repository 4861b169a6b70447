// Runs the commands that ask a daemon as an operator does: each in a process of its own, with the daemon's settings file.

import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { type Finished, type Greymx, PROGRAM, runGreymx } from './greymx.ts'
import { endWith } from './scratch.ts'

/** What a command needs of a daemon. */
export type Asked = Pick<Greymx, 'configFile'>

/** Runs a command, for a terminal of 80 columns unless `env` has another width. */
export function command(
  { configFile }: Asked,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Finished> {
  return runGreymx([...args, '--config', configFile], process.cwd(), { COLUMNS: '80', ...env })
}

/** What a command prints that has nothing to complain of; it ends with `status`. */
export async function textOf(daemon: Asked, args: readonly string[], status = 0): Promise<string> {
  const finished = await command(daemon, args)
  assert.deepEqual([finished.status, finished.stderr], [status, ''], args.join(' '))
  return finished.stdout
}

/** The JSON that a command prints with `--json`. */
// biome-ignore lint/suspicious/noExplicitAny: each command has an answer of its own shape, which the tests look into.
export async function jsonOf(daemon: Asked, args: readonly string[], status = 0): Promise<any> {
  return JSON.parse(await textOf(daemon, [...args, '--json'], status))
}

/** The items that a command prints with `--json`, one a line. */
// biome-ignore lint/suspicious/noExplicitAny: as above.
export async function itemsOf(daemon: Asked, args: readonly string[]): Promise<any[]> {
  const text = await textOf(daemon, [...args, '--json'])
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
}

export interface RunningCommand {
  /** What it has printed so far. */
  output(): string
  interrupt(): void
  /** Resolves to its exit status and the signal that ended it. */
  readonly ended: Promise<[status: number | null, signal: NodeJS.Signals | null]>
}

/** Starts a command that goes on until it is interrupted, or until `dir`, a folder of `scratch`, ends. */
export function startCommand(daemon: Asked, args: readonly string[], dir: string): RunningCommand {
  const child: ChildProcessByStdio<null, Readable, null> = spawn(
    process.execPath,
    [PROGRAM, ...args, '--config', daemon.configFile],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  endWith(dir, async () => void child.kill('SIGKILL'))
  return {
    output: () => output,
    interrupt: () => void child.kill('SIGINT'),
    ended: once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
  }
}
