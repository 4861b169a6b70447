// DNS lists of client addresses (DNSWL, DNSBL), one zone after another. Source: RFC 5782.

import { type Asker, type Dns, NOT_ASKED } from '../dns.ts'
import { customerNetwork, type IpAddress } from '../ip.ts'

export type DnsListing =
  | { readonly kind: 'listed'; readonly zone: string }
  /** No zone lists the address, or DNS did not say in time: then mail goes on as if there were no list. */
  | { readonly kind: 'not listed' }
  /**
   * Some zone was not asked, as too many questions were open, which strangers can bring about. Nothing follows from that;
   * above all, not that the address is not listed.
   */
  | { readonly kind: 'not asked' }

/** What the first of the zones, in their order, says that lists the address. Never rejects. */
export type DnsListMatcher = (address: IpAddress) => Promise<DnsListing>

export function createDnsLists(zones: readonly string[], dns: Dns): DnsListMatcher {
  return async (address) => {
    const name = reversedName(address)
    const asker: Asker = { purpose: 'list', shares: [customerNetwork(address)] }
    const answers = await Promise.all(
      zones.map((zone) => dns.within(`list ${zone}`, dns.ask(`${name}.${zone}`, 'A', asker))),
    )
    const zone = zones.find((_, index) => isListed(answers[index]?.value))
    if (zone !== undefined) return { kind: 'listed', zone }
    return { kind: answers.includes(NOT_ASKED) ? 'not asked' : 'not listed' }
  }
}

function isListed(addresses: unknown): boolean {
  return Array.isArray(addresses) && addresses.some(isListing)
}

/**
 * A listing is an address in 127.0.0.0/8 (RFC 5782 section 2.1). 127.0.0.255 and 127.255.255.x are how lists say that
 * they do not answer this asker (dnswl.org, Spamhaus); any other address comes from a zone that is none any more.
 */
function isListing(address: unknown): boolean {
  return /^127\./.test(String(address)) && !/^127\.(0\.0\.255|255\.255\.\d+)$/.test(String(address))
}

/** `7.100.51.198`; for IPv6 its nibbles (RFC 5782 section 2.4). */
export function reversedName({ kind, bytes }: IpAddress): string {
  const parts = kind === 'ipv4' ? bytes.map(String) : bytes.flatMap((byte) => [byte >> 4, byte & 15]).map(hex)
  return parts.reverse().join('.')
}

function hex(nibble: number): string {
  return nibble.toString(16)
}
