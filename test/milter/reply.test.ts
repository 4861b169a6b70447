// Tests of encodeReply, smtpLines and encodeAddHeader: the answers of a filter, byte for byte.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { parseReplyTemplate } from '../../src/doors/reply.ts'
import { REPLIES } from '../../src/milter/codes.ts'
import {
  encodeAddHeader,
  encodeReply,
  type Reply,
  type SmtpReply,
  smtpLines,
} from '../../src/milter/reply.ts'
import { framesOf } from './recording.ts'

const GREY: SmtpReply = { code: '451', enhanced: '4.7.1', lines: ['Greylisted'] }

const VALUES = { ref: 'REF', seconds: 1, recipient: 'b@example.com', domain: 'example.com', host: 'mx' }

/** The text between `y` and the final NUL. */
function textOnWire(reply: SmtpReply): string {
  const frame = encodeReply({ kind: 'smtp', reply }).toString('latin1', 4)
  assert.match(frame, /^y[^\0]*\0$/)
  return frame.slice(1, -1)
}

/** The text that the MTA gives to its client, as it takes a reply's text for a format. */
function asFormatted(text: string): string {
  assert.ok(!text.replaceAll('%%', '').includes('%'), `a single % in ${JSON.stringify(text)}`)
  return text.replaceAll('%%', '%')
}

describe('There is no reply but continue, tempfail and 4xx:', () => {
  test('the table of reply letters has no reject, discard, quarantine, accept or shutdown', () => {
    assert.deepEqual(REPLIES, { continue: 'c', tempfail: 't', replyCode: 'y', addHeader: 'h' })
  })

  test('no other can be written down', () => {
    // Each of these lines must be a type error, or the build fails.
    // @ts-expect-error: reject
    const reject: Reply = { kind: 'reject' }
    // @ts-expect-error: discard
    const discard: Reply = { kind: 'discard' }
    // @ts-expect-error: a permanent code
    const permanent: Reply = { kind: 'smtp', reply: { code: '550', lines: ['x'] } }
    // @ts-expect-error: the code that ends the SMTP session
    const closing: Reply = { kind: 'smtp', reply: { code: '421', lines: ['x'] } }
    // @ts-expect-error: a permanent status
    const status: Reply = { kind: 'smtp', reply: { code: '451', enhanced: '5.7.1', lines: ['x'] } }
    // @ts-expect-error: any text at all
    const text = (code: string): Reply => ({ kind: 'smtp', reply: { code, lines: ['x'] } })
    assert.ok([reject, discard, permanent, closing, status, text])
  })

  test('each code that can be configured is sent as it is, and no other can be configured', () => {
    for (let number = 0; number <= 999; number += 1) {
      const code = String(number).padStart(3, '0')
      for (const status of ['', '2.0.0 ', '4.7.1 ', '5.7.1 ']) {
        const isTemporary = number >= 400 && number <= 459 && number !== 421
        const configured = `${code} ${status}later {recipient}`
        if (!isTemporary || (status !== '' && status !== '4.7.1 ')) {
          assert.throws(() => parseReplyTemplate(configured), configured)
          continue
        }
        const reply = parseReplyTemplate(configured).fill({ ...VALUES, recipient: '550 5.7.1\r\n550 x' })
        assert.equal(textOnWire(reply), `${code} ${status}later 550 5.7.1??550 x`)
      }
    }
  })

  // A reply without an enhanced code may begin with what a client wrote. Postfix drops a filter whose reply has an
  // enhanced code of another class than its code.
  test('an address cannot make an enhanced code of a reply that has none', () => {
    for (const recipient of ['5.1.1 x@example.com', '5.1.1', '2.0.0@example.com', '4.7.1 x']) {
      const text = textOnWire(parseReplyTemplate('450 {recipient}').fill({ ...VALUES, recipient }))
      assert.equal(text, `450 - ${recipient}`)
    }
  })
})

