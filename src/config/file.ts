// Reads the configuration file, which may also be a pipe, as of `--config <(command)`. Reading blocks, as nothing goes on
// without the settings, but not for ever: a pipe may have nobody who writes into it.

import { closeSync, constants, fstatSync, openSync, readFileSync, readlinkSync, readSync } from 'node:fs'

/** Longest wait for the end of a file that is no regular one, in milliseconds. */
const READ_TIMEOUT = 5000
/** Time between two looks at a pipe that is empty, in milliseconds. */
const POLL_INTERVAL = 20
/** Bytes of a file that is no regular one; `/dev/zero` has no end. */
const MAX_BYTES = 16 * 1024 * 1024
const CHUNK = 64 * 1024

const EXPECTED = 'expected a file, or a pipe with settings whose writer ends'

/**
 * Returns the text of the file. Throws an error of the file system, or says after READ_TIMEOUT that the file has not
 * ended.
 */
export function readConfigFile(path: string): string {
  // Opening a FIFO without a writer blocks, unless it is opened like this; regular files are not affected.
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const stat = fstatSync(file)
    if (stat.isFile() || stat.isDirectory()) return readFileSync(file, 'utf8')
    return readToEnd(file, stat.isFIFO()).toString('utf8')
  } finally {
    closeSync(file)
  }
}

/**
 * All that `file` has until its end. A FIFO without a writer seems to end at once, and one is awaited. An empty pipe is
 * refused, as its writer has failed, or it was read before: greymx would go by its defaults.
 */
function readToEnd(file: number, isPipe: boolean): Buffer {
  const awaitsWriter = isPipe && !isAnonymous(file)
  const deadline = performance.now() + READ_TIMEOUT
  const chunks: Buffer[] = []
  let length = 0
  for (;;) {
    const chunk = readNow(file)
    if (chunk?.length === 0) {
      if (length > 0 || !isPipe) return Buffer.concat(chunks)
      if (!awaitsWriter) throw new Error(`nothing came: ${EXPECTED}`)
    }
    if (chunk?.length) {
      chunks.push(chunk)
      length += chunk.length
    } else pause(POLL_INTERVAL)
    if (length > MAX_BYTES)
      throw new Error(`it does not end within ${MAX_BYTES / 1024 / 1024} MiB: ${EXPECTED}`)
    if (performance.now() > deadline) {
      const read = length === 0 ? 'nothing came' : `${length} bytes came, and no end`
      throw new Error(`it has not ended after ${READ_TIMEOUT / 1000} s (${read}): ${EXPECTED}`)
    }
  }
}

/** The bytes that can be read without waiting: none at the end, `undefined` when there are none yet. */
function readNow(file: number): Buffer | undefined {
  const chunk = Buffer.alloc(CHUNK)
  try {
    return chunk.subarray(0, readSync(file, chunk))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return undefined
    throw error
  }
}

/** Whether a pipe has no name, as of `<(command)`: whoever writes into it has done so from the beginning. */
function isAnonymous(file: number): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${file}`).startsWith('pipe:')
  } catch {
    return false // no Linux, or no /proc
  }
}

function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)
}
