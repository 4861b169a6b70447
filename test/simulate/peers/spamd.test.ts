// The model of OpenBSD's spamd, by the rules of its source and the manual.

import { test } from 'node:test'
import type { Verdict } from '../../../src/outcome.ts'
import { Spamd } from '../../../src/simulate/peers/spamd.ts'
import { assertVerdicts } from './stories.ts'

const SECOND = 1 / 60
const HOUR = 60
const DAY = 24 * HOUR

test('spamd defers the retry after 25 minutes, too, and lists the address with the next scan', async () => {
  await assertVerdicts(new Spamd(), [
    [0, 'tempfail'],
    [26, 'tempfail'],
    [27 - SECOND, 'tempfail'],
    [27, 'pass'],
    [27, 'pass', { from: 'carl@example.net', to: 'dora@example.com', helo: 'other.example' }],
    [27, 'tempfail', { ip: '192.0.2.8' }],
  ])
})

test('spamd counts a retry at 25 minutes as early, and one a second later not', async () => {
  const retriedAfter = async (minutes: number, verdict: Verdict) =>
    assertVerdicts(new Spamd(), [
      [0, 'tempfail'],
      [minutes, 'tempfail'],
      [40, verdict],
    ])
  await retriedAfter(25, 'tempfail')
  await retriedAfter(25 + SECOND, 'pass')
})

test('spamd knows a retry by address, HELO, sender and recipient', async () => {
  await assertVerdicts(new Spamd(), [
    [0, 'tempfail'],
    [30, 'tempfail', { helo: 'other.example' }],
    [32, 'tempfail', { from: 'carl@example.org' }],
    [34, 'tempfail', { to: 'dora@example.com' }],
    [36, 'tempfail', { ip: '192.0.2.8' }],
    [38, 'tempfail'],
    [40, 'pass'],
  ])
})

test('spamd forgets a tuple after four hours, with the first scan', async () => {
  await assertVerdicts(new Spamd(), [
    [0, 'tempfail'],
    [4 * HOUR - 1, 'tempfail'],
    // The scan at four hours deletes the tuple before it looks for retries.
    [4 * HOUR, 'tempfail'],
    [4 * HOUR + 25, 'tempfail'],
    [4 * HOUR + 26, 'tempfail'],
    [4 * HOUR + 27, 'pass'],
  ])
})

test('spamd keeps an address for 36 days from its last connection on', async () => {
  await assertVerdicts(new Spamd(), [
    [0, 'tempfail'],
    [26, 'tempfail'],
    [27, 'pass'],
    [36 * DAY + 26, 'pass'],
    [72 * DAY + 25, 'pass'],
    [108 * DAY + 25, 'tempfail'],
  ])
})

test('spamd never sees clients with IPv6', async () => {
  await assertVerdicts(new Spamd(), [
    [0, 'pass', { ip: '2001:db8::1' }],
    [0, 'pass', { ip: undefined }],
  ])
})
