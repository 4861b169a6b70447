// Cuts the MTA's byte stream into frames. A frame is a length of four bytes in network order, then that many bytes, of
// which the first is the command. What the bytes mean is left to command.ts.
// Source: sendmail 8.17 libmilter/comm.c (mi_rd_cmd), MILTER_LEN_BYTES.

import { Unread } from '../unread.ts'

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

/** Collects chunks and returns whole frames as views, which stay intact. */
export class FrameReader {
  readonly #maxFrame: number
  readonly #unread = new Unread(MIN_BUFFER)

  /** `maxFrame` is the longest frame that is accepted, in bytes, without its length field. */
  constructor(maxFrame = MAX_FRAME) {
    this.#maxFrame = maxFrame
  }

  /** Bytes of memory kept for frames that are incomplete or not returned yet. */
  get held(): number {
    return this.#unread.held
  }

  /** Number of bytes that are not returned yet. */
  get unread(): number {
    return this.#unread.length
  }

  push(chunk: Buffer): void {
    this.#unread.push(chunk)
  }

  /** The next frame, without its length field. After `bad-length` (0, or too long) the stream cannot be read on. */
  next(): FrameResult {
    const unread = this.#unread
    if (unread.length < LENGTH_BYTES) {
      unread.release()
      return INCOMPLETE
    }
    const length = unread.uint32()
    if (length === 0 || length > this.#maxFrame) return { kind: 'bad-length', length }
    if (unread.length < LENGTH_BYTES + length) return INCOMPLETE
    return { kind: 'frame', bytes: unread.take(length, LENGTH_BYTES) }
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
