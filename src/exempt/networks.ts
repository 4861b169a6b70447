// A list of networks → a matcher. One look-up per prefix length that occurs, however long the list.

import { formatNetwork, type IpAddress, type Network, networkOf } from '../ip.ts'

/** The first configured network of the longest prefix that contains the address, as text. */
export type NetworkMatcher = (address: IpAddress) => string | undefined

export function compileNetworks(networks: readonly Network[]): NetworkMatcher {
  const prefixes = {
    ipv4: new Set<number>(),
    ipv6: new Set<number>(),
  }
  const known = new Set<string>()
  for (const { address, prefix } of networks) {
    prefixes[address.kind].add(prefix)
    known.add(formatNetwork(networkOf(address, prefix)))
  }
  const longestFirst = {
    ipv4: [...prefixes.ipv4].sort((a, b) => b - a),
    ipv6: [...prefixes.ipv6].sort((a, b) => b - a),
  }
  return (address) => {
    for (const prefix of longestFirst[address.kind]) {
      const network = formatNetwork(networkOf(address, prefix))
      if (known.has(network)) return network
    }
    return undefined
  }
}
