// What every door makes of what an MTA says of its client. How that is said is left to each door.

import { normalDomain } from '../address.ts'
import type { Client } from '../attempt.ts'
import { type Network, parseIp } from '../ip.ts'
import { ipv4Within } from '../ranges.ts'

/** Longest host name (RFC 1035 section 2.3.4); longer text is no host name. */
const MAX_HOST_NAME = 255

/**
 * SASL mechanisms that do not count as a login, as the client shows no password. With EXTERNAL, Sendmail takes any
 * certificate signed by one of its authorities, public ones included, for a login; greymx leaves such clients to the
 * rules for certificates.
 */
const MECHANISMS_WITHOUT_LOGIN = new Set(['ANONYMOUS', 'EXTERNAL'])

/**
 * The client at `address`, which is absent or no IP address when the MTA knows none. A client in one of the NAT64
 * prefixes, or of 6to4, is the IPv4 client whose address its own contains. `confirmedName` is its host name if address
 * and name lead to each other.
 */
export function clientOf(
  address: string | undefined,
  confirmedName: string | undefined,
  nat64Prefixes: readonly Network[],
): Client {
  const ip = address === undefined ? undefined : parseIp(address)
  const ipv4 = ip && ipv4Within(ip, nat64Prefixes)
  const hostName = asHostName(confirmedName)
  const name = hostName === undefined ? undefined : normalDomain(hostName)
  return ipv4 ? { address: ipv4, ipv6Form: ip, name } : { address: ip, name }
}

/** The text if it can be a host name. */
export function asHostName(text: string | undefined): string | undefined {
  return text !== undefined && text.length <= MAX_HOST_NAME ? text : undefined
}

/** Whether the client has logged in, by the SASL mechanism and the user that the MTA names; '' if it names none. */
export function isLogin(mechanism: string, user: string): boolean {
  return !MECHANISMS_WITHOUT_LOGIN.has(mechanism.toUpperCase()) && Boolean(mechanism || user)
}
