// One attempt → its outcome: exempt? whose key? what is remembered? what follows? what is kept? Knows nothing of
// milter; whoever asks (the filter, the command line) gets the same answer. A store that fails has its configured one.

import type { Attempt } from './attempt.ts'
import type { Exempt } from './exempt/exempt.ts'
import { decide, type Times } from './greylist/decide.ts'
import type { FoundEntry } from './greylist/entry.ts'
import { tripletKey, tripletRef } from './greylist/triplet.ts'
import type { Identify } from './identity/identity.ts'
import { messageOf } from './message.ts'
import type { Outcome } from './outcome.ts'
import type { Store } from './store/store.ts'

export interface GreylisterParts {
  readonly exempt: Exempt
  readonly identify: Identify
  readonly times: Times
  readonly store: Store
  /** What becomes of an attempt when the store fails. */
  readonly onStoreError: 'accept' | 'tempfail'
}

/** A judge who learns all the same, and defers nothing. */
export function observing(judge: Judge): Judge {
  return async (attempt) => {
    const outcome = await judge(attempt)
    if (outcome.verdict === 'pass') return outcome
    return { ...outcome, verdict: 'pass', reason: 'observe', would: outcome.reason }
  }
}

export type Judge = (attempt: Attempt) => Promise<Outcome>

export function createGreylister({ exempt, identify, times, store, onStoreError }: GreylisterParts): Judge {
  return async (attempt) => {
    const exemption = exempt(attempt)
    if (exemption) return { attempt, verdict: 'pass', ...exemption, waited: 0, retryIn: 0 }
    const identity = identify(attempt.client)
    // Mail submitted on the MTA's own host comes over no network; there is nobody who could retry from elsewhere.
    if (identity === undefined) {
      return { attempt, verdict: 'pass', reason: 'exempt-client', rule: 'no-address', waited: 0, retryIn: 0 }
    }
    const key = tripletKey(identity, attempt.sender, attempt.recipient)
    const ref = tripletRef(key)
    let entry: FoundEntry
    try {
      entry = await store.getOrAdd(key, times.retryWindow)
    } catch (error) {
      const verdict = onStoreError === 'tempfail' ? 'tempfail' : 'pass'
      return {
        attempt,
        verdict,
        reason: 'store-error',
        identity,
        waited: 0,
        retryIn: 0,
        ref,
        error: messageOf(error),
      }
    }
    const decision = decide(entry, times)
    const { verdict, reason, waited } = decision
    if (decision.verdict === 'tempfail') {
      return { attempt, verdict, reason, identity, waited, retryIn: decision.retryIn, ref }
    }
    if (decision.keep) {
      // The wait is over whether or not it can be written down; the next attempt writes it again.
      await store.pass(key, times.lifetime).catch(() => undefined)
    }
    return { attempt, verdict, reason, identity, waited, retryIn: 0, ref }
  }
}
