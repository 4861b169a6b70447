// Cuts a byte stream into lines. What a line means is left to request.ts.

/** Smallest buffer for a line that arrives in pieces, in bytes. */
const MIN_BUFFER = 512

const LF = 0x0a
const EMPTY: Buffer = Buffer.alloc(0)

/** What `LineReader.next` returns; a line comes without its end. */
export type LineResult =
  | { readonly kind: 'line'; readonly bytes: Buffer }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'too-long' }

const INCOMPLETE: LineResult = { kind: 'incomplete' }
const TOO_LONG: LineResult = { kind: 'too-long' }

/**
 * Collects chunks and returns whole lines as views: into the chunk if it contains the whole line, otherwise into one
 * buffer that grows with what has arrived. No byte is searched twice for the end of its line.
 */
export class LineReader {
  readonly #maxLine: number
  /** The bytes from `#at` to `#end` are unread. A chunk is never written to; our own buffer is filled behind `#end`. */
  #bytes = EMPTY
  #isOwn = false
  #at = 0
  #end = 0
  /** Where the search for the end of the line goes on. */
  #searched = 0

  /** `maxLine` is the longest line that is accepted, in bytes, without its end. */
  constructor(maxLine: number) {
    this.#maxLine = maxLine
  }

  /** Bytes of memory kept for lines that are incomplete or not returned yet. */
  get held(): number {
    return this.#bytes.length
  }

  push(chunk: Buffer): void {
    if (this.#at === this.#end) {
      this.#replace(chunk, chunk.length, false)
      return
    }
    if (!this.#isOwn || this.#end + chunk.length > this.#bytes.length) this.#grow(chunk.length)
    chunk.copy(this.#bytes, this.#end)
    this.#end += chunk.length
  }

  /** The next line that ends with LF. After `too-long` the stream cannot be read on. */
  next(): LineResult {
    const end = this.#bytes.subarray(0, this.#end).indexOf(LF, this.#searched)
    if (end === -1) {
      this.#searched = this.#end
      if (this.#end - this.#at > this.#maxLine) return TOO_LONG
      if (this.#at === this.#end) this.#replace(EMPTY, 0, false)
      return INCOMPLETE
    }
    if (end - this.#at > this.#maxLine) return TOO_LONG
    const bytes = this.#bytes.subarray(this.#at, end)
    this.#at = end + 1
    this.#searched = this.#at
    return { kind: 'line', bytes }
  }

  /** What has come of a line without an end, as the last line; `undefined` if that is nothing. */
  rest(): Buffer | undefined {
    const bytes = this.#bytes.subarray(this.#at, this.#end)
    this.#replace(EMPTY, 0, false)
    return bytes.length > 0 ? bytes : undefined
  }

  /** Allocates twice what is needed, so that each byte is copied a few times at most. Returned lines stay intact. */
  #grow(count: number): void {
    const unread = this.#bytes.subarray(this.#at, this.#end)
    const searched = this.#searched - this.#at
    // allocUnsafeSlow does not use Buffer's pool: a slice would keep the whole pool alive for as long as the MTA likes.
    const room = Buffer.allocUnsafeSlow(Math.max(MIN_BUFFER, 2 * (unread.length + count)))
    unread.copy(room)
    this.#replace(room, unread.length, true)
    this.#searched = searched
  }

  #replace(bytes: Buffer, end: number, isOwn: boolean): void {
    this.#bytes = bytes
    this.#isOwn = isOwn
    this.#at = 0
    this.#end = end
    this.#searched = 0
  }
}
