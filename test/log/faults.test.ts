// Tests of FaultLog: the log stays short however many bad peers there are. The test moves the clock.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { FaultLog } from '../../src/log/faults.ts'
import { createLog } from '../../src/log/log.ts'

function setUp(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const lines: string[] = []
  const log = createLog({ write: (line) => lines.push(line.trimEnd()) }, () => ({
    level: 'info',
    format: 'text',
  }))
  return { faults: new FaultLog(log), lines, minute: () => t.mock.timers.tick(60_000) }
}

const BROKEN =
  'level=warn msg="connection closed, as it broke the milter protocol: the MTA takes its default action for the rest of the SMTP session"'
const LENGTH = `${BROKEN} kind=length`

test('the first fault of a kind is logged at once, those of the minute after it in one line', (t) => {
  const { faults, lines, minute } = setUp(t)
  faults.note('length', 'frame of 1 GiB', '192.0.2.1')
  assert.deepEqual(lines.splice(0), [`${LENGTH} reason="frame of 1 GiB" mta=192.0.2.1`])
  for (let count = 0; count < 3411; count += 1) faults.note('length', `frame ${count}`, '192.0.2.2')
  assert.deepEqual(lines, [])
  minute()
  assert.deepEqual(lines.splice(0), [`${LENGTH} reason="frame 3410" mta=192.0.2.2 times=3411`])
})

test('a flood has a line a minute, and is over after a minute without', (t) => {
  const { faults, lines, minute } = setUp(t)
  for (let count = 0; count < 5; count += 1) {
    faults.note('length', 'x', 'a')
    faults.note('length', 'x', 'a')
    minute()
  }
  assert.equal(lines.length, 6)
  minute()
  minute()
  assert.equal(lines.length, 6)
  faults.note('length', 'y', 'b')
  assert.equal(lines.at(-1), `${LENGTH} reason=y mta=b`)
})

test('kinds do not hide each other, and each says what became of the connection', (t) => {
  const { faults, lines } = setUp(t)
  for (const kind of ['length', 'idle', 'macros', 'accept', 'policy-malformed'] as const)
    faults.note(kind, 'x', 'a')
  assert.deepEqual(lines, [
    `${BROKEN} kind=length reason=x mta=a`,
    'level=warn msg="connection closed, as it exceeded one of the limits: the MTA takes its default action for the rest of the SMTP session" kind=idle reason=x mta=a',
    'level=warn msg="connection exceeded one of the limits and goes on" kind=macros reason=x mta=a',
    'level=warn msg="cannot accept a connection: the MTA takes its default action" kind=accept reason=x mta=a',
    'level=warn msg="connection closed, as it broke the policy protocol: Postfix takes the default action of check_policy_service for the recipient" kind=policy-malformed reason=x mta=a',
  ])
})

test('what was not said yet is said at the end', (t) => {
  const { faults, lines, minute } = setUp(t)
  for (const reason of ['1', '2', '3']) faults.note('order', reason, 'a')
  faults.note('idle', 'x', 'a')
  faults.close()
  assert.equal(lines.length, 3)
  assert.match(lines.at(-1) ?? '', /kind=order reason=3 mta=a times=2$/)
  minute()
  assert.equal(lines.length, 3)
})
