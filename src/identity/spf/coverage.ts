// How much of the address space some blocks cover together, against what the largest real senders cover: a record that
// passes for more than that says nothing of a client.

import type { AddressBlock } from './record.ts'

export type Family = 'ipv4' | 'ipv6'

/**
 * The most that a record may cover and still vouch for its clients.
 *
 * IPv4, in addresses: a /11 in all. Microsoft 365 covers 0.46 million and Google 0.3 million, and a domain that includes
 * the ten largest providers together stays below 1.5 million; a /11 is 2.1 million, a two-thousandth of the space.
 * IPv6, in /48 networks: a /28 in all, which is twice what a registry gives a provider at first (RIPE-738 section 5.1).
 * Google covers six /36.
 */
const MAX_COVERED: Readonly<Record<Family, number>> = { ipv4: 2 ** 21, ipv6: 2 ** 20 }

/** Bits of an address by which blocks are compared: as many of IPv6 as a number holds exactly. */
const COMPARED_BITS: Readonly<Record<Family, number>> = { ipv4: 32, ipv6: 48 }

/** Whether blocks of one family cover so much that their owner vouches for nobody. Blocks within others count once. */
export function coverTooMuch(blocks: readonly AddressBlock[], family: Family): boolean {
  const bits = COMPARED_BITS[family]
  const ranges = blocks
    .map(({ bytes, prefix }) => {
      const size = 2 ** (bits - prefix)
      const first = leadingNumber(bytes, bits)
      return { start: size > 1 ? first - (first % size) : first, size }
    })
    .sort((a, b) => a.start - b.start || b.size - a.size)
  let covered = 0
  let end = 0
  for (const { start, size } of ranges) {
    if (start + size <= end) continue
    covered += start + size - Math.max(start, end)
    end = start + size
  }
  return covered > MAX_COVERED[family]
}

function leadingNumber(bytes: readonly number[], bits: number): number {
  let number = 0
  for (let index = 0; index < bits / 8; index += 1) number = number * 256 + (bytes[index] ?? 0)
  return number
}
