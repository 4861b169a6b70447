// Imports of any bytes, and of what is in the store already: they end with a message, and make nothing worse.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from '../../src/address.ts'
import { createGreylister, type GreylistSettings } from '../../src/greylist/greylister.ts'
import type { Found, Piece } from '../../src/import/piece.ts'
import type { Remembered } from '../../src/import/remembered.ts'
import { translate } from '../../src/import/translate.ts'
import { WriteFailed } from '../../src/import/write.ts'
import { formatNetwork, networkOf, parseIp } from '../../src/ip.ts'
import { storedBy } from '../../src/operator/stored.ts'
import type { Entry } from '../../src/store/entry.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { exported, imported, importFound } from './support.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const START = Date.UTC(2026, 10, 27)
const now = () => START

const HEADER = '{"greymx":"export","format":1,"version":"0.2.0","at":"2026-11-27T00:00:00.000Z"}\n'

/** A store with one key of each kind. */
async function filled(): Promise<MemoryStore> {
  const store = new MemoryStore(now)
  await store.add('t:network:192.0.2.0/24|a@example.org|b@example.com', 2 * DAY, HOUR)
  await store.add('f:0123456789', 2 * DAY, HOUR, '1234567890123456')
  await store.pass('t:host:example.org|a@example.org|b@example.com', 36 * DAY)
  await store.pass('w:network:192.0.2.0/24', 36 * DAY)
  await store.count('o:network:192.0.2.0/24', 2 * DAY, 100_000_002)
  await store.changeRecord('rules', new Map([['abc123', '{"kind":"off","by":"test","madeAt":1}']]))
  return store
}

/** All that a store keeps, as it would be exported. */
const contentOf = async (store: MemoryStore) => (await exported(store, now)).split('\n').sort()

// Property: any bytes end in a summary or in one error with a message. What is taken is what is in the store after it,
// and a line that is not taken is counted and told with its number.
test('any bytes end in a summary, or in an error that says what was expected', async () => {
  const whole = await exported(await filled(), now)
  const mutated = fc
    .tuple(
      fc.nat(whole.length),
      fc.nat(40),
      fc.oneof(fc.string(), fc.constantFrom('\n', '"', '{}', '9e9', 'null')),
    )
    .map(([at, length, put]) => Buffer.from(whole.slice(0, at) + put + whole.slice(at + length)))
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array))
  const afterHeader = fc
    .array(fc.oneof(bytes, fc.json().map(Buffer.from)), { maxLength: 5 })
    .map((lines) =>
      Buffer.concat([Buffer.from(HEADER), ...lines.flatMap((line) => [line, Buffer.from('\n')])]),
    )
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(bytes, mutated, afterHeader),
      fc.constantFrom(1, 7, 65_536),
      async (given, size) => {
        const target = new MemoryStore(now)
        const done = await imported(given, target, now, size).catch((error: Error) => error)
        if (done instanceof Error) {
          assert.match(done.message, /^(?:it is (?:empty|no export of greymx):|its format is) .*expected/)
          assert.equal(target.size, 0)
          return
        }
        const { summary, notTaken } = done
        const { passed, waiting, listed, other } = summary.taken
        assert.ok(target.size <= passed + waiting + listed + other)
        assert.equal(notTaken.length, summary.broken)
        for (const { where, problem } of notTaken) {
          assert.match(where, /^\d+$|^its end$/)
          assert.match(problem, /expected|is none that greymx has|is missing/)
        }
      },
    ),
    { numRuns: 1000 },
  )
})

test('an export that was cut short, or has more lines than it says, is told to be broken', async () => {
  const whole = await exported(await filled(), now)
  const lines = whole.split('\n')
  const problemsOf = async (text: string) =>
    (await imported(text, undefined, now)).notTaken.map(({ where, problem }) => `${where}: ${problem}`)
  assert.deepEqual(await problemsOf(whole), [])
  assert.deepEqual(await problemsOf(lines.toSpliced(2, 1).join('\n')), [
    '7: expected 6 lines before this one, found 5',
  ])
  assert.deepEqual(await problemsOf(lines.slice(0, 4).join('\n')), [
    'its end: the last line is missing, which begins with {"end": expected the whole file',
  ])
  assert.deepEqual(await problemsOf(`${whole}${lines[1]}\n`), ['9: expected nothing after the last line'])
  await assert.rejects(
    imported(whole.replace('"format":1', '"format":2'), undefined, now),
    /^Error: its format is 2, and this greymx knows 1: expected the version 0\.2\.0/,
  )
})

