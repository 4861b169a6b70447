// Tests which outcomes count as first deferrals and as returns, and whose senders count as aligned.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Returns } from '../../src/operator/returns.ts'
import { type OutcomeOptions, outcome } from './records.ts'

function countsOf(...outcomes: readonly OutcomeOptions[]) {
  const returns = new Returns()
  for (const options of outcomes) returns.take(outcome(options))
  return returns.counts
}

test('a first deferral and a return are counted once each, and nothing else is', () => {
  const identity = 'spf:example.org'
  const counts = countsOf(
    { reason: 'new', identity },
    { reason: 'early', identity, waited: 1000 },
    { verdict: 'pass', reason: 'retry', identity, waited: 300_000 },
    { verdict: 'pass', reason: 'known', identity },
    { verdict: 'pass', reason: 'exempt-client' },
    { verdict: 'pass', reason: 'observe', would: 'new', identity },
    { verdict: 'pass', reason: 'observe', would: 'early', identity, waited: 1000 },
    { verdict: 'pass', reason: 'store-error' },
  )
  assert.deepEqual(counts, { aligned: { deferred: 1, returned: 1 }, other: { deferred: 0, returned: 0 } })
})

test('a return counts for whatever reason it passes, as when its client was whitelisted meanwhile', () => {
  const waited = 300_000
  const counts = countsOf(
    { verdict: 'pass', reason: 'auto-whitelist', waited },
    { verdict: 'pass', reason: 'max-deferrals', waited: 0 },
  )
  assert.deepEqual(counts.other, { deferred: 0, returned: 2 })
})

for (const [identity, sender, kind] of [
  ['spf:example.org', 'a@example.net', 'aligned'],
  ['host:example.org', 'a@lists.example.org', 'aligned'],
  ['host:example.co.uk', 'a@mail.example.co.uk', 'aligned'],
  ['host:example.net', 'a@example.org', 'other'],
  ['host:example.net', '', 'other'],
  ['network:192.0.2.0/24', 'a@example.org', 'other'],
] as const)
  test(`a client known as ${identity} with mail of <${sender}> counts as ${kind}`, () => {
    assert.equal(countsOf({ reason: 'new', identity, sender })[kind].deferred, 1)
  })
