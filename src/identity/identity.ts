// What stands for the client in the key, so that a retry from its neighbour is known again.

import type { Client } from '../attempt.ts'
import { formatNetwork, networkOf } from '../ip.ts'

/** Leading bits that a client and its neighbours share. */
export interface IdentitySettings {
  readonly ipv4Prefix: number
  readonly ipv6Prefix: number
}

/** `network:198.51.100.0/24`; `undefined` for a client without address. */
export type Identify = (client: Client) => string | undefined

export function createIdentify({ ipv4Prefix, ipv6Prefix }: IdentitySettings): Identify {
  return ({ address }) => {
    if (!address) return undefined
    return `network:${formatNetwork(networkOf(address, address.kind === 'ipv4' ? ipv4Prefix : ipv6Prefix))}`
  }
}
