// Special ranges of addresses: addresses that no outsider can have, the network that one stranger may have whole, and
// IPv6 addresses that hold an IPv4 address. Parsing and comparing is in ip.ts.

import {
  formatNetwork,
  type IpAddress,
  ipFromBytes,
  isInNetwork,
  type Network,
  networkOf,
  parseNetwork,
} from './ip.ts'

const LOOPBACK = networks('127.0.0.0/8', '::1/128')
const LINK_LOCAL = networks('169.254.0.0/16', 'fe80::/10')
/** Networks whose addresses belong to another host at each site (RFC 1918, RFC 6598). */
const PRIVATE_IPV4 = networks('10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16')
/** The same for IPv6 includes unique local addresses (RFC 4193). */
const PRIVATE = [...PRIVATE_IPV4, ...networks('fc00::/7'), ...LINK_LOCAL, ...LOOPBACK]
/** IPv4 networks whose addresses no host on the Internet has: this host, loopback, link-local, multicast, reserved. */
const NON_HOST_IPV4 = networks('0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3')

export function isLoopback(address: IpAddress): boolean {
  return isIn(LOOPBACK, address)
}

/** Whether the address belongs to another host at each site, so that it identifies no outsider. */
export function isPrivate(address: IpAddress): boolean {
  return isIn(PRIVATE, address)
}

/**
 * Prefix lengths of the network that one customer of a provider may control: a /48 of IPv6 (RFC 6177), and many
 * addresses of a /24 of IPv4.
 */
export const CUSTOMER_PREFIX = { ipv4: 24, ipv6: 48 } as const

/** The network, as text, in which one stranger may have every address; limits on strangers apply to such networks. */
export function customerNetwork(address: IpAddress): string {
  return formatNetwork(networkOf(address, CUSTOMER_PREFIX[address.kind]))
}

/** Prefix lengths of NAT64 (RFC 6052 section 2.2). */
export const NAT64_PREFIXES: readonly number[] = [32, 40, 48, 56, 64, 96]

/** Index of the byte that an embedded address skips and that is 0 (RFC 6052 section 2.2). */
const U_OCTET = 8

const SIX_TO_FOUR = networks('2002::/16')
const WELL_KNOWN_NAT64 = networks('64:ff9b::/96')

/**
 * The IPv4 address of a client whose IPv6 address comes from NAT64 with one of the prefixes `nat64` (RFC 6052) or from
 * 6to4 (RFC 3056), else `undefined`. An embedded loopback address or the like is never believed, and a private address
 * only behind a NAT64 of the site's own (RFC 6052 section 3.1), since such addresses may be exempt.
 *
 * Teredo and ISATAP do not count: Teredo embeds the address of the client's router, and ISATAP's prefix is the site's.
 */
export function ipv4Within(address: IpAddress, nat64: readonly Network[]): IpAddress | undefined {
  if (address.kind !== 'ipv6') return undefined
  const [translator] = nat64
    .filter((network) => isInNetwork(address, network))
    .sort((one, other) => other.prefix - one.prefix)
  const ipv4 = translator ? translated(address, translator) : tunnelled(address)
  const isSitesOwn = translator !== undefined && !isIn(WELL_KNOWN_NAT64, address)
  const unusable = isSitesOwn ? NON_HOST_IPV4 : [...NON_HOST_IPV4, ...PRIVATE_IPV4]
  return ipv4 && !isIn(unusable, ipv4) ? ipv4 : undefined
}

/** The address in the four bytes behind the prefix, without the u octet (RFC 6052 section 2.2). */
function translated({ bytes }: IpAddress, { prefix }: Network): IpAddress | undefined {
  const start = prefix / 8
  if (start > U_OCTET) return ipFromBytes(bytes.slice(start, start + 4))
  if (bytes[U_OCTET] !== 0) return undefined
  return ipFromBytes(bytes.toSpliced(U_OCTET, 1).slice(start, start + 4))
}

/** The address in the four bytes behind 2002: (RFC 3056 section 2). */
function tunnelled(address: IpAddress): IpAddress | undefined {
  return isIn(SIX_TO_FOUR, address) ? ipFromBytes(address.bytes.slice(2, 6)) : undefined
}

function networks(...texts: readonly string[]): readonly Network[] {
  return texts.flatMap((text) => parseNetwork(text) ?? [])
}

function isIn(ranges: readonly Network[], address: IpAddress): boolean {
  return ranges.some((range) => isInNetwork(address, range))
}
