// The keys of everything that greylisting remembers: triplets of identity, sender and recipient, the progress of an
// identity towards the auto-whitelist, and the deferrals of a sender. The store knows keys only as text. Keys are
// readable, and no two things share one. What strangers can cause most of has digests in its keys, so that it takes
// little memory: first attempts, and triplets with long addresses.

import { hash } from 'node:crypto'
import type { Address } from '../address.ts'
import { formatNetwork, type IpAddress, networkOf } from '../ip.ts'

/**
 * The word for each kind of key, which begins with its letter, in metrics. Records (store/records.ts) are not of mail, and
 * no key that is made here begins with their letter.
 */
export const KEY_KINDS: Readonly<Record<string, string>> = {
  t: 'triplet',
  f: 'first',
  o: 'tally',
  w: 'listed',
  p: 'passes',
  s: 'pass-spacing',
  m: 'witness',
  c: 'witness-count',
  e: 'witness-enough',
  a: 'slot',
  b: 'slot-holder',
  k: 'credit',
  u: 'credit-kept',
  x: 'expected',
  y: 'reply',
  z: 'replies',
  d: 'deferrals',
  g: 'deferral-spacing',
  n: 'network-deferrals',
  r: 'record',
}

/** Longest key, in UTF-16 units of 3 bytes of UTF-8 at most; LMDB takes 1978 bytes. */
const MAX_KEY = 600

/** Longest key of a triplet, in UTF-16 units. */
const MAX_TRIPLET_KEY = 128

/** Characters of a digest in base64url, each of 6 bits. */
const TRIPLET_DIGEST = 22
/** With Redis's prefix `greymx:`, a key of so many characters takes 32 bytes. */
const FIRST_DIGEST = 20

const SEPARATOR = '|'
/**
 * Characters to escape: separators, control characters, lone surrogates, which UTF-8 loses, and braces, with which a
 * sender could choose the node of a Redis Cluster for its keys (Redis Cluster specification, hash tags).
 */
const UNSAFE = /[\\|{}\p{Cc}\p{Cs}]/gu
/** Fast path: nearly all parts consist of safe ASCII characters, which need no look-up in Unicode's tables. */
const SAFE_PART = /^[!-[\]-z~]*$/

/**
 * The key of a triplet. `identity` is an identity's `id` or network, `sender` a sender form; `recipient` is absent for
 * keys of client and sender alone. A key beyond MAX_TRIPLET_KEY ends in its digest instead.
 */
export function tripletKey(identity: string, sender: string, recipient: Address | undefined): string {
  return tripletKeys(identity, sender, recipient).key
}

/** The key of a triplet as `tripletKey` returns it, and the key that it had in earlier versions, often the same. */
export function tripletKeys(
  identity: string,
  sender: string,
  recipient: Address | undefined,
): { key: string; former: string } {
  const start = `t:${escapePart(identity)}`
  const key = joinedKey(start, sender, recipient)
  if (key.length <= MAX_TRIPLET_KEY) return { key, former: key }
  const digest = digestOf(key).slice(0, TRIPLET_DIGEST)
  return { key: `${start}${SEPARATOR}\\${digest}`, former: boundedKey(start, sender, recipient) }
}

/** What the key of a triplet tells; `sender` and `recipient` are absent where it has a digest of them. */
export interface TripletKeyParts {
  /** The name of the client. */
  readonly name: string
  /** The sender form. */
  readonly sender?: string
  /** The recipient in normal form; absent for keys of client and sender alone, too. */
  readonly recipient?: string
}

/** The parts of a key that `tripletKeys` has made, in any version; `undefined` for any other key. */
export function readTripletKey(key: string): TripletKeyParts | undefined {
  if (!key.startsWith('t:')) return undefined
  const [name = '', sender, recipient] = key.slice('t:'.length).split(SEPARATOR).map(unescapePart)
  // A part begins with a backslash only where it has an escaped character, as \u007b.
  const isDigest = /^\\(sha256:|(?!u[0-9a-f]{4})[\w-]{22}$)/.test(key.split(SEPARATOR)[1] ?? '')
  if (sender === undefined || isDigest) return { name }
  return { name, sender, ...(recipient === undefined ? {} : { recipient }) }
}

