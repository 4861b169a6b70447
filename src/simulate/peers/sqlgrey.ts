// sqlgrey's decisions in virtual time, with the settings of Debian's package and of the program: 5 minutes, 24 hours, 60
// days, smart groups of clients, and a domain on the auto-whitelist after two of its senders.
// Source: sqlgrey of Debian 12 (package sqlgrey 1:1.8.0-4), whose subroutines are named below, with SQLite; sqlgrey(1). A
// test has the program itself decide on the same attempts.
// Left out: opt-in and opt-out, discrimination, throttling, files *.local, failures of the database.

import type { Attempt } from '../../attempt.ts'
import type { IpAddress } from '../../ip.ts'
import type { Verdict } from '../../outcome.ts'
import type { Judge } from '../judge.ts'
import { lowerAscii, policyRequest, splitAtFirst } from './policy-request.ts'
import { LINE_NAME, NUMBER_PREFIXES, SERVER_NAME, SQLGREY_ADDRESSES, SQLGREY_NAMES } from './sqlgrey-lists.ts'

// sqlgrey counts whole seconds.
const MINUTE = 60
const DAY = 24 * 60 * MINUTE
/** A retry passes when more than this has gone by. */
const RECONNECT_DELAY = 5 * MINUTE
const MAX_CONNECT_AGE = DAY
const AWL_AGE = 60 * DAY
/** Senders of a domain on the auto-whitelist for which the whole domain is. */
const GROUP_DOMAIN_LEVEL = 2
const CLEANING_INTERVAL = 30 * MINUTE
/** Characters of a sender's user and domain, and of a recipient, that the database keeps. */
const MAX_USER = 64
const MAX_DOMAIN = 255
const MAX_RECIPIENT = 255
/** Stands for the parts of an address that are missing, as in the null sender. */
const MISSING = '-undef-'

export interface Sender {
  readonly user: string
  readonly domain: string
  /** The user without what is made up for one message. */
  readonly steadyUser: string
}

/** What is remembered of a client and a domain of senders. */
interface Relation {
  /** The last time that the auto-whitelist of domains let mail pass. */
  domainSeen: number | undefined
  /** The last time that the auto-whitelist of senders let mail pass, by the steady user. */
  readonly sendersSeen: Map<string, number>
  /** Deferred attempts, by user and recipient. */
  readonly pending: Map<string, Pending>
}

interface Pending {
  readonly user: string
  /** Times of the attempts that were taken for a first one. */
  readonly seen: number[]
}

export class Sqlgrey implements Judge {
  readonly name = 'sqlgrey'
  readonly #relations = new Map<string, Relation>()
  #cleanedAt = Number.NEGATIVE_INFINITY

  judgesAtData(): boolean {
    // A policy server is asked in smtpd_recipient_restrictions.
    return false
  }

