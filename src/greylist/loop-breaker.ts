// The loop breaker lets an attempt pass if its sender's retries come from ever new networks, as such a sender would be
// deferred until it gives up. Strangers who forge one sender look the same, so the loop breaker counts only attempts
// that are spaced like the retries of a queue. It does not count attempts of a client that is waiting already.
//
// The mark of the first attempt is an entry that the greylister finds and writes, as it is also the pending entry of the
// network that made the attempt (held.ts).

import type { Address } from '../address.ts'
import type { SpfStanding } from '../identity/spf/standing.ts'
import type { Entry } from '../store/entry.ts'
import type { Store } from '../store/store.ts'
import type { Times } from './decide.ts'
import { formerFirstKey, loopKey, loopNetworkKey } from './keys.ts'

/** Networks from which attempts have to come before the loop breaker lets one through. */
const MIN_LOOP_NETWORKS = 3

/**
 * The SPF standings of attempts that the loop breaker counts. With `fail`, a stranger forges the domain; with
 * `unknown`, a stranger may have silenced DNS. Neither resets the count, or one forged mail could keep an honest sender
 * out.
 */
const COUNTED_STANDINGS: ReadonlySet<SpfStanding> = new Set(['pass', 'open', 'none', 'unasked'])

/** A deferral, as the loop breaker sees it. */
export interface LoopAttempt {
  /** The sender form. */
  readonly form: string
  readonly recipient: Address | undefined
  /** The network that counts as one among several. */
  readonly network: string
  readonly spf: SpfStanding
}

/** Counts deferrals of a sender form to a recipient. */
export class LoopBreaker {
  readonly #times: Times
  /** Counted attempts before one passes; with `#maxPerNetwork`, two networks together cannot reach it. */
  readonly deferralsNeeded: number
  readonly #maxPerNetwork: number
  readonly #isOn: boolean

  /** `maxDeferrals` is the number of deferrals after which an attempt passes; 0 turns the loop breaker off. */
  constructor(times: Times, maxDeferrals: number) {
    this.#times = times
    this.#isOn = maxDeferrals > 0
    this.deferralsNeeded = Math.max(maxDeferrals, MIN_LOOP_NETWORKS)
    this.#maxPerNetwork = Math.floor((this.deferralsNeeded - 1) / (MIN_LOOP_NETWORKS - 1))
  }

  /**
   * Whether such attempts are counted, and their first one is marked. Bounces are not: everybody's have one sender form,
   * and a retry from a sister host is known anyway, by the host's name or SPF.
   */
  isCounted({ form, spf }: LoopAttempt): boolean {
    return this.#isOn && form !== '' && COUNTED_STANDINGS.has(spf)
  }

  /**
   * Counts an attempt that is to be deferred, and returns whether it has to pass instead. It counts nothing until a
   * delay after the `first` attempt, and then one attempt in each delay. `first` is the entry that marks it.
   */
  async count(store: Store, { form, recipient, network }: LoopAttempt, first: Entry): Promise<boolean> {
    const { delay, retryWindow } = this.#times
    if (first.age < delay) return false
    // The limit precedes the spacing, so that a network beyond its limit does not keep others from being counted.
    const ofNetwork = await store.count(loopNetworkKey(network, form, recipient), retryWindow)
    if (ofNetwork > this.#maxPerNetwork) return false
    if (!(await store.add(loopKey('spacing', form, recipient), delay))) return false
    const counted = await store.count(loopKey('counted', form, recipient), retryWindow)
    // After a pass the count goes on where the first attempt's mark stays, and the next attempt is one of the deferrals.
    return (
      counted >= this.deferralsNeeded && (counted - this.deferralsNeeded) % (this.deferralsNeeded + 1) === 0
    )
  }

  /**
   * Makes the next attempt the first one again, unless a network's wait is in the entry that marks the `first`: strangers
   * who forge a sender must not end that.
   */
  async reset(store: Store, { form, recipient }: LoopAttempt, first: Entry): Promise<void> {
    if (first.holder !== undefined) return
    const keys = [
      loopKey('first', form, recipient),
      formerFirstKey(form, recipient),
      loopKey('counted', form, recipient),
    ]
    await Promise.all(keys.map((key) => store.forget(key).catch(() => undefined)))
  }
}
