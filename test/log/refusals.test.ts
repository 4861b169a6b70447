// Tests of RefusalLog: the log stays short however often strangers try. The test moves the clock.

import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { createLog } from '../../src/log/log.ts'
import { RefusalLog } from '../../src/log/refusals.ts'

function setUp(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const lines: string[] = []
  const log = createLog({ write: (line) => lines.push(line.trimEnd()) }, () => ({
    level: 'info',
    format: 'text',
  }))
  return { refusals: new RefusalLog(log), lines, minute: () => t.mock.timers.tick(60_000) }
}

const TOKEN = 'level=warn msg="a call without a valid token was refused: nothing has changed"'
const FORGED = 'level=warn msg="a call that a web page may have sent was refused: nothing has changed"'

test('each kind and peer has one line at once, and one for all of the minute after it', (t) => {
  const { refusals, lines, minute } = setUp(t)
  for (let count = 0; count < 500; count += 1) {
    refusals.note('token', '192.0.2.1')
    refusals.note('token', '192.0.2.2')
    refusals.note('forged', '192.0.2.1')
  }
  const first = [`${TOKEN} peer=192.0.2.1`, `${TOKEN} peer=192.0.2.2`, `${FORGED} peer=192.0.2.1`]
  assert.deepEqual(lines.splice(0), first)
  minute()
  assert.deepEqual(
    lines.splice(0),
    first.map((line) => `${line} times=499`),
  )
  minute()
  minute()
  assert.deepEqual(lines, [])
  refusals.note('token', '192.0.2.1')
  assert.deepEqual(lines, [`${TOKEN} peer=192.0.2.1`])
})

test('a crowd of peers is not told apart, so that neither log nor memory grows with it', (t) => {
  const { refusals, lines } = setUp(t)
  for (let peer = 0; peer < 20_000; peer += 1) refusals.note('token', `2001:db8::${peer.toString(16)}`)
  assert.equal(lines.length, 1001)
  assert.equal(lines.at(-1), `${TOKEN} peer=others`)
  refusals.close()
  assert.equal(lines.length, 1002)
  assert.equal(lines.at(-1), `${TOKEN} peer=others times=18999`)
})
