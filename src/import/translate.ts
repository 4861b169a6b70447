// Translates what a peer remembers into what greymx would remember, by greymx's own settings.
//
// A peer knows addresses of clients and no names. So what it remembers is kept under the client's network, which greymx
// looks up for every attempt whatever other names the client has; the first pass at greymx writes it under these as well.
// Lifetimes are greymx's own, counted from when the peer has last seen the triplet.
//
// Nothing else is written beside the entry of a triplet:
//
// - No tally and no first pass is counted. Both lead to the auto-whitelist, which lets through mail that the peer has
//   never seen, whereas the triplet itself needs neither to pass. Where a peer has listed a client by its own rules, that
//   becomes a listing, as that is what the peer knows.
// - No mark of a first attempt (greylist/held.ts). Who waits has its entry under its network, and the loop breaker begins
//   to count with the next attempt.
//
// A pass that a peer keeps for all recipients is one for all of them here (greylist/greylister.ts), and a listing of a
// sender's domain lets pass that domain alone (greylist/imported.ts). Any other listing is that of a network, since greymx
// lists nothing narrower for all mail of a client without a name. greymx itself lists a network after five first passes
// from any of its addresses, an hour apart, which is what Postgrey asks of one client.
// Private addresses are never listed, as anybody may be behind one.

import { normalDomain, parseAddress } from '../address.ts'
import type { Times } from '../greylist/decide.ts'
import { domainInNetwork } from '../greylist/imported.ts'
import { tripletKey, whitelistKeys } from '../greylist/keys.ts'
import { ADDRESS_BITS, formatNetwork, type IpAddress, type Network, networkOf, parseNetwork } from '../ip.ts'
import type { Stored } from '../operator/stored.ts'
import { ipv4Within, isPrivate } from '../ranges.ts'
import type { Found } from './piece.ts'
import type { Listed, Passed, Remembered, Waiting } from './remembered.ts'

/** The settings of greymx by which what a peer remembers is kept. Times are in milliseconds. */
export interface TranslationSettings {
  readonly times: Times
  /** Leading bits that a client and its neighbours share. */
  readonly prefixes: Readonly<Record<IpAddress['kind'], number>>
  /** Prefixes of NAT64 of the site; a client behind one is the IPv4 client whose address its own contains. */
  readonly nat64Prefixes: readonly Network[]
  /** Whether the recipient is a part of each triplet (`greylist.key`). */
  readonly judgesRecipients: boolean
  /** How long a client stays in the auto-whitelist; absent if that is off. */
  readonly listedFor?: number
  /** How addresses stand in the store. */
  readonly stored: Pick<Stored, 'form' | 'recipient'>
}

/** Longest address of a mailbox that is taken, in characters; MTAs take none that is longer. */
const MAX_ADDRESS = 1000

const UNSAFE = /[\p{Cc}\p{Cs}]/u

/** What greymx keeps of `remembered` at the instant `now`; `where` names the record for messages. */
export function translate(
  remembered: Remembered,
  where: string,
  now: number,
  settings: TranslationSettings,
): Found {
  const problem = problemOf(remembered)
  if (problem !== undefined) return { kind: 'broken', where, problem }
  const network = networkIn(remembered.client, settings)
  if (typeof network === 'string') return { kind: 'unknowable', where, problem: network }
  switch (remembered.kind) {
    case 'listed': {
      const { listedFor } = settings
      if (listedFor === undefined)
        return {
          kind: 'unknowable',
          where,
          problem: 'greylist.auto_whitelist is false, and this is a listing',
        }
      if (isPrivate(network.address))
        return {
          kind: 'unknowable',
          where,
          problem: `${remembered.client} is private, so that anybody may be there`,
        }
      const name = listedName(remembered, network)
      if (name === undefined)
        return {
          kind: 'unknowable',
          where,
          problem: `${JSON.stringify(remembered.senderDomain)} is no domain of mail`,
        }
      return passFor(whitelistKeys(name).listed, remembered, listedFor, now)
    }
    case 'passed':
      return passFor(keyOf(remembered, network, settings), remembered, settings.times.lifetime, now)
    case 'waiting': {
      const { retryWindow } = settings.times
      const left = Math.ceil(retryWindow - sinceThen(remembered.firstSeen, now))
      if (left <= 0) return { kind: 'expired' }
      const key = keyOf(remembered, network, settings)
      return { kind: 'key', key, learnt: { passed: false, ttl: retryWindow, left } }
    }
  }
}

