// Which names somebody may have meant who mistyped one.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { didYouMean, nearest } from '../src/suggestion.ts'

const NAMES = [
  'serve',
  'check',
  'probe',
  'completion',
  'on',
  'off',
  'retry_window',
  'ipv4_prefix',
  'ipv6_prefix',
]

test('nearest() finds what was mistyped, and nothing where that is far off', () => {
  const cases: Array<[typed: string, found: string[]]> = [
    ['prob', ['probe']],
    ['probee', ['probe']],
    ['porbe', ['probe']],
    ['prove', ['probe']],
    ['Serve', ['serve']],
    ['chekc', ['check']],
    ['complation', ['completion']],
    ['comp', ['completion']],
    ['retry', ['retry_window']],
    ['ipv5_prefix', ['ipv4_prefix', 'ipv6_prefix']],
    ['of', ['on', 'off']],
    // Two letters of five make another word, and two letters begin too many.
    ['press', []],
    ['co', []],
    ['', []],
    ['greylist', []],
  ]
  for (const [typed, found] of cases) assert.deepEqual(nearest(typed, NAMES), found, typed)
})

test('nearest() suggests nothing where more than three names are equally near', () => {
  assert.deepEqual(nearest('log', ['log_a', 'log_b', 'log_c']), ['log_a', 'log_b', 'log_c'])
  assert.deepEqual(nearest('logs', ['log1', 'log2', 'log3', 'log4']), [])
})

test('didYouMean() follows the name in a message', () => {
  assert.equal(didYouMean([]), '')
  assert.equal(didYouMean(['a']), ' (did you mean a?)')
  assert.equal(didYouMean(['a', 'b', 'c']), ' (did you mean a or b or c?)')
})

// A name is nearest to itself; one character more, less or other, or two exchanged, and it is still found.
test('nearest() forgives one mistake', () => {
  const name = fc.stringMatching(/^[a-z_]{3,20}$/)
  fc.assert(
    fc.property(name, fc.nat(), fc.constantFrom('', 'x', 'swap'), (text, at, how) => {
      const place = at % text.length
      const [before, letter, after] = [
        text.slice(0, place),
        text.slice(place, place + 1),
        text.slice(place + 1),
      ]
      const typed =
        how === 'swap' ? before + after.slice(0, 1) + letter + after.slice(1) : before + how + after
      assert.deepEqual(nearest(text, [text]), [text])
      assert.deepEqual(nearest(typed, [text]), [text], typed)
    }),
  )
})
