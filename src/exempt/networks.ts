// A list of networks → a matcher. One look-up per prefix length that occurs, however long the list.

import { formatNetwork, type IpAddress, type Network, networkOf } from '../ip.ts'

/** The first configured network of the longest prefix that contains the address, as text. */
export type NetworkMatcher = (address: IpAddress) => string | undefined

export function compileNetworks(networks: readonly Network[]): NetworkMatcher {
  const known = { ipv4: new Map<number, Set<Key>>(), ipv6: new Map<number, Set<Key>>() }
  for (const { address, prefix } of networks) {
    const keys = known[address.kind].get(prefix) ?? new Set()
    known[address.kind].set(prefix, keys.add(leadingBits(address, prefix)))
  }
  const longestFirst = {
    ipv4: [...known.ipv4].sort(([a], [b]) => b - a),
    ipv6: [...known.ipv6].sort(([a], [b]) => b - a),
  }
  return (address) => {
    for (const [prefix, keys] of longestFirst[address.kind]) {
      if (keys.has(leadingBits(address, prefix))) return formatNetwork(networkOf(address, prefix))
    }
    return undefined
  }
}

/** The same for two addresses of one kind and one prefix exactly when that many of their first bits are. */
type Key = number | string

// Numbers where they can hold the bits, since to write out a network for each prefix length took most of a look-up.
function leadingBits({ kind, bytes }: IpAddress, prefix: number): Key {
  const first = maskedWord(bytes, 0, prefix)
  if (kind === 'ipv4' || prefix <= 32) return first
  const second = maskedWord(bytes, 4, prefix)
  if (prefix <= 52) return first * 2 ** 20 + (second >>> 12) // of the 53 bits that a number holds exactly
  if (prefix <= 64) return `${first} ${second}`
  return `${first} ${second} ${maskedWord(bytes, 8, prefix)} ${maskedWord(bytes, 12, prefix)}`
}

/** The four bytes from `start` on, with 0 for the bits that lie beyond the prefix. */
function maskedWord(bytes: readonly number[], start: number, prefix: number): number {
  const kept = prefix - start * 8
  if (kept <= 0) return 0
  let word = 0
  for (let index = start; index < start + 4; index++) word = (word << 8) | (bytes[index] ?? 0)
  return kept >= 32 ? word : word & (-1 << (32 - kept))
}
