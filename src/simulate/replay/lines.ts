// Reads the lines of a log file, plain or compressed with gzip. It holds one piece of the file and one line at a time,
// whatever the file contains. What a line means is left to heads.ts.

import { isAscii } from 'node:buffer'
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { createGunzip } from 'node:zlib'
import { messageOf } from '../../errors.ts'
import { decodeText } from '../../milter/text.ts'

/** A log file that can be read. */
export interface LogFile {
  readonly path: string
  readonly isGzip: boolean
  readonly size: number
  /** When it was last written to, in milliseconds since 1970; it tells the year of lines that name none. */
  readonly writtenAt: number
  /** Tells two names of one file from two files. */
  readonly id: string
}

/** A line, or the reason why it is left out. Bytes that are no UTF-8 are kept as in milter/text.ts. */
export type FileLine =
  | { readonly number: number; readonly text: string }
  | { readonly number: number; readonly fault: LineFault }

export type LineFault = 'too-long' | 'nul'

/** Receives how far a file has been read, in bytes of the file, and why it could not be read to its end. */
export interface ReadWatch {
  onRead(bytes: number): void
  onDamage(problem: string): void
}

/** Longest line in bytes. MTAs cut their lines at 1 or 2 KB; greymx's longest have some 50 KB. */
export const MAX_LINE = 64 * 1024

const CHUNK = 64 * 1024
const NEWLINE = 0x0a
const CARRIAGE_RETURN = 0x0d

/** The first bytes of files that are no text, with what to say of them. */
const OTHER_FORMATS: ReadonlyArray<readonly [magic: string, advice: string]> = [
  ['\xfd7zXZ\0', 'found a file of xz: decompress it first, as with xz -dk'],
  ['(\xb5/\xfd', 'found a file of zstd: decompress it first, as with zstd -dk'],
  ['BZh', 'found a file of bzip2: decompress it first, as with bzip2 -dk'],
  ['PK\x03\x04', 'found a ZIP archive: unpack it first'],
  [
    'LPKSHHRH',
    'found a journal of systemd: expected what journalctl -o json or -o short-iso-precise prints of it',
  ],
]
const GZIP = '\x1f\x8b'
const MAX_MAGIC = 8

/** The file at `path`. Rejects with a message for the operator when it is no regular file with text or gzip. */
export async function openLogFile(path: string): Promise<LogFile> {
  try {
    const info = await stat(path)
    if (!info.isFile()) throw new Error('expected a regular file, since a log is read twice')
    const magic = await firstBytes(path)
    const other = OTHER_FORMATS.find(([start]) => magic.startsWith(start))
    if (other) throw new Error(`expected text or gzip, ${other[1]}`)
    return {
      path,
      isGzip: magic.startsWith(GZIP),
      size: info.size,
      writtenAt: info.mtimeMs,
      id: `${info.dev}:${info.ino}`,
    }
  } catch (error) {
    throw new Error(`Cannot read the log ${path}: ${messageOf(error)}`)
  }
}

/** The lines of a file, in batches. A file that is damaged or shrinks ends where it can be read no further. */
export async function* readLines(file: LogFile, watch: ReadWatch): AsyncGenerator<readonly FileLine[]> {
  const bytes = createReadStream(file.path, { highWaterMark: CHUNK })
  const gunzip = file.isGzip ? createGunzip() : undefined
  bytes.on('error', (error) => gunzip?.destroy(error))
  const splitter = new LineSplitter()
  try {
    for await (const chunk of gunzip ? bytes.pipe(gunzip) : bytes) {
      yield splitter.split(chunk)
      watch.onRead(bytes.bytesRead)
    }
  } catch (error) {
    watch.onDamage(messageOf(error))
  } finally {
    bytes.destroy()
    gunzip?.destroy()
  }
  yield splitter.end()
}

async function firstBytes(path: string): Promise<string> {
  const handle = await open(path)
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAX_MAGIC), 0, MAX_MAGIC, 0)
    return buffer.toString('latin1', 0, bytesRead)
  } finally {
    await handle.close()
  }
}

/** Cuts bytes into lines, in pieces of any size. */
export class LineSplitter {
  /** The beginning of a line whose end has not come; it is dropped once it is too long. */
  #begun: Buffer = Buffer.alloc(0)
  #isTooLong = false
  #number = 0

  split(chunk: Buffer): FileLine[] {
    const lines: FileLine[] = []
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      lines.push(this.#finish(chunk.subarray(start, end)))
      start = end + 1
    }
    this.#begin(chunk.subarray(start))
    return lines
  }

  /** The last line, if the bytes do not end in a line break. */
  end(): FileLine[] {
    return this.#isTooLong || this.#begun.length > 0 ? [this.#finish(Buffer.alloc(0))] : []
  }

  #begin(bytes: Buffer): void {
    if (this.#isTooLong || this.#begun.length + bytes.length > MAX_LINE) {
      this.#isTooLong = true
      this.#begun = Buffer.alloc(0)
    } else if (bytes.length > 0) this.#begun = Buffer.concat([this.#begun, bytes])
  }

  #finish(bytes: Buffer): FileLine {
    this.#number += 1
    const number = this.#number
    const isTooLong = this.#isTooLong || this.#begun.length + bytes.length > MAX_LINE
    const whole = this.#begun.length > 0 ? Buffer.concat([this.#begun, bytes]) : bytes
    this.#begun = Buffer.alloc(0)
    this.#isTooLong = false
    if (isTooLong) return { number, fault: 'too-long' }
    if (whole.includes(0)) return { number, fault: 'nul' }
    const line = whole.at(-1) === CARRIAGE_RETURN ? whole.subarray(0, -1) : whole
    // Each line becomes a string of its own: a part of a longer one would keep the whole of it in memory.
    return { number, text: isAscii(line) ? line.toString('latin1') : decodeText(line) }
  }
}
