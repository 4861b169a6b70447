// Tests of decodeText and encodeText: two different byte strings never become the same text.

import assert from 'node:assert/strict'
import { isUtf8 } from 'node:buffer'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { decodeText, encodeText } from '../../src/milter/text.ts'

/** Byte strings among which valid, broken and nearly valid UTF-8 are common. */
const bytes = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 6 }).map((some) => Buffer.from(some)),
      fc.string({ unit: 'binary', maxLength: 4 }).map((text) => Buffer.from(text)),
      fc.constantFrom('c3', 'edb280', 'eda080', 'c080', 'f4908080', 'efbfbd', 'efbbbf', 'ff').map(hex),
    ),
    { maxLength: 5 },
  )
  .map((parts) => Buffer.concat(parts))

function hex(digits: string): Buffer {
  return Buffer.from(digits, 'hex')
}

describe('decodeText()', () => {
  const cases: ReadonlyArray<readonly [what: string, bytes: string, text: string]> = [
    ['nothing', '', ''],
    ['ASCII', '3c613e', '<a>'],
    ['valid UTF-8', 'd18e40e282ac', 'ю@€'],
    ['UTF-8 beyond the BMP', 'f09f98802e', '😀.'],
    ['a byte order mark, which is kept', 'efbbbf61', '\ufeffa'],
    ['a replacement character that was really sent', 'efbfbd', '\ufffd'],
    ['a byte that is never UTF-8', '61ff62', 'a\udcffb'],
    ['Latin-1', '6de96d', 'm\udce9m'],
    ['UTF-8 cut short', 'd1', '\udcd1'],
    ['valid UTF-8 beside a broken byte: bytes all through', 'd18eff', '\udcd1\udc8e\udcff'],
    ['an overlong NUL', 'c080', '\udcc0\udc80'],
    ['an escape written as if it were UTF-8', 'edb280', '\udced\udcb2\udc80'],
    ['a code point above U+10FFFF', 'f4908080', '\udcf4\udc90\udc80\udc80'],
  ]
  for (const [what, digits, text] of cases) {
    test(`reads ${what}, and encodeText() writes it back`, () => {
      assert.equal(decodeText(hex(digits)), text)
      assert.equal(encodeText(text).toString('hex'), digits)
    })
  }

  // Property: two different byte strings give two different texts.
  test('is injective', () => {
    fc.assert(
      fc.property(bytes, bytes, (one, other) => {
        assert.equal(decodeText(one) === decodeText(other), one.equals(other))
      }),
      { numRuns: 1000 },
    )
  })

  // Property: valid UTF-8 gives the text that it encodes; other bytes give text with a lone surrogate.
  test('gives well-formed text for valid UTF-8 and for nothing else', () => {
    fc.assert(
      fc.property(bytes, (some) => {
        const text = decodeText(some)
        assert.equal(!/\p{Cs}/u.test(text), isUtf8(some))
        if (isUtf8(some)) assert.equal(text, some.toString('utf8'))
      }),
    )
  })
})

describe('encodeText()', () => {
  // Property: encodeText() undoes decodeText() for any bytes.
  test('gives back the bytes that decodeText() read', () => {
    fc.assert(
      fc.property(bytes, (some) => {
        assert.deepEqual(encodeText(decodeText(some)), some)
      }),
      { numRuns: 1000 },
    )
  })

  test('writes the parts of a text that was taken apart and put together again', () => {
    const text = decodeText(hex('61e9ff4062c3'))
    const at = text.indexOf('@')
    assert.deepEqual(encodeText(`${text.slice(0, at)}@${text.slice(at + 1)}`), hex('61e9ff4062c3'))
  })

  test('writes well-formed text as UTF-8 beside an escape', () => {
    assert.deepEqual(encodeText('ю\udcff😀'), hex('d18efff09f9880'))
  })

  for (const text of ['\ud800', '\udbff', '\udc00', '\udc7f', '\udd00', '\udfff']) {
    test(`writes U+FFFD for U+${text.charCodeAt(0).toString(16).toUpperCase()}, which comes from no bytes`, () => {
      assert.equal(encodeText(`a${text}b`).toString('utf8'), 'a\ufffdb')
    })
  }
})
