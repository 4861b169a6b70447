// What the store remembers, and under which keys: a triplet of identity, sender and recipient; how an identity comes to
// be whitelisted; how often a sender was deferred. Keys are readable text; two different things never share one.

import { hash } from 'node:crypto'
import type { Address } from '../address.ts'

/** Longest key in UTF-16 units; LMDB takes 1978 bytes, and a unit is 3 bytes of UTF-8 at most. */
const MAX_KEY = 600

const SEPARATOR = '|'
/**
 * What would be ambiguous between parts, unreadable in a terminal, or (lone surrogates) lost in UTF-8; and braces, with
 * which senders could choose the node of a Redis Cluster for their keys (Redis Cluster specification, hash tags).
 */
const UNSAFE = /[\\|{}\p{Cc}\p{Cs}]/gu
/** Nothing unsafe, without a look at Unicode's tables: so are all but a few parts. */
const PLAIN = /^[!-[\]-z~]*$/

/**
 * `identity` is an identity's `id` or network, `sender` the form that stands for the sender. `recipient` is absent for
 * keys of client and sender alone.
 */
export function tripletKey(identity: string, sender: string, recipient: Address | undefined): string {
  return boundedKey(`t:${escapePart(identity)}`, sender, recipient)
}

const LOOP_KEYS = { first: 'f:', spacing: 'g:', counted: 'd:' } as const

/**
 * Of a sender form and a recipient, for the loop breaker: that there was a first attempt, that one was counted a moment
 * ago, and how many were counted.
 */
export function loopKey(
  kind: keyof typeof LOOP_KEYS,
  sender: string,
  recipient: Address | undefined,
): string {
  return boundedKey(LOOP_KEYS[kind], sender, recipient)
}

/** How many of the attempts came from one network. */
export function loopNetworkKey(network: string, sender: string, recipient: Address | undefined): string {
  return boundedKey(`n:${network}`, sender, recipient)
}

/** Of an identity: that it is whitelisted, how many first passes it has completed, and that one was a moment ago. */
export function whitelistKeys(identity: string): { listed: string; passes: string; spacing: string } {
  const id = escapePart(identity)
  return { listed: `w:${id}`, passes: `p:${id}`, spacing: `s:${id}` }
}

/** Of the hosts of one domain in one network: what stands for them in `whitelistKeys`. */
export function hostsInNetwork(host: string, network: string): string {
  return `${host}+${network}`
}

/**
 * Of a host's domain: that a network, or a sender's domain, is one of those whose first passes were counted; how many
 * they are; and that they are enough.
 */
export function witnessKeys(
  host: string,
  kind: 'networks' | 'senders',
  witness: string,
): { witness: string; count: string; enough: string } {
  const id = escapePart(host)
  return {
    witness: boundedKey(`m:${id}${SEPARATOR}${kind}`, witness, undefined),
    count: `c:${id}${SEPARATOR}${kind}`,
    enough: `e:${id}${SEPARATOR}${kind}`,
  }
}

/** A key too long for a store ends in its SHA-256. */
function boundedKey(start: string, sender: string, recipient: Address | undefined): string {
  const pair = `${start}${SEPARATOR}${escapePart(sender)}`
  const key = recipient ? `${pair}${SEPARATOR}${escapePart(recipient.normal)}` : pair
  return key.length <= MAX_KEY ? key : `${start}${SEPARATOR}\\sha256:${hash('sha256', key, 'hex')}`
}

/**
 * A short name for what a sender form sends to a recipient, the same on every host: what a deferred sender quotes leads to
 * its log lines. The client has no part in it: it can be known in another way at the next attempt.
 */
export function attemptRef(sender: string, recipient: Address | undefined): string {
  const key = boundedKey('', sender, recipient)
  // FNV-1a: it has to be short and quick, made for every attempt; two triplets with one reference do no harm.
  let hash = 0x811c9dc5
  for (let index = 0; index < key.length; index += 1) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193)
  }
  return (hash >>> 0).toString(16).padStart(8, '0')
}

function escapePart(part: string): string {
  if (PLAIN.test(part)) return part
  return part.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
