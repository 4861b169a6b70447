// Writes what commands print, at once: when a command has ended, nothing is still to be written. Node.js's own streams
// do the same for files and pipes, but take longer to load than most commands to run.

import { writeSync } from 'node:fs'
import { formOf, PRIORITIES } from '../log/form.ts'
import { EXIT } from './exit.ts'

/** Time between two attempts to write to a full pipe that another process has made non-blocking, in milliseconds. */
const FULL_PIPE_BACKOFF = 10

const [STANDARD_OUTPUT, STANDARD_ERROR] = [1, 2]

/**
 * Writes to standard output, and returns whether it has a reader. One that has gone, as in `greymx --help | head -1`, is
 * no fault.
 */
export function print(text: string): boolean {
  try {
    return write(STANDARD_OUTPUT, text)
  } catch (error) {
    complain(`Cannot write the output: ${error instanceof Error ? error.message : error}\n`)
    process.exit(EXIT.unavailable)
  }
}

/** Writes lines to standard error, if that can be written; the journal gets their priority. */
export function complain(text: string, level: keyof typeof PRIORITIES = 'error'): void {
  try {
    const isJournal = formOf(STANDARD_ERROR) === 'journal'
    write(STANDARD_ERROR, isJournal ? text.replace(/^(?=.)/gm, PRIORITIES[level]) : text)
  } catch {
    // There is no other place to say so.
  }
}

/** Returns whether the file has a reader. */
function write(file: number, text: string): boolean {
  let rest = Buffer.from(text)
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(file, rest))
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined
      if (code === 'EPIPE') return false
      if (code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE_BACKOFF)
    }
  }
  return true
}
