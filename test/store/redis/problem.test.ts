import assert from 'node:assert/strict'
import { test } from 'node:test'
import { explainProblem } from '../../../src/store/redis/problem.ts'

test('a connection that Redis has closed is told in the same words, whether that is noticed reading or writing', () => {
  for (const message of ['read ECONNRESET', 'write EPIPE', 'write ECONNRESET'])
    assert.equal(
      explainProblem(new Error(message), []),
      `it closed the connection, as it does when it expects TLS, or ends (${message})`,
    )
})
