// What stands for the client in the key, so that a retry from its neighbour is known again.

import { formatNetwork, type IpAddress, networkOf } from '../ip.ts'

/** Leading bits that a client and its neighbours share. */
export interface IdentitySettings {
  readonly ipv4Prefix: number
  readonly ipv6Prefix: number
}

/** `network:198.51.100.0/24` */
export function identify(address: IpAddress, { ipv4Prefix, ipv6Prefix }: IdentitySettings): string {
  return `network:${formatNetwork(networkOf(address, address.kind === 'ipv4' ? ipv4Prefix : ipv6Prefix))}`
}
