// DNS lists of client addresses (DNSWL, DNSBL), one zone after another. Source: RFC 5782.

import type { Dns } from '../dns.ts'
import type { IpAddress } from '../ip.ts'

/** The first of the zones, in their order, that lists the address; `undefined` also when DNS does not say in time. */
export type DnsListMatcher = (address: IpAddress) => Promise<string | undefined>

export function createDnsLists(zones: readonly string[], dns: Dns): DnsListMatcher {
  return async (address) => {
    const name = reversedName(address)
    const listed = await Promise.all(
      zones.map((zone) => dns.within(`list ${zone}`, isListed(`${name}.${zone}`, dns))),
    )
    return zones.find((_, index) => listed[index])
  }
}

async function isListed(name: string, dns: Dns): Promise<boolean> {
  const { value } = await dns.ask(name, 'A')
  return Array.isArray(value) && value.some(isListing)
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
