// What an address is by the range it lies in: one that nobody from outside can have, one of a stranger who may have its
// whole network, one with an IPv4 address within.

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
/** Networks of addresses that mean another host at each site (RFC 1918, RFC 6598). */
const PRIVATE_IPV4 = networks('10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16')
/** With unique local addresses (RFC 4193). */
const PRIVATE = [...PRIVATE_IPV4, ...networks('fc00::/7'), ...LINK_LOCAL, ...LOOPBACK]
/** Networks whose addresses no host has on the Internet: this host, loopback, link-local, multicast, reserved. */
const NOBODYS = networks('0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3')

export function isLoopback(address: IpAddress): boolean {
  return isIn(LOOPBACK, address)
}

/** Whether the address means another host in each network, so that nobody from outside is known by it. */
export function isPrivate(address: IpAddress): boolean {
  return isIn(PRIVATE, address)
}

/**
 * Leading bits of the addresses that a provider may give to one customer: a /48 of IPv6 (RFC 6177), and many addresses in
 * one /24 of IPv4.
 */
export const CUSTOMER_PREFIX = { ipv4: 24, ipv6: 48 } as const

/** The network of which a stranger may have every address: what is shared among strangers is shared among these. */
export function customerNetwork(address: IpAddress): string {
  return formatNetwork(networkOf(address, CUSTOMER_PREFIX[address.kind]))
}

/** Prefix lengths of NAT64 (RFC 6052 section 2.2). */
export const NAT64_PREFIXES: readonly number[] = [32, 40, 48, 56, 64, 96]

/** The byte that RFC 6052 leaves out of an embedded address: it is 0. */
const U_OCTET = 8

const SIX_TO_FOUR = networks('2002::/16')
const WELL_KNOWN_NAT64 = networks('64:ff9b::/96')

/**
 * The IPv4 address within an IPv6 one: that of the client itself behind NAT64 (RFC 6052, with one of these prefixes) or
 * 6to4 (RFC 3056); `undefined` where there is none. Nobody is believed to be loopback or the like in this way, nor a
 * private address but behind a NAT64 of the site's own (RFC 6052 section 3.1): those may be exempt.
 *
 * Teredo and ISATAP are no such forms: the one has the address of the client's router, the other's prefix is the site's.
 */
export function ipv4Within(address: IpAddress, nat64: readonly Network[]): IpAddress | undefined {
  if (address.kind !== 'ipv6') return undefined
  const [translator] = nat64
    .filter((network) => isInNetwork(address, network))
    .sort((one, other) => other.prefix - one.prefix)
  const ipv4 = translator ? translated(address, translator) : tunnelled(address)
  const isSitesOwn = translator !== undefined && !isIn(WELL_KNOWN_NAT64, address)
  const unusable = isSitesOwn ? NOBODYS : [...NOBODYS, ...PRIVATE_IPV4]
  return ipv4 && !isIn(unusable, ipv4) ? ipv4 : undefined
}

/** The four bytes behind the prefix, but for the u octet (RFC 6052 section 2.2). */
function translated({ bytes }: IpAddress, { prefix }: Network): IpAddress | undefined {
  const start = prefix / 8
  if (start > U_OCTET) return ipFromBytes(bytes.slice(start, start + 4))
  if (bytes[U_OCTET] !== 0) return undefined
  return ipFromBytes(bytes.toSpliced(U_OCTET, 1).slice(start, start + 4))
}

/** The four bytes behind 2002: (RFC 3056 section 2). */
function tunnelled(address: IpAddress): IpAddress | undefined {
  return isIn(SIX_TO_FOUR, address) ? ipFromBytes(address.bytes.slice(2, 6)) : undefined
}

function networks(...texts: readonly string[]): readonly Network[] {
  return texts.flatMap((text) => parseNetwork(text) ?? [])
}

function isIn(ranges: readonly Network[], address: IpAddress): boolean {
  return ranges.some((range) => isInNetwork(address, range))
}
