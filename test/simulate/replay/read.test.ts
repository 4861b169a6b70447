// Whole logs: files in any order and of several hosts, in the forms of syslog daemons, the journal and docker, with
// whatever else is in them.

import assert from 'node:assert/strict'
import { readFile, utimes } from 'node:fs/promises'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import type { LoggedAttempt } from '../../../src/simulate/replay/logged.ts'
import { readLogs } from '../../../src/simulate/replay/read.ts'
import { logFile, logFolder } from './files.ts'
import { counts, readAll, summaries } from './reading.ts'

/** A session of greymx, Postfix and Sendmail; its first lines tell where it is from. */
const SESSION = await readFile('test/simulate/replay/logs/rsyslog.log', 'utf8')
const SESSION_LINES = SESSION.split('\n').filter((line) => line.startsWith('2026-'))
const OF_GREYMX = / greymx\[\d+\]: /

/** Who wanted what and what came of it, without times and in any order. */
function mail(attempts: readonly LoggedAttempt[]): string[] {
  return attempts
    .map(({ attempt: { client, sender, recipient }, logged }) =>
      [client.address?.text, client.name, sender.text, recipient?.text, logged?.verdict].join(' '),
    )
    .sort()
}

/** An outcome of greymx in JSON, `seconds` after noon. */
function outcome(seconds: number, recipient = `u${seconds}@example.com`): string {
  const time = new Date(Date.UTC(2026, 10, 26, 12, 0, seconds)).toISOString()
  const fields = {
    time,
    verdict: 'pass',
    reason: 'known',
    client: '192.0.2.7',
    sender: 'a@example.org',
    recipient,
  }
  return JSON.stringify({ ...fields, waited: '0s', retry_in: '0s' })
}

function recipients(attempts: readonly LoggedAttempt[]): string[] {
  return attempts.map(({ attempt }) => attempt.recipient?.local ?? '-')
}

test('the lines of MTAs tell the same mail as those of the greymx that they asked', async (t) => {
  const dir = await logFolder(t)
  const greymx = await readAll(
    await logFile(
      dir,
      SESSION_LINES.filter((line) => OF_GREYMX.test(line)),
    ),
  )
  const mtas = await readAll(
    await logFile(
      dir,
      SESSION_LINES.filter((line) => !OF_GREYMX.test(line)),
    ),
  )
  assert.equal(greymx.attempts.length, 24)
  // At LogLevel 9, Sendmail does not log for whom a bounce was that it has deferred.
  const untold = greymx.attempts.filter(
    ({ attempt, logged }) =>
      attempt.mta === 'mx.sendmail.test' && attempt.sender.text === '' && logged?.verdict === 'tempfail',
  )
  assert.deepEqual(mail(mtas.attempts), mail(greymx.attempts.filter((one) => !untold.includes(one))))
  assert.equal(counts(mtas.notes)['no-recipients'], untold.length)
  assert.deepEqual(new Set(mtas.attempts.map(({ source }) => source)), new Set(['postfix', 'sendmail']))
})

test('where greymx and MTAs tell of the same time, an attempt counts once', async (t) => {
  const dir = await logFolder(t)
  const all = await readAll('test/simulate/replay/logs/rsyslog.log')
  const greymx = await readAll(
    await logFile(
      dir,
      SESSION_LINES.filter((line) => OF_GREYMX.test(line)),
    ),
  )
  assert.deepEqual(summaries(all), summaries(greymx))
  assert.ok((counts(all.notes).covered ?? 0) > 0)
  // Half an hour earlier, greymx was not there yet.
  const before = SESSION_LINES.filter((line) => / postfix\//.test(line)).map((line) =>
    line.replace('T13:', 'T12:'),
  )
  const both = await readAll('test/simulate/replay/logs/rsyslog.log', await logFile(dir, before))
  assert.equal(both.attempts.filter(({ source }) => source === 'postfix').length, 16)
  assert.equal(both.attempts.filter(({ source }) => source === 'greymx').length, 24)
})

