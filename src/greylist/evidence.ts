// What the names of a client have shown, and what is believed of it. A client proves under a name that it retries. Each
// such name has a tally of the first attempts that were deferred under it, and of those that came back. Whether a name
// is listed, as one that need not wait, is the matter of auto-whitelist.ts.
//
// A stranger chooses what it sends, and may rent a neighbour's network. So what one name has shown holds for that name
// alone, and a listing holds only while most of what is deferred under its name comes back.

import type { Attempt } from '../attempt.ts'
import type { Identity } from '../identity/identity.ts'
import { isPrivate } from '../ranges.ts'
import type { Times } from './decide.ts'
import { hostsInNetwork } from './keys.ts'
import { pairsOf } from './pairs.ts'

/** First attempts that were deferred under one name within `TALLY_WINDOW` of the first of them. */
export interface Tally {
  readonly deferred: number
  /** The number of them whose retry has passed since. */
  readonly returned: number
}

/** How long a tally is kept after its first deferral, in milliseconds. */
export const TALLY_WINDOW = 2 * 86_400_000

/** The number that a deferral adds to the count of a tally. */
export const DEFERRAL = 1
/** The number that a return adds to the count of a tally. */
const RETURN = 100_000_000

const NO_TALLY: Tally = { deferred: 0, returned: 0 }

/** The part of what is deferred under a name that may stay away, and a number that always may. */
const MAX_AWAY = 0.2
const MAX_WAITING = 2

/** Triplets of a network that have to be waiting before it is a crowd. */
const MIN_CROWD = 4
/** Least delay with which there are crowds, in milliseconds. A shorter one is for a trial, where one host is everybody. */
const MIN_CROWD_DELAY = 60_000
/** The delay of a crowd, and its retry window, in delays of everybody else; and its longest part of a retry window. */
const CROWD_DELAYS = 20
const CROWD_WINDOWS = 6

/** The tally in a count of the store. */
export function tallyIn(count: number): Tally {
  if (count === 0) return NO_TALLY
  return { deferred: count % RETURN, returned: Math.floor(count / RETURN) }
}

/** What a return adds to the count of a tally, which never has more returns than deferrals. */
export function returnIn({ deferred, returned }: Tally): number {
  return returned < deferred ? RETURN : RETURN + DEFERRAL
}

/** The number of first attempts that have not come back yet. */
export function waitingIn({ deferred, returned }: Tally): number {
  return Math.max(0, deferred - returned)
}

/** Whether four of five that were deferred have come back, or all but two that may be waiting still. */
export function comesBack(tally: Tally): boolean {
  return waitingIn(tally) <= Math.max(MAX_WAITING, tally.deferred * MAX_AWAY)
}

/**
 * Whether strangers crowd a network that has shown `tally`: several triplets wait there, and fewer have come back. SPF
 * vouches for a client that is none of them.
 */
export function isCrowd({ delay }: Times, { spf }: Identity, tally: Tally): boolean {
  if (delay < MIN_CROWD_DELAY || spf === 'pass') return false
  const waiting = waitingIn(tally)
  return waiting >= MIN_CROWD && tally.returned < waiting
}

/**
 * The times for a crowd. Bots retry within minutes if at all, and mail servers go on for days; so a crowd has a longer
 * delay, an hour by default, and a shorter window.
 */
export function crowdTimes({ delay, retryWindow, lifetime }: Times): Times {
  const longer = Math.max(delay, Math.min(CROWD_DELAYS * delay, retryWindow / CROWD_WINDOWS))
  return { delay: longer, retryWindow: Math.min(retryWindow, CROWD_WINDOWS * longer), lifetime }
}

/**
 * The names under which a client can prove that it retries: `spf:example.org`,
 * `host:example.org+network:198.51.100.0/24`, `host:example.org`, `network:198.51.100.0/24`, and for a machine
 * at a provider its pairs.
 */
export function provableNames(attempt: Attempt, identity: Identity): string[] {
  const names = pairsOf(attempt, identity)
  for (const name of identity.names) {
    const isHost = name.startsWith('host:')
    if (isHost) names.push(provenBy(name, attempt, identity))
    // A host speaks for its whole domain only if it handles mail.
    if (!isHost || identity.host?.isMail) names.push(name)
  }
  return names
}

/** What the names of a client have shown. */
export class Evidence {
  readonly names: readonly string[]
  /** In the order of the names, which are few. */
  readonly #tallies: readonly Tally[]

  /** `counts` are the store's counts of the tallies of `names`, in their order. */
  constructor(names: readonly string[], counts: readonly number[]) {
    this.names = names
    this.#tallies = names.map((_, index) => tallyIn(counts[index] ?? 0))
  }

  /** What a name has shown; nothing, if it is none of `names`. */
  tallyOf(name: string): Tally {
    return this.#tallies[this.names.indexOf(name)] ?? NO_TALLY
  }

  /** Whether what the name has shown, with one more return, is enough to list it. */
  isEnough(name: string): boolean {
    const { deferred, returned } = this.tallyOf(name)
    return comesBack({ deferred, returned: returned + 1 })
  }

  /** The name for the log, with its returns and deferrals: `spf:example.org(3/4)`. */
  describe(name: string): string {
    const { deferred, returned } = this.tallyOf(name)
    return deferred === 0 ? name : `${name}(${returned}/${deferred})`
  }
}

/** Whether anybody may be behind the client's address: it may be that of a proxy or of a container's gateway. */
export function isAnybody({ client: { address } }: Attempt): boolean {
  return !address || isPrivate(address)
}

/**
 * What a client proves by a host's name: that the hosts of that domain in its network retry, if the name says that it
 * handles mail. Any other name may be one of a rented machine, whose neighbours belong to others, so that it proves its
 * own address alone. In IPv6, each machine has a network.
 */
export function provenBy(
  name: string,
  { client: { address } }: Attempt,
  { network, host }: Identity,
): string {
  return host?.isMail || address?.kind !== 'ipv4' ? hostsInNetwork(name, network) : `${name}+${address.text}`
}
