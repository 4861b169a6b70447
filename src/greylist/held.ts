// The first attempt of a sender form to a recipient, under one key for two purposes. It is the pending entry of the
// network that made it, the holder, and it marks the first attempt for the loop breaker. So an attempt of which nothing
// more comes costs the store one short key. Any other network has a pending entry under its own key.
//
// Strangers crowd some networks, whose retries are awaited for a shorter time (evidence.ts), while the mark stays. The
// holder then says that it was a crowd.

import type { Address } from '../address.ts'
import type { Entry } from '../store/entry.ts'
import type { Store, Write } from '../store/store.ts'
import type { Times } from './decide.ts'
import { crowdTimes } from './evidence.ts'
import { heldBy, holderOf, holderOfTwo } from './keys.ts'

/** A first attempt as one network makes it. */
export interface FirstAttempt {
  /** `network:198.51.100.0/24` */
  readonly network: string
  /** The provider of the client, if it is a machine at one. */
  readonly provider?: string | undefined
  /** The sender form. */
  readonly form: string
  readonly recipient: Address | undefined
}

/**
 * Whether a network may be a holder. Otherwise a pass could end before the entry of its wait, which would then count
 * again.
 */
export function mayHold({ retryWindow, lifetime }: Times): boolean {
  return lifetime >= retryWindow
}

/** The entry that marks a first attempt, as the wait of a client that may claim it. */
export interface Held {
  readonly entry: Entry
  /** Whether another machine of the provider made the attempt, in another network. */
  readonly isSisters: boolean
}

/**
 * The entry of the attempt's network in `first`, if that network is the holder, or if it is a machine of the same
 * provider that made the first attempt, within `elsewhereWindow` milliseconds. `times` are those without a crowd. Of a
 * machine that has waited in the place of a sister, nothing is kept until it passes.
 */
export function heldEntry(
  first: Entry | undefined,
  { network, provider, form, recipient }: FirstAttempt,
  times: Times,
  elsewhereWindow: number,
): Held | undefined {
  if (first?.holder === undefined || first.passed) return undefined
  const { isOne, isOther } = heldBy(first.holder, form, recipient)
  const held = { entry: first, isSisters: false }
  if (isOne(network)) return held
  if (isOne(crowdOf(network))) return first.age < crowdTimes(times).retryWindow ? held : undefined
  const isSisters = provider !== undefined && isOther(hostsOf(provider))
  return isSisters && first.age < elsewhereWindow ? { entry: first, isSisters } : undefined
}

/** The keys of a first attempt: the one that marks it, and the network's own, which is kept for `window` milliseconds. */
export interface FirstKeys {
  readonly firstKey: string
  readonly key: string
  readonly window: number
}

/** The write that makes the attempt's network the holder, where there is none yet. */
export function holding(
  attempt: FirstAttempt & { readonly isCrowded: boolean },
  firstKey: string,
  { retryWindow }: Times,
): Write {
  const { network, provider, form, recipient, isCrowded } = attempt
  const name = isCrowded ? crowdOf(network) : network
  // A crowd waits for longer, and nobody takes its place from elsewhere.
  const holder =
    provider === undefined || isCrowded
      ? holderOf(name, form, recipient)
      : holderOfTwo(name, hostsOf(provider), form, recipient)
  return { kind: 'add', key: firstKey, retryWindow, age: 0, holder }
}

/**
 * Keeps the attempt's network under its own key, as another frontend was faster, or the part of the store that has the
 * first key is away. Resolves to whether the network had no entry yet.
 */
export async function keepBeside(
  store: Store,
  attempt: FirstAttempt,
  { firstKey, key, window }: FirstKeys,
  times: Times,
  elsewhereWindow: number,
): Promise<boolean> {
  const [[first], isAdded] = await Promise.all([
    store.find([firstKey]).catch(() => [undefined]),
    store.add(key, window),
  ])
  return isAdded && !heldEntry(first, attempt, times, elsewhereWindow)
}

function hostsOf(provider: string): string {
  return `hosts:${provider}`
}

function crowdOf(network: string): string {
  return `crowd:${network}`
}
