// The keys that only an import makes, where another greylister knows something that greymx never learns by itself: that a
// sender passes to all recipients, and that all senders of one domain pass in one network. greymx looks these keys up
// while there has been an import.

import { isHostName } from '../identity/host.ts'
import { nameInKey, readTripletKey } from './keys.ts'

const DOMAIN = 'domain:'

/**
 * The name of all senders of one domain in a client's network, `domain:example.org+network:198.51.100.0/24`; `undefined`
 * for what is no domain. `domain` is '' for the null sender, and for an address without one. It is listed where another
 * greylister lets these senders pass (import/translate.ts). So it holds as it did there, for any client of the network,
 * and greymx counts nothing for it.
 */
export function domainInNetwork(domain: string, network: string): string | undefined {
  return domain === '' || isHostName(domain) ? `${DOMAIN}${domain}+${network}` : undefined
}

/** Whether a key is looked up only while there has been an import. */
export function isOfImport(key: string): boolean {
  if (key.startsWith('w:')) return nameInKey(key).startsWith(DOMAIN)
  const triplet = readTripletKey(key)
  return triplet?.sender !== undefined && triplet.recipient === undefined
}
