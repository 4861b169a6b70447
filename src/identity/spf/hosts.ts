// Reads the hosts that `a` and `mx` name, and their addresses, from answers of DNS; defines their limits.
// Source: RFC 7208 sections 5.3 and 5.4.

import { type IpAddress, parseBytes } from '../../ip.ts'
import type { Lookup } from './lookups.ts'

/** Limit of the hosts of an `mx`, and of the names of a client (section 4.6.4). */
export const MAX_HOSTS = 10
/**
 * Limit of the addresses of all hosts in an evaluation. Section 5.3 sets none; large farms have a hundred addresses.
 */
export const MAX_ADDRESSES = 1000

/** The type of the records that hold addresses of one family. */
export type AddressType = 'A' | 'AAAA'

export function addressTypeOf(family: IpAddress['kind']): AddressType {
  return family === 'ipv4' ? 'A' : 'AAAA'
}

/** The host names in the answer to an `MX` question; a null MX (RFC 7505) has none. */
export function exchangesIn(values: readonly unknown[]): string[] {
  return values.map(exchangeOf).filter((host) => host !== '')
}

/** The bytes of the addresses in the answer to an `A` or `AAAA` question. */
export function addressesIn(values: readonly unknown[]): number[][] {
  return values.map((text) => parseBytes(String(text)) ?? [])
}

/** The values of an answer; none if the look-up found nothing. */
export function valuesOf(lookup: Lookup | undefined): readonly unknown[] {
  return lookup?.kind === 'found' ? lookup.values : []
}

function exchangeOf(record: unknown): string {
  const exchange =
    typeof record === 'object' && record !== null && 'exchange' in record ? record.exchange : ''
  return withoutFinalDot(String(exchange))
}

export function withoutFinalDot(name: string): string {
  return name.endsWith('.') ? name.slice(0, -1) : name
}
