// Finds out what only DNS can tell of a client and its sender: the client's identity, and whether that exempts it. All
// questions are asked at once, so that together they take DNS_TIMEOUT at most.

import type { Address } from '../address.ts'
import type { Client } from '../attempt.ts'
import type { DnsListing, DnsListMatcher } from '../exempt/dnslists.ts'
import type { Exemption } from '../exempt/exempt.ts'
import type { Identify, Identity } from '../identity/identity.ts'

export interface InvestigateSettings {
  /** Whether an SPF pass exempts. */
  readonly exemptSpf: boolean
  /** Which clients are greylisted: all, or only those with neither a telling name nor an SPF pass. */
  readonly onlyIf: 'all' | 'suspicious'
}

export interface InvestigateParts {
  readonly settings: InvestigateSettings
  readonly identify: Identify
  /** DNS lists whose clients are exempt. */
  readonly trusted?: DnsListMatcher
  /** DNS lists; if present, only their clients are greylisted. */
  readonly blocked?: DnsListMatcher
}

export interface Findings {
  /** Absent for a client without address. */
  readonly identity: Identity | undefined
  readonly exemption: Exemption | undefined
}

/**
 * The findings, at once if DNS need not be asked. `isWanted` says whether the caller still waits; once it does not, DNS
 * is not asked. Never rejects.
 */
export type Investigate = (
  client: Client,
  sender: Address,
  isWanted: () => boolean,
) => Findings | Promise<Findings>

export function createInvestigate(parts: InvestigateParts): Investigate {
  const { settings, identify, trusted, blocked } = parts
  return (client, sender, isWanted) => {
    const { address } = client
    const asked = identify(client, sender, isWanted)
    const listings = address && (trusted || blocked) && Promise.all([trusted?.(address), blocked?.(address)])
    if (listings)
      return Promise.all([asked, listings]).then(([identity, listed]) => findingsOf(identity, ...listed))
    return asked instanceof Promise ? asked.then((identity) => findingsOf(identity)) : findingsOf(asked)
  }

  function findingsOf(
    identity: Identity | undefined,
    trustedBy?: DnsListing,
    blockedBy?: DnsListing,
  ): Findings {
    return { identity, exemption: identity && exemption(identity, trustedBy, blockedBy) }
  }

  function exemption(
    { spfDomain, isNamed }: Identity,
    trustedBy: DnsListing | undefined,
    blockedBy: DnsListing | undefined,
  ): Exemption | undefined {
    if (settings.exemptSpf && spfDomain !== undefined) return { reason: 'exempt-spf', rule: spfDomain }
    if (trustedBy?.kind === 'listed') return { reason: 'exempt-client', rule: trustedBy.zone }
    if (blockedBy?.kind === 'not listed') return { reason: 'not-greylisted', rule: 'only_if_listed' }
    const isSuspicious = !isNamed && spfDomain === undefined
    if (settings.onlyIf === 'suspicious' && !isSuspicious)
      return { reason: 'not-greylisted', rule: 'only_if' }
    return undefined
  }
}
