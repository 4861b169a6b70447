// Tests that what is known of a domain's clients by their comparisons is what an evaluation of each would find.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from '../../../src/address.ts'
import { DecisionTree } from '../../../src/identity/spf/decision-tree.ts'
import { type SpfDns, type SpfIdentity, SpfStandings } from '../../../src/identity/spf/standing.ts'
import { parseIp } from '../../../src/ip.ts'
import { ip } from './support.ts'

const block = (text: string, prefix: number) => ({ bytes: ip(text).bytes, prefix })

test('the answer for a client is that of the one with which the same comparisons came out', () => {
  const tree = new DecisionTree<string>()
  const [wide, narrow] = [block('10.0.0.0', 8), block('10.1.0.0', 16)]
  assert.equal(tree.find(ip('10.0.0.1').bytes), undefined)
  tree.add(
    [
      { block: narrow, isInside: false },
      { block: wide, isInside: true },
    ],
    'wide',
  )
  tree.add([{ block: narrow, isInside: true }], 'narrow')
  for (const [client, answer] of [
    ['10.0.0.2', 'wide'],
    ['10.1.255.255', 'narrow'],
    ['11.0.0.1', undefined],
  ] as const)
    assert.equal(tree.find(ip(client).bytes), answer, client)
  assert.equal(tree.size, 4)
  tree.add([{ block: narrow, isInside: true }], 'narrower')
  assert.equal(tree.find(ip('10.1.0.1').bytes), 'narrower')
  assert.equal(tree.size, 4)
})

test('what the comparisons contradict is forgotten', () => {
  const tree = new DecisionTree<string>()
  tree.add([{ block: block('10.0.0.0', 8), isInside: false }], 'before')
  tree.add([{ block: block('10.0.0.0', 9), isInside: true }], 'after')
  assert.equal(tree.find(ip('10.0.0.1').bytes), 'after')
  assert.equal(tree.find(ip('11.0.0.1').bytes), undefined)
  tree.add([], 'no record')
  assert.equal(tree.find(ip('11.0.0.1').bytes), 'no record')
})

const DOMAINS = ['a.example.org', 'b.example.net', 'c.example.com', 'd.example.edu']
const QUALIFIER = fc.constantFrom('', '-', '~', '?')
const NUMBER = fc.integer({ min: 0, max: 7 })
const TERM = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(NUMBER, fc.integer({ min: 30, max: 32 }))
      .map(([n, p]) => `${n % 2 === 0 ? 'ip4:10.0.0' : 'ip4:192.0.2'}.${n}/${p}`),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(NUMBER, fc.integer({ min: 126, max: 128 }))
      .map(([n, p]) => `ip6:2001:db8::${n}/${p}`),
  },
  { weight: 4, arbitrary: fc.constantFrom(...DOMAINS).map((domain) => `include:${domain}`) },
  { weight: 1, arbitrary: fc.constantFrom(...DOMAINS).map((domain) => `include:%{v}.${domain}`) },
  { weight: 2, arbitrary: fc.constantFrom(...DOMAINS).map((domain) => `a:${domain}/30`) },
  { weight: 1, arbitrary: fc.constantFrom(...DOMAINS).map((domain) => `mx:${domain}`) },
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      'exists:%{i}.list.test',
      'exists:one.list.test',
      'ptr',
      'exists:%{l}.list.test',
      'exists:%{h}.list.test',
      'exists:%{p}.list.test',
    ),
  },
  { weight: 1, arbitrary: fc.constant('all') },
)
const RECORD = fc
  .tuple(
    fc.array(
      fc.tuple(QUALIFIER, TERM).map((parts) => parts.join('')),
      { minLength: 1, maxLength: 6 },
    ),
    fc.constantFrom('-all', '?all', 'all', '', `redirect=${DOMAINS[3]}`),
  )
  .map(([terms, end]) => ['v=spf1', ...terms, end].join(' '))
const CLIENT = fc.oneof(
  NUMBER.map((n) => `10.0.0.${n}`),
  NUMBER.map((n) => `192.0.2.${n}`),
  NUMBER.map((n) => `2001:db8::${n}`),
)

test('a client has the standing that an evaluation of its own would find, whoever was evaluated before', () => {
  fc.assert(
    fc.property(
      fc.array(fc.option(RECORD, { nil: undefined, freq: 20 }), { minLength: 4, maxLength: 4 }),
      fc.array(fc.tuple(CLIENT, fc.integer({ min: 0, max: 1 }), fc.constantFrom('one', 'two')), {
        minLength: 20,
        maxLength: 40,
      }),
      (records, mails) => {
        const dns = zoneOf(records)
        const standings = new SpfStandings(dns, () => 1000)
        for (const [client, index, word] of mails) {
          const domain = DOMAINS[index] ?? ''
          assert.deepEqual(
            standingIn(standings, client, domain, word),
            standingIn(new SpfStandings(dns, () => 1000), client, domain, word),
            `${client} ${word}@${domain}`,
          )
        }
      },
    ),
    { numRuns: 150 },
  )
})

/** The standing of mail with `word` before the domains of its sender and of HELO. */
function standingIn(standings: SpfStandings, client: string, domain: string, word: string): SpfIdentity {
  const found = standings.of(ip(client), parseAddress(`${word}@${domain}`), `${word}.test`, () => true)
  assert.ok(!(found instanceof Promise), 'nothing has to be waited for')
  return found
}

/** DNS with a record for some domains, whose hosts have addresses by their place. */
function zoneOf(records: ReadonlyArray<string | undefined>): SpfDns {
  return {
    ask(name, type) {
      const value = answerOf(name, type)
      const error = value ? undefined : Object.assign(new Error('none'), { code: 'ENOTFOUND' })
      return error ? { error, expiresAt: 2000 } : { value, expiresAt: 2000 }
    },
    withTimeout: (_, answer) => answer,
    refund() {},
  }

  function answerOf(name: string, type: string): unknown {
    const index = DOMAINS.indexOf(name)
    if (type === 'TXT' && name.startsWith('in-addr.')) return [['v=spf1 ip4:10.0.0.5 -all']]
    if (type === 'TXT') return records[index] === undefined ? undefined : [[records[index]]]
    if (type === 'A' && /^(one|one\.test|a\.example\.org)\.list\.test$/.test(name)) return ['127.0.0.2']
    if (type === 'A' && parseIp(name.replace('.list.test', ''))?.bytes.at(-1) === 3) return ['127.0.0.2']
    if (type === 'PTR') return [DOMAINS[Number.parseInt(name, 10) % 4]]
    if (index === -1) return undefined
    if (type === 'A') return [`10.0.0.${index}`, `192.0.2.${index + 4}`]
    if (type === 'AAAA') return [`2001:db8::${index}`]
    return type === 'MX' ? [{ priority: 1, exchange: DOMAINS[(index + 1) % 4] }] : undefined
  }
}
