// The model of Rudd's algorithm, step by step.

import { test } from 'node:test'
import { Rudd } from '../../../src/simulate/peers/rudd.ts'
import { assertVerdicts } from './stories.ts'

const SECOND = 1 / 60
const MINUTE = 60_000
const DAY = 24 * 60

test('Rudd defers the unknown (1a) and the early (1b), and accepts a retry after X (1d)', async () => {
  await assertVerdicts(new Rudd(5 * MINUTE), [
    [0, 'tempfail'],
    [4, 'tempfail'],
    [5 - SECOND, 'tempfail'],
    [5, 'pass'],
  ])
})

test('Rudd extends a pass by Y with each use (1d), and starts over after Y without one (1c)', async () => {
  await assertVerdicts(new Rudd(5 * MINUTE), [
    [0, 'tempfail'],
    [5, 'pass'],
    [36 * DAY + 5, 'pass'],
    [72 * DAY + 5, 'pass'],
    [108 * DAY + 5 + SECOND, 'tempfail'],
  ])
})

test('Rudd forgets who has not come back within 2X (2)', async () => {
  await assertVerdicts(new Rudd(5 * MINUTE), [
    [0, 'tempfail'],
    [10, 'pass'],
  ])
  await assertVerdicts(new Rudd(5 * MINUTE), [
    [0, 'tempfail'],
    [10 + SECOND, 'tempfail'],
    [20 + SECOND, 'pass'],
  ])
})

test('Rudd knows the network and the sender, whoever the recipient is', async () => {
  await assertVerdicts(new Rudd(5 * MINUTE), [
    [0, 'tempfail'],
    [6, 'pass', { ip: '192.0.2.200', to: 'dora@example.com' }],
    [6, 'tempfail', { ip: '192.0.3.7' }],
    [6, 'tempfail', { from: 'carl@example.org' }],
    [6, 'tempfail', { ip: '2001:db8::1' }],
    [12, 'pass', { ip: '2001:db8::ffff:1' }],
    [12, 'pass', { ip: undefined }],
  ])
})

test('Rudd has an hour for X unless another is given', async () => {
  await assertVerdicts(new Rudd(), [
    [0, 'tempfail'],
    [60 - SECOND, 'tempfail'],
    [60, 'pass'],
  ])
})
