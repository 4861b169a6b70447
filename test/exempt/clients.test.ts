// Tests of exempt clients: by address, network, host name and pattern; only names that the MTA has confirmed count.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Client } from '../../src/attempt.ts'
import { compileClients, parseClientRule } from '../../src/exempt/clients.ts'
import { parseIp } from '../../src/ip.ts'

test('parseClientRule() tells the forms apart', () => {
  const cases: Array<[text: string, kind: string]> = [
    ['192.0.2.7', 'network'],
    ['192.0.2.0/24', 'network'],
    ['2001:db8::/32', 'network'],
    ['::1', 'network'],
    ['mail.example.org', 'name'],
    ['Mail.Example.ORG', 'name'],
    ['localhost', 'name'],
    ['1and1.test', 'name'],
    ['ю.test', 'name'],
    ['/^mx/', 'pattern'],
    ['/10.0.0.0/', 'pattern'],
  ]
  for (const [text, kind] of cases) assert.equal(parseClientRule(text).kind, kind, text)
})

test('parseClientRule() refuses what was meant as something else', () => {
  const cases = [
    '',
    '10',
    '10.',
    '127.1',
    '192.0.2.256',
    '192.0.2.0/33',
    '192.0.2.0/255.255.255.0',
    '192.0.2.*',
    '.example.org',
    '*.example.org',
    'example.org.',
    'user@example.org',
    'a b',
    '2001:db8::/129',
    '[192.0.2.7]',
    '//',
  ]
  for (const text of cases) {
    assert.throws(
      () => parseClientRule(text),
      new Error(
        'expected an IP address, a network like 192.0.2.0/24, a range like 192.0.2.1-192.0.2.9, a host name or a /regex/',
      ),
      text,
    )
  }
})

const isExempt = compileClients(
  [
    '10.0.0.0/8',
    '192.0.2.7',
    '2001:db8::/32',
    'Example.ORG',
    'ю.test',
    '/^mx\\d+\\.pool\\./',
    '/^203\\.0\\.113\\.9$/',
  ].map(parseClientRule),
)

test('compileClients() names the rule that applies', () => {
  const cases: Array<[address: string | undefined, name: string | undefined, rule: string | undefined]> = [
    ['10.1.2.3', undefined, '10.0.0.0/8'],
    ['192.0.2.7', undefined, '192.0.2.7/32'],
    ['192.0.2.8', undefined, undefined],
    ['2001:db8::5', undefined, '2001:db8::/32'],
    ['198.51.100.1', 'example.org', 'example.org'],
    ['198.51.100.1', 'mx.example.org', 'example.org'],
    ['198.51.100.1', 'badexample.org', undefined],
    ['198.51.100.1', 'mx.xn--31a.test', 'xn--31a.test'],
    ['198.51.100.1', 'mx3.pool.test', '/^mx\\d+\\.pool\\./'],
    ['203.0.113.9', undefined, '/^203\\.0\\.113\\.9$/'],
    ['203.0.113.9', 'other.test', '/^203\\.0\\.113\\.9$/'],
    // Addresses come before names, and names before patterns.
    ['10.1.2.3', 'mx3.pool.test', '10.0.0.0/8'],
    [undefined, undefined, undefined],
    [undefined, 'example.org', 'example.org'],
  ]
  for (const [address, name, rule] of cases) {
    assert.equal(isExempt(client(address, name)), rule, `${address} ${name}`)
  }
})

test('a client whose name is not confirmed matches no rule for names', () => {
  const everyName = compileClients(
    ['org', 'example.org', 'unknown', '/[a-z]/', '/example/'].map(parseClientRule),
  )
  assert.equal(everyName(client('198.51.100.1', undefined)), undefined)
  assert.equal(everyName(client(undefined, undefined)), undefined)
})

test('an empty list exempts nobody, even a client without address or name', () => {
  const nobody = compileClients([])
  assert.equal(nobody(client('127.0.0.1', 'localhost')), undefined)
  assert.equal(nobody(client(undefined, undefined)), undefined)
})

function client(address: string | undefined, name: string | undefined): Client {
  const ip = address === undefined ? undefined : parseIp(address)
  return { ...(ip ? { address: ip } : {}), ...(name === undefined ? {} : { name }) }
}

test('a client that is the IPv4 address within its IPv6 one is met by rules for either', () => {
  const [address, ipv6Form] = [parseIp('192.0.2.7'), parseIp('64:ff9b::c000:207')]
  for (const [rule, matched] of [
    ['192.0.2.0/24', '192.0.2.0/24'],
    ['64:ff9b::192.0.2.7', '64:ff9b::c000:207/128'],
    ['64:ff9b::/96', '64:ff9b::/96'],
    ['::ffff:192.0.2.0/120', '192.0.2.0/24'],
    ['/^64:ff9b::/', '/^64:ff9b::/'],
    ['/^192\\.0\\.2\\./', '/^192\\.0\\.2\\./'],
    ['64:ff9b::/104', undefined],
  ] as const) {
    assert.equal(compileClients([parseClientRule(rule)])({ address, ipv6Form }), matched, rule)
  }
})

test('a range holds its ends and all between, and nothing beside', () => {
  const cases: Array<[range: string, inside: string[], outside: string[]]> = [
    ['192.0.2.1-192.0.2.9', ['192.0.2.1', '192.0.2.5', '192.0.2.9'], ['192.0.2.0', '192.0.2.10']],
    ['192.0.2.1 - 192.0.2.1', ['192.0.2.1'], ['192.0.2.0', '192.0.2.2']],
    [
      '10.0.255.254-10.1.0.1',
      ['10.0.255.254', '10.0.255.255', '10.1.0.0', '10.1.0.1'],
      ['10.0.255.253', '10.1.0.2'],
    ],
    ['0.0.0.0-255.255.255.255', ['0.0.0.0', '255.255.255.255'], ['2001:db8::1']],
    [
      '2001:db8::f-2001:db8::1:1',
      ['2001:db8::f', '2001:db8::ffff', '2001:db8::1:1'],
      ['2001:db8::e', '2001:db8::1:2'],
    ],
    ['::ffff:192.0.2.1-192.0.2.3', ['192.0.2.2'], ['192.0.2.4']],
  ]
  for (const [range, inside, outside] of cases) {
    const match = compileClients([parseClientRule(range)])
    const has = (text: string) => match({ address: parseIp(text), name: undefined }) !== undefined
    for (const text of inside) assert.equal(has(text), true, `${text} in ${range}`)
    for (const text of outside) assert.equal(has(text), false, `${text} in ${range}`)
  }
})

test('a range with a mistake is refused, and a name with dashes is a name', () => {
  const cases: Array<[text: string, message: RegExp]> = [
    ['192.0.2.9-192.0.2.1', /^expected the lower address first, as in 192\.0\.2\.1-192\.0\.2\.9$/],
    ['2001:db8::2-2001:db8::1', /^expected the lower address first/],
    ['192.0.2.1-2001:db8::1', /^expected a range of two IPv4 or two IPv6 addresses$/],
    ['192.0.2.1-9', /^expected both ends of a range in full/],
    ['192.0.2.1-192.0.2.300', /^expected both ends of a range in full/],
    ['2001:db8::1-5', /^expected both ends of a range in full/],
  ]
  for (const [text, message] of cases) assert.throws(() => parseClientRule(text), { message }, text)
  for (const name of ['192-0-2-1.example.org', 'mail-1.example.org']) {
    assert.deepEqual(parseClientRule(name), { kind: 'name', name })
  }
})
