// Cuts the MTA's byte stream into frames. A frame is a length of four bytes in network order, then that many bytes, of
// which the first is the command. What the bytes mean is left to command.ts.
// Source: sendmail 8.17 libmilter/comm.c (mi_rd_cmd), MILTER_LEN_BYTES.

/** The longest frame that libmilter sends, in bytes: its largest body chunk (MILTER_MDS_1M) and the command byte. */
export const MAX_FRAME = 1024 * 1024

const LENGTH_BYTES = 4

/** Smallest buffer for a frame that arrives in pieces, in bytes. */
const MIN_BUFFER = 256

/** What `FrameReader.next` returns; `length` is the one that the MTA announced. */
export type FrameResult =
  | { readonly kind: 'frame'; readonly bytes: Buffer }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'bad-length'; readonly length: number }

const INCOMPLETE: FrameResult = { kind: 'incomplete' }
const EMPTY: Buffer = Buffer.alloc(0)

/**
 * Collects chunks and returns whole frames as views: into the chunk if it contains the whole frame, otherwise into one
 * buffer that grows with what has arrived. A frame that comes byte by byte takes no more memory than one that comes at
 * once.
 */
export class FrameReader {
  readonly #maxFrame: number
  /** The bytes from `#at` to `#end` are unread. A chunk is never written to; our own buffer is filled behind `#end`. */
  #bytes = EMPTY
  #isOwn = false
  #at = 0
  #end = 0

  /** `maxFrame` is the longest frame that is accepted, in bytes, without its length field. */
  constructor(maxFrame = MAX_FRAME) {
    this.#maxFrame = maxFrame
  }

  /** Bytes of memory kept for frames that are incomplete or not returned yet. */
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

  /** The next frame, without its length field. After `bad-length` (0, or too long) the stream cannot be read on. */
  next(): FrameResult {
    const unread = this.#end - this.#at
    if (unread < LENGTH_BYTES) return this.#incomplete(unread)
    const length = this.#bytes.readUInt32BE(this.#at)
    if (length === 0 || length > this.#maxFrame) return { kind: 'bad-length', length }
    if (unread < LENGTH_BYTES + length) return INCOMPLETE
    const start = this.#at + LENGTH_BYTES
    this.#at = start + length
    return { kind: 'frame', bytes: this.#bytes.subarray(start, this.#at) }
  }

  #incomplete(unread: number): FrameResult {
    if (unread === 0) this.#replace(EMPTY, 0, false)
    return INCOMPLETE
  }

  /** Allocates twice what is needed, so that each byte is copied a few times at most. Returned frames stay intact. */
  #grow(count: number): void {
    const unread = this.#bytes.subarray(this.#at, this.#end)
    // allocUnsafeSlow does not use Buffer's pool: a slice would keep the whole pool alive for as long as the MTA likes.
    const room = Buffer.allocUnsafeSlow(Math.max(MIN_BUFFER, 2 * (unread.length + count)))
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

/** One frame as it is sent: length, then the character of the command or reply, then the parts of the payload. */
export function encodeFrame(code: string, ...payload: readonly Buffer[]): Buffer {
  let length = 1
  for (const part of payload) length += part.length
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + length)
  let end = frame.writeUInt32BE(length, 0)
  end = frame.writeUInt8(code.charCodeAt(0), end)
  for (const part of payload) end += part.copy(frame, end)
  return frame
}
