// The model of milter-greylist, by the rules of its source and the manual.

import { test } from 'node:test'
import { MilterGreylist } from '../../../src/simulate/peers/milter-greylist.ts'
import { assertVerdicts } from './stories.ts'

const SECOND = 1 / 60
const DAY = 24 * 60

test('milter-greylist defers for half an hour, and lists what passes for a day from the last pass on', async () => {
  await assertVerdicts(milterGreylist(), [
    [0, 'tempfail'],
    [30 - SECOND, 'tempfail'],
    [30, 'pass'],
    [DAY + 30, 'pass'],
    [2 * DAY + 30, 'pass'],
    [3 * DAY + 30 + SECOND, 'tempfail'],
  ])
})

test('milter-greylist awaits a retry for five days from the end of the delay on', async () => {
  await assertVerdicts(milterGreylist(), [
    [0, 'tempfail'],
    [5 * DAY + 30, 'pass'],
    [5 * DAY + 30, 'tempfail', { to: 'dora@example.com' }],
    [10 * DAY + 60 + SECOND, 'tempfail', { to: 'dora@example.com' }],
  ])
})

test('milter-greylist knows one address of the client, and the whole triplet', async () => {
  await assertVerdicts(milterGreylist(), [
    [0, 'tempfail'],
    [40, 'tempfail', { ip: '192.0.2.8' }],
    [40, 'tempfail', { from: 'carl@example.org' }],
    [40, 'tempfail', { to: 'dora@example.com' }],
    [40, 'pass', { from: 'ANNA@example.org' }],
  ])
})

test('milter-greylist drops what stands before the last = of the sender', async () => {
  await assertVerdicts(milterGreylist(), [
    [0, 'tempfail', { from: 'prvs=1234abcd=anna@example.org' }],
    [30, 'pass', { from: 'prvs=9876abcd=anna@example.org' }],
    [31, 'pass', { from: 'anna@example.org' }],
    [32, 'tempfail', { from: 'list-bob=example.com@example.org' }],
  ])
})

test('milter-greylist lets pass whom SPF passes for, who is authenticated, and who is local', async () => {
  await assertVerdicts(milterGreylist('carl@example.org'), [
    [0, 'pass', { from: 'carl@example.org' }],
    [0, 'pass', { authenticated: true }],
    [0, 'pass', { ip: undefined }],
    [0, 'tempfail'],
  ])
})

/** milter-greylist where SPF passes for one sender alone. */
function milterGreylist(withSpf?: string): MilterGreylist {
  return new MilterGreylist(async ({ sender }) => sender.normal === withSpf)
}
