// Tests of the log: its exact lines, and that a line stays one line that reads back, whatever its fields hold.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from '../../src/address.ts'
import { parseIp } from '../../src/ip.ts'
import { createLog, LOG_LEVELS, type Log, type LogSettings } from '../../src/log/log.ts'
import { decodeText } from '../../src/milter/text.ts'
import type { Outcome } from '../../src/outcome.ts'

/** The text that a log writes while `use` runs. */
function written(settings: LogSettings, use: (log: Log) => void): string {
  const lines: string[] = []
  use(createLog({ write: (line) => void lines.push(line) }, () => settings))
  return lines.join('')
}

const TEXT: LogSettings = { level: 'info', format: 'text' }
const JSON_LINES: LogSettings = { level: 'info', format: 'json' }

const address = parseIp('198.51.100.7')
const DEFERRED: Outcome = {
  attempt: {
    client: address ? { address, name: 'mail.example.org' } : {},
    authenticated: false,
    sender: parseAddress('<A@Example.org>'),
    recipient: parseAddress('<b@example.com>'),
    mta: 'mx1.example.com',
    queueId: '4XyZ',
  },
  verdict: 'tempfail',
  reason: 'early',
  identity: 'network:198.51.100.0/24',
  waited: 61_999,
  retryIn: 178_001,
  ref: '2a1d04f4',
}
const OBSERVED: Outcome = { ...DEFERRED, verdict: 'pass', reason: 'observe', would: 'early' }
const EXEMPT: Outcome = {
  attempt: { client: {}, authenticated: true, sender: parseAddress('<>') },
  verdict: 'pass',
  reason: 'authenticated',
  rule: 'authenticated',
  waited: 0,
  retryIn: 0,
}
const FAILED: Outcome = {
  attempt: {
    client: address ? { address } : {},
    authenticated: false,
    sender: parseAddress('SRS0=x=y@z.test'),
    recipient: parseAddress('"b c"@example.com'),
  },
  verdict: 'pass',
  reason: 'store-error',
  waited: 0,
  retryIn: 0,
  error: 'the store did not answer find within 250ms',
}

test('an outcome is one line of text, the same fields in the same order', () => {
  const cases: Array<[outcome: Outcome, line: string]> = [
    [
      DEFERRED,
      'verdict=tempfail reason=early client=198.51.100.7 name=mail.example.org identity=network:198.51.100.0/24 ' +
        'sender=A@Example.org recipient=b@example.com waited=61s retry_in=179s ref=2a1d04f4 mta=mx1.example.com id=4XyZ',
    ],
    [
      EXEMPT,
      'verdict=pass reason=authenticated client=unknown rule=authenticated sender=<> waited=0s retry_in=0s',
    ],
    [
      FAILED,
      'verdict=pass reason=store-error client=198.51.100.7 sender="SRS0=x=y@z.test" ' +
        'recipient="\\"b c\\"@example.com" waited=0s retry_in=0s error="the store did not answer find within 250ms"',
    ],
  ]
  for (const [outcome, line] of cases)
    assert.equal(
      written(TEXT, (log) => log.outcome(outcome)),
      `${line}\n`,
    )
})

test('an outcome is one line of JSON, with the time first', () => {
  const cases: Array<[outcome: Outcome, fields: object]> = [
    [
      DEFERRED,
      {
        verdict: 'tempfail',
        reason: 'early',
        client: '198.51.100.7',
        name: 'mail.example.org',
        identity: 'network:198.51.100.0/24',
        sender: 'A@Example.org',
        recipient: 'b@example.com',
        waited: '61s',
        retry_in: '179s',
        ref: '2a1d04f4',
        mta: 'mx1.example.com',
        id: '4XyZ',
      },
    ],
    [
      EXEMPT,
      {
        verdict: 'pass',
        reason: 'authenticated',
        client: 'unknown',
        rule: 'authenticated',
        sender: '<>',
        waited: '0s',
        retry_in: '0s',
      },
    ],
    [
      FAILED,
      {
        verdict: 'pass',
        reason: 'store-error',
        client: '198.51.100.7',
        sender: 'SRS0=x=y@z.test',
        recipient: '"b c"@example.com',
        waited: '0s',
        retry_in: '0s',
        error: 'the store did not answer find within 250ms',
      },
    ],
  ]
  for (const [outcome, fields] of cases) {
    const line = written(JSON_LINES, (log) => log.outcome(outcome))
    const [, time = '', rest] = /^\{"time":"([^"]*)",(.*)\n$/s.exec(line) ?? []
    assert.equal(new Date(time).toISOString(), time)
    assert.equal(`{${rest}`, JSON.stringify(fields))
  }
})

test('an event is its level, its message and its fields', () => {
  const fields = { store: 'memory:', needs_restart: undefined, count: 3, empty: '' }
  assert.equal(
    written(TEXT, (log) => log.event('info', 'store is up', fields)),
    'level=info msg="store is up" store=memory: count=3 empty=""\n',
  )
  assert.equal(
    written(TEXT, (log) => log.event('error', 'stopped')),
    'level=error msg=stopped\n',
  )
  const line = written(JSON_LINES, (log) => log.event('warn', 'store is up', fields))
  const { time, ...rest } = JSON.parse(line)
  assert.deepEqual(rest, { level: 'warn', msg: 'store is up', store: 'memory:', count: 3, empty: '' })
  assert.ok(time)
})

