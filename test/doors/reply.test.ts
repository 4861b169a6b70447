// Tests of the text of a deferral: which texts are accepted, which are refused and why, and how placeholders are
// filled.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseReplyTemplate } from '../../src/doors/reply.ts'
import { smtpLines } from '../../src/milter/reply.ts'

const VALUES = {
  ref: '2a1d04f4',
  seconds: 240,
  recipient: 'b@example.com',
  domain: 'example.com',
  host: 'mx1',
}

const FORM = 'expected a reply code, an enhanced status code and a text, like 451 4.7.1 Try again'

test('parseReplyTemplate() takes a 4xx code, an enhanced code where there is one, and text', () => {
  const cases: Array<[text: string, lines: string[]]> = [
    ['451 4.7.1 Try again', ['451 4.7.1 Try again']],
    ['450 4.2.0 x', ['450 4.2.0 x']],
    ['452 4.123.456 x', ['452 4.123.456 x']],
    ['451 Try again', ['451 Try again']],
    ['400 x', ['400 x']],
    ['459 x', ['459 x']],
    ['451 4.7.1 Try again\n', ['451 4.7.1 Try again']],
    ['451 4.7.1 One\nTwo\nThree', ['451-4.7.1 One', '451-4.7.1 Two', '451 4.7.1 Three']],
    ['451 One\nTwo', ['451-One', '451 Two']],
    ['451 4.7.1 100%, 50%', ['451 4.7.1 100%, 50%']],
    ['451 4.7.1 {ref', ['451 4.7.1 {ref']],
    ['451 4.7.1 }{', ['451 4.7.1 }{']],
    [`451 4.7.1 ${'x'.repeat(400)}`, [`451 4.7.1 ${'x'.repeat(400)}`]],
  ]
  for (const [text, lines] of cases) {
    assert.deepEqual(smtpLines(parseReplyTemplate(text).fill(VALUES)), lines, text)
  }
})

test('parseReplyTemplate() fills the placeholders, as often as they occur', () => {
  const template = parseReplyTemplate('451 4.7.1 {ref} {ref} {seconds}s\n<{recipient}> at {domain}, {host}')
  assert.deepEqual(template.fill(VALUES), {
    code: '451',
    enhanced: '4.7.1',
    lines: ['2a1d04f4 2a1d04f4 240s', '<b@example.com> at example.com, mx1'],
  })
  assert.deepEqual(
    template.fill({ ...VALUES, ref: '', seconds: 0, recipient: '{ref}$&', domain: '$1' }).lines,
    ['  0s', '<{ref}$&> at $1, mx1'],
  )
})

