// What stands for the client in the key, so that a retry from a sister host is known again: the sender's domain where
// its SPF record passes for the client, else the domain of the client's confirmed host name, else its network. SPF
// widens the client here; it exempts nobody.

import type { Address } from '../address.ts'
import type { Client } from '../attempt.ts'
import type { Dns } from '../dns.ts'
import { formatNetwork, networkOf } from '../ip.ts'
import { readHostName } from './host.ts'
import { type SpfIdentity, type SpfStanding, SpfStandings } from './spf/standing.ts'

export interface IdentitySettings {
  readonly spfDomain: boolean
  readonly hostDomain: boolean
  /** Whether SPF is asked at all: also where it does not widen the client, exemptions may need it. */
  readonly asksSpf: boolean
  /** Leading bits that a client and its neighbours share. */
  readonly ipv4Prefix: number
  readonly ipv6Prefix: number
}

export interface Identity {
  /** `spf:example.org`, `host:example.org` or the network. */
  readonly id: string
  /** `network:198.51.100.0/24` */
  readonly network: string
  /** How the client stands to the sender's domain. */
  readonly spf: SpfStanding
  /** The domain whose SPF record passes for the client, and not for just anyone. */
  readonly spfDomain?: string | undefined
  /** By its confirmed host name, where that tells of its owner: the registrable domain, and whether it is a mailer's. */
  readonly host?: { readonly domain: string; readonly isMail: boolean } | undefined
  /** Whether it has a confirmed host name that tells of its owner. */
  readonly isNamed: boolean
}

/**
 * `undefined` for a client without address. `isWanted` tells whether anybody still waits for it. Takes DNS_TIMEOUT at
 * most, and never rejects.
 */
export type Identify = (
  client: Client,
  sender: Address,
  isWanted: () => boolean,
) => Promise<Identity | undefined>

const NOT_ASKED: SpfIdentity = { standing: 'unasked' }

export function createIdentify(settings: IdentitySettings, dns: Dns): Identify {
  const standings = new SpfStandings(dns)
  return async (client, sender, isWanted) => {
    const { address, name, helo } = client
    if (!address) return undefined
    const prefix = address.kind === 'ipv4' ? settings.ipv4Prefix : settings.ipv6Prefix
    const network = `network:${formatNetwork(networkOf(address, prefix))}`
    const spf = settings.asksSpf ? await standings.of(address, sender, helo, isWanted) : NOT_ASKED
    const spfDomain = spf.standing === 'pass' ? spf.domain : undefined
    const { isTelling, isMail, domain } = readHostName(name ?? '', address)
    const host = isTelling && domain !== undefined ? { domain, isMail } : undefined
    const hostDomain = settings.hostDomain ? host?.domain : undefined
    const wide =
      settings.spfDomain && spfDomain !== undefined ? `spf:${spfDomain}` : hostDomain && `host:${hostDomain}`
    return { id: wide ?? network, network, spf: spf.standing, spfDomain, host, isNamed: isTelling }
  }
}
