// The hosts that `a` and `mx` name, and their addresses of the client's family, within a budget.
// Source: RFC 7208 sections 5.3 and 5.4.

import { parseBytes } from '../../ip.ts'
import type { Lookup } from './lookups.ts'

/** Hosts of an `mx`, and names of a client (section 4.6.4). */
export const MAX_HOSTS = 10
/** Addresses of all hosts that an evaluation looks at. Section 5.3 sets no limit; large farms have a hundred. */
export const MAX_ADDRESSES = 1000

/** The names in the answer for an `MX`; a null MX (RFC 7505) has no host. */
export function exchangesIn(values: readonly unknown[]): string[] {
  return values.map(exchangeOf).filter((host) => host !== '')
}

/** The bytes of the addresses in the answer for an `A` or `AAAA`. */
export function addressesIn(values: readonly unknown[]): number[][] {
  return values.map((text) => parseBytes(String(text)) ?? [])
}

/** What an answer has; nothing where there is none. */
export function valuesOf(lookup: Lookup | undefined): readonly unknown[] {
  return lookup?.kind === 'found' ? lookup.values : []
}

function exchangeOf(record: unknown): string {
  const exchange =
    typeof record === 'object' && record !== null && 'exchange' in record ? record.exchange : ''
  return withoutFinalDot(String(exchange).toLowerCase())
}

export function withoutFinalDot(name: string): string {
  return name.endsWith('.') ? name.slice(0, -1) : name
}