/** What is wrong with a record, and what was expected. */
function problemOf(remembered: Remembered): string | undefined {
  const { client } = remembered
  if (!parseNetwork(client))
    return `Cannot read the client ${JSON.stringify(client.slice(0, 80))}: expected an IP address or a network`
  const instant = remembered.kind === 'waiting' ? remembered.firstSeen : remembered.lastUsed
  if (!Number.isFinite(instant)) return `Cannot read the time ${instant}: expected seconds since 1970`
  if (remembered.kind === 'listed') return undefined
  const { sender, recipient } = remembered
  for (const [what, text] of [
    ['sender', sender],
    ['recipient', recipient ?? ''],
  ] as const)
    if (text.length > MAX_ADDRESS || UNSAFE.test(text))
      return `Cannot read the ${what} ${JSON.stringify(text.slice(0, 80))}: expected an address of ${MAX_ADDRESS} characters at most, without control characters`
  return recipient === '' ? 'The recipient is empty: expected an address' : undefined
}

/** The network under which greymx knows a client, or why it knows none. */
function networkIn(client: string, { prefixes, nat64Prefixes }: TranslationSettings): Network | string {
  const given = parseNetwork(client)
  if (!given) return `${client} is no address`
  const isOne = given.prefix === ADDRESS_BITS[given.address.kind]
  const ipv4 = isOne ? ipv4Within(given.address, nat64Prefixes) : undefined
  const { address, prefix } = ipv4 ? { address: ipv4, prefix: ADDRESS_BITS.ipv4 } : given
  const own = prefixes[address.kind]
  if (prefix >= own) return networkOf(address, own)
  return `${client} is larger than the networks that greymx tells apart: expected greylist.client.${address.kind}_prefix to be ${prefix} or less, not ${own}`
}

function nameOf(network: Network): string {
  return `network:${formatNetwork(network)}`
}

/** The name that is listed for a client; `undefined` if the senders' domain is none. */
function listedName({ senderDomain }: Listed, network: Network): string | undefined {
  if (senderDomain === undefined) return nameOf(network)
  return domainInNetwork(normalDomain(senderDomain), nameOf(network))
}

/** The key of a triplet. One without a recipient is looked up for all recipients, whatever `greylist.key` is. */
function keyOf(
  { sender, recipient }: Waiting | Passed,
  network: Network,
  { judgesRecipients, stored }: TranslationSettings,
): string {
  const to = judgesRecipients && recipient !== undefined ? parseAddress(`<${recipient}>`) : undefined
  const form = stored.form(parseAddress(`<${sender}>`), to)
  return tripletKey(nameOf(network), form, to && stored.recipient(to))
}

/** A pass that was used last at an instant; what the peer itself has forgotten is not taken. */
function passFor(
  key: string,
  { lastUsed, expiresAt }: { readonly lastUsed: number; readonly expiresAt?: number },
  lifetime: number,
  now: number,
): Found {
  const left = Math.ceil(lifetime - sinceThen(lastUsed, now))
  if (left <= 0 || (expiresAt !== undefined && expiresAt <= now)) return { kind: 'expired' }
  return { kind: 'key', key, learnt: { passed: true, ttl: lifetime, left } }
}

/** Milliseconds since an instant; none since one that another host's clock has put into the future. */
function sinceThen(instant: number, now: number): number {
  return Math.max(0, now - instant)
}
