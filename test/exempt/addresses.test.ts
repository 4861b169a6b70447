// Tests of exempt senders and recipients: by address, domain, local part and pattern.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from '../../src/address.ts'
import { compileAddresses, parseAddressRule } from '../../src/exempt/addresses.ts'

test('parseAddressRule() tells the forms apart, and takes any spelling', () => {
  const cases: Array<[text: string, rule: object]> = [
    ['a@example.org', { kind: 'address', normal: 'a@example.org' }],
    ['<"A"@Example.ORG.>', { kind: 'address', normal: 'a@example.org' }],
    ['"a b"@example.org', { kind: 'address', normal: '"a b"@example.org' }],
    ['a@[192.0.2.7]', { kind: 'address', normal: 'a@[192.0.2.7]' }],
    ['<>', { kind: 'address', normal: '' }],
    ['Example.ORG', { kind: 'domain', domain: 'example.org' }],
    ['ю.test', { kind: 'domain', domain: 'xn--31a.test' }],
    ['Postmaster@', { kind: 'local', local: 'postmaster' }],
    ['"a b"@', { kind: 'local', local: '"a b"' }],
  ]
  for (const [text, rule] of cases) assert.deepEqual(parseAddressRule(text), rule, text)
  assert.equal(parseAddressRule('/^bounce-/').kind, 'pattern')
})

test('parseAddressRule() refuses the rest', () => {
  for (const text of [
    '',
    '@',
    '@example.org',
    '.example.org',

    'a b',
    'a b@',
    'a@example.org NOTIFY=NEVER',
    'a(b)@example.org',
    '<a@example.org>,',
    '//',
    '192.0.2.0/24',
    '-',
  ]) {
    assert.throws(
      () => parseAddressRule(text),
      new Error('expected an address, a domain, a local part with its @ like postmaster@, <> or a /regex/'),
      text,
    )
  }
})

test('compileAddresses() names the rule that applies', () => {
  const isExempt = compileAddresses(
    ['a@example.org', 'Example.COM', 'postmaster@', '<>', '/^bounce-\\d+@/', 'ю.test'].map(parseAddressRule),
  )
  const cases: Array<[address: string, rule: string | undefined]> = [
    ['<a@example.org>', 'a@example.org'],
    ['<"A"@EXAMPLE.org>', 'a@example.org'],
    ['<b@example.org>', undefined],
    ['<a@sub.example.org>', undefined],
    ['<x@example.com>', 'example.com'],
    ['<x@mx.example.com>', 'example.com'],
    ['<x@badexample.com>', undefined],
    ['<x@example.com.test>', undefined],
    ['<postmaster@anywhere.test>', 'postmaster@'],
    ['<PostMaster>', 'postmaster@'],
    ['<"postmaster"@anywhere.test>', 'postmaster@'],
    ['<postmaster+x@anywhere.test>', undefined],
    ['<>', '<>'],
    ['<bounce-12@anywhere.test>', '/^bounce-\\d+@/'],
    ['<BOUNCE-12@anywhere.test>', '/^bounce-\\d+@/'],
    ['<x@Ю.TEST>', 'xn--31a.test'],
    ['<x@mx.xn--31a.test>', 'xn--31a.test'],
    ['<example.com>', undefined],
    ['<@example.com:x@other.test>', undefined],
    ['<"x@example.com"@other.test>', undefined],
    ['<x%example.com@other.test>', undefined],
  ]
  for (const [raw, rule] of cases) assert.equal(isExempt(parseAddress(raw)), rule, raw)
})

test('a rule for the null sender is for it alone', () => {
  const isExempt = compileAddresses([parseAddressRule('<>')])
  for (const raw of ['<a>', '<""@b.test>', '<"">', '<@b.test>'])
    assert.equal(isExempt(parseAddress(raw)), undefined, raw)
  assert.equal(compileAddresses([])(parseAddress('<>')), undefined)
})

// Property: any rule is read or refused, and any address then matches or does not.
test('any rule is read or refused, and any address is matched or not', () => {
  const text = fc.string({ unit: fc.constantFrom(...'ab@.<>"\\/ :*ю', '\udc80') })
  fc.assert(
    fc.property(text, text, (rule, raw) => {
      let isExempt: ReturnType<typeof compileAddresses>
      try {
        isExempt = compileAddresses([parseAddressRule(rule)])
      } catch (error) {
        assert.ok(error instanceof Error && error.message !== '')
        return
      }
      const found = isExempt(parseAddress(raw))
      assert.ok(found === undefined || found !== '', 'a rule that applies has a name')
    }),
    { numRuns: 2000 },
  )
})
