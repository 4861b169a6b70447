// Hands out address space to a world. An IPv4 network is a /24, written as the number that its first 24 bits are; no two
// pools of servers get the same one, and no network lies in a private range.

import { type IpAddress, ipFromBytes, type Network } from '../../ip.ts'
import { below, type Random } from '../random.ts'

/** Number of the first and of the last /24 of some /8 networks. */
interface Space {
  readonly first: number
  readonly count: number
}

const PER_SLASH_8 = 2 ** 16

/** Where small sites lie, each among neighbours it has nothing to do with. */
const SITES: Space = { first: 77 * PER_SLASH_8, count: 18 * PER_SLASH_8 }
/** Where larger pools lie, each in a block of its own. */
const POOLS: Space = { first: 144 * PER_SLASH_8, count: 24 * PER_SLASH_8 }

/** A world has more networks than there is room for. */
export class NoRoom extends Error {}

/** Part of the space of small sites that may be in use; networks are drawn from it until one is free. */
const MAX_SITES_IN_USE = 0.9

/** A pool's networks, and the terms by which an SPF record names them. */
export interface Allotment {
  readonly networks: readonly number[]
  readonly terms: readonly string[]
  /** The number of its IPv6 block, a /32. */
  readonly ipv6: number
}

export class Addresses {
  #nextPool = 0
  #nextIpv6 = 0
  readonly #sites = new Set<number>()

  /** Networks drawn from blocks; the record names the blocks, as those of the largest senders do. */
  inBlocks(count: number, blocks: readonly Network[], random: Random): Allotment {
    const sizes = blocks.map(({ prefix }) => 2 ** (24 - prefix))
    const room = sizes.reduce((sum, size) => sum + size, 0)
    const drawn = new Set<number>()
    while (drawn.size < count) {
      let place = below(random, room)
      const index = sizes.findIndex((size) => {
        if (place < size) return true
        place -= size
        return false
      })
      drawn.add(networkNumber(blocks[index]?.address.bytes ?? []) + place)
    }
    const terms = blocks.map(({ address, prefix }) => `ip4:${address.text}/${prefix}`)
    return { networks: [...drawn], terms, ipv6: this.#takeIpv6() }
  }

  /** Neighbouring networks in a block of their own; the record names the block. */
  inOneBlock(count: number): Allotment {
    const bits = Math.ceil(Math.log2(count))
    const size = 2 ** bits
    const start = Math.ceil(this.#nextPool / size) * size
    this.#nextPool = start + size
    if (this.#nextPool > POOLS.count) throw noRoomFor(count)
    const first = POOLS.first + start
    const term = `ip4:${addressIn(first, 0).text}/${24 - bits}`
    const networks = Array.from({ length: count }, (_, index) => first + index)
    return { networks, terms: [term], ipv6: this.#takeIpv6() }
  }

  /** Networks anywhere among small sites; the record names each. */
  scattered(count: number, random: Random): Allotment {
    if (this.#sites.size + count > SITES.count * MAX_SITES_IN_USE) throw noRoomFor(count)
    const networks: number[] = []
    while (networks.length < count) {
      const network = SITES.first + below(random, SITES.count)
      if (this.#sites.has(network)) continue
      this.#sites.add(network)
      networks.push(network)
    }
    const terms = networks.map((network) => `ip4:${addressIn(network, 0).text}/24`)
    return { networks, terms, ipv6: this.#takeIpv6() }
  }

  #takeIpv6(): number {
    this.#nextIpv6 += 1
    return this.#nextIpv6
  }
}

function noRoomFor(count: number): NoRoom {
  return new NoRoom(`Cannot make the world: no room for ${count} more networks, expected a smaller world`)
}

function networkNumber([a = 0, b = 0, c = 0]: readonly number[]): number {
  return a * PER_SLASH_8 + b * 256 + c
}

/** The address of a host in an IPv4 network. */
export function addressIn(network: number, host: number): IpAddress {
  return ipFromBytes([network >>> 16, (network >>> 8) & 255, network & 255, host])
}

/** The address of a host in a network, a /48, of an IPv6 block. */
export function ipv6AddressIn(block: number, network: number, host: number): IpAddress {
  const prefix = [0x2a, 4 + (block >>> 16), (block >>> 8) & 255, block & 255]
  return ipFromBytes([...prefix, network >>> 8, network & 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, host])
}

/** The term by which an SPF record names an IPv6 block. */
export function ipv6Term(block: number): string {
  return `ip6:${ipv6AddressIn(block, 0, 0).text}/32`
}
