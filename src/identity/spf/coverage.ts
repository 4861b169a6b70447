// Measures how much of the address space the blocks of an SPF record cover together. A record that passes for more than
// the largest real senders have, or in more places, says nothing of a client. passing.ts collects the blocks.

import type { IpAddress } from '../../ip.ts'
import type { AddressBlock } from './record.ts'

type Family = IpAddress['kind']

/**
 * Limit of what a record may cover and still vouch for its clients.
 *
 * IPv4, in addresses: a /11 in all. Microsoft 365 covers 0.46 million and Google 0.3 million, and a domain that
 * includes the ten largest providers together stays below 1.5 million; a /11 is 2.1 million, a two-thousandth of the
 * space.
 * IPv6, in /48 networks: a /28 in all, which is twice what a registry gives a provider at first (RIPE-738 section 5.1).
 * Google covers six /36.
 */
const MAX_COVERED: Readonly<Record<Family, number>> = { ipv4: 2 ** 21, ipv6: 2 ** 20 }

/** Prefix lengths of regions, networks of a size of which a large provider has many and a bot one. */
const REGION_BITS: Readonly<Record<Family, number>> = { ipv4: 16, ipv6: 32 }

/** Limit of the regions in which a record may pass; the ten largest providers together are in about a hundred. */
const MAX_REGIONS = 150

/** Leading bits by which blocks are compared; a number holds 48 of IPv6 exactly. */
const COMPARED_BITS: Readonly<Record<Family, number>> = { ipv4: 32, ipv6: 48 }

export interface Coverage {
  /** Whether the blocks cover so much, or are so scattered, that the record vouches for nobody. */
  readonly isTooMuch: boolean
  /** A hash of the covered addresses. */
  readonly digest: number
}

/** The coverage of blocks of one family, independent of their order; blocks within others count once. */
export function coverageOf(blocks: readonly AddressBlock[], family: Family): Coverage {
  const bits = COMPARED_BITS[family]
  const ranges = blocks
    .map(({ bytes, prefix }) => {
      const size = 2 ** (bits - prefix)
      const first = leadingNumber(bytes, bits)
      return { start: size > 1 ? first - (first % size) : first, size }
    })
    .sort((a, b) => a.start - b.start || b.size - a.size)
  const regionSize = 2 ** (bits - REGION_BITS[family])
  let covered = 0
  let end = 0
  let regions = 0
  let lastRegion = -1
  let digest = FNV_START
  for (const { start, size } of ranges) {
    if (start + size <= end) continue
    covered += start + size - Math.max(start, end)
    end = start + size
    const region = Math.floor(start / regionSize)
    if (region !== lastRegion) regions += 1
    lastRegion = region
    digest = Math.imul(digest ^ (start % 2 ** 32), FNV_PRIME)
    digest = Math.imul(digest ^ Math.floor(start / 2 ** 32) ^ Math.log2(size), FNV_PRIME)
  }
  return { isTooMuch: covered > MAX_COVERED[family] || regions > MAX_REGIONS, digest }
}

const FNV_START = 0x811c9dc5
const FNV_PRIME = 0x01000193

function leadingNumber(bytes: readonly number[], bits: number): number {
  let number = 0
  for (let index = 0; index < bits / 8; index += 1) number = number * 256 + (bytes[index] ?? 0)
  return number
}
