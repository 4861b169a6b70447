// Cuts a byte stream into lines. What a line means is left to request.ts.

import { Unread } from '../unread.ts'

/** Smallest buffer for a line that arrives in pieces, in bytes. */
const MIN_BUFFER = 512

const LF = 0x0a

/** What `LineReader.next` returns; a line comes without its end. */
export type LineResult =
  | { readonly kind: 'line'; readonly bytes: Buffer }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'too-long' }

const INCOMPLETE: LineResult = { kind: 'incomplete' }
const TOO_LONG: LineResult = { kind: 'too-long' }

/** Collects chunks and returns whole lines as views, which stay intact. No byte is searched twice for an end. */
export class LineReader {
  readonly #maxLine: number
  readonly #unread = new Unread(MIN_BUFFER)
  /** Number of unread bytes in which there is no end of a line. */
  #searched = 0

  /** `maxLine` is the longest line that is accepted, in bytes, without its end. */
  constructor(maxLine: number) {
    this.#maxLine = maxLine
  }

  /** Bytes of memory kept for lines that are incomplete or not returned yet. */
  get held(): number {
    return this.#unread.held
  }

  push(chunk: Buffer): void {
    this.#unread.push(chunk)
  }

  /** The next line that ends with LF. After `too-long` the stream cannot be read on. */
  next(): LineResult {
    const unread = this.#unread
    const end = unread.indexOf(LF, this.#searched)
    if ((end === -1 ? unread.length : end) > this.#maxLine) return TOO_LONG
    if (end === -1) {
      this.#searched = unread.length
      unread.release()
      return INCOMPLETE
    }
    const bytes = unread.take(end)
    unread.skip(1)
    this.#searched = 0
    return { kind: 'line', bytes }
  }

  /** The bytes behind the last line that has ended; `undefined` if there are none. */
  rest(): Buffer | undefined {
    const bytes = this.#unread.take(this.#unread.length)
    this.#unread.release()
    this.#searched = 0
    return bytes.length > 0 ? bytes : undefined
  }
}
