// Compiles a list of networks into a matcher, which makes one look-up for each prefix length in the list, however long
// the list is.

import { formatNetwork, type IpAddress, type Network, networkOf } from '../ip.ts'

/** The configured network with the longest prefix that contains the address, as text; `undefined` if none does. */
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

/** Equal for two addresses of one kind and prefix exactly if their leading bits are equal. */
type Key = number | string

/** The key is a number if one can hold the bits, as writing out a network for each prefix took most of a look-up. */
function leadingBits({ kind, bytes }: IpAddress, prefix: number): Key {
  const first = maskedWord(bytes, 0, prefix)
  if (kind === 'ipv4' || prefix <= 32) return first
  const second = maskedWord(bytes, 4, prefix)
  if (prefix <= 52) return first * 2 ** 20 + (second >>> 12) // of the 53 bits that a number holds exactly
  if (prefix <= 64) return `${first} ${second}`
  return `${first} ${second} ${maskedWord(bytes, 8, prefix)} ${maskedWord(bytes, 12, prefix)}`
}

/** The four bytes from `start` on as a number, with 0 for the bits beyond the prefix. */
function maskedWord(bytes: readonly number[], start: number, prefix: number): number {
  const kept = prefix - start * 8
  if (kept <= 0) return 0
  let word = 0
  for (let index = start; index < start + 4; index++) word = (word << 8) | (bytes[index] ?? 0)
  return kept >= 32 ? word : word & (-1 << (32 - kept))
}
