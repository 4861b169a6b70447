// Tests of lists of domains, each of which stands for itself and all below it, and of what can be a domain.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compileDomains, isDomain } from '../../src/exempt/domains.ts'

test('compileDomains() finds a domain and all below it, the longest first', () => {
  const inDomains = compileDomains(['example.org', 'mail.example.org', 'test', 'xn--31a.example'])
  const cases: Array<[name: string, found: string | undefined]> = [
    ['example.org', 'example.org'],
    ['a.b.example.org', 'example.org'],
    ['mail.example.org', 'mail.example.org'],
    ['mx.mail.example.org', 'mail.example.org'],
    ['anything.test', 'test'],
    ['mx.xn--31a.example', 'xn--31a.example'],
    ['notexample.org', undefined],
    ['example.org.evil.com', undefined],
    ['org', undefined],
    ['example', undefined],
    ['.example.org', 'example.org'],
    ['example.org.', undefined],
    ['', undefined],
    ['.', undefined],
    ['...', undefined],
  ]
  for (const [name, found] of cases) assert.equal(inDomains(name), found, name)
  assert.equal(compileDomains([])('example.org'), undefined)
})

test('isDomain() tells names from everything else', () => {
  const names = [
    'org',
    'example.org',
    'localhost',
    '_dmarc.example.org',
    'a-b.c',
    'xn--31a.test',
    '1and1.test',
    'ю.рф',
  ]
  for (const name of names) assert.ok(isDomain(name), name)
  const others = [
    '',
    '.',
    '.org',
    'org.',
    'a..b',
    '-a.org',
    'a-.org',
    'a b',
    'a/b',
    'a:b',
    'a@b',
    '*.org',
    '[::1]',
    '/x/',
    'a\n',
  ]
  for (const other of others) assert.ok(!isDomain(other), JSON.stringify(other))
})

test('isDomain() takes names in scripts that write vowels and accents as marks', () => {
  for (const name of ['हिन्दी.test', 'தமிழ்.test', 'বাংলা.test', 'e\u0301cole.test'])
    assert.ok(isDomain(name), name)
})

const LABEL = fc.constantFrom('a', 'b', 'ab', 'org')
const NAME = fc.array(LABEL, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'))

// Property: a name is found exactly if it is one of the domains, or ends in a dot and one of them.
test('compileDomains() agrees with looking at each domain in turn', () => {
  fc.assert(
    fc.property(fc.array(NAME, { maxLength: 6 }), NAME, (domains, name) => {
      const [longest] = domains
        .filter((domain) => name === domain || name.endsWith(`.${domain}`))
        .sort((a, b) => b.length - a.length)
      assert.equal(compileDomains(domains)(name), longest)
    }),
    { numRuns: 1000 },
  )
})
