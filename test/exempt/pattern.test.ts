// Tests of regular expressions in lists: they match as operators expect, and none can stall the process.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compilePatterns, isPattern, parsePattern } from '../../src/exempt/pattern.ts'

function isMatch(text: string, subject: string): boolean {
  return compilePatterns([parsePattern(text)])(subject) === text
}

test('isPattern() goes by the slashes', () => {
  for (const text of ['/a/', '/^mx\\d+/', '///']) assert.ok(isPattern(text), text)
  for (const text of ['', '/', '//', 'a', '/a', 'a/', '/a/i', '10.0.0.0/8']) assert.ok(!isPattern(text), text)
})

test('a pattern matches anywhere and without regard to case, unless it says otherwise', () => {
  const cases: Array<[pattern: string, subject: string, matches: boolean]> = [
    ['/mx/', 'a.MX1.example.org', true],
    ['/^mx\\d+\\.example\\.org$/', 'mx10.example.org', true],
    ['/^mx\\d+\\.example\\.org$/', 'amx10.example.org', false],
    ['/^mx\\d+\\.example\\.org$/', 'mx10.example.org.', false],
    ['/^mx\\d+\\.example\\.org$/', 'mx10.example.org\n', false],
    ['/^$/', '', true],
    ['/^$/', 'a', false],
    ['/ю/', 'Ю@example.org', true],
    ['/a|b/', 'xbx', true],
    ['/\\//', 'a/b', true],
    ['/^\\p{L}+@/', 'дм@пример.test', true],
    ['/^.@/', '\udce9@example.org', true],
  ]
  for (const [text, subject, matches] of cases) {
    assert.equal(isMatch(text, subject), matches, `${text} ${JSON.stringify(subject)}`)
  }
})

test('of many patterns the first that matches is told, as if each were tried alone', () => {
  const texts = ['/^mx/', '/example/', '/\\.org$/', '/x/', '/(a|b)+c/', '/^$/', '/[^a-z.]/']
  const ofAll = compilePatterns(texts.map(parsePattern))
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'mxabc.org1 example'), maxLength: 20 }), (subject) => {
      assert.equal(
        ofAll(subject),
        texts.find((text) => isMatch(text, subject)),
      )
    }),
  )
  assert.equal(compilePatterns([])('x'), undefined)
})

test('patterns that stall other engines are harmless', () => {
  const subject = `${'a'.repeat(50_000)}!`
  for (const text of ['/(a+)+$/', '/(a|aa)+$/', '/(a*)*b/', '/(.*)*x$/', '/^(([a-z])+.)+[A-Z]([a-z])+$/']) {
    const startedAt = performance.now()
    assert.equal(isMatch(text, subject), false, text)
    // A backtracking engine would take longer than the sun will last.
    assert.ok(performance.now() - startedAt < 5000, text)
  }
})

test('parsePattern() refuses back-references, look-around, mistakes and repetition that would fill the memory', () => {
  const cases = [
    ['/(a)\\1/', 'invalid escape sequence'],
    ['/(?<n>a)\\k<n>/', 'invalid escape sequence'],
    ['/a(?=b)/', '(?='],
    ['/a(?!b)/', '(?!'],
    ['/(?<=a)b/', '(?<=a)b'],
    ['/(a/', 'missing closing )'],
    ['/[a/', 'missing closing ]'],
    ['/*/', 'missing argument to repetition operator'],
    ['/a{1001}/', 'invalid repeat count'],
    ['/((a{100}){100}){100}/', 'invalid repeat count'],
  ] as const
  for (const [text, reason] of cases) {
    assert.throws(
      () => parsePattern(text),
      (error: Error) => error.message.includes(reason),
      text,
    )
  }
})

// Property: a pattern is refused when it is read, or matches any subject without throwing.
test('any text is a pattern or refused, and a pattern takes any subject', () => {
  const source = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'ab()[]|*+?{}^$.\\,12d') }))
  const subject = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constant('\ud800\udc80'),
    fc.constant('\udcff'.repeat(9)),
  )
  fc.assert(
    fc.property(source, subject, (text, read) => {
      let pattern: ReturnType<typeof parsePattern>
      try {
        pattern = parsePattern(`/${text}/`)
      } catch (error) {
        assert.ok(error instanceof Error && error.message !== '')
        return
      }
      assert.equal(typeof (compilePatterns([pattern])(read) ?? ''), 'string')
    }),
    { numRuns: 1000 },
  )
})
