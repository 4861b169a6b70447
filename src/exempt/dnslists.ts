// Asks DNS lists of client addresses (DNSWL, DNSBL), all of them at once. dnsfilter.ts decides which answers count.
// Source: RFC 5782.

import { type Asker, type Dns, type DnsAnswer, isUnanswered } from '../dns.ts'
import { type IpAddress, reversedName } from '../ip.ts'
import { customerNetwork } from '../ranges.ts'
import type { DnsList } from './dnsfilter.ts'

export type DnsListing =
  | { readonly kind: 'listed'; readonly zone: string }
  /** No zone lists the address, or DNS as a whole is silent, so that mail goes on as if there were no list. */
  | { readonly kind: 'not listed' }
  /**
   * Some zone did not answer, or was not asked as too many questions were open, both of which strangers can cause.
   * Nothing follows from that, least of all that the address is not listed.
   */
  | { readonly kind: 'not known' }

/** The first zone, in their order, that lists the address, or that there is none. Never rejects. */
export type DnsListMatcher = (address: IpAddress) => Promise<DnsListing>

/** The matcher for these lists; one address takes DNS_TIMEOUT at most. */
export function createDnsLists(lists: readonly DnsList[], dns: Dns): DnsListMatcher {
  return async (address) => {
    const name = reversedName(address)
    const asker: Asker = { purpose: 'list', network: customerNetwork(address), extraQuestions: 0 }
    const answers = await Promise.all(
      lists.map(({ zone }) => {
        const answer = dns.ask(`${name}.${zone}`, 'A', asker)
        return dns.withTimeout(`list ${zone}`, answer, TOLERATED_TIMEOUTS)
      }),
    )
    const list = lists.find((list, index) => isListed(list, answers[index]?.value))
    if (list) return { kind: 'listed', zone: list.zone }
    return { kind: dns.isSilent || answers.every(hasAnswered) ? 'not listed' : 'not known' }
  }
}

/** Time-outs in a row before a list is not waited for any more; those of a single client say little of the list. */
const TOLERATED_TIMEOUTS = 2

/** Whether a server has answered. An answer that there is no such list counts, as nobody is on that list. */
function hasAnswered(answer: DnsAnswer | undefined): boolean {
  return answer !== undefined && !isUnanswered(answer)
}

function isListed({ matches }: DnsList, addresses: unknown): boolean {
  return Array.isArray(addresses) && addresses.some((address) => matches(String(address)))
}
