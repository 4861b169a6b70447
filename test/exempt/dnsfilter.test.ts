// Tests of which answers of a DNS list count: by Postfix's filters, by the meaning of well-known lists, and never.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type DnsListFault, type DnsListUse, parseDnsList } from '../../src/exempt/dnsfilter.ts'

function counting(text: string, use: DnsListUse, answers: readonly string[]): string[] {
  return answers.filter(parseDnsList(text, use).matches)
}

test('parseDnsList() reads the filters that Postfix reads', () => {
  const answers = [
    '127.0.0.0',
    '127.0.0.1',
    '127.0.0.2',
    '127.0.0.3',
    '127.0.0.5',
    '127.0.9.2',
    '127.1.0.2',
    '10.0.0.2',
  ]
  const cases: Array<[filter: string, counts: string[]]> = [
    ['127.0.0.2', ['127.0.0.2']],
    ['127.0.0.002', ['127.0.0.2']],
    ['[127.0.0.2]', ['127.0.0.2']],
    ['127.0.0.[1..3]', ['127.0.0.1', '127.0.0.2', '127.0.0.3']],
    ['127.0.0.[1;3]', ['127.0.0.1', '127.0.0.3']],
    ['127.0.0.[1..3;5]', ['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.5']],
    ['127.0.[0..255].[2]', ['127.0.0.2', '127.0.9.2']],
    ['127.[0..255].[0..255].2', ['127.0.0.2', '127.0.9.2', '127.1.0.2']],
    ['[0..255].0.0.2', ['127.0.0.2']],
    ['[127.0.[0;9].2]', ['127.0.0.2', '127.0.9.2']],
  ]
  for (const [filter, counts] of cases) {
    assert.deepEqual(counting(`white.example=${filter}`, 'trusted', answers), counts, filter)
    assert.deepEqual(counting(`black.example=${filter}`, 'blocked', answers), counts, filter)
  }
})

test('parseDnsList() refuses other filters', () => {
  const filters = [
    '',
    '127',
    '127.0.0',
    '127.0.0.2.3',
    '127.0.0.256',
    '127.0.0.[256]',
    '127.0.0.[]',
    '127.0.0.[1,2]',
    '127.0.0.[1..]',
    '127.0.0.[..3]',
    '127.0.0.[3..1]',
    '127.0.0.[1.3]',
    '127.0.0.[1...3]',
    '127.0.0.[1;]',
    '127.0.0.[1',
    '127.0.0.1]',
    '127.0.0.3[6..9]',
    '127.0.[0.2]',
    '127.0.0.*',
    '127.0.0.2*3',
    '127.0.0.0/24',
    ' 127.0.0.2',
    '127.0.0.-1',
    '10.0.0.2',
    '127.0.0.2=127.0.0.3',
    '::1',
    '[[127.0.0.2]]',
  ]
  for (const filter of filters) {
    assert.throws(() => parseDnsList(`a.example=${filter}`, 'trusted'), /^Error: expected /, filter)
  }
  for (const zone of ['', 'list', 'a b.c', '=127.0.0.2', 'a.b ', '.a.b']) {
    assert.throws(() => parseDnsList(zone, 'trusted'), /^Error: expected a DNS zone /, zone)
  }
})

// Answers of a resolver or a list that never mean a listing.
const NEVER = [
  '127.255.255.252',
  '127.255.255.254',
  '127.255.255.255',
  '127.0.0.1',
  '192.0.2.1',
  '0.0.0.0',
  '::1',
  'x',
]

test('without a filter, error codes and 127.0.0.1 never count', () => {
  for (const use of ['trusted', 'blocked'] as const) {
    for (const zone of [
      'list.example',
      'list.dnswl.org',
      'zen.spamhaus.org',
      'key.zen.dq.spamhaus.net',
      'bl.spamcop.net',
    ]) {
      assert.deepEqual(counting(zone, use, [...NEVER, '127.0.0.255']), [], zone)
    }
    assert.deepEqual(counting('list.example', use, ['127.0.0.2', '127.9.8.7']), ['127.0.0.2', '127.9.8.7'])
  }
})

