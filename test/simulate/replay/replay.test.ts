// Replays: what judges are asked and in which order, how their verdicts compare with the logged ones, and what is
// printed of it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Verdict } from '../../../src/outcome.ts'
import type { Judge } from '../../../src/simulate/judge.ts'
import { LoggedIdentities } from '../../../src/simulate/replay/identify.ts'
import { replay } from '../../../src/simulate/replay/replay.ts'
import { formatReplay } from '../../../src/simulate/replay/report.ts'
import { logFile, logFolder } from './files.ts'
import { greylisterJudge } from './judge.ts'

const MINUTE = 60_000
const SETTINGS = 'greylist: { delay: 4m, max_deferrals: 0 }\nexempt: { clients: [] }'

interface Outcome {
  readonly minute: number
  readonly is: string
  readonly client?: string
  readonly sender?: string
  readonly recipient?: string
  readonly more?: string
}

/** A line of greymx's text log, as docker stamps it; `is` is like `tempfail new`. */
function lineOf({
  minute,
  is,
  client = '192.0.2.7',
  sender = 'a@example.org',
  recipient = 'u@example.com',
  more = '',
}: Outcome) {
  const [verdict, reason] = is.split(' ')
  const time = new Date(Date.UTC(2026, 10, 26) + minute * MINUTE).toISOString()
  return `${time} verdict=${verdict} reason=${reason} client=${client} sender=${sender} recipient=${recipient} waited=0s retry_in=0s${more}`
}

/** A judge that notes what it is asked. */
function notingJudge(stage: 'rcpt' | 'data', verdictOn: (recipient: string) => Verdict) {
  const asked: string[] = []
  const judge: Judge = {
    name: stage,
    judgesAtData: ({ text }) => stage === 'data' && text === '',
    async judge({ sender, recipient }, at) {
      asked.push(`${at} ${sender.text} ${recipient?.text}`)
      return verdictOn(recipient?.local ?? '')
    },
  }
  return { judge, asked }
}

const PLAIN = { nat64Prefixes: [] }

test('greymx with its own settings gives the verdicts that it logged, and others differ as they should', async (t) => {
  const dir = await logFolder(t)
  const log = await logFile(
    dir,
    [
      { minute: 0, is: 'tempfail new' },
      { minute: 2, is: 'tempfail early' },
      { minute: 3, is: 'tempfail new', recipient: 'v@example.com' },
      { minute: 5, is: 'pass retry' },
      { minute: 6, is: 'pass known' },
      { minute: 7, is: 'pass exempt-recipient', recipient: 'postmaster@example.com' },
      { minute: 8, is: 'tempfail store-error', recipient: 'w@example.com', more: ' error=down' },
    ].map(lineOf),
  )
  const identities = new LoggedIdentities()
  const judges = ['4m', '1m', '1h'].map((delay) =>
    greylisterJudge(delay, SETTINGS.replace('4m', delay), identities),
  )
  const figures = await replay([log], judges, PLAIN)
  assert.deepEqual(
    { ...figures, judges: figures.judges.length, notes: figures.notes.length },
    {
      lines: 7,
      attempts: 7,
      attemptsBySource: { greymx: 7, postfix: 0, sendmail: 0 },
      first: '2026-11-26T00:00:00.000Z',
      last: '2026-11-26T00:08:00.000Z',
      judges: 3,
      notes: 3,
    },
  )
  const difference = { source: 'greymx', count: 1 } as const
  assert.deepEqual(figures.judges, [
    {
      name: '4m',
      attempts: 7,
      deferred: 4,
      agreement: { compared: 6, agreed: 6, spared: 0, caused: 0, differences: [] },
    },
    {
      name: '1m',
      attempts: 7,
      deferred: 3,
      agreement: {
        ...{ compared: 6, agreed: 5, spared: 1, caused: 0 },
        differences: [{ ...difference, logged: 'tempfail', reason: 'early', first: `${log}:2` }],
      },
    },
    {
      name: '1h',
      attempts: 7,
      deferred: 6,
      agreement: {
        ...{ compared: 6, agreed: 4, spared: 0, caused: 2 },
        differences: [
          { ...difference, logged: 'pass', reason: 'retry', first: `${log}:4` },
          { ...difference, logged: 'pass', reason: 'known', first: `${log}:5` },
        ],
      },
    },
  ])
})

test('a client that SPF made known by its domain is known by it in the replay', async (t) => {
  const dir = await logFolder(t)
  const farm = (minute: number, is: string, client: string) =>
    lineOf({ minute, is, client, more: ' identity=spf:example.org' })
  const log = await logFile(dir, [
    farm(0, 'tempfail new', '192.0.2.7'),
    farm(5, 'pass retry', '198.51.100.7'),
    lineOf({
      minute: 6,
      is: 'tempfail new',
      client: '203.0.113.7',
      more: ' identity=network:203.0.113.0/24',
    }),
  ])
  const identities = new LoggedIdentities()
  const judges = [
    greylisterJudge('spf', SETTINGS, identities),
    greylisterJudge('no spf', SETTINGS.replace('delay', 'client: { spf_domain: false }, delay'), identities),
    greylisterJudge(
      'exempt spf',
      `${SETTINGS.replace(' }', ', client: { spf_domain: false } }')}`.replace(
        'clients: []',
        'clients: [], spf: true',
      ),
      identities,
    ),
  ]
  const { judges: figures } = await replay([log], judges, {
    ...PLAIN,
    onAttempt: (one) => identities.note(one),
  })
  assert.deepEqual(
    figures.map(({ deferred, agreement }) => [deferred, agreement?.agreed]),
    [
      [2, 3],
      [3, 2],
      [1, 2],
    ],
  )
})

