// Thousands of peers of the milter socket that are no MTAs: they are silent, write a byte now and then, or send
// garbage. They run in a process of their own with the lowest priority, so that their own cost is not counted as
// greymx's.

import { join } from 'node:path'
import { startDaemon } from './daemon.ts'
import { endWith } from './scratch.ts'

export interface CrowdOptions {
  /** A folder of `scratch`. */
  readonly dir: string
  /** The milter's port on 127.0.0.1. */
  readonly port: number
  /** Silent connections: a third send nothing, a third stop after negotiation, a third after CONNECT. */
  readonly idle: number
  /** Connections that write a byte of one endless command every 50 ms. */
  readonly slow: number
  /** Concurrent senders of garbage, each with one connection after the other. */
  readonly garbage: number
}

export interface CrowdState {
  /** Silent connections that are still open; `slow` counts the slow ones. */
  readonly idle: number
  readonly slow: number
  /** Connections on which garbage was sent so far. */
  readonly garbage: number
}

export interface Crowd {
  /** The state, at most a tenth of a second old. */
  state(): CrowdState
}

/** Starts the peers; resolves when all are connected and have begun. */
export async function startCrowd({ dir, port, idle, slow, garbage }: CrowdOptions): Promise<Crowd> {
  const program = join(process.cwd(), 'build/test/support/crowd-process.js')
  const daemon = await startDaemon({
    command: 'nice',
    args: ['-n', '19', process.execPath, program, ...[port, idle, slow, garbage].map(String)],
    cwd: process.cwd(),
    ready: (output) => output.includes('\n'),
  })
  endWith(dir, () => daemon.stop())
  return {
    state: () => JSON.parse(daemon.output().trimEnd().split('\n').at(-1) ?? ''),
  }
}
