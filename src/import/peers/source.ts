// What the readers of peers share: the lines of a source, what a program prints of it, and records that are not taken. It
// holds one piece and one line at a time, whatever the source contains. What a line means is left to the readers.

import { spawn } from 'node:child_process'
import { open, stat } from 'node:fs/promises'
import { messageOf } from '../../errors.ts'
import { type FileLine, type LineFault, LineSplitter, MAX_LINE } from '../../simulate/replay/lines.ts'
import { openSource } from '../lines.ts'
import type { NotTaken } from '../remembered.ts'

/** Most characters of what a program writes to stderr that are kept, and most lines that the operator is shown. */
const MAX_COMPLAINT = 1000
const COMPLAINT_LINES = 2

/**
 * The first `length` bytes of a file, or all when it is shorter. Standard input, which `-` names, and a pipe have none, as
 * what is read of these is gone.
 */
export async function firstBytesOf(source: string, length: number): Promise<Buffer> {
  if (source === '-' || !(await stat(source)).isFile()) return Buffer.alloc(0)
  const handle = await open(source)
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

/** A program that is not installed; its message says what to do. */
export class ProgramMissing extends Error {}

/**
 * What a program prints, in pieces. Throws `ProgramMissing` when there is no such program, and an error with
 * what it complained about when it fails. The program ends when the caller reads no further.
 */
export async function* outputOf(command: string, args: readonly string[]): AsyncGenerator<Buffer> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = `${complaint}${text}`.slice(-MAX_COMPLAINT)
  })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  ended.catch(() => undefined) // awaited below, once all that was printed is read
  try {
    for await (const chunk of child.stdout) yield chunk
    const status = await ended.catch((error) => {
      if (error.code === 'ENOENT') throw new ProgramMissing(`${command} is not installed`)
      throw new Error(`${command} cannot be run: ${messageOf(error)}`)
    })
    if (status === 0) return
    const lines = complaint.trim().split('\n').slice(-COMPLAINT_LINES)
    throw new Error(lines.join('; ') || `${command} ended with status ${status}`)
  } finally {
    child.kill()
  }
}

/** The lines of `bytes`, in batches. */
export async function* linesOf(bytes: AsyncIterable<Buffer>): AsyncGenerator<readonly FileLine[]> {
  const splitter = new LineSplitter()
  for await (const chunk of bytes) yield splitter.split(chunk)
  yield splitter.end()
}

/** Reads one line of text; `undefined` for a line that has no record, as a comment. */
export type ReadLine<T> = (text: string, where: string) => T | NotTaken | undefined

/** What `read` makes of each line of a source. Lines that are no text, or longer than 64 KiB, are not taken. */
export async function* recordsOf<T>(source: string, read: ReadLine<T>): AsyncGenerator<T | NotTaken> {
  for await (const batch of linesOf(openSource(source))) {
    for (const line of batch) {
      const where = `${line.number}`
      const record =
        'fault' in line ? broken(where, `found ${problemOf(line.fault)}`) : read(line.text, where)
      if (record !== undefined) yield record
    }
  }
}

/** Why a line cannot be read. */
export function problemOf(fault: LineFault): string {
  return fault === 'nul' ? 'a NUL byte, expected text' : `a line of more than ${MAX_LINE} bytes`
}

/** A record that cannot be read. */
export function broken(where: string, problem: string): NotTaken {
  return { kind: 'broken', where, problem }
}

/** A record that is read, and whose knowledge greymx cannot use. */
export function unknowable(where: string, problem: string): NotTaken {
  return { kind: 'unknowable', where, problem }
}

/** The text in quotes for a message, cut to 80 characters, with control characters escaped. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}
