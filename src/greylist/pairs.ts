// What a machine at a provider, which has no name of its own, proves for one sender's domain. Nobody vouches for such a
// machine, and its neighbours may be strangers. But a shop at a hoster, whose domain has no SPF record, sends from many of
// them. So that the mail of its domain comes back is credited to the pair of that domain and the network, and of that
// domain and all hosts of the provider. Who wants to profit has to rent a machine there and to know which domain has come
// back, and might as well retry.

import type { Attempt } from '../attempt.ts'
import { isHostName } from '../identity/host.ts'
import type { Identity } from '../identity/identity.ts'
import { ownerOf } from '../identity/organisation.ts'

const PAIR = 'from:'
const OF_HOSTS = '+hosts:'

/**
 * The pairs of the sender's domain with the client's provider and network: `from:example.org+hosts:hoster.example`,
 * `from:example.org+network:198.51.100.0/24`. There are none for a client that has a wider name than its network, or
 * that is no machine at a provider, and none for a sender against whom SPF speaks, or of whom DNS does not tell.
 */
export function pairsOf({ sender }: Attempt, { id, network, provider, spf }: Identity): string[] {
  if (id !== network || provider === undefined) return []
  if (spf === 'fail' || spf === 'unknown' || !isHostName(sender.domain)) return []
  const start = `${PAIR}${ownerOf(sender.domain) ?? sender.domain}`
  return [`${start}${OF_HOSTS}${provider}`, `${start}+${network}`]
}

/** Whether a name is a pair. */
export function isPair(name: string): boolean {
  return name.startsWith(PAIR)
}

/** Whether a name is the pair of a domain with all hosts of a provider. */
export function isPairOfHosts(name: string): boolean {
  return isPair(name) && name.includes(OF_HOSTS)
}