test('what would be ambiguous or disturb a terminal is quoted and escaped', () => {
  const cases: Array<[value: string, shown: string]> = [
    ['plain-text_1.2:3/4@5<>{}[]()|&;,+', 'plain-text_1.2:3/4@5<>{}[]()|&;,+'],
    ['ю@пример.test', '"ю@пример.test"'],
    ['', '""'],
    [' ', '" "'],
    ['a b', '"a b"'],
    ['a"b', '"a\\"b"'],
    ['a\\b', '"a\\\\b"'],
    ['a=b', '"a=b"'],
    ['a\nverdict=pass', '"a\\nverdict=pass"'],
    ['a\r\tb', '"a\\r\\tb"'],
    ['\u001b[31m', '"\\u001b[31m"'],
    ['\u0000\u007f', '"\\u0000\\u007f"'],
    ['\u009b31m', '"\\u009b31m"'],
    ['a\u0085b', '"a\\u0085b"'],
    ['a\u2028b\u2029', '"a\\u2028b\\u2029"'],
    ['moc\u202ea\u2066', '"moc\\u202ea\\u2066"'],
    ['\ud800', '"\\ud800"'],
    [decodeText(Buffer.from([0xe9, 0x40])), '"\\udce9@"'],
  ]
  for (const [value, shown] of cases) {
    assert.equal(
      written(TEXT, (log) => log.event('info', 'x', { value })),
      `level=info msg=x value=${shown}\n`,
    )
  }
})

test('only what reaches the level is written; outcomes are info', () => {
  for (const [place, level] of LOG_LEVELS.entries()) {
    const text = written({ level, format: 'text' }, (log) => {
      for (const each of LOG_LEVELS) log.event(each, each)
    })
    const shown = LOG_LEVELS.slice(place).map((each) => `level=${each} msg=${each}\n`)
    assert.equal(text, shown.join(''))
    const outcome = written({ level, format: 'text' }, (log) => log.outcome(DEFERRED))
    assert.equal(outcome !== '', level === 'debug' || level === 'info', level)
  }
})

test('a change of the settings holds from the next line on', () => {
  let settings: LogSettings = TEXT
  const lines: string[] = []
  const log = createLog({ write: (line) => void lines.push(line) }, () => settings)
  log.event('info', 'one')
  settings = JSON_LINES
  log.event('info', 'two')
  settings = { level: 'error', format: 'text' }
  log.event('info', 'three')
  assert.equal(lines.length, 2)
  assert.equal(lines[0], 'level=info msg=one\n')
  assert.equal(JSON.parse(lines[1] ?? '').msg, 'two')
})

const ODD = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({
    unit: fc.constantFrom(...'a =\\"\n\r\t\0<>', '\u001b', '\u0085', '\u009b', '\u2028', '\ud800', '\udcff'),
  }),
  fc.uint8Array().map((bytes) => decodeText(Buffer.from(bytes))),
)

const OUTCOME: fc.Arbitrary<Outcome> = fc
  .record({ name: ODD, sender: ODD, recipient: ODD, mta: ODD, queueId: ODD, rule: ODD, error: ODD, ref: ODD })
  .map(({ name, sender, recipient, mta, queueId, ...rest }) => ({
    attempt: {
      client: { name },
      authenticated: false,
      sender: parseAddress(sender),
      recipient: parseAddress(recipient),
      mta,
      queueId,
    },
    verdict: 'tempfail',
    reason: 'new',
    waited: 0,
    retryIn: 1,
    ...rest,
  }))

function expectedFields({ attempt, rule, error, ref }: Outcome): Record<string, string> {
  return {
    verdict: 'tempfail',
    reason: 'new',
    rule: rule ?? '',
    client: 'unknown',
    name: attempt.client.name ?? '',
    sender: attempt.sender.text || '<>',
    recipient: attempt.recipient?.text ?? '',
    waited: '0s',
    retry_in: '1s',
    ref: ref ?? '',
    mta: attempt.mta ?? '',
    id: attempt.queueId ?? '',
    error: error ?? '',
  }
}

/** Characters that end a line for some readers, move a terminal's cursor, or are lost in UTF-8. */
const DISTURBING = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u

// Property: an outcome is exactly one line without control characters, and reads back as it was, whatever clients send.
test('a line of text reads back as its fields', () => {
  fc.assert(
    fc.property(OUTCOME, (outcome) => {
      const line = written(TEXT, (log) => log.outcome(outcome))
      assert.ok(line.endsWith('\n'))
      assert.doesNotMatch(line.slice(0, -1), DISTURBING)
      const pairs = [...line.slice(0, -1).matchAll(/([a-z_]+)=("(?:[^"\\]|\\.)*"|[!-~]+)(?: |$)/gu)]
      assert.equal(pairs.map(([pair]) => pair).join(''), line.slice(0, -1))
      const fields = pairs.map(([, key, value = '']) => [
        key,
        value.startsWith('"') ? JSON.parse(value) : value,
      ])
      assert.deepEqual(Object.fromEntries(fields), expectedFields(outcome))
    }),
    { numRuns: 1000 },
  )
})

// Property: the same holds for JSON, which allows C1 controls and line separators of Unicode, though they end lines for
// some.
test('a line of JSON reads back as its fields', () => {
  fc.assert(
    fc.property(OUTCOME, (outcome) => {
      const line = written(JSON_LINES, (log) => log.outcome(outcome))
      assert.ok(line.endsWith('}\n'))
      assert.doesNotMatch(line.slice(0, -1), DISTURBING)
      const { time: _, ...fields } = JSON.parse(line)
      assert.deepEqual(fields, expectedFields(outcome))
    }),
    { numRuns: 1000 },
  )
})

test('an outcome that was only observed tells what it would have been', () => {
  const line = written(TEXT, (log) => log.outcome(OBSERVED))
  assert.match(line, /^verdict=pass reason=observe would=tempfail would_reason=early client=/)
})