test('with a filter that has them, error codes do not count all the same', () => {
  const all = '127.[0..255].[0..255].[0..255]'
  const errors = NEVER.filter((answer) => answer !== '127.0.0.1')
  assert.deepEqual(counting(`list.example=${all}`, 'trusted', errors), [])
  assert.deepEqual(counting(`list.dnswl.org=${all}`, 'trusted', ['127.0.0.255', '127.0.5.0']), ['127.0.5.0'])
})

test('well-known lists count by what they mean', () => {
  const cases: Array<[zone: string, use: DnsListUse, counts: string[], others: string[]]> = [
    [
      'list.dnswl.org',
      'trusted',
      ['127.0.5.1', '127.0.15.2', '127.0.20.3'],
      ['127.0.5.0', '127.0.10.0', '127.0.0.2', '127.0.5.4'],
    ],
    ['List.DNSWL.org', 'trusted', ['127.0.5.1'], ['127.0.5.0']],
    [
      'hostkarma.junkemailfilter.com',
      'trusted',
      ['127.0.0.1'],
      ['127.0.0.2', '127.0.0.3', '127.0.0.4', '127.0.0.5', '127.0.1.1'],
    ],
    [
      'hostkarma.junkemailfilter.com',
      'blocked',
      ['127.0.0.2'],
      ['127.0.0.1', '127.0.0.3', '127.0.0.5', '127.0.1.2'],
    ],
    [
      'zen.spamhaus.org',
      'blocked',
      ['127.0.0.2', '127.0.0.4', '127.0.0.11'],
      ['127.0.0.1', '127.0.1.2', '127.0.0.20'],
    ],
    ['key123.zen.dq.spamhaus.net', 'blocked', ['127.0.0.3'], ['127.0.0.1', '127.0.1.2']],
    ['zen.spamhaus.org', 'trusted', [], ['127.0.0.2', '127.0.0.4']],
    ['list.dnswl.org', 'blocked', [], ['127.0.5.0', '127.0.5.3']],
    ['bl.spamcop.net', 'blocked', ['127.0.0.2'], ['127.0.0.3']],
    ['wl.mailspike.net', 'trusted', ['127.0.0.18', '127.0.0.20'], ['127.0.0.10', '127.0.0.2']],
    ['score.senderscore.com', 'trusted', [], ['127.0.4.0', '127.0.4.50', '127.0.4.100']],
    ['score.senderscore.com', 'blocked', [], ['127.0.4.0', '127.0.4.50', '127.0.4.100']],
    ['score.senderscore.com=127.0.4.[90..100]', 'trusted', ['127.0.4.90', '127.0.4.100'], ['127.0.4.0']],
    ['iadb.isipp.com', 'trusted', ['127.0.1.255'], ['127.0.0.1', '127.3.100.0', '127.2.255.1', '127.0.0.2']],
    ['iadb.isipp.com', 'blocked', [], ['127.0.0.1', '127.0.1.255', '127.3.100.0']],
    ['nobl.junkemailfilter.com', 'trusted', [], ['127.0.0.1', '127.0.0.3', '127.0.0.5']],
    ['nobl.junkemailfilter.com', 'blocked', [], ['127.0.0.1', '127.0.0.2', '127.0.0.5']],
    ['nobl.junkemailfilter.com=127.0.0.1', 'trusted', ['127.0.0.1'], ['127.0.0.5']],
    ['black.junkemailfilter.com', 'trusted', [], ['127.0.0.2']],
    ['swl.spamhaus.org', 'trusted', ['127.0.2.2', '127.0.2.103'], ['127.0.0.2', '127.0.2.4']],
    ['dbl.spamhaus.org', 'trusted', [], ['127.0.1.2', '127.0.1.255', '127.0.0.2']],
    ['dbl.spamhaus.org', 'blocked', [], ['127.0.1.2', '127.0.1.255', '127.0.0.2']],
    ['dbl.spamhaus.org=127.0.1.[2..255]', 'blocked', ['127.0.1.2'], ['127.0.1.255']],
    ['key123.dbl.dq.spamhaus.net=127.0.1.255', 'trusted', [], ['127.0.1.255']],
    ['key123.authbl.dq.spamhaus.net', 'blocked', ['127.0.0.20'], ['127.0.0.2', '127.0.0.1']],
    ['key123.authbl.dq.spamhaus.net', 'trusted', [], ['127.0.0.20']],
    ['your_key.zen.dq.spamhaus.net', 'trusted', [], ['127.0.0.2', '127.0.0.4']],
    ['key123.zrd.dq.spamhaus.net', 'trusted', [], ['127.0.2.2']],
    ['_url.key123.hbl.dq.spamhaus.net', 'trusted', [], ['127.0.1.2']],
    ['bl.score.senderscore.com', 'trusted', [], ['127.0.0.2']],
    ['dnsbl.sorbs.net', 'blocked', ['127.0.0.2', '127.0.0.14'], ['127.0.0.1']],
    ['spam.dnsbl.sorbs.net', 'trusted', [], ['127.0.0.6']],
    ['multi.uribl.com', 'trusted', [], ['127.0.0.2']],
    ['hostkarma.junkemailfilter.com=127.0.0.[2;4]', 'blocked', ['127.0.0.2', '127.0.0.4'], ['127.0.0.1']],
    ['list.dnswl.org=127.0.[0..255].[2..3]', 'trusted', ['127.0.5.2'], ['127.0.5.1', '127.0.5.0']],
  ]
  for (const [zone, use, counts, others] of cases) {
    assert.deepEqual(counting(zone, use, [...counts, ...others]), counts, `${zone} ${use}`)
  }
})

