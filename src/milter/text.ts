// Converts bytes from the wire to text and back without loss. Valid UTF-8 becomes the text that it encodes. In any
// other byte string, each byte above ASCII becomes a lone surrogate (U+DC80 to U+DCFF), which no valid text contains.
// Two different byte strings thus never give the same text; decoding with replacement characters would merge senders.
// Source: RFC 6531 section 3.3 (UTF-8 in addresses); the scheme is Python's "surrogateescape" (PEP 383).

import { isUtf8 } from 'node:buffer'

const ESCAPE = 0xdc00
/** Any surrogate, paired or not; text without one has no escaped byte and is encoded as it is. */
const SURROGATE = /[\ud800-\udfff]/

/** The text for the bytes from `start` up to `end`; `encodeText` gives the same bytes back. */
export function decodeText(all: Buffer, start = 0, end = all.length): string {
  if (isAscii(all, start, end)) return all.toString('latin1', start, end)
  const bytes = all.subarray(start, end)
  if (isUtf8(bytes)) return bytes.toString('utf8')
  // UTF-16 is filled in directly: built letter by letter, a megabyte would hold up all connections for 100 ms.
  const units = Buffer.alloc(2 * bytes.length)
  for (const [index, byte] of bytes.entries()) {
    units[2 * index] = byte
    if (byte >= 0x80) units[2 * index + 1] = ESCAPE >> 8
  }
  return units.toString('utf16le')
}

/** A loop, as nearly all strings of an MTA are so short that a view of the bytes would cost more. */
function isAscii(bytes: Buffer, start: number, end: number): boolean {
  for (let index = start; index < end; index += 1) if ((bytes[index] ?? 0) >= 0x80) return false
  return true
}

/** The bytes from which `decodeText` made `text`; lone surrogates that it never makes are written as U+FFFD. */
export function encodeText(text: string): Buffer {
  if (!SURROGATE.test(text)) return Buffer.from(text, 'utf8')
  return Buffer.concat(
    Array.from(text, (character) => {
      const byte = character.charCodeAt(0) - ESCAPE
      const escaped = character.length === 1 && byte >= 0x80 && byte <= 0xff
      return escaped ? Buffer.of(byte) : Buffer.from(character, 'utf8')
    }),
  )
}
