// The model of rspamd's greylist module, by the rules of its source.

import { test } from 'node:test'
import { Rspamd } from '../../../src/simulate/peers/rspamd.ts'
import { assertVerdicts } from './stories.ts'

const SECOND = 1 / 60
const DAY = 24 * 60

test('rspamd defers for five minutes, and knows the message for a day from the last pass on', async () => {
  await assertVerdicts(new Rspamd(), [
    [0, 'tempfail'],
    [5 - SECOND, 'tempfail'],
    [5, 'pass'],
    [DAY + 5 - SECOND, 'pass'],
    [2 * DAY + 4, 'pass'],
    [3 * DAY + 4, 'tempfail'],
  ])
})

test('rspamd forgets a message that does not come back within a day, early retries or not', async () => {
  await assertVerdicts(new Rspamd(), [
    [0, 'tempfail'],
    [4, 'tempfail'],
    [DAY, 'tempfail'],
    [DAY + 4, 'tempfail'],
    [DAY + 5, 'pass'],
  ])
})

test('rspamd knows the retry of a message from whatever network it comes', async () => {
  await assertVerdicts(new Rspamd(), [
    [0, 'tempfail'],
    [3, 'tempfail', { ip: '198.51.100.9' }],
    [5, 'pass', { ip: '198.51.100.9' }],
    [6, 'pass', { ip: '2001:db8::1' }],
    [7, 'tempfail', { from: 'carl@example.org' }],
    [8, 'tempfail', { to: 'dora@example.com' }],
  ])
})

test('rspamd counts seconds from the start of the one in which the first attempt fell', async () => {
  await assertVerdicts(new Rspamd(), [
    [0.9 * SECOND, 'tempfail'],
    [5 - 0.1 * SECOND, 'tempfail'],
    [5, 'pass'],
  ])
})

test('rspamd lets local clients and authenticated ones pass', async () => {
  await assertVerdicts(new Rspamd(), [
    [0, 'pass', { ip: '10.1.2.3' }],
    [0, 'pass', { ip: '127.0.0.1' }],
    [0, 'pass', { ip: 'fd12::1' }],
    [0, 'pass', { ip: undefined }],
    [0, 'pass', { authenticated: true }],
    [0, 'tempfail', { ip: '11.1.2.3' }],
  ])
})
