// greymx as the judge of a simulated world: its own greylister, identity, SPF evaluator and memory store, with a clock that
// the world moves. DNS is that of the world; DNS lists are no part of it.

import type { Attempt } from '../attempt.ts'
import type { AddressRule } from '../exempt/addresses.ts'
import { compileExempt, type ExemptLists, type ExemptSettings } from '../exempt/exempt.ts'
import { compileProbeSenders } from '../exempt/probes.ts'
import { createGreylister, type GreylistSettings } from '../greylist/greylister.ts'
import { createInvestigate, type InvestigateSettings } from '../greylist/investigate.ts'
import type { Identify, IdentitySettings } from '../identity/identity.ts'
import { MemoryStore } from '../store/memory.ts'
import type { Judge } from './judge.ts'
import { type StateSize, sizeOf } from './redis-size.ts'

/** The settings on which decisions depend. */
export interface GreymxSettings {
  readonly greylist: GreylistSettings
  readonly identity: IdentitySettings
  readonly exempt: ExemptSettings
  readonly investigate: InvestigateSettings
  readonly milter: {
    readonly judgeAt: 'mail' | 'rcpt'
    readonly nullSenderAt: 'rcpt' | 'data'
    readonly probeSenders: readonly AddressRule[]
  }
}

export interface GreymxJudge extends Judge {
  /** What it remembers at the instant of the last attempt. */
  stateSize(): StateSize
}

/** The instant at which the clock of the parts begins, as an instant of 0 has a meaning of its own for caches. */
const ORIGIN = 1

/** Any numbers, the same in each run, as a simulation comes out the same again. */
const SEEDS = new Uint32Array([0x9e3779b9, 0x85ebca6b, 0xc2b2ae35, 0x27d4eb2f])

/** A judge that has seen nothing yet. `identifyBy` finds out who clients are, by a clock. */
export function createGreymxJudge(
  name: string,
  settings: GreymxSettings,
  lists: ExemptLists,
  identifyBy: (settings: IdentitySettings, now: () => number) => Identify,
): GreymxJudge {
  const clock = { now: ORIGIN }
  const now = () => clock.now
  const store = new MemoryStore(now)
  const greylister = createGreylister({
    settings: settings.greylist,
    exempt: compileExempt(settings.exempt, lists),
    investigate: createInvestigate({
      settings: settings.investigate,
      identify: identifyBy(settings.identity, now),
    }),
    stores: { store },
    now,
    seeds: SEEDS,
  })
  const { judgeAt, nullSenderAt, probeSenders } = settings.milter
  const isProbe = compileProbeSenders(probeSenders)
  return {
    name,
    judgesAtData: (sender) => nullSenderAt === 'data' && isProbe(sender),
    async judge(attempt: Attempt, at: number) {
      clock.now = ORIGIN + at
      const asked = judgeAt === 'mail' ? { ...attempt, recipient: undefined } : attempt
      return (await greylister.judge(asked)).verdict
    },
    stateSize: () => sizeOf(store.alive()),
  }
}
