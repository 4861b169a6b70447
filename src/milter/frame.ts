// Cuts the MTA's byte stream into frames: a length of four bytes (network order), then so many bytes, of which the
// first is the command. Knows nothing of what the bytes mean.
// Source: sendmail 8.17 libmilter/comm.c (mi_rd_cmd), MILTER_LEN_BYTES.

/** The longest frame of libmilter's own: its greatest body chunk (MILTER_MDS_1M) and the command's character. */
export const MAX_FRAME = 1024 * 1024

const LENGTH_BYTES = 4

/** The least room that is made for a frame that came in pieces, in bytes. */
const LEAST_ROOM = 256

export type FrameResult =
  | { readonly kind: 'frame'; readonly bytes: Buffer }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'bad-length'; readonly length: number }

const INCOMPLETE: FrameResult = { kind: 'incomplete' }
const NOTHING: Buffer = Buffer.alloc(0)

/**
 * Collects chunks and gives out whole frames, as views: into the chunk where one holds it whole, else into one buffer
 * that grows with what has arrived. A frame that comes byte by byte takes no more room than one that comes at once.
 */
export class FrameReader {
  readonly #longest: number
  /** Unread are the bytes between `#at` and `#end`. A chunk is left as it is; room of our own is filled behind `#end`. */
  #bytes = NOTHING
  #isOwn = false
  #at = 0
  #end = 0

  /** `longest` is that of a frame in bytes, without its length. */
  constructor(longest = MAX_FRAME) {
    this.#longest = longest
  }

  /** The memory that waits here for its frame to be whole or to be asked for, in bytes. */
  get held(): number {
    return this.#bytes.length
  }

  push(chunk: Buffer): void {
    if (this.#at === this.#end) {
      this.#replace(chunk, chunk.length, false)
      return
    }
    if (!this.#isOwn || this.#end + chunk.length > this.#bytes.length) this.#makeRoom(chunk.length)
    chunk.copy(this.#bytes, this.#end)
    this.#end += chunk.length
  }

  /** The next frame, without its length; after `bad-length` (0 or above the longest) the stream cannot be read on. */
  next(): FrameResult {
    const unread = this.#end - this.#at
    if (unread < LENGTH_BYTES) return this.#incomplete(unread)
    const length = this.#bytes.readUInt32BE(this.#at)
    if (length === 0 || length > this.#longest) return { kind: 'bad-length', length }
    if (unread < LENGTH_BYTES + length) return INCOMPLETE
    const start = this.#at + LENGTH_BYTES
    this.#at = start + length
    return { kind: 'frame', bytes: this.#bytes.subarray(start, this.#at) }
  }

  #incomplete(unread: number): FrameResult {
    if (unread === 0) this.#replace(NOTHING, 0, false)
    return INCOMPLETE
  }

  /** Twice what is needed, so that each byte is copied a few times at most; what was given out is never written over. */
  #makeRoom(count: number): void {
    const unread = this.#bytes.subarray(this.#at, this.#end)
    // Of its own size: a piece of Buffer's pool would keep the whole pool alive for as long as the MTA likes.
    const room = Buffer.allocUnsafeSlow(Math.max(LEAST_ROOM, 2 * (unread.length + count)))
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

/** One frame as it goes over the wire: length, command or reply character, payload. */
export function encodeFrame(code: string, payload: Buffer = Buffer.alloc(0)): Buffer {
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + 1 + payload.length)
  frame.writeUInt32BE(1 + payload.length, 0)
  frame.write(code, LENGTH_BYTES, 1, 'latin1')
  payload.copy(frame, LENGTH_BYTES + 1)
  return frame
}