test('each line that cannot be taken is told with its number and what was expected', async () => {
  const key = '"key":"t:network:192.0.2.0/24|a@example.org"'
  const cases: ReadonlyArray<readonly [line: string, problem: RegExp]> = [
    ['x', /^expected JSON, found "x"$/],
    ['[]', /^expected an object of JSON, found \[\]$/],
    ['{}', /^expected key, record or end$/],
    ['{"key":"q:a","count":1,"left":1}', /^the key "q:a" is none that greymx has$/],
    ['{"key":"r:rules","count":1,"left":1}', /is none that greymx has/],
    ['{"key":"t:a\\u0000","count":1,"left":1}', /is none that greymx has/],
    [`{"key":"t:${'x'.repeat(600)}","count":1,"left":1}`, /is none that greymx has/],
    [`{${key},"passed":1,"left":1}`, /^expected passed to be true or false, found 1$/],
    [`{${key},"passed":true,"ttl":0,"left":1}`, /^expected ttl to be a whole number from 1 to \d+, found 0$/],
    [`{${key},"passed":true,"ttl":1,"left":1.5}`, /^expected left to be a whole number/],
    [`{${key},"passed":true,"ttl":1e15,"left":1}`, /^expected ttl to be/],
    [`{${key},"count":-1,"left":1}`, /^expected count to be a whole number from 1/],
    [`{${key},"passed":false,"ttl":5,"left":5,"holder":"9"}`, /^expected a holder of 16 digits/],
    [`{${key},"passed":true,"ttl":5,"left":5,"holder":"1234567890123456"}`, /^expected a holder/],
    [
      '{"record":"members","field":"a","text":""}',
      /^expected the record rules or recipients, found "members"$/,
    ],
    ['{"record":"rules","field":"a"}', /^expected field and text$/],
    ['{"record":"rules","field":"","text":""}', /expected 1 to 1800 bytes/],
    ['{"record":"rules","field":"a","text":"{}"}', /^expected a rule, found "\{\}": unknown kind/],
    ['{"record":"recipients","field":"a.test","text":"x"}', /^expected only or except, found "x"$/],
    ['{"record":"recipients","field":"/(/","text":"only"}', /./],
    [`{"record":"rules","field":"a","text":"${'x'.repeat(65_537)}"}`, /expected 65536 characters at most/],
    ['x'.repeat(1024 * 1024 + 1), /^expected a line of 1048576 bytes at most, found 1048577$/],
  ]
  const target = new MemoryStore(now)
  const text = `${HEADER}${cases.map(([line]) => `${line}\n`).join('')}{"end":${cases.length}}\r\n`
  const { summary, notTaken } = await imported(text, target, now)
  for (const [index, [line, problem]] of cases.entries()) {
    assert.equal(notTaken[index]?.where, String(index + 2), line.slice(0, 80))
    assert.match(notTaken[index]?.problem ?? '', problem)
  }
  assert.equal(summary.broken, cases.length)
  assert.equal(target.size, 0)
})

const entry: fc.Arbitrary<Piece> = fc
  .record({
    key: fc.constantFrom('t:a|b', 'f:c', 'w:d', 'p:e'),
    passed: fc.boolean(),
    ttl: fc.constantFrom(HOUR, DAY, 36 * DAY),
    part: fc.double({ min: 0.001, max: 1, noNaN: true }),
    holder: fc.constantFrom(undefined, undefined, '1234567890123456', '2234567890123456'),
    count: fc.option(fc.integer({ min: 1, max: 1e9 }), { nil: undefined }),
  })
  .map(({ key, passed, ttl, part, holder, count }): Piece => {
    const left = Math.ceil(ttl * part)
    if (key === 'p:e') return { kind: 'key', key, learnt: { seen: count ?? 1, left } }
    const learnt = { passed, ttl, left }
    return { kind: 'key', key, learnt: passed || holder === undefined ? learnt : { ...learnt, holder } }
  })

