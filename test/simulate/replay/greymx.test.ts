// greymx's own lines: what log/log.ts writes is read back, and what is not whole is no outcome.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAddress } from '../../../src/address.ts'
import { parseIp } from '../../../src/ip.ts'
import { createLog } from '../../../src/log/log.ts'
import type { Outcome } from '../../../src/outcome.ts'
import { readOutcome } from '../../../src/simulate/replay/greymx.ts'
import { logFile, logFolder } from './files.ts'
import { counts, readAll, summaries } from './reading.ts'

function lineOf(outcome: Outcome, format: 'text' | 'json'): string {
  const lines: string[] = []
  createLog({ write: (line) => lines.push(line) }, () => ({ level: 'info', format })).outcome(outcome)
  return lines.join('').replace(/\n$/, '')
}

/** Addresses as clients write them, with what could disturb a line among them. */
const argument = fc.oneof(
  fc.constantFrom(
    '<>',
    '<a@example.org>',
    '<"a b"@x>',
    '<a\u0001\n@x>',
    '<"\\"> verdict=pass"@x>',
    '<ю@пример.test>',
  ),
  fc.string({ unit: 'binary' }),
  fc.string().map((text) => `<${text}@example.org>`),
)

// Whatever a client calls itself, its sender and its recipient: both formats give back what was logged.
test('an outcome is read back from the line that was written of it', async () => {
  const outcomes = fc.record({
    sender: argument.map(parseAddress),
    recipient: fc.option(argument.map(parseAddress), { nil: undefined }),
    name: fc.option(fc.string({ unit: 'binary', minLength: 1 }), { nil: undefined }),
    verdict: fc.constantFrom('pass' as const, 'tempfail' as const),
    format: fc.constantFrom('text' as const, 'json' as const),
  })
  await fc.assert(
    fc.property(outcomes, ({ sender, recipient, name, verdict, format }) => {
      const attempt = {
        client: { address: parseIp('192.0.2.7'), name },
        authenticated: false,
        sender,
        recipient,
      }
      const outcome: Outcome = { attempt, verdict, reason: 'new', waited: 0, retryIn: 1000, ref: '01234567' }
      const line = lineOf(outcome, format)
      const fields = readOutcome(line)
      assert.ok(typeof fields === 'object', line)
      assert.deepEqual(
        ['verdict', 'reason', 'client', 'name', 'sender', 'recipient', 'ref'].map((key) => fields.get(key)),
        [verdict, 'new', '192.0.2.7', name, sender.text || '<>', recipient?.text, '01234567'],
      )
    }),
    { numRuns: 2000 },
  )
})

const LINE =
  'verdict=tempfail reason=new client=192.0.2.7 name=mail.example.org identity=host:example.org sender=a@example.org ' +
  'recipient=u@example.com waited=0s retry_in=240s ref=2b642cac mta=mx1.example.com id=D28EF17656C'

test('a line that is cut anywhere before its end is no outcome of another attempt', () => {
  const whole = readOutcome(LINE)
  assert.ok(typeof whole === 'object')
  const json = `{"time":"2026-11-26T13:06:03.889Z",${[...whole].map(([key, value]) => `"${key}":"${value}"`).join()}}`
  assert.deepEqual(readOutcome(json), new Map([['time', '2026-11-26T13:06:03.889Z'], ...whole]))
  for (const text of [LINE, json]) {
    for (let end = 0; end < text.length; end += 1) {
      const fields = readOutcome(text.slice(0, end))
      if (typeof fields === 'object')
        assert.equal(fields.get('recipient'), 'u@example.com', text.slice(0, end))
    }
  }
})

test('lines that only resemble an outcome are malformed, or none', () => {
  const cases: Array<[text: string, expected: 'malformed' | undefined]> = [
    ['level=info msg="verdict=pass"', undefined],
    ['{"time":"2026-11-26T13:06:03.889Z","level":"info","msg":"\\"verdict\\":"}', undefined],
    ['', undefined],
    [LINE.replace('verdict=tempfail', 'verdict=maybe'), 'malformed'],
    [LINE.replace('reason=new', 'reason=NEW'), 'malformed'],
    [LINE.replace('reason=new ', ''), 'malformed'],
    [LINE.replace('waited=0s', 'verdict=pass waited=0s'), 'malformed'],
    [LINE.replace('a@example.org', 'a@exa mple.org'), 'malformed'],
    [LINE.replace('a@example.org', '"a@example.org'), 'malformed'],
    [LINE.replace('a@example.org', '"\\x"'), 'malformed'],
    [LINE.replace('sender=a', 'sender==a'), 'malformed'],
    [`${LINE} trailing`, 'malformed'],
    ['{"time":"2026-11-26T13:06:03.889Z","verdict":"pass"', 'malformed'],
  ]
  for (const [text, expected] of cases) assert.equal(readOutcome(text), expected, text)
})

test('outcomes are attempts with their verdicts, whatever stamps the lines', async (t) => {
  const dir = await logFolder(t)
  const json =
    '{"time":"2026-11-26T13:06:05.250Z","verdict":"pass","reason":"retry","client":"2001:db8::7","sender":"<>"'
  const path = await logFile(dir, [
    '2026-11-26T13:06:03.000Z mx1 greymx[7]: level=info msg="store is up"',
    `2026-11-26T13:06:03.500Z mx1 greymx[7]: ${LINE}`,
    `2026-11-26T13:06:04.000Z ${LINE.replace('verdict=tempfail reason=new', 'verdict=pass reason=observe would=tempfail would_reason=early')}`,
    `${json},"recipient":"u@example.com","waited":"3s","retry_in":"0s"}`,
    `2026-11-26T13:06:09+00:00 mx1 node[7]: ${json},"waited":"3s","retry_in":"0s"}`,
    `Thu 2026-11-26 13:06:06 UTC mx1 greymx[7]: ${LINE.replace('verdict=tempfail reason=new', 'verdict=pass reason=authenticated')}`,
    `2026-11-26T13:06:07Z ${LINE.replace('=new', '=store-error')} error="no route"`,
    `2026-11-26T13:06:08Z ${LINE.replace('192.0.2.7', 'unknown')}`,
    `2026-11-26T13:06:08Z mx1 greymx: ${LINE.slice(0, 100)}`,
  ])
  const read = await readAll(path)
  assert.deepEqual(summaries(read), [
    '0 192.0.2.7 mail.example.org <a@example.org> <u@example.com> tempfail',
    '500 192.0.2.7 mail.example.org <a@example.org> <u@example.com> tempfail',
    '1750 2001:db8::7 - <> <u@example.com> pass',
    '1750 2001:db8::7 - <> <-> pass',
    '2500 192.0.2.7 mail.example.org <a@example.org> <u@example.com> pass authenticated',
    '3500 192.0.2.7 mail.example.org <a@example.org> <u@example.com> -',
  ])
  assert.deepEqual(
    read.attempts.map(({ logged }) => logged?.reason),
    ['new', 'early', 'retry', 'retry', 'authenticated', undefined],
  )
  const { malformed, observed, ...others } = counts(read.notes)
  assert.deepEqual([malformed, observed, others['store-failed'], others['no-client']], [1, 1, 1, 1])
})