  async judge(attempt: Attempt, at: number): Promise<Verdict> {
    const now = Math.floor(at / 1000)
    const { address } = attempt.client
    const request = policyRequest(attempt)
    if (!address || !request || isWhitelisted(address, request.clientName)) return 'pass'
    if (now > this.#cleanedAt + CLEANING_INTERVAL) this.#cleanedAt = now
    const sender = readSender(request.sender, request.recipient)
    const relation = this.#relationOf(clientIdentifier(address, request.clientName), sender.domain)
    deleteOld(relation, this.#cleanedAt)
    return decide(relation, sender, lowerAscii(request.recipient).slice(0, MAX_RECIPIENT), now)
  }

  #relationOf(client: string, domain: string): Relation {
    const key = `${client} ${domain}`
    const known = this.#relations.get(key)
    if (known) return known
    const relation = { domainSeen: undefined, sendersSeen: new Map(), pending: new Map() }
    this.#relations.set(key, relation)
    return relation
  }
}

/** As in cleanup(), which has last run at `cleanedAt`: an old sender counts for its domain until it is deleted. */
function deleteOld({ sendersSeen, pending }: Relation, cleanedAt: number): void {
  for (const [user, seen] of sendersSeen) if (seen < cleanedAt - AWL_AGE) sendersSeen.delete(user)
  for (const [triplet, { seen }] of pending) {
    if (seen.every((first) => first < cleanedAt - MAX_CONNECT_AGE)) pending.delete(triplet)
  }
}

/** As in smtpd_access_policy(). */
function decide(relation: Relation, sender: Sender, recipient: string, now: number): Verdict {
  const { sendersSeen, pending } = relation
  if (relation.domainSeen !== undefined && relation.domainSeen > now - AWL_AGE) {
    relation.domainSeen = now
    return 'pass'
  }
  const senderSeen = sendersSeen.get(sender.steadyUser)
  if (senderSeen !== undefined && senderSeen > now - AWL_AGE) {
    sendersSeen.set(sender.steadyUser, now)
    return 'pass'
  }
  const triplet = `${sender.user}\n${recipient}`
  const seen = pending.get(triplet)?.seen ?? []
  if (seen.some((first) => first >= now - RECONNECT_DELAY)) return 'tempfail'
  if (seen.some((first) => first >= now - MAX_CONNECT_AGE)) {
    listPassed(relation, sender, now)
    return 'pass'
  }
  pending.set(triplet, { user: sender.user, seen: [...seen, now] })
  return 'tempfail'
}

/** Puts the sender on the auto-whitelist, or its domain if enough senders of it are there already. */
function listPassed(relation: Relation, sender: Sender, now: number): void {
  const { sendersSeen, pending } = relation
  if (sendersSeen.size + 1 >= GROUP_DOMAIN_LEVEL) {
    relation.domainSeen = now
    sendersSeen.clear()
    pending.clear()
    return
  }
  sendersSeen.set(sender.steadyUser, now)
  const pattern = sender.steadyUser.replaceAll('#', '%')
  for (const [triplet, { user }] of pending) if (isLike(user, pattern)) pending.delete(triplet)
}

/** SQL's LIKE as SQLite has it: % is any text, _ any character, and upper case is lower case. */
function isLike(text: string, pattern: string): boolean {
  const [subject, wanted] = [lowerAscii(text), lowerAscii(pattern)]
  let at = 0
  let next = 0
  // Where to go on when what follows the last % does not match: with one more character for that %.
  let retry: { readonly at: number; readonly next: number } | undefined
  while (at < subject.length) {
    if (wanted[next] === '%') {
      retry = { at, next }
      next += 1
    } else if (next < wanted.length && (wanted[next] === '_' || wanted[next] === subject[at])) {
      at += 1
      next += 1
    } else if (retry) {
      retry = { at: retry.at + 1, next: retry.next }
      at = retry.at
      next = retry.next + 1
    } else {
      return false
    }
  }
  return /^%*$/.test(wanted.slice(next))
}

/** As in normalize_sender(). */
export function readSender(text: string, recipient: string): Sender {
  if (text === '') return { user: MISSING, domain: MISSING, steadyUser: MISSING }
  const { user, domain = MISSING } = splitAtFirst(lowerAscii(text))
  return {
    user: user.slice(0, MAX_USER),
    domain: domain.slice(0, MAX_DOMAIN),
    steadyUser: steadyUser(user, lowerAscii(recipient)).slice(0, MAX_USER),
  }
}

/** As in deverp_user(): # or RCPT for what SRS, VERP, BATV and bounce addresses make up for one message. */
function steadyUser(user: string, recipient: string): string {
  return user
    .replace(/^srs0=[^=]+=[^=]+=([^=]+=[^=]+)$/, 'srs0=#=#=$1')
    .replace(/^srs1=[^=]+=([^=]+=+)[^=]+=[^=]+=([^=]+=[^=]+)$/, 'srs1=#=$1#=#=$2')
    .replace(/\+.*/, '')
    .replace(recipientPattern(recipient), 'RCPT')
    .replace(/((?:bo|bounce|notice-return|notice-reply)[._-])[0-9a-z._-]+$/, '$1#')
    .replace(/^[0-9a-f]{2,}(?=[._/=-].*[a-z]{4})|(?<=[._/=-])[0-9a-f]+(?=[._/=-]|$)/g, '#')
}

/** The recipient, in either order of its parts or by its local part alone, next to a separator. */
function recipientPattern(recipient: string): RegExp {
  const { user, domain = '' } = splitAtFirst(recipient)
  const [local, host] = [user, domain].map((part) =>
    part.replace(/\.+$/, '').split('.').map(escaped).join('[.*-]+'),
  )
  const separator = '[=?*~.]+'
  const either = `(?:${local}${separator}${host}|${host}${separator}${local}|${local})`
  return new RegExp(`(?<=[*=.-])${either}|${either}(?=[*=.-])`)
}

/** As in client_identifier() for greymethod smart: the class C network of a mail server, the address of others. */
export function clientIdentifier(address: IpAddress, name: string): string {
  if (name === 'unknown') return address.text
  if (address.kind === 'ipv6') return ipv6Identifier(address.bytes)
  const classC = address.bytes.slice(0, 3).join('.')
  if (SERVER_NAME.test(name)) return classC
  return hasNumber(name, address.bytes[3] ?? 0) || LINE_NAME.test(name) ? address.text : classC
}

/** As in ipv6_smart(): the /64 of a global address made from a hardware address, else the whole address. */
function ipv6Identifier(bytes: readonly number[]): string {
  const groups = [0, 2, 4, 6, 8, 10, 12, 14].map((at) => hex(bytes[at]) + hex(bytes[at + 1]))
  const isFromHardware = bytes[11] === 0xff && bytes[12] === 0xfe
  const isGlobal = /^[23]/.test(groups[0] ?? '')
  return (isFromHardware && isGlobal ? groups.slice(0, 4) : groups).join(':')
}

function hex(byte = 0): string {
  return byte.toString(16).padStart(2, '0')
}

/** Whether the name has the last number of the address as a part, as providers name lines. */
function hasNumber(name: string, last: number): boolean {
  return new RegExp(`(?:^|[0-9.x_-])(?:${NUMBER_PREFIXES.join('|')})?0*${last}[._-]`, 'i').test(name)
}

/** As in is_in_whitelists(), with the static lists. */
function isWhitelisted(address: IpAddress, name: string): boolean {
  if (address.kind === 'ipv4') {
    if (ADDRESSES.has(address.text) || ADDRESSES.has(address.bytes.slice(0, 3).join('.'))) return true
  }
  return NAMES.has(name) || NAME_PATTERNS.some((pattern) => pattern.test(name))
}

const ADDRESSES: ReadonlySet<string> = new Set(entriesOf(SQLGREY_ADDRESSES))
const NAMES: ReadonlySet<string> = new Set(
  entriesOf(SQLGREY_NAMES).filter((entry) => !entry.startsWith('*.') && !entry.startsWith('/')),
)
const NAME_PATTERNS: readonly RegExp[] = entriesOf(SQLGREY_NAMES).flatMap((entry) => {
  if (entry.startsWith('/')) return [new RegExp(entry.slice(1, -1))]
  // sqlgrey reads the domain as an expression, so that its dots are any character.
  return entry.startsWith('*.') ? [new RegExp(`\\.${entry.slice(2)}$`)] : []
})

function entriesOf(list: string): string[] {
  return list.split('\n').filter((line) => line !== '')
}

function escaped(text: string): string {
  return text.replace(/[^\w]/g, '\\$&')
}
