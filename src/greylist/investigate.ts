// What takes its time to be known of a client and its sender, as DNS has to be asked: who the client is, and whether
// that alone decides. All of it is asked at once, so that all of it together takes DNS_TIMEOUT at most.

import type { Address } from '../address.ts'
import type { Client } from '../attempt.ts'
import type { DnsListing, DnsListMatcher } from '../exempt/dnslists.ts'
import type { Exemption } from '../exempt/exempt.ts'
import type { Identify, Identity } from '../identity/identity.ts'

export interface InvestigateSettings {
  /** Whether an SPF pass exempts. */
  readonly exemptSpf: boolean
  /** Who is greylisted at all: everybody, or who has neither a telling name nor an SPF pass. */
  readonly onlyIf: 'all' | 'suspicious'
}

export interface InvestigateParts {
  readonly settings: InvestigateSettings
  readonly identify: Identify
  /** DNS lists of clients that are to be trusted, and of those that alone are greylisted. */
  readonly trusted?: DnsListMatcher
  readonly blocked?: DnsListMatcher
}

export interface Findings {
  /** Absent for a client without address. */
  readonly identity: Identity | undefined
  readonly exemption: Exemption | undefined
}

/**
 * `isWanted` tells whether anybody still waits for the findings: when nobody does, nothing more is asked. Never rejects.
 */
export type Investigate = (client: Client, sender: Address, isWanted: () => boolean) => Promise<Findings>

export function createInvestigate(parts: InvestigateParts): Investigate {
  const { settings, identify, trusted, blocked } = parts
  return async (client, sender, isWanted) => {
    const { address } = client
    const asked = identify(client, sender, isWanted)
    const listings = address && Promise.all([trusted?.(address), blocked?.(address)])
    const [identity, [trustedBy, blockedBy] = []] = [await asked, await listings]
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