test('parseReplyTemplate() refuses what is no temporary reply, with the reason', () => {
  const code = (found: string) =>
    `expected a temporary reply code, 400 to 459 and not 421, which ends the session; found ${found}`
  const cases: Array<[text: string, reason: string]> = [
    ['', FORM],
    ['Try again', FORM],
    ['451', FORM],
    ['451 ', FORM],
    ['451\n', FORM],
    ['451 \nTry again', FORM],
    ['451-4.7.1 Try again', FORM],
    ['451\t4.7.1 Try again', FORM],
    ['4511 Try again', FORM],
    [' 451 4.7.1 Try again', FORM],
    ['250 2.0.0 Ok', code('250')],
    ['354 Go on', code('354')],
    ['421 4.7.0 Closing', code('421')],
    ['460 4.7.1 x', code('460')],
    ['499 x', code('499')],
    ['550 5.7.1 Go away', code('550')],
    ['999 x', code('999')],
    ['451 5.7.1 x', 'expected an enhanced status code of class 4 like 4.7.1 beside 451, found 5.7.1'],
    ['451 2.0.0 x', 'expected an enhanced status code of class 4 like 4.7.1 beside 451, found 2.0.0'],
    ['451 4.7.1 One\n\nTwo', 'expected no empty line'],
    ['451 4.7.1 One\n \nTwo', 'expected no empty line'],
    ['451 4.7.1 später', 'expected printable ASCII only'],
    ['451 4.7.1 a\tb', 'expected printable ASCII only'],
    ['451 4.7.1 a\rb', FORM],
    ['451 4.7.1 a\nb\rc', 'expected printable ASCII only'],
    ['451 4.7.1 a\u001b[m', 'expected printable ASCII only'],
    ['451 4.7.1 a\u0000', 'expected printable ASCII only'],
    [`451 4.7.1 ${'x'.repeat(401)}`, 'expected 400 characters a line at most, found 401'],
    [`451 4.7.1 x\n${'x'.repeat(500)}`, 'expected 400 characters a line at most, found 500'],
    [
      '451 4.7.1 {reference}',
      'expected the placeholders {ref} {seconds} {recipient} {domain} {host}, found {reference}',
    ],
    ['451 4.7.1 {}', 'expected the placeholders {ref} {seconds} {recipient} {domain} {host}, found {}'],
    ['451 4.7.1 {Ref}', 'expected the placeholders {ref} {seconds} {recipient} {domain} {host}, found {Ref}'],
    [
      '451 4.7.1 {toString}',
      'expected the placeholders {ref} {seconds} {recipient} {domain} {host}, found {toString}',
    ],
  ]
  for (const [text, reason] of cases) {
    assert.throws(() => parseReplyTemplate(text), new Error(reason), JSON.stringify(text))
  }
})

// Both MTAs take a text for an enhanced status if it looks like one, and Postfix drops the filter when its class
// differs from that of the code.
test('parseReplyTemplate() refuses an enhanced status code without text, and one that hides behind spaces', () => {
  for (const text of [
    '451 4.7.1',
    '451 4.7.1 ',
    '451 5.7.1',
    '451 4.7.1\nTry again',
    '451 5.7.1  Go away',
    '451 2.0.0  x',
  ]) {
    assert.throws(() => parseReplyTemplate(text), JSON.stringify(text))
  }
})

// Property: an accepted text, filled with anything, makes lines that have the configured code and an enhanced code of
// class 4 or none.
test('a text that is taken makes a temporary reply, whatever it is filled with', () => {
  const unit = fc.constantFrom(
    ...'0145.- \nabx{}',
    '451',
    '4.7.1',
    '5.7.1',
    '{ref}',
    '{seconds}',
    '{recipient}',
  )
  const text = fc.tuple(fc.constantFrom('', '451 ', '4'), fc.string({ unit })).map((parts) => parts.join(''))
  fc.assert(
    fc.property(text, fc.string({ unit: 'binary' }), (configured, value) => {
      let template: ReturnType<typeof parseReplyTemplate>
      try {
        template = parseReplyTemplate(configured)
      } catch (error) {
        assert.ok(error instanceof Error && error.message.startsWith('expected '))
        return
      }
      const reply = template.fill({ ref: value, seconds: 1, recipient: value, domain: value, host: value })
      assert.match(reply.code, /^4[0-5]\d$/)
      assert.ok(reply.enhanced === undefined || reply.enhanced.startsWith('4.'))
      const lines = smtpLines(reply)
      assert.equal(lines.length, configured.trimEnd().split('\n').length)
      for (const line of lines) {
        assert.match(line, /^4[0-5]\d[ -][\x20-\x7e]*$/)
        assert.ok(line.length <= 510)
      }
    }),
    { numRuns: 3000 },
  )
})

test('a reply has 32 lines of 400 characters', () => {
  const line = 'x'.repeat(400)
  assert.equal(parseReplyTemplate(`451 ${line}${`\n${line}`.repeat(31)}`).fill(VALUES).lines.length, 32)
  assert.throws(() => parseReplyTemplate(`451 a${'\nb'.repeat(32)}`), {
    message: 'expected 32 lines at most, found 33',
  })
  assert.throws(() => parseReplyTemplate(`451 ${line}x`), {
    message: 'expected 400 characters a line at most, found 401',
  })
})
