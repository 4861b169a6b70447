// Cuts a source into lines, in bounded memory whatever its bytes are.

import { createReadStream } from 'node:fs'

/** Longest line that is read, in bytes: longer than any that greymx writes. */
export const MAX_LINE = 1024 * 1024

/** A line without its end, or why it cannot be read. */
export interface Line {
  /** From 1 on. */
  readonly number: number
  readonly text?: string
  readonly problem?: string
}

const LINE_FEED = 0x0a

/** The bytes of a file, or of standard input for `-`; reading a file ends with an error once `signal` is aborted. */
export function openSource(source: string, signal?: AbortSignal): AsyncIterable<Buffer> {
  return source === '-' ? process.stdin : createReadStream(source, signal ? { signal } : {})
}

/** The lines in chunks of bytes, with CR LF or LF at their ends. */
export async function* linesIn(chunks: AsyncIterable<Buffer>): AsyncGenerator<Line> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  let number = 0
  let kept: Buffer[] = []
  let length = 0
  const take = (end: Buffer): Line => {
    number += 1
    const size = length + end.length
    const bytes = kept.length > 0 ? Buffer.concat([...kept, end]) : end
    kept = []
    length = 0
    if (size > MAX_LINE)
      return { number, problem: `expected a line of ${MAX_LINE} bytes at most, found ${size}` }
    try {
      return { number, text: decoder.decode(bytes).replace(/\r$/, '') }
    } catch {
      return { number, problem: 'expected UTF-8' }
    }
  }
  for await (const chunk of chunks) {
    let start = 0
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
      yield take(chunk.subarray(start, end))
      start = end + 1
    }
    const rest = chunk.subarray(start)
    // Of a line that is too long, only its length is kept.
    if (length + rest.length <= MAX_LINE) kept.push(rest)
    else kept = []
    length += rest.length
  }
  if (length > 0) yield take(Buffer.alloc(0))
}