test('a well-known list that is of no use is known as such', () => {
  const cases: Array<[text: string, use: DnsListUse, fault: DnsListFault | undefined]> = [
    ['zen.spamhaus.org', 'trusted', 'other use'],
    ['zen.spamhaus.org=127.0.0.2', 'trusted', 'other use'],
    ['list.dnswl.org', 'blocked', 'other use'],
    ['iadb.isipp.com', 'blocked', 'other use'],
    ['dnsbl.sorbs.net', 'trusted', 'other use'],
    ['hostkarma.junkemailfilter.com', 'trusted', undefined],
    ['list.example', 'trusted', undefined],
    ['score.senderscore.com', 'trusted', 'no default'],
    ['score.senderscore.com', 'blocked', 'no default'],
    ['score.senderscore.com=127.0.4.[90..100]', 'trusted', undefined],
    ['nobl.junkemailfilter.com', 'trusted', 'no default'],
    ['dbl.spamhaus.org', 'blocked', 'domains'],
    ['dbl.spamhaus.org=127.0.1.[2..99]', 'blocked', 'domains'],
    ['key.dbl.dq.spamhaus.net', 'trusted', 'domains'],
    ['_file.key.hbl.dq.spamhaus.net', 'trusted', 'domains'],
    ['multi.surbl.org', 'blocked', 'domains'],
  ]
  for (const [text, use, fault] of cases) assert.equal(parseDnsList(text, use).fault, fault, `${text} ${use}`)
})

// Property: any text is read or refused, and any answer then counts or does not.
test('parseDnsList() reads any text or throws what it expected', () => {
  const text = fc.string({ unit: fc.constantFrom(...'a.=[];0123457129* ') })
  fc.assert(
    fc.property(text, fc.string(), (filter, answer) => {
      try {
        assert.equal(typeof parseDnsList(`a.b=${filter}`, 'trusted').matches(answer), 'boolean')
      } catch (error) {
        assert.match(String(error), /^Error: expected /)
      }
    }),
    { numRuns: 2000 },
  )
})