describe('encodeReply()', () => {
  test('writes continue and tempfail as one letter', () => {
    assert.equal(encodeReply({ kind: 'continue' }).toString('hex'), '0000000163')
    assert.equal(encodeReply({ kind: 'tempfail' }).toString('hex'), '0000000174')
  })

  test('writes an SMTP reply with its length and a NUL at its end', () => {
    assert.equal(
      encodeReply({ kind: 'smtp', reply: { code: '451', lines: ['x'] } }).toString('hex'),
      '0000000779343531207800',
    )
  })

  const cases: ReadonlyArray<readonly [what: string, reply: SmtpReply, text: string]> = [
    ['one line', GREY, '451 4.7.1 Greylisted'],
    ['no enhanced status', { code: '450', lines: ['Later'] }, '450 Later'],
    [
      'several lines, the status on each',
      { code: '451', enhanced: '4.7.1', lines: ['one', 'two', 'three'] },
      '451-4.7.1 one\r\n451-4.7.1 two\r\n451 4.7.1 three',
    ],
    ['several lines without status', { code: '450', lines: ['one', 'two'] }, '450-one\r\n450 two'],
    ['an empty line among others', { ...GREY, lines: ['', 'two'] }, '451-4.7.1 \r\n451 4.7.1 two'],
    ['% doubled', { ...GREY, lines: ['50% off, %s %%'] }, '451 4.7.1 50%% off, %%s %%%%'],
    ['non-ASCII as ?', { ...GREY, lines: ['später: ю'] }, '451 4.7.1 sp?ter: ?'],
    ['control characters as ?', { ...GREY, lines: ['a\r\n250 ok\0\x7f\t'] }, '451 4.7.1 a??250 ok???'],
    ['undecodable bytes as ?', { ...GREY, lines: ['\udcff@x'] }, '451 4.7.1 ?@x'],
    ['text like an enhanced code, which is none', { code: '450', lines: ['5.1.1 x'] }, '450 - 5.1.1 x'],
    ['the same behind an enhanced code', { ...GREY, lines: ['5.1.1 x'] }, '451 4.7.1 5.1.1 x'],
  ]
  for (const [what, reply, text] of cases) {
    test(`writes ${what}`, () => assert.equal(textOnWire(reply), text))
  }

  test('cuts a line to 510 characters, CRLF not counted', () => {
    const [first = '', last = ''] = textOnWire({
      code: '451',
      enhanced: '4.7.1',
      lines: ['x'.repeat(501), 'y'.repeat(500)],
    }).split('\r\n')
    assert.equal(first, `451-4.7.1 ${'x'.repeat(500)}`)
    assert.equal(last, `451 4.7.1 ${'y'.repeat(500)}`)
  })

  test('counts a doubled % once, as the client will see it, and never cuts one in half', () => {
    const text = textOnWire({ ...GREY, lines: ['%'.repeat(600)] })
    assert.equal(text, `451 4.7.1 ${'%%'.repeat(500)}`)
    assert.equal(asFormatted(text).length, 510)
  })

  // Property: whatever the text, the client gets as many lines by RFC 5321 as were given, with the code on each.
  test('makes safe SMTP lines of any text', () => {
    const lines = fc.array(fc.string({ unit: 'binary', maxLength: 700 }), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(lines, fc.boolean(), (given, hasStatus) => {
        const reply: SmtpReply = hasStatus ? { ...GREY, lines: given } : { code: '451', lines: given }
        const seen = asFormatted(textOnWire(reply)).split('\r\n')
        assert.deepEqual(seen, smtpLines(reply))
        assert.equal(seen.length, given.length)
        seen.forEach((line, index) => {
          assert.match(line, /^451[ -][\x20-\x7e]*$/)
          assert.equal(line.charAt(3), index < seen.length - 1 ? '-' : ' ')
          assert.ok(line.length <= 510)
        })
      }),
    )
  })
})

test('smtpLines() shows the lines without doubling', () => {
  assert.deepEqual(smtpLines({ ...GREY, lines: ['100%', 'é'] }), ['451-4.7.1 100%', '451 4.7.1 ?'])
})

test('encodeAddHeader() makes each line break of a value a folding', () => {
  for (const [value, sent] of [
    ['a\nb', 'a\n\tb'],
    ['a\r\n b', 'a\n\tb'],
    ['\na\r\rb\n\nBcc: c\n', 'a\n\tb\n\tBcc: c'],
  ] as const)
    assert.deepEqual(framesOf(encodeAddHeader(['X-A', value])).map(String), [`hX-A\0${sent}\0`])
})

test('encodeAddHeader() writes name and value, each with its NUL', () => {
  const bytes = encodeAddHeader(['X-Greylist', 'delayed 00:05:00'])
  assert.deepEqual(
    framesOf(bytes).map((frame) => frame.toString()),
    ['hX-Greylist\0delayed 00:05:00\0'],
  )
  assert.equal(bytes.readUInt32BE(0), bytes.length - 4)
})