async function* each(pieces: readonly Found[]): AsyncGenerator<Found> {
  yield* pieces
}

// Property: after an import, whoever had passed has passed for at least as long, whoever waited has waited at least as
// long or has passed, no count is smaller, and a second import of the same changes nothing.
test('an import makes nothing worse, and a second one changes nothing', async () => {
  const isWorse = (before: Entry | undefined, after: Entry | undefined) => {
    if (!before) return false
    if (!after || (before.passed && !after.passed)) return true
    if (after.passed) return false
    return after.age < before.age || after.holder !== before.holder
  }
  await fc.assert(
    fc.asyncProperty(
      fc.array(entry, { maxLength: 6 }),
      fc.array(entry, { maxLength: 6 }),
      fc.nat(2 * DAY),
      async (there, given, later) => {
        const clock = { now: START }
        const make = async () => {
          const store = new MemoryStore(() => clock.now)
          await importFound(each(there), store)
          return store
        }
        const [alone, store] = [await make(), await make()]
        await importFound(each(given), store)
        const once = await contentOf(store)
        await importFound(each(given), store)
        assert.deepEqual(await contentOf(store), once)
        const isTurned = new Set<string>()
        const keys = ['t:a|b', 'f:c', 'w:d']
        for (const time of [0, later]) {
          clock.now += time
          const [before, after] = [await alone.find(keys), await store.find(keys)]
          for (const [index, key] of keys.entries()) {
            const [was, is] = [before[index], after[index]]
            if (!isTurned.has(key)) assert.ok(!isWorse(was, is), `${key}: ${JSON.stringify([was, is])}`)
            // A pass, and an earlier first attempt, end with their own time, also where the wait would have gone on.
            if (was?.passed === false && is && (is.passed || is.age > was.age)) isTurned.add(key)
          }
          if (time > 0) continue
          const [[counted = 0], [now = 0]] = [await alone.counts(['p:e']), await store.counts(['p:e'])]
          assert.ok(now >= counted)
        }
      },
    ),
    { numRuns: 500 },
  )
})

test('rules and recipients of the store stay as they are, and others are added', async () => {
  const target = new MemoryStore(now)
  await target.changeRecord('rules', new Map([['abc123', 'mine']]))
  const fields: Found[] = [
    { kind: 'field', record: 'rules', field: 'abc123', text: 'theirs' },
    { kind: 'field', record: 'rules', field: 'def456', text: 'theirs' },
    { kind: 'field', record: 'recipients', field: 'example.com', text: 'only' },
  ]
  const { summary } = await importFound(each(fields), target)
  assert.equal(summary.taken.rules, 3)
  assert.deepEqual(
    await target.readRecord('rules'),
    new Map([
      ['abc123', 'mine'],
      ['def456', 'theirs'],
    ]),
  )
  assert.deepEqual(await target.readRecord('recipients'), new Map([['example.com', 'only']]))
})

test('rules beyond the most that a store keeps are refused', async () => {
  const target = new MemoryStore(now)
  const fields = Array.from({ length: 1001 }, (_, index): Found => {
    return { kind: 'field', record: 'rules', field: String(index), text: '' }
  })
  const { summary, notTaken } = await importFound(each(fields), target)
  assert.deepEqual([summary.taken.rules, summary.broken], [1000, 1])
  assert.deepEqual(notTaken, [
    { kind: 'broken', where: '1000', problem: 'the store has 1000 of rules already, and takes no more' },
  ])
  assert.equal((await target.readRecord('rules')).size, 1000)
})

test('a store that fails ends the import, and what was merged before stays', async () => {
  const target = new MemoryStore(now)
  const merge = target.merge.bind(target)
  let merged = 0
  target.merge = async (key, learnt) => {
    merged += 1
    if (merged > 300) throw new Error('the disk is full')
    await merge(key, learnt)
  }
  const pieces = Array.from({ length: 1000 }, (_, index): Found => {
    return { kind: 'key', key: `t:${index}|b`, learnt: { passed: true, ttl: DAY, left: DAY } }
  })
  await assert.rejects(importFound(each(pieces), target), (error) => {
    assert.ok(error instanceof WriteFailed)
    assert.equal(error.message, 'the disk is full')
    return true
  })
  assert.equal(target.size, 300)
})

