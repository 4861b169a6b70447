// Peers of the milter socket that are no MTAs, by the thousand: they say nothing, write a byte now and then, or send
// garbage. In a process of their own that stands behind all others, as if it were on another machine: what they cost
// whoever sends them is not to be taken for what they cost greymx.

import { join } from 'node:path'
import { startDaemon } from './daemon.ts'
import { endWith } from './scratch.ts'

export interface CrowdOptions {
  /** A folder of `scratch`. */
  readonly dir: string
  /** The milter's, on 127.0.0.1. */
  readonly port: number
  /** Connections that say nothing more: a third at all, a third after they negotiated, a third after CONNECT. */
  readonly idle: number
  /** Connections that write a byte of one endless command every 50 ms. */
  readonly slow: number
  /** How many send garbage at once, each on one connection after the other. */
  readonly garbage: number
}

export interface CrowdState {
  /** Connections that are open still. */
  readonly idle: number
  readonly slow: number
  /** Connections on which garbage was sent so far. */
  readonly garbage: number
}

export interface Crowd {
  /** A tenth of a second old at most. */
  state(): CrowdState
}

/** Resolves when all are connected and have begun. */
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
