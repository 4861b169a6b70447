// The bytes of a connection that have arrived and are not read yet, for the readers that cut them into frames, lines or
// requests. Where one ends is left to the reader.

const EMPTY: Buffer = Buffer.alloc(0)

/**
 * Collects chunks, and returns views: into the chunk if that has all that is taken, otherwise into one buffer that grows
 * with what has arrived. What comes byte by byte takes no more memory than twice what comes at once.
 */
export class Unread {
  readonly #minBuffer: number
  /** The bytes from `#at` to `#end` are unread. A chunk is never written to; our own buffer is filled behind `#end`. */
  #bytes = EMPTY
  #isOwn = false
  #at = 0
  #end = 0

  /** `minBuffer` is the smallest buffer for what arrives in pieces, in bytes. */
  constructor(minBuffer: number) {
    this.#minBuffer = minBuffer
  }

  /** Bytes of memory that are kept. */
  get held(): number {
    return this.#bytes.length
  }

  /** Number of unread bytes. */
  get length(): number {
    return this.#end - this.#at
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

  /** The number in the first four bytes, in network order; there must be so many. */
  uint32(): number {
    return this.#bytes.readUInt32BE(this.#at)
  }

  /** The byte at an index, which must be below `length`. */
  byteAt(index: number): number | undefined {
    return this.#bytes[this.#at + index]
  }

  /** Index of the first byte, or of the first such bytes, at or behind `from`; -1 if there are none. */
  indexOf(wanted: number | Buffer, from: number): number {
    return this.#bytes.subarray(this.#at, this.#end).indexOf(wanted, from)
  }

  /** Takes the first `count` bytes, after it has passed over `skipped`. What was taken stays intact. */
  take(count: number, skipped = 0): Buffer {
    const start = this.#at + skipped
    this.#at = start + count
    return this.#bytes.subarray(start, this.#at)
  }

  /** Passes over the first `count` bytes. */
  skip(count: number): void {
    this.#at += count
  }

  /** Keeps no memory any more if nothing is unread. */
  release(): void {
    if (this.#at === this.#end) this.#replace(EMPTY, 0, false)
  }

  /** Allocates twice what is needed, so that each byte is copied a few times at most. */
  #grow(count: number): void {
    const unread = this.#bytes.subarray(this.#at, this.#end)
    // allocUnsafeSlow does not use Buffer's pool: a slice would keep the whole pool alive for as long as the MTA likes.
    const room = Buffer.allocUnsafeSlow(Math.max(this.#minBuffer, 2 * (unread.length + count)))
    unread.copy(room)
    this.#replace(room, unread.length, true)
  }

  #replace(bytes: Buffer, end: number, isOwn: boolean): void {
    this.#bytes = bytes
    this.#isOwn = isOwn
    this.#at = 0
    this.#end = end
  }
}