test('the recipients of a bounce share a verdict where it is judged at DATA, and a callout is judged at RCPT alone', async (t) => {
  const dir = await logFolder(t)
  const bounce = (minute: number, recipient: string, id: string) =>
    lineOf({ minute, is: 'tempfail new', sender: '<>', recipient, more: ` mta=mx1 id=${id}` })
  const sendmail = (minute: number, text: string) =>
    `2026-11-27T00:0${minute}:00Z mx1 sm-mta[1]: 6AQD63tm000001: ${text}`
  const greymx = await logFile(dir, [
    bounce(0, 'new@x', 'AAAAAAAAAA1'),
    bounce(0, 'known@x', 'AAAAAAAAAA1'),
    bounce(1, 'known@x', 'AAAAAAAAAA2'),
  ])
  const callout = await logFile(dir, [
    sendmail(2, 'to=<new@x>, delay=00:00:00, pri=0, stat=RSET'),
    sendmail(2, 'from=<>, size=0, class=0, nrcpts=1, proto=ESMTP, daemon=MTA, relay=[192.0.2.7]'),
  ])
  const verdictOn = (user: string): Verdict => (user === 'new' ? 'tempfail' : 'pass')
  const [atRcpt, atData] = [notingJudge('rcpt', verdictOn), notingJudge('data', verdictOn)]
  const { judges } = await replay([callout, greymx], [atRcpt.judge, atData.judge], PLAIN)
  assert.deepEqual(atData.asked, ['0  new@x', '0  known@x', '60000  known@x'])
  assert.deepEqual(atRcpt.asked, [...atData.asked, '86520000  new@x'])
  assert.deepEqual(
    judges.map(({ name, attempts, deferred, agreement }) => [
      name,
      attempts,
      deferred,
      agreement?.compared,
      agreement?.agreed,
    ]),
    [
      ['rcpt', 4, 2, 4, 1],
      ['data', 3, 2, 3, 2],
    ],
  )
})

test('an error of a judge is the error of the replay, and a log without attempts has figures', async (t) => {
  const dir = await logFolder(t)
  const log = await logFile(dir, [lineOf({ minute: 0, is: 'pass known' })])
  const failing = notingJudge('rcpt', () => {
    throw new Error('no verdict')
  })
  await assert.rejects(replay([log], [failing.judge], PLAIN), /^Error: no verdict$/)
  await assert.rejects(replay([`${dir}/missing`], [], PLAIN), /^Error: Cannot read the log /)
  const nothing = notingJudge('rcpt', () => 'pass')
  const empty = await replay([await logFile(dir, '')], [nothing.judge], PLAIN)
  assert.deepEqual(empty, {
    lines: 0,
    attempts: 0,
    attemptsBySource: { greymx: 0, postfix: 0, sendmail: 0 },
    judges: [{ name: 'rcpt', attempts: 0, deferred: 0 }],
    notes: [],
  })
  assert.equal(formatReplay(empty), 'No attempts in 0 lines with a time.\n')
})

test('progress goes from nothing to all bytes', async (t) => {
  const dir = await logFolder(t)
  const line = `${lineOf({ minute: 0, is: 'pass known' })}\n`
  const log = await logFile(dir, line.repeat(2000))
  const seen: number[] = []
  const total = 2 * line.length * 2000
  await replay([log], [], {
    ...PLAIN,
    onProgress: (done, all) => {
      assert.equal(all, total)
      seen.push(done)
    },
  })
  assert.ok(seen.length > 4)
  assert.deepEqual(
    seen,
    seen.toSorted((a, b) => a - b),
  )
  assert.equal(seen.at(-1), total)
})

test('the report has a row for each variant, what differs, and what the log does not tell', async (t) => {
  const dir = await logFolder(t)
  const lines = [
    lineOf({ minute: 0, is: 'tempfail new' }),
    lineOf({ minute: 5, is: 'pass retry' }),
    '2026-11-26T00:06:00Z verdict=pass',
    '2026-11-26T00:06:00Z verdict=pass',
  ]
  const log = await logFile(dir, lines)
  const { judge } = notingJudge('rcpt', () => 'pass')
  const figures = await replay([log], [judge, { ...judge, name: 'another' }], PLAIN)
  assert.equal(
    formatReplay(figures),
    `2 attempts from 2026-11-26T00:00:00.000Z to 2026-11-26T00:05:00.000Z (greymx 2) in 4 lines.
Each variant begins with nothing known; what was learnt before the first line is not in the log.

variant  attempts  deferred  deferred %  as logged %  spared  caused
rcpt            2         0         0.0         50.0       1       0
another         2         0         0.0         50.0       1       0

spared: attempts that pass although they were deferred; the log still has the retries that followed.
caused: attempts that are deferred although they had passed; the log has no retries of them.

rcpt: verdicts that differ from the logged ones
  1 logged as greymx: tempfail (new), passed here; the first is at ${log}:1

another: verdicts that differ from the logged ones
  1 logged as greymx: tempfail (new), passed here; the first is at ${log}:1

What could not be read, and what the log does not tell:
- 2 lines of greymx, Postfix or Sendmail left out: cut short, mixed with another line, or of an unknown form. (first: ${log}:3)
- 2 attempts are of a client of which the log has no confirmed host name. It is known by its network. (first: ${log}:1)
- 2 attempts are judged as if SPF did not pass, because the log does not tell. Host name or network stand for such a client. (first: ${log}:1)
`,
  )
})
