// The auto-whitelist: who has shown that it retries need not wait. The first passes of a host count for all hosts of its
// domain in its network. The domain often belongs to a provider with strangers for customers, so it is whitelisted
// elsewhere only after first passes from several networks and several senders' domains, each with an SPF pass, as anybody
// can write a sender. Then it is whitelisted for hosts whose names say that they handle mail, since the domain's owner
// gives the names. Other hosts of such a domain need one first pass in their network.

import type { Attempt } from '../attempt.ts'
import type { Identity } from '../identity/identity.ts'
import { organisationOf } from '../identity/organisation.ts'
import type { Entry } from '../store/entry.ts'
import type { Store } from '../store/store.ts'
import { comesBack, type Evidence, provenBy, type Tally } from './evidence.ts'
import { listedKey, whitelistKeys, witnessKeys } from './keys.ts'
import { isPairOfHosts, pairsOf } from './pairs.ts'

/** When an identity need not wait any more; times in milliseconds. */
export interface AutoWhitelistSettings {
  /** Number of first passes that an identity has to complete. */
  readonly after: number
  /** First passes closer together than this count as one. */
  readonly spacing: number
  /** How long an identity stays whitelisted after its last use. */
  readonly lifetime: number
}

/** A name that may be whitelisted, and the key that says so. */
export interface Listing {
  readonly name: string
  readonly key: string
}

/** Least number of first passes before a client without a telling name is whitelisted. */
const MIN_UNNAMED_PASSES = 5

/** Networks, and also senders' domains, from which a host's domain needs first passes before it is whitelisted. */
const MIN_WITNESSES = 3

/** Senders' domains whose mail has to come back through a carrier before the carrier vouches for others. */
const MIN_CARRIED = 2

const CARRIER = 'carrier:'

/** Whether so much of what a carrier has sent has come back, with this time, that it may be one that retries. */
function isCarrying({ deferred, returned }: Tally): boolean {
  return (returned + 1) * 2 >= deferred
}

/** Whether a listing is that of a carrier. */
export function isCarrier(name: string): boolean {
  return name.startsWith(CARRIER)
}

/** The listings of names: those by which a client may be whitelisted, and its carriers'. */
export function listingsFor(names: readonly string[]): Listing[] {
  return names.map((name) => ({ name, key: listedKey(name) }))
}

/**
 * The index of the first listing that holds, or -1. `found` are the entries under the keys of `listings`. A listing
 * does not hold while too little of what is deferred under its name comes back. That of a carrier holds always: who may
 * send there by SPF are customers whose domains are their own, and it is the carrier that retries.
 */
export function holdingAmong(
  listings: readonly Listing[],
  found: ReadonlyArray<Pick<Entry, 'passed'> | undefined>,
  evidence: Evidence,
): number {
  return listings.findIndex(
    ({ name }, index) => found[index]?.passed && (isCarrier(name) || comesBack(evidence.tallyOf(name))),
  )
}

/** Where a first pass comes from. */
interface FirstPass {
  readonly attempt: Attempt
  readonly identity: Identity
  readonly evidence: Evidence
  /** The network that counts as one among several. */
  readonly network: string
}

/** Counts first passes, and whitelists who has enough of them. A failed count is lost. */
export class FirstPassCounter {
  readonly #store: Store
  readonly #settings: AutoWhitelistSettings

  constructor(store: Store, settings: AutoWhitelistSettings) {
    this.#store = store
    this.#settings = settings
  }

