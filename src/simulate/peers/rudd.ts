// John Rudd's greylisting algorithm of 2005 in virtual time: the client's network and the sender make the key, and a
// sender who has not come back within twice the delay is forgotten. The steps are those named in greylist/decide.ts, from
// which greymx has its own: (1a) unknown: remember and defer; (1b) known for less than X: defer; (1c) unused for longer
// than Y: start over; (1d) else accept, and keep for another Y; (2) forget who has not come back for 2X.
// Rudd asked which X and Y are reasonable. Those here are an hour and 36 days, of Evan Harris, "The Next Step in the Spam
// Control War: Greylisting" (2003), from which greylisting began; another X can be given.

import type { Attempt } from '../../attempt.ts'
import { networkOf } from '../../ip.ts'
import type { Verdict } from '../../outcome.ts'
import type { Judge } from '../judge.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const DEFAULT_DELAY = HOUR
const LIFETIME = 36 * DAY
/** The time for which a retry is awaited is this many delays, counted from the first attempt. */
const DELAYS_AWAITED = 2
const PREFIX = { ipv4: 24, ipv6: 64 } as const

type Entry =
  | { readonly kind: 'pending'; readonly first: number }
  | { readonly kind: 'passed'; readonly last: number }

export class Rudd implements Judge {
  readonly name = 'Rudd 2005'
  readonly #delay: number
  readonly #entries = new Map<string, Entry>()

  /** `delay` is X, in milliseconds. */
  constructor(delay: number = DEFAULT_DELAY) {
    this.#delay = delay
  }

  judgesAtData(): boolean {
    // The key has no recipient, so that the sender is judged, before any callout could name one.
    return false
  }

  async judge({ client, sender }: Attempt, at: number): Promise<Verdict> {
    const { address } = client
    if (!address) return 'pass'
    const key = `${networkOf(address, PREFIX[address.kind]).address.text}\n${sender.normal}`
    const entry = this.#entries.get(key)
    if (!entry || this.#isForgotten(entry, at)) {
      this.#entries.set(key, { kind: 'pending', first: at })
      return 'tempfail'
    }
    if (entry.kind === 'pending' && at - entry.first < this.#delay) return 'tempfail'
    this.#entries.set(key, { kind: 'passed', last: at })
    return 'pass'
  }

  #isForgotten(entry: Entry, at: number): boolean {
    return entry.kind === 'pending'
      ? at - entry.first > DELAYS_AWAITED * this.#delay
      : at - entry.last > LIFETIME
  }
}