/** The addresses, in normal form, in a key of any kind that has them; a key may have digests instead. */
export function partsOfKey(key: string): string[] {
  const [, ...parts] = key
    .slice(key.indexOf(':') + 1)
    .split(SEPARATOR)
    .map(unescapePart)
  return parts
}

/** The name of a client or of a domain with which a key begins, after its kind. */
export function nameInKey(key: string): string {
  const [name = ''] = key.slice(key.indexOf(':') + 1).split(SEPARATOR)
  return unescapePart(name)
}

const LOOP_KEYS = { spacing: 'g:', counted: 'd:' } as const

/**
 * A key of the loop breaker for a sender form and a recipient. `first` marks the first attempt, `spacing` exists for a
 * delay after a counted attempt, and `counted` is the number of counted attempts. That of the first is always a digest.
 */
export function loopKey(
  kind: 'first' | keyof typeof LOOP_KEYS,
  sender: string,
  recipient: Address | undefined,
): string {
  if (kind !== 'first') return boundedKey(LOOP_KEYS[kind], sender, recipient)
  return `f:${digestOf(joinedKey('', sender, recipient)).slice(0, FIRST_DIGEST)}`
}

/** The key that marked the first attempt in earlier versions. */
export function formerFirstKey(sender: string, recipient: Address | undefined): string {
  return boundedKey('f:', sender, recipient)
}

/**
 * The holder of a first attempt, as the store keeps it: 52 bits for a name of a client, a sender form and a recipient.
 * Whoever looks for two names that have the same one has to choose sender and recipient. It then has to make the client
 * of the other name send them, and might as well wait in its place.
 */
export function holderOf(name: string, sender: string, recipient: Address | undefined): string {
  const digits = hash('sha256', joinedKey(escapePart(name), sender, recipient), 'hex').slice(0, 13)
  return String(Number.parseInt(digits, 16) + 1e15)
}

/** The least holder that tells two names, and the number of digests of the second one. */
const FIRST_OF_TWO = 6e15
const SECOND_DIGESTS = 2 ** 25

/**
 * The holder of a first attempt of a client that has two names: 26 bits for `name`, and 25 for `other`. It is above all
 * that `holderOf` returns.
 */
export function holderOfTwo(
  name: string,
  other: string,
  sender: string,
  recipient: Address | undefined,
): string {
  return String(
    FIRST_OF_TWO +
      partOfTwo(name, sender, recipient) * SECOND_DIGESTS +
      (partOfTwo(other, sender, recipient) % SECOND_DIGESTS),
  )
}

/** Which of two names the holder of a first attempt tells: the first one, the other one, or none. */
export function heldBy(
  holder: string,
  sender: string,
  recipient: Address | undefined,
): { isOne(name: string): boolean; isOther(name: string): boolean } {
  const parts = Number(holder) - FIRST_OF_TWO
  return {
    isOne: (name) =>
      parts < 0
        ? holder === holderOf(name, sender, recipient)
        : Math.floor(parts / SECOND_DIGESTS) === partOfTwo(name, sender, recipient),
    isOther: (name) =>
      parts >= 0 && parts % SECOND_DIGESTS === partOfTwo(name, sender, recipient) % SECOND_DIGESTS,
  }
}

/** 26 bits for a name of a client, a sender form and a recipient. */
function partOfTwo(name: string, sender: string, recipient: Address | undefined): number {
  return Math.floor((Number(holderOf(name, sender, recipient)) - 1e15) / 2 ** 26)
}

/** The key under which the loop breaker counts the attempts of one network. */
export function loopNetworkKey(network: string, sender: string, recipient: Address | undefined): string {
  return boundedKey(`n:${network}`, sender, recipient)
}

/** The key of the count of messages that `recipient` expects, from `domain` or, without one, from anybody. */
export function expectKey(recipient: Address, domain = ''): string {
  return boundedKey(`x:${escapePart(domain)}`, recipient.normal, undefined)
}

/** The key that says that `user` has written to `correspondent`. */
export function replyKey(user: Address, correspondent: Address): string {
  return boundedKey('y:', user.normal, correspondent)
}

/** The key of the number of correspondents of `user` that are kept. */
export function repliesKey(user: Address): string {
  return boundedKey('z:', user.normal, undefined)
}

