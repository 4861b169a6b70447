// Tests what `greymx stats` and `greymx status` print: tables that fit the terminal, whatever hosts and names there are.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatStats } from '../../src/cli/stats.ts'
import { formatStatus } from '../../src/cli/status.ts'
import type { Figures, Stats } from '../../src/operator/stats.ts'
import type { Status } from '../../src/operator/status.ts'

const MINUTE = 60_000

function figures(scale: number): Figures {
  const names = ['a', 'b'].map((name, index) => ({ name: `${name}.example`, count: scale * (2 - index) }))
  return {
    attempts: 1000 * scale,
    verdicts: [
      { verdict: 'tempfail', reason: 'new', count: 600 * scale },
      { verdict: 'pass', reason: 'retry', count: 400 * scale },
    ],
    delayBars: [{ count: 400 * scale }],
    observed: [],
    deferred: 600 * scale,
    returned: 400 * scale,
    neverReturned: { count: 100 * scale, of: 350 * scale },
    overAnHour: 3 * scale,
    delays: { p50: 5 * MINUTE, p90: 15 * MINUTE, p99: 130 * MINUTE },
    busiest: { networks: names, deferredNetworks: names, domains: names, deferredDomains: [] },
    series: [
      {
        at: '2026-11-27T11:00:00.000Z',
        attempts: 1000 * scale,
        verdicts: [],
        tempfails: 600 * scale,
        deferred: 600 * scale,
        returned: 400 * scale,
        neverReturned: { count: 100 * scale, of: 350 * scale },
        overAnHour: 3 * scale,
        delays: { p50: 5 * MINUTE, p90: 15 * MINUTE, p99: 130 * MINUTE },
      },
    ],
  }
}

function stats(hosts: readonly string[]): Stats {
  return {
    unit: 'hour',
    from: '2026-11-26T13:00:00.000Z',
    to: '2026-11-27T12:05:00.000Z',
    retryWindow: 72_000_000,
    mxs: hosts.map((mx, index) => ({ mx, ...figures(index + 1) })),
    together: figures(hosts.length * 10),
  }
}

test('stats prints a column for all hosts together and one for each, and the lists below', () => {
  assert.equal(
    formatStats(stats(['mx1', 'mx2']), 80),
    `From 2026-11-26 13:00 to 2026-11-27 12:05 UTC, by hour

                               together         mx1         mx2
attempts                         20,000       1,000       2,000
first attempts deferred          12,000         600       1,200
returned                          8,000         400         800
  half had waited up to           5.0 m       5.0 m       5.0 m
  9 of 10, up to                 15.0 m      15.0 m      15.0 m
  99 of 100, up to                2.2 h       2.2 h       2.2 h
  over an hour                       60           3           6
never returned, so far   2,000 of 7,000  100 of 350  200 of 700

              together  mx1    mx2
tempfail new    12,000  600  1,200
pass retry       8,000  400    800

networks, all attempts    networks, deferrals
  a.example  40             a.example  40
  b.example  20             b.example  20

sender domains, all attempts    sender domains, deferrals
  a.example  40                   –
  b.example  20

                  attempts  deferred  returned  9 of 10  over 1 h  never
2026-11-27 11:00    20,000    12,000     8,000   15.0 m        60  2,000
`,
  )
})

test('stats of one host has one column; what greylisting would have deferred has a row when it was observed', () => {
  const answer = stats(['mx1'])
  const [mx1] = answer.mxs
  assert.ok(mx1)
  const observed = [{ reason: 'new', count: 7 }]
  const text = formatStats({ ...answer, mxs: [{ ...mx1, observed }] }, 80)
  assert.match(text, /\n\n +mx1\nattempts +1,000\n/)
  assert.doesNotMatch(text, /together/)
  assert.match(text, /^would have been deferred +7$/m)
})

test('stats of no mail is a sentence', () => {
  const none = { ...figures(0), verdicts: [], series: [] }
  assert.equal(
    formatStats({ ...stats([]), together: none }, 80),
    'No mail was counted from 2026-11-26 13:00 to 2026-11-27 12:05 UTC: statistics begin with the first message.\n',
  )
})

test('no line of stats is wider than the terminal, with any number of hosts, and the busiest have the columns', () => {
  const hosts = Array.from({ length: 20 }, (_, index) => `mail-exchanger-${index}.department.example.com`)
  for (const width of [60, 80, 132]) {
    const text = formatStats(stats(hosts), width)
    for (const line of text.split('\n'))
      assert.ok(line.length <= Math.max(width, 80), `${line.length}: ${line}`)
    assert.match(text, /mail-exchanger-19\.depar…/)
    assert.doesNotMatch(text, /mail-exchanger-1\.depart…/)
    assert.match(text, /^12 hosts with less mail are in --json only\.$/m)
  }
})

test('stats prints the last 48 hours of a longer series', () => {
  const answer = stats(['mx1'])
  const [entry] = answer.together.series
  assert.ok(entry)
  const series = Array.from({ length: 60 }, (_, index) => ({
    ...entry,
    at: new Date(Date.parse('2026-11-25T00:00:00Z') + index * 3_600_000).toISOString(),
  }))
  const text = formatStats({ ...answer, together: { ...answer.together, series } }, 80)
  assert.doesNotMatch(text, /^2026-11-25 11:00/m)
  assert.match(text, /^2026-11-25 12:00/m)
  assert.match(text, /^12 earlier hours are in --json only\.$/m)
})

const STATUS: Status = {
  now: '2026-11-27T12:05:00.000Z',
  members: [
    {
      host: 'mx1',
      pid: 812,
      version: '0.1.0',
      startedAt: '2026-11-20T12:00:00.000Z',
      state: 'running',
      lastSeenAt: '2026-11-27T12:05:00.000Z',
      store: { name: 'redis://r/0', up: true, since: '2026-11-27T09:00:00.000Z' },
      dns: 'up',
      listeners: [],
      clockOffset: 30,
    },
    {
      host: 'mx2',
      pid: 77,
      version: '0.1.0',
      startedAt: '2026-11-20T12:00:00.000Z',
      state: 'silent',
      lastSeenAt: '2026-11-27T12:01:00.000Z',
      store: { name: 'redis://r/0', up: false, since: '2026-11-27T12:00:30.000Z' },
      dns: 'silent',
      listeners: [],
      clockOffset: -3100,
    },
  ],
  differences: [
    {
      setting: 'listen',
      isOfOneHost: true,
      values: [{ member: 'mx1' }, { member: 'mx2', value: '[inet:1@h]' }],
    },
  ],
  attention: ['mx2 was last seen 4 min ago, and has not said that it stops'],
}

test('status prints a line for each daemon, the settings that differ, and what needs attention', () => {
  assert.equal(
    formatStatus(STATUS, 80),
    `     pid  version                  daemon       store     DNS   clock
mx1  812    0.1.0                  up 7 d      up 3 h      up     0 s
mx2   77    0.1.0  silent, seen 4 min ago  down 4 min  silent  +3.1 s

settings that differ
  listen, which may differ
    mx1: (default)
    mx2: [inet:1@h]

needs attention
  mx2 was last seen 4 min ago, and has not said that it stops
`,
  )
})

test('status prints that all is well', () => {
  const text = formatStatus(
    { ...STATUS, members: STATUS.members.slice(0, 1), differences: [], attention: [] },
    80,
  )
  assert.match(text, /\n\nall is well\n$/)
})
