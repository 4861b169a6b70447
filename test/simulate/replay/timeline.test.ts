// The order of attempts whose recipients are told late, and the bound of what is held for them.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../../src/address.ts'
import { parseIp } from '../../../src/ip.ts'
import { Findings } from '../../../src/simulate/replay/findings.ts'
import {
  type Draft,
  MAX_HELD,
  MESSAGE_SIZE,
  type Slot,
  Timeline,
} from '../../../src/simulate/replay/timeline.ts'
import { counts } from './reading.ts'

function slot(at: number): Slot {
  return {
    at,
    stamp: { kind: 'instant', at, end: 0, isWholeSecond: false },
    place: { file: 'log', line: at },
  }
}

function draft(recipient: string): Draft {
  const client = { address: parseIp('192.0.2.7') }
  const attempt = {
    client,
    authenticated: false,
    sender: parseAddress('<a@x>'),
    recipient: parseAddress(recipient),
  }
  return { attempt, source: 'postfix', endedBeforeData: false }
}

function setUp() {
  const findings = new Findings()
  const timeline = new Timeline(findings, () => undefined)
  const take = (now: number) =>
    timeline.take(now).map(({ at, attempt }) => `${at} ${attempt.recipient?.text}`)
  return { findings, timeline, take }
}

test('an attempt waits for the message before it, and a message has as many as it is for', () => {
  const { timeline, take } = setUp()
  const message = timeline.begin(slot(1000), () => undefined)
  timeline.add(slot(1500), draft('late'))
  assert.deepEqual(take(2000), [])
  message.complete([draft('one'), draft('two')])
  assert.deepEqual(take(2000), ['0 one', '0 two', '500 late'])
  assert.deepEqual(timeline.span, { firstAt: 1000, lastAt: 1500 })
  timeline.begin(slot(3000), () => undefined)
  timeline.add(slot(3500), draft('last'))
  assert.deepEqual(
    timeline.takeRest().map(({ at }) => at),
    [2500],
  )
})

test('what is held is bounded, and the oldest message is given up first', () => {
  const givenUp = new Set<number>()
  const begin = ({ timeline }: ReturnType<typeof setUp>, from: number, to: number, size: number) => {
    for (let at = from; at <= to; at += 1) timeline.begin(slot(at), () => givenUp.add(at)).hold(size)
    timeline.take(to)
    return [...givenUp]
  }
  const small = setUp()
  const fitting = MAX_HELD / MESSAGE_SIZE
  assert.deepEqual(begin(small, 1, fitting, 0), [])
  assert.deepEqual(begin(small, fitting + 1, fitting + 5, 0), [1, 2, 3, 4, 5])
  assert.equal(counts(small.findings.notes()).late, 5)

  givenUp.clear()
  const large = setUp()
  const tenth = MAX_HELD / 10 - MESSAGE_SIZE
  assert.deepEqual(begin(large, 1, 10, tenth), [])
  assert.deepEqual(begin(large, 11, 13, tenth), [1, 2, 3])
})
