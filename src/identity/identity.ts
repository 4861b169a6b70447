// Finds the identity that stands for a client in keys, so that a retry from a sister host is known again: the sender's
// domain if its SPF record passes for the client, else the domain of the client's confirmed host name, else its
// network. SPF widens the client here; exemption by SPF is the business of greylist/investigate.ts.

import type { Address } from '../address.ts'
import type { Client } from '../attempt.ts'
import { formatNetwork, type IpAddress, networkOf } from '../ip.ts'
import { isMachineName, readHostName } from './host.ts'
import { type SpfDns, type SpfIdentity, type SpfStanding, SpfStandings } from './spf/standing.ts'

export interface IdentitySettings {
  readonly spfDomain: boolean
  readonly hostDomain: boolean
  /** Whether SPF is asked at all; exemptions may need it even if it does not widen the client. */
  readonly asksSpf: boolean
  /** Leading bits that a client and its neighbours share. */
  readonly ipv4Prefix: number
  readonly ipv6Prefix: number
}

export interface Identity {
  /** The first of `names`, for the log. */
  readonly id: string
  /**
   * All names that are true of the client, the widest first: `spf:example.org`, `host:example.org`, and always the
   * network.
   */
  readonly names: readonly string[]
  /** Domains of others that carry the mail of the sender's domain: its SPF record includes theirs. */
  readonly carriers: readonly string[]
  /** `network:198.51.100.0/24` */
  readonly network: string
  /** The client's standing with the sender's domain. */
  readonly spf: SpfStanding
  /** The domain whose SPF record passes for the client and vouches for it; absent otherwise. */
  readonly spfDomain?: string | undefined
  /** From a telling, confirmed host name: its registrable domain, and whether it says that the host handles mail. */
  readonly host?: { readonly domain: string; readonly isMail: boolean } | undefined
  /**
   * The registrable domain of a confirmed host name that tells no more than that the host is a machine at a provider,
   * which may have strangers for customers.
   */
  readonly provider?: string | undefined
  /** Whether the client has a confirmed host name that is telling. */
  readonly isNamed: boolean
}

/**
 * The identity, at once if DNS need not be asked, or `undefined` for a client without address. `isWanted` says whether
 * the caller still waits. Takes DNS_TIMEOUT at most, and never rejects.
 */
export type Identify = (
  client: Client,
  sender: Address,
  isWanted: () => boolean,
) => Identity | undefined | Promise<Identity | undefined>

const SPF_UNASKED: SpfIdentity = { standing: 'unasked', carriers: [] }

/** The function that identifies clients. `now` is a monotonic clock in milliseconds, performance.now() by default. */
export function createIdentify(settings: IdentitySettings, dns: SpfDns, now?: () => number): Identify {
  const standings = new SpfStandings(dns, now)
  return ({ address, name = '', helo }, sender, isWanted) => {
    if (!address) return undefined
    const spf = settings.asksSpf ? standings.of(address, sender, helo, isWanted) : SPF_UNASKED
    return spf instanceof Promise
      ? spf.then((found) => identityOf(address, name, found))
      : identityOf(address, name, spf)
  }

  function identityOf(address: IpAddress, name: string, spf: SpfIdentity): Identity {
    const prefix = address.kind === 'ipv4' ? settings.ipv4Prefix : settings.ipv6Prefix
    const network = `network:${formatNetwork(networkOf(address, prefix))}`
    const isVouched = spf.standing === 'pass'
    const spfDomain = isVouched ? spf.domain : undefined
    const { isTelling, isMail, domain } = readHostName(name, address)
    const host = isTelling && domain !== undefined ? { domain, isMail } : undefined
    const isMachine =
      settings.hostDomain && !isTelling && domain !== undefined && isMachineName(name, domain, address)
    const provider = isMachine ? domain : undefined
    const names: string[] = []
    if (settings.spfDomain && isVouched && spf.organisation !== undefined)
      names.push(`spf:${spf.organisation}`)
    if (settings.hostDomain && host) names.push(`host:${host.domain}`)
    names.push(network)
    const carriers = settings.spfDomain ? spf.carriers : []
    const [id = network] = names
    const known = { id, names, network, carriers, spf: spf.standing, spfDomain, host, isNamed: isTelling }
    return provider === undefined ? known : { ...known, provider }
  }
}