  /** Counts a first pass. Never rejects: the guard around the store counts and logs failures. */
  async count(pass: FirstPass): Promise<void> {
    const { attempt, identity, evidence, network } = pass
    const sender = organisationOf(attempt.sender.domain)
    const counted = [
      this.countForPairs(pass),
      ...identity.names.map((name) => this.#countForName(name, pass)),
      ...identity.carriers
        .map(carrierName)
        .filter((carrier) => isCarrying(evidence.tallyOf(carrier)))
        .map((carrier) => this.#countForCarrier(carrier, sender)),
    ]
    if (identity.host && identity.spf === 'pass')
      counted.push(this.#countForDomain(`host:${identity.host.domain}`, network, sender))
    await Promise.all(counted).catch(() => undefined)
  }

  /** Counts a first pass for what it shows of the sender's domain alone. Never rejects. */
  async countForPairs({ attempt, identity, evidence, network }: FirstPass): Promise<void> {
    const counted = pairsOf(attempt, identity)
      .filter((pair) => evidence.isEnough(pair))
      .map((pair) => this.#countForPair(pair, network))
    await Promise.all(counted).catch(() => undefined)
  }

  async #countForName(name: string, { attempt, identity, evidence }: FirstPass): Promise<void> {
    const { after } = this.#settings
    const { id, network, isNamed } = identity
    const isHost = name.startsWith('host:')
    const proven = isHost ? provenBy(name, attempt, identity) : name
    // Who has a wider name proves that name, and not its neighbours.
    if ((name === network && name !== id) || !evidence.isEnough(proven)) return
    let needed = name !== network || isNamed ? after : Math.max(after, MIN_UNNAMED_PASSES)
    if (isHost && needed > 1) {
      const [domain] = await this.#store.find([listedKey(name)])
      if (domain?.passed) needed = 1
    }
    await this.#countFor(proven, needed)
  }

  async #countFor(name: string, needed: number): Promise<void> {
    const { spacing, lifetime } = this.#settings
    const keys = whitelistKeys(name)
    if (needed > 1) {
      if (!(await this.#store.add(keys.spacing, spacing))) return
      if ((await this.#store.count(keys.passes, lifetime)) < needed) return
    }
    await this.#store.pass(keys.listed, lifetime)
  }

  /** Counts a first pass for a pair; that with all hosts of a provider needs first passes from several networks. */
  async #countForPair(pair: string, network: string): Promise<void> {
    const { after, lifetime } = this.#settings
    if (!isPairOfHosts(pair)) return this.#countFor(pair, after)
    if (await this.#isEnoughWith(witnessKeys(pair, 'networks', network), MIN_WITNESSES))
      await this.#store.pass(listedKey(pair), lifetime)
  }

  /** Whether a witness that is counted here for the first time makes their number `needed` or more. */
  async #isEnoughWith({ witness, count }: ReturnType<typeof witnessKeys>, needed: number): Promise<boolean> {
    const { lifetime } = this.#settings
    return (await this.#store.add(witness, lifetime)) && (await this.#store.count(count, lifetime)) >= needed
  }

  /** Counts a first pass for a carrier, once for each sender's domain, and whitelists it after enough of them. */
  async #countForCarrier(carrier: string, sender: string): Promise<void> {
    const { lifetime } = this.#settings
    // A bounce, or a sender without a domain, is no witness.
    if (sender === '') return
    if (await this.#isEnoughWith(witnessKeys(carrier, 'senders', sender), MIN_CARRIED))
      await this.#store.pass(listedKey(carrier), lifetime)
  }

  /** Counts a first pass for a host's domain, and whitelists it after enough networks and enough senders' domains. */
  async #countForDomain(domain: string, network: string, sender: string): Promise<void> {
    const { spacing, lifetime } = this.#settings
    const { listed, spacing: spacingKey } = whitelistKeys(domain)
    // A bounce, or a sender without a domain, is no witness.
    if (sender === '' || !(await this.#store.add(spacingKey, spacing))) return
    const kinds = [witnessKeys(domain, 'networks', network), witnessKeys(domain, 'senders', sender)]
    const isMore = await Promise.all(
      kinds.map(async (keys) => {
        if (!(await this.#isEnoughWith(keys, MIN_WITNESSES))) return false
        await this.#store.pass(keys.enough, lifetime)
        return true
      }),
    )
    if (!isMore.includes(true)) return
    const enough = await this.#store.find(kinds.map((keys) => keys.enough))
    if (enough.every((entry) => entry?.passed)) await this.#store.pass(listed, lifetime)
  }
}

/** The name of a carrier in the auto-whitelist, and of its tally. */
export function carrierName(carrier: string): string {
  return `${CARRIER}${carrier}`
}
