// Bytes from the wire as text and back, without loss: valid UTF-8 reads as itself, and in anything else each byte
// above ASCII becomes a lone surrogate (U+DC80 to U+DCFF), which no valid text holds. Two different byte strings are
// therefore never the same text; decoding with replacement characters would merge senders.
// Source: RFC 6531 section 3.3 (UTF-8 in addresses); the scheme is Python's "surrogateescape" (PEP 383).

import { isUtf8 } from 'node:buffer'

const ESCAPE = 0xdc00
/** Any surrogate, paired or not: text without one needs no closer look, and has none to escape. */
const SURROGATE = /[\ud800-\udfff]/

export function decodeText(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8')
  // As UTF-16 at once: built letter by letter, a megabyte of them would hold up everybody for 100 ms.
  const units = Buffer.alloc(2 * bytes.length)
  for (const [index, byte] of bytes.entries()) {
    units[2 * index] = byte
    if (byte >= 0x80) units[2 * index + 1] = ESCAPE >> 8
  }
  return units.toString('utf16le')
}

/** The bytes that `decodeText` read; other lone surrogates cannot come from it and are written as U+FFFD. */
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