/** The key of the count of messages that a name has had on credit. */
export function creditKey(name: string): string {
  return `k:${escapePart(name)}`
}

/** The key of the entry that says since when a name has had credit and nothing under it stays away. */
export function creditSinceKey(name: string): string {
  return `u:${escapePart(name)}`
}

/** Leading bits of the addresses that share slots. */
const SLOT_PREFIX = { ipv4: 32, ipv6: 56 } as const

/**
 * The keys of one slot of an address (overflow.ts): the entry of the triplet that has it, and the digest of that
 * triplet, as a count.
 */
export function slotKeys(address: IpAddress, slot: number): { entry: string; holder: string } {
  const network = formatNetwork(networkOf(address, SLOT_PREFIX[address.kind]))
  return { entry: `a:${network}${SEPARATOR}${slot}`, holder: `b:${network}${SEPARATOR}${slot}` }
}

/** A number from 1 to 2^48 for a sender form and a recipient. */
export function tripletDigest(sender: string, recipient: Address | undefined): number {
  const digits = hash('sha256', boundedKey('', sender, recipient), 'hex').slice(0, 12)
  return Number.parseInt(digits, 16) + 1
}

/** The key of the tally of a name (evidence.ts). */
export function tallyKey(name: string): string {
  return `o:${escapePart(name)}`
}

/**
 * The keys of an identity in the auto-whitelist. `listed` marks it as whitelisted, `passes` counts its first passes,
 * and `spacing` exists for a while after a counted one.
 */
export function whitelistKeys(identity: string): { listed: string; passes: string; spacing: string } {
  const id = escapePart(identity)
  return { listed: listedKey(identity), passes: `p:${id}`, spacing: `s:${id}` }
}

/** The first of the keys of an identity in the auto-whitelist. */
export function listedKey(identity: string): string {
  return `w:${escapePart(identity)}`
}

/** The identity, for `whitelistKeys`, of the hosts of one domain in one network. */
export function hostsInNetwork(host: string, network: string): string {
  return `${host}+${network}`
}

/**
 * The keys of the witnesses for a host's domain, which are networks or senders' domains with a first pass. `witness`
 * marks this one as counted, `count` is their number, and `enough` marks that the number is reached.
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

/** The key of the joined parts; one too long for a store ends in its SHA-256 instead. */
function boundedKey(start: string, sender: string, recipient: Address | undefined): string {
  const key = joinedKey(start, sender, recipient)
  return key.length <= MAX_KEY ? key : `${start}${SEPARATOR}\\sha256:${hash('sha256', key, 'hex')}`
}

/** The last sender and recipient that keys were made of, and their part of the keys: an attempt has ten of the same. */
let last: { readonly sender: string; readonly recipient: string | undefined; readonly pair: string } = {
  sender: '',
  recipient: undefined,
  pair: SEPARATOR,
}

function joinedKey(start: string, sender: string, recipient: Address | undefined): string {
  const to = recipient?.normal
  if (sender !== last.sender || to !== last.recipient) {
    const from = `${SEPARATOR}${escapePart(sender)}`
    const pair = to === undefined ? from : `${from}${SEPARATOR}${escapePart(to)}`
    last = { sender, recipient: to, pair }
  }
  return start + last.pair
}

/** The SHA-256 of a key, in base64url. */
function digestOf(key: string): string {
  return hash('sha256', key, 'base64url')
}

/**
 * A short reference for a sender form and a recipient, the same on every host, by which the operator finds the log
 * lines of a deferral that a sender quotes. The client is no part of it, since its identity can differ at the next
 * attempt.
 */
export function attemptRef(sender: string, recipient: Address | undefined): string {
  const key = boundedKey('', sender, recipient)
  // FNV-1a is short and quick, as every attempt needs a reference; a collision of two triplets does no harm.
  let hash = 0x811c9dc5
  for (let index = 0; index < key.length; index += 1) {
    hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193)
  }
  return (hash >>> 0).toString(16).padStart(8, '0')
}

function escapePart(part: string): string {
  if (SAFE_PART.test(part)) return part
  return part.replace(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function unescapePart(part: string): string {
  return part.replace(/\\u([0-9a-f]{4})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 16)))
}
