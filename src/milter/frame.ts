// Cuts the MTA's byte stream into frames: a length of four bytes (network order), then so many bytes, of which the
// first is the command. Knows nothing of what the bytes mean.
// Source: sendmail 8.17 libmilter/comm.c (mi_rd_cmd), MILTER_LEN_BYTES.

/** Longest frame that is read, in bytes; libmilter's own greatest body chunk (MILTER_MDS_1M) and some room. */
export const MAX_FRAME = 1024 * 1024 + 1024

const LENGTH_BYTES = 4

export type FrameResult =
  | { readonly kind: 'frame'; readonly bytes: Buffer }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'bad-length'; readonly length: number }

const INCOMPLETE: FrameResult = { kind: 'incomplete' }

/** Collects chunks and gives out whole frames; bytes of a frame are views into the chunks where these hold it whole. */
export class FrameReader {
  #chunks: Buffer[] = []
  #buffered = 0
  #head: Buffer = Buffer.alloc(0)
  #at = 0

  push(chunk: Buffer): void {
    if (this.#at === this.#head.length && this.#chunks.length === 0) {
      this.#head = chunk
      this.#at = 0
      return
    }
    this.#chunks.push(chunk)
    this.#buffered += chunk.length
  }

  /** The next frame, without its length; after `bad-length` (0 or above `MAX_FRAME`) the stream cannot be read on. */
  next(): FrameResult {
    if (!this.#has(LENGTH_BYTES)) return INCOMPLETE
    const length = this.#head.readUInt32BE(this.#at)
    if (length === 0 || length > MAX_FRAME) return { kind: 'bad-length', length }
    if (!this.#has(LENGTH_BYTES + length)) return INCOMPLETE
    const start = this.#at + LENGTH_BYTES
    this.#at = start + length
    return { kind: 'frame', bytes: this.#head.subarray(start, this.#at) }
  }

  /** Whether so many bytes have arrived; joins chunks only once they have, so that slow senders cost no repeated copying. */
  #has(count: number): boolean {
    const inHead = this.#head.length - this.#at
    if (inHead >= count) return true
    if (inHead + this.#buffered < count) return false
    this.#head = Buffer.concat([this.#head.subarray(this.#at), ...this.#chunks])
    this.#at = 0
    this.#chunks = []
    this.#buffered = 0
    return true
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
