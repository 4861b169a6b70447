// Has a model and the program that it models decide on the same attempts at the same times.

import assert from 'node:assert/strict'
import type { Attempt } from '../../../src/attempt.ts'
import type { Verdict } from '../../../src/outcome.ts'
import type { Judge } from '../../../src/simulate/judge.ts'
import { policyRequest } from '../../../src/simulate/peers/policy-request.ts'
import type { TimedAttempt } from './attempts.ts'

/** Decisions of one run. `npm run agreement` has many more made than `npm test`. */
export const DECISIONS = Number(process.env.AGREEMENT_DECISIONS ?? 3000)

/** The verdict of the program on an attempt at a time in seconds. */
export type Ask = (attributes: Readonly<Record<string, string>>, seconds: number) => Promise<string>

/** Checks that both decide alike on each attempt, and that there was something to decide. */
export async function assertAgreement(
  model: Judge,
  attempts: readonly TimedAttempt[],
  ask: Ask,
): Promise<void> {
  const verdicts = { pass: 0, tempfail: 0 }
  for (const [index, { attempt, at }] of attempts.entries()) {
    const action = await ask(attributesOf(attempt, at), at / 1000)
    const expected = verdictOf(action)
    const verdict = await model.judge(attempt, at)
    if (verdict !== expected)
      assert.fail(`${verdict} for attempt ${index}, answered by ${action}\n${history(attempts, index)}`)
    verdicts[verdict] += 1
  }
  const least = Math.min(verdicts.pass, verdicts.tempfail)
  assert.ok(least > attempts.length / 5, `${verdicts.pass} passed and ${verdicts.tempfail} were deferred`)
}

function attributesOf(attempt: Attempt, at: number): Record<string, string> {
  const request = policyRequest(attempt)
  assert.ok(request)
  return {
    client_address: request.clientAddress,
    client_name: request.clientName,
    sender: request.sender,
    recipient: request.recipient,
    policy_test_time: `${at / 1000}`,
  }
}

/** An action of Postfix's access(5): one that defers, or one that goes on. */
function verdictOf(action: string): Verdict {
  if (/^defer_if_permit /i.test(action)) return 'tempfail'
  assert.match(action, /^(dunno$|prepend )/i)
  return 'pass'
}

/** The attempt and the latest before it from its network, one a line. */
function history(attempts: readonly TimedAttempt[], index: number): string {
  const networkOf = ({ attempt }: TimedAttempt) => attempt.client.address?.bytes.slice(0, 3).join()
  const last = attempts[index]
  assert.ok(last)
  return attempts
    .slice(0, index + 1)
    .filter((earlier) => networkOf(earlier) === networkOf(last))
    .slice(-40)
    .map(({ attempt, at }) => JSON.stringify({ at: at / 1000, ...policyRequest(attempt) }))
    .join('\n')
}
