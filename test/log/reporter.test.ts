// Tests that outcomes reach log and metrics together and in order, and that none is lost.

import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import { Reporter } from '../../src/log/reporter.ts'
import type { Outcome } from '../../src/outcome.ts'

const outcome: Outcome = {
  attempt: { client: {}, authenticated: false, sender: parseAddress('<a@b.test>') },
  verdict: 'pass',
  reason: 'known',
  waited: 0,
  retryIn: 0,
}

test('Reporter hands on a moment later, all at once when many wait, and at once when told', () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    const taken: number[] = []
    const reporter = new Reporter([(_, took) => taken.push(took)])
    reporter.report(outcome, 1)
    reporter.report(outcome, 2)
    assert.deepEqual(taken, [])
    mock.timers.tick(50)
    assert.deepEqual(taken, [1, 2])
    reporter.report(outcome, 3)
    reporter.handOn()
    assert.deepEqual(taken, [1, 2, 3])
    mock.timers.tick(1000)
    assert.equal(taken.length, 3)
    for (let count = 0; count < 512; count += 1) reporter.report(outcome, count)
    assert.equal(taken.length, 515)
  } finally {
    mock.timers.reset()
  }
})
