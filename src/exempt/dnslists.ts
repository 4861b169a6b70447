// DNS lists of client addresses (DNSWL, DNSBL), all of them asked at once. Which answers count is dnsfilter.ts's affair.
// Source: RFC 5782.

import { type Asker, type Dns, type DnsAnswer, isUnanswered } from '../dns.ts'
import { type IpAddress, reversedName } from '../ip.ts'
import { customerNetwork } from '../ranges.ts'
import type { DnsList } from './dnsfilter.ts'

export type DnsListing =
  | { readonly kind: 'listed'; readonly zone: string }
  /** No zone lists the address; or DNS as a whole is silent: then mail goes on as if there were no list. */
  | { readonly kind: 'not listed' }
  /**
   * Some zone did not say, or was not asked as too many questions were open, which strangers can bring about. Nothing
   * follows from that; above all, not that the address is not listed.
   */
  | { readonly kind: 'not known' }

/** What the first of the zones, in their order, says that lists the address. Never rejects. */
export type DnsListMatcher = (address: IpAddress) => Promise<DnsListing>

export function createDnsLists(lists: readonly DnsList[], dns: Dns): DnsListMatcher {
  return async (address) => {
    const name = reversedName(address)
    const asker: Asker = { purpose: 'list', network: customerNetwork(address), extraQuestions: 0 }
    const answers = await Promise.all(
      lists.map(({ zone }) => {
        const answer = dns.ask(`${name}.${zone}`, 'A', asker)
        return dns.withTimeout(`list ${zone}`, answer, SLOW_ANSWERS)
      }),
    )
    const list = lists.find((list, index) => isListed(list, answers[index]?.value))
    if (list) return { kind: 'listed', zone: list.zone }
    return { kind: dns.isSilent || answers.every(hasSaid) ? 'not listed' : 'not known' }
  }
}

/** Answers that a list may owe in a row before it is not waited for any more: one client's alone say little of it. */
const SLOW_ANSWERS = 2

/** Whether a server has said something, if only that it has no such list: where there is none, nobody is on it. */
function hasSaid(answer: DnsAnswer | undefined): boolean {
  return answer !== undefined && !isUnanswered(answer)
}

function isListed({ matches }: DnsList, addresses: unknown): boolean {
  return Array.isArray(addresses) && addresses.some((address) => matches(String(address)))
}