const SETTINGS: GreylistSettings = {
  times: { delay: 4 * MINUTE, retryWindow: 2 * DAY, lifetime: 36 * DAY },
  widensBySpf: true,
  prefixes: { ipv4: 24, ipv6: 64 },
  normalizeSender: true,
  autoWhitelist: { after: 1, spacing: HOUR, lifetime: 36 * DAY },
  maxDeferrals: 4,
  maxPending: 1000,
  onStoreError: 'tempfail',
}

test('what a peer remembers passes and waits at greymx as it would there, and nobody else does', async () => {
  const remembered: readonly Remembered[] = [
    {
      kind: 'passed',
      client: '192.0.2.7',
      sender: 'Known+x@example.org',
      recipient: 'u@example.com',
      lastUsed: START - 30 * DAY,
    },
    {
      kind: 'waiting',
      client: '192.0.2.0/24',
      sender: 'waits@example.org',
      recipient: 'u@example.com',
      firstSeen: START - MINUTE,
    },
    { kind: 'passed', client: '192.0.2.7', sender: '', recipient: 'u@example.com', lastUsed: START },
    { kind: 'listed', client: '2001:db8::7', lastUsed: START },
  ]
  for (const others of [{}, { privacy: ['k'.repeat(32)] }, { normalizeSender: false }])
    for (const judgesRecipients of [true, false]) {
      const settings = { ...SETTINGS, ...others }
      const clock = { now: START }
      const store = new MemoryStore(() => clock.now)
      const { times, prefixes } = settings
      const stored = storedBy(settings)
      const translation = {
        times,
        prefixes,
        nat64Prefixes: [],
        judgesRecipients,
        listedFor: 36 * DAY,
        stored,
      }
      const pieces = remembered.map((each) => translate(each, 'record 1', START, translation))
      await importFound(each(pieces), store)
      let address = parseIp('192.0.2.9') ?? assert.fail()
      const { judge } = createGreylister({
        settings,
        exempt: () => undefined,
        investigate: async () => {
          const network = `network:${formatNetwork(networkOf(address, address.kind === 'ipv4' ? 24 : 64))}`
          const names = ['host:example.org', network]
          const host = { domain: 'example.org', isMail: true }
          const identity = {
            id: names[0] ?? '',
            names,
            carriers: [],
            network,
            spf: 'none',
            host,
            isNamed: true,
          } as const
          return { identity, exemption: undefined }
        },
        stores: { store },
        hasImports: () => true,
        now: () => clock.now,
      })
      const reasonOf = async (sender: string, recipient = 'u@example.com') => {
        const to = judgesRecipients ? parseAddress(recipient) : undefined
        const attempt = {
          client: { address },
          authenticated: false,
          sender: parseAddress(sender),
          recipient: to,
        }
        return (await judge(attempt)).reason
      }
      const name = JSON.stringify([others, judgesRecipients])
      assert.equal(
        await reasonOf(settings.normalizeSender ? 'known@example.org' : 'known+x@example.org'),
        'known',
        name,
      )
      assert.equal(await reasonOf(''), 'known', name)
      assert.equal(await reasonOf('waits@example.org'), 'early', name)
      assert.equal(await reasonOf('stranger@example.org'), 'new', name)
      if (judgesRecipients) assert.equal(await reasonOf('waits@example.org', 'v@example.com'), 'new', name)
      clock.now += 3 * MINUTE - 1
      assert.equal(await reasonOf('waits@example.org'), 'early', name)
      clock.now += 1
      assert.equal(await reasonOf('waits@example.org'), 'retry', name)
      address = parseIp('2001:db8::ffff') ?? assert.fail()
      assert.equal(await reasonOf('anybody@example.net'), 'auto-whitelist', name)
      address = parseIp('2001:db8:0:1::7') ?? assert.fail()
      assert.equal(await reasonOf('anybody@example.net'), 'new', name)
    }
})