test('rotated files may come in any order, compressed, and with copies among them', async (t) => {
  const dir = await logFolder(t)
  const mtas = SESSION_LINES.filter((line) => !OF_GREYMX.test(line))
  const whole = await readAll(await logFile(dir, mtas))
  const parts = [mtas.slice(0, 20), mtas.slice(20, 47), mtas.slice(47)].map(
    (lines) => `${lines.join('\n')}\n`,
  )
  const [first, second, third] = await Promise.all([
    logFile(dir, gzipSync(parts[0] ?? '')),
    logFile(dir, gzipSync(parts[1] ?? '')),
    logFile(dir, parts[2] ?? ''),
  ])
  const copy = await logFile(dir, parts[1] ?? '')
  for (const files of [
    [first, second, third],
    [third, second, copy, first, third],
  ]) {
    const read = await readAll(...files.map((file) => file ?? ''))
    assert.deepEqual(summaries(read), summaries(whole))
    assert.equal(counts(read.notes).duplicate ?? 0, files.length - 3)
  }
})

test('the lines of several hosts are merged by time, and a queue id is one of its host', async (t) => {
  const dir = await logFolder(t)
  const mx1 = SESSION_LINES.filter((line) => / postfix\//.test(line))
  const mx2 = mx1.map((line) => line.replace(' mx1 ', ' mx2 ').replaceAll('@example.com', '@example.net'))
  const one = await readAll(await logFile(dir, mx1))
  const both = await readAll(await logFile(dir, mx1), await logFile(dir, mx2))
  assert.equal(both.attempts.length, 2 * one.attempts.length)
  assert.deepEqual(
    both.attempts
      .filter(({ attempt }) => attempt.mta === 'mx1')
      .map(({ at, attempt }) => [at, attempt.sender]),
    one.attempts.map(({ at, attempt }) => [at, attempt.sender]),
  )
  const times = both.attempts.map(({ at }) => at)
  assert.deepEqual(
    times,
    times.toSorted((a, b) => a - b),
  )
})

test('a year that is not written is that of the file, or the one before', async (t) => {
  const dir = await logFolder(t)
  const line = (day: string, user: string) =>
    `${day} 12:00:00 mx1 postfix/smtpd[7]: NOQUEUE: milter-reject: RCPT from a.test[192.0.2.7]: 451 4.7.1 later; ` +
    `from=<a@x.test> to=<${user}@example.com> proto=ESMTP helo=<h>`
  const newer = await logFile(dir, [line('Dec 31', 'c'), line('Jan  1', 'd'), line('Jan  2', 'e')])
  const older = await logFile(dir, [line('Dec 29', 'a'), line('Dec 30', 'b')])
  for (const file of [newer, older]) await utimes(file, new Date(2027, 1, 1), new Date(2027, 1, 1))
  const { attempts, notes } = await readAll(newer, older)
  assert.deepEqual(recipients(attempts), ['a', 'b', 'c', 'd', 'e'])
  const reading = await readLogs([newer, older], { nat64Prefixes: [] })
  for await (const _ of reading.attempts);
  assert.deepEqual(reading.span(), {
    firstAt: new Date(2026, 11, 29, 12).getTime(),
    lastAt: new Date(2027, 0, 2, 12).getTime(),
  })
  assert.deepEqual([counts(notes).yearless, counts(notes).zoneless], [5, 5])
  // With a time that names its year, both are of one scale.
  const written = await logFile(dir, [line('2026-12-31', 'x').replace(' 12:', 'T12:')])
  assert.deepEqual(recipients((await readAll(newer, written)).attempts), ['c', 'x', 'd', 'e'])
})

test('times of long ago are as good as others', async (t) => {
  const dir = await logFolder(t)
  const lines = [outcome(0), outcome(1)].map((line) => line.replace('2026-', '1926-'))
  const { attempts } = await readAll(await logFile(dir, lines))
  assert.deepEqual(
    attempts.map(({ at }) => at),
    [0, 1000],
  )
})

test('one line of another time is left out, and a clock that was set back is said', async (t) => {
  const dir = await logFolder(t)
  const stray = outcome(0).replace('2026-11-26', '2099-01-01')
  const { attempts, notes } = await readAll(
    await logFile(dir, [
      stray,
      outcome(1),
      outcome(2),
      stray,
      outcome(5),
      outcome(3),
      outcome(6),
      outcome(7),
    ]),
  )
  assert.deepEqual(
    attempts.map(({ at }) => at),
    [0, 1000, 4000, 4000, 5000, 6000],
  )
  assert.deepEqual([counts(notes).outlier, counts(notes).backwards], [2, 1])
})

test('journalctl -o json and -o export, and docker, are read as what they hold', async (t) => {
  const dir = await logFolder(t)
  const [at, message] = ['1795694400250000', outcome(0)]
  const text = 'verdict=pass reason=known client=192.0.2.7 sender=a@x recipient=t@y waited=0s retry_in=0s'
  const record = { __REALTIME_TIMESTAMP: at, _HOSTNAME: 'mx1', SYSLOG_IDENTIFIER: 'node', _PID: '7' }
  const cases: Array<[what: string, lines: readonly string[], recipients: readonly string[]]> = [
    [
      'json',
      [JSON.stringify({ ...record, MESSAGE: text }), JSON.stringify({ ...record, MESSAGE: message })],
      ['t', 'u0'],
    ],
    ['bytes', [JSON.stringify({ ...record, MESSAGE: [...Buffer.from(text)] })], ['t']],
    ['no message', [JSON.stringify({ ...record, MESSAGE: null })], []],
    ['other JSON', ['{}', '{"a":1', '{"log":1,"time":2}'], []],
    [
      'export',
      [
        ...[
          '__CURSOR=s=1',
          `__REALTIME_TIMESTAMP=${at}`,
          'MESSAGE=other',
          'MESSAGE',
          'binary',
          `MESSAGE=${text}`,
          '',
        ],
        ...[
          '__CURSOR=s=2',
          `__REALTIME_TIMESTAMP=${at}`,
          '_HOSTNAME=mx1',
          `MESSAGE=${text.replace('t@y', 'v@y')}`,
          '',
        ],
        ...[
          '__CURSOR=s=3',
          'MESSAGE=without time',
          '',
          '__CURSOR=s=4',
          `__REALTIME_TIMESTAMP=${at}`,
          'MESSAGE',
          'x',
          '',
        ],
      ],
      ['t', 'v'],
    ],
    [
      'docker',
      [JSON.stringify({ log: `${text}\n`, stream: 'stdout', time: '2026-11-26T12:00:00.123456789Z' })],
      ['t'],
    ],
    ['docker -t', [`2026-11-26T12:00:00.123456789Z ${text}`, `2026-11-26T12:00:01Z ${message}`], ['u0', 't']],
    ['short', ['-- Boot 0123 --', `Nov 26 12:00:00 mx1 greymx[7]: ${text}`], ['t']],
    ['without host', [`Nov 26 12:00:00 greymx[7]: ${text}`], ['t']],
    ['nothing', ['', `${text}`, 'last message repeated 3 times', 'Nov 26 12:00:00 mx1'], []],
  ]
  for (const [what, lines, expected] of cases) {
    const { attempts } = await readAll(await logFile(dir, lines))
    assert.deepEqual(recipients(attempts).sort(), [...expected].sort(), what)
  }
  const { notes } = await readAll(
    await logFile(
      dir,
      cases.flatMap(([, lines]) => lines),
    ),
  )
  const { 'no-time': noTime, binary } = counts(notes)
  assert.deepEqual([noTime, binary], [6, 2])
  const timeless = await readAll(await logFile(dir, [text, text]))
  assert.deepEqual([timeless.attempts, counts(timeless.notes)], [[], { 'no-time': 2 }])
  const first = notes.find(({ kind }) => kind === 'no-time')?.first
  assert.match(first ?? '', /\/log-\d+:5$/)
})

test('what a syslog daemon has left out is said', async (t) => {
  const dir = await logFolder(t)
  const { attempts, notes } = await readAll(
    await logFile(dir, [
      `Nov 26 12:00:00 mx1 greymx[7]: ${outcome(0)}`,
      `Nov 26 12:00:00 mx1 greymx[7]: message repeated 2 times: [ ${outcome(0)}]`,
      'Nov 26 12:00:00 mx1 last message repeated 3 times',
    ]),
  )
  assert.deepEqual([attempts.length, counts(notes).repeated], [1, 2])
})

/** The line with the stamp that syslog daemons wrote for forty years. */
function classic(line: string): string {
  return line.replace(/^2026-11-26T([\d:]+)\.\d+\S+/, 'Nov 26 $1')
}

/** Reads bytes as a log and checks what holds for any log. */
async function assertSound(dir: string, bytes: Buffer): Promise<void> {
  const { attempts, notes } = await readAll(await logFile(dir, bytes))
  let lastAt = 0
  for (const { at, attempt } of attempts) {
    assert.ok(at >= lastAt && Number.isSafeInteger(at), String(at))
    assert.ok(attempt.client.address)
    lastAt = at
  }
  for (const { count, first, sentence } of notes) {
    assert.ok(count > 0 && /:\d+$/.test(first) && /\.$/.test(sentence), sentence)
  }
}

test('any bytes are a log in which nothing may be found', async (t) => {
  const dir = await logFolder(t)
  const pieces = fc.oneof(
    fc.uint8Array({ maxLength: 50 }).map((bytes) => Buffer.from(bytes)),
    fc
      .constantFrom('\n', ' ', '"', '<', '>', '\\', '{', '; from=', ' to=', '__CURSOR=', 'MESSAGE=')
      .map((text) => Buffer.from(text)),
    fc.constantFrom(...SESSION_LINES).map((line) => Buffer.from(`${line}\n`)),
  )
  const logs = fc.array(pieces, { maxLength: 40 }).map((parts) => Buffer.concat(parts))
  await fc.assert(
    fc.asyncProperty(logs, fc.boolean(), async (log, isGzip) =>
      assertSound(dir, isGzip ? gzipSync(log) : log),
    ),
    { numRuns: 300 },
  )
})

// Lines are cut, doubled, moved, mixed with one another and changed in single bytes, as writers without a lock, full
// disks and attackers do it.
test('a log that is mangled in any way yields attempts in order, and no error', async (t) => {
  const dir = await logFolder(t)
  const changes = fc.array(
    fc.tuple(
      fc.nat({ max: SESSION_LINES.length - 1 }),
      fc.nat({ max: 300 }),
      fc.constantFrom('cut', 'mix', 'byte', 'move', 'drop'),
    ),
    { minLength: 1, maxLength: 30 },
  )
  await fc.assert(
    fc.asyncProperty(changes, fc.boolean(), async (list, isClassic) => {
      const lines = isClassic ? SESSION_LINES.map(classic) : [...SESSION_LINES]
      for (const [index, offset, change] of list) {
        const line = lines[index] ?? ''
        const other = lines[(index + offset) % lines.length] ?? ''
        if (change === 'cut') lines[index] = line.slice(0, offset)
        else if (change === 'mix') lines[index] = line.slice(0, offset) + other + line.slice(offset)
        else if (change === 'byte')
          lines[index] = `${line.slice(0, offset)}\0\udc80>"${line.slice(offset + 1)}`
        else if (change === 'move') lines.splice(index, 0, other)
        else lines.splice(index, 1)
      }
      await assertSound(dir, Buffer.from(lines.join('\n')))
    }),
    { numRuns: 300 },
  )
})
