// Starts the load of `npm run bench`: load.c or policy-load.c, compiled into a folder of the run, or load-node.ts or
// policy-load-node.ts where there is no C compiler. CC names the compiler, which is cc by default.

import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { LoadKind } from './fixed-plan.ts'

const run = promisify(execFile)

/** A turn of load. */
export interface Turn {
  /** A path, or a port of 127.0.0.1. */
  readonly socket: string
  readonly connections: number
  /** Messages of each connection, with one recipient each. */
  readonly messages: number
  readonly kind: LoadKind
  /** Number of the first new triplet. */
  readonly first: number
  /** Number of known triplets. */
  readonly count: number
  readonly seconds: number
  /** Whether verdicts are checked; the null milter passes everything and gets the same load. */
  readonly isJudged: boolean
}

/** What the load has seen. */
export interface TurnResult {
  readonly decisions: number
  /** Number of wrong verdicts. */
  readonly wrong: number
  /** Number of triplets that were begun. */
  readonly taken: number
  readonly seconds: number
  /** CPU time of the load itself, in seconds. */
  readonly cpu: number
  /** Quantiles of the time from RCPT to its answer, in milliseconds. */
  readonly p50: number
  readonly p99: number
}

export type Generator = (turn: Turn) => Promise<TurnResult>

/** The load, compiled in `dir` if the machine has a C compiler, and the name of what it runs as. */
export async function makeGenerator(dir: string): Promise<{ name: string; generate: Generator }> {
  const load = await compileLoad(dir, 'load')
  return {
    name: load.name,
    generate({ socket, connections, messages, kind, first, count, seconds, isJudged }) {
      const numbers = [connections, messages, kind, first, count, seconds, isJudged ? 1 : 0].map(String)
      return load.run([socket, ...numbers])
    },
  }
}

/** Compiles `program`.c into `dir`; without a C compiler, `program`-node is run instead. */
export async function compileLoad(
  dir: string,
  program: 'load' | 'policy-load',
): Promise<{ name: string; run(args: readonly string[]): Promise<TurnResult> }> {
  const binary = join(dir, program)
  const source = `test/bench/${program}.c`
  const isCompiled = await run(process.env.CC ?? 'cc', ['-O2', '-o', binary, source]).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return false
      throw error
    },
  )
  const [command = '', ...first] = isCompiled
    ? [binary]
    : [process.execPath, join(process.cwd(), `build/test/bench/${program}-node.js`)]
  return {
    name: isCompiled ? 'C' : 'Node.js, for want of cc',
    async run(args) {
      const { stdout } = await run(command, [...first, ...args])
      return JSON.parse(stdout)
    },
  }
}
