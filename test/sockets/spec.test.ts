// Tests of socket addresses: read from settings, and written in libmilter's and in Postfix's notation.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { formatSocketSpec, parseSocketSpec, postfixService, type SocketSpec } from '../../src/sockets/spec.ts'

const specs: ReadonlyArray<readonly [text: string, spec: SocketSpec, postfix: string]> = [
  ['inet:10025@127.0.0.1', { kind: 'inet', host: '127.0.0.1', port: 10025 }, 'inet:127.0.0.1:10025'],
  ['inet:0@localhost', { kind: 'inet', host: 'localhost', port: 0 }, 'inet:localhost:0'],
  ['inet:65535@mx1.example', { kind: 'inet', host: 'mx1.example', port: 65535 }, 'inet:mx1.example:65535'],
  ['inet6:10025@::1', { kind: 'inet6', host: '::1', port: 10025 }, 'inet:[::1]:10025'],
  ['inet6:10025@::', { kind: 'inet6', host: '::', port: 10025 }, 'inet:[::]:10025'],
  [
    'unix:/run/greymx/milter.sock',
    { kind: 'unix', path: '/run/greymx/milter.sock' },
    'unix:/run/greymx/milter.sock',
  ],
]

describe('parseSocketSpec()', () => {
  for (const [text, spec] of specs) {
    test(`reads ${text}, and formatSocketSpec() writes it back`, () => {
      assert.deepEqual(parseSocketSpec(text), spec)
      assert.equal(formatSocketSpec(spec), text)
    })
  }

  test('reads an address in brackets, and local: for unix:', () => {
    assert.deepEqual(parseSocketSpec('inet6:25@[::1]'), { kind: 'inet6', host: '::1', port: 25 })
    assert.deepEqual(parseSocketSpec('local:/run/x'), { kind: 'unix', path: '/run/x' })
  })

  for (const text of [
    '',
    'inet',
    'inet:',
    'inet:10025',
    'inet:@127.0.0.1',
    'inet:10025@',
    'inet:10025@[]',
    'inet:65536@127.0.0.1',
    'inet:100000@127.0.0.1',
    'inet:-1@127.0.0.1',
    'inet:0x19@127.0.0.1',
    'inet:smtp@127.0.0.1',
    'inet:10025@a b',
    'inet:10025@a\n',
    ' inet:10025@a',
    'inet4:10025@127.0.0.1',
    'inet:10025@::1',
    'inet6:10025@127.0.0.1',
    'INET:10025@127.0.0.1',
    '127.0.0.1:10025',
    'unix:',
    'unix:relative/path',
    'unix:/run/x\n',
    '/run/x',
  ]) {
    test(`refuses ${JSON.stringify(text)}`, () => assert.equal(parseSocketSpec(text), undefined))
  }

  // Property: parseSocketSpec() undoes formatSocketSpec() for every address that it accepts.
  test('reads what formatSocketSpec() wrote, for any host, port and path', () => {
    const port = fc.nat({ max: 65535 })
    const inet = fc.record({
      kind: fc.constant('inet' as const),
      host: fc.oneof(fc.domain(), fc.ipV4()),
      port,
    })
    const inet6 = fc.record({
      kind: fc.constant('inet6' as const),
      host: fc.oneof(fc.domain(), fc.ipV6()),
      port,
    })
    const unix = fc.record({
      kind: fc.constant('unix' as const),
      path: fc.webPath().map((path) => `/run${path}`),
    })
    fc.assert(
      fc.property(fc.oneof(inet, inet6, unix), (spec) => {
        assert.deepEqual(parseSocketSpec(formatSocketSpec(spec)), { ...spec })
      }),
    )
  })
})

describe('postfixService()', () => {
  for (const [text, spec, postfix] of specs) {
    test(`writes ${text} as ${postfix}`, () => assert.equal(postfixService(spec), postfix))
  }
})
