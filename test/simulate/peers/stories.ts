// Stories of attempts at times in minutes, each with the verdict that a peer's rules give.

import assert from 'node:assert/strict'
import { parseAddress } from '../../../src/address.ts'
import type { Attempt } from '../../../src/attempt.ts'
import { parseIp } from '../../../src/ip.ts'
import type { Verdict } from '../../../src/outcome.ts'
import type { Judge } from '../../../src/simulate/judge.ts'

/** How an attempt differs from that of one client, with one sender and recipient. */
export interface Changes {
  /** `undefined` for mail that is submitted locally. */
  readonly ip?: string | undefined
  readonly helo?: string
  readonly from?: string
  readonly to?: string
  readonly authenticated?: boolean
}

export type Step = readonly [minutes: number, verdict: Verdict, changes?: Changes]

const MINUTE = 60_000

/** Checks the verdicts on a story, whose steps are in order of time. It begins at a full minute, when spamd scans. */
export async function assertVerdicts(judge: Judge, steps: readonly Step[]): Promise<void> {
  const start = Date.UTC(2024, 0, 15, 12)
  assert.deepEqual(
    steps.map(([minutes]) => minutes),
    steps.map(([minutes]) => minutes).sort((a, b) => a - b),
  )
  for (const [index, [minutes, verdict, changes = {}]] of steps.entries()) {
    const given = await judge.judge(attemptOf(changes), start + minutes * MINUTE)
    assert.equal(given, verdict, `step ${index} at ${minutes} minutes`)
  }
}

/** An attempt of the client of all stories, but for the changes. */
export function attemptOf(changes: Changes): Attempt {
  const { helo = 'mail.example.org', from = 'anna@example.org', to = 'bob@example.com' } = changes
  const ip = 'ip' in changes ? changes.ip : '192.0.2.7'
  return {
    client: { address: ip === undefined ? undefined : parseIp(ip), name: undefined, helo },
    authenticated: changes.authenticated ?? false,
    sender: parseAddress(`<${from}>`),
    recipient: parseAddress(`<${to}>`),
  }
}
