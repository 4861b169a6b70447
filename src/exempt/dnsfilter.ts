// Which answers of a DNS list count: `zone=filter` in Postfix's notation, the right answers of well-known lists, and for
// any other list all that can mean a listing. Pure; who asks the lists is dnslists.ts.
// Source: postconf(5) "reject_rbl_client", "permit_dnswl_client"; Postfix ip_match.c; RFC 5782 sections 2.1 and 5.

import { normalDomain } from '../address.ts'
import { isDomain } from './domains.ts'

/** What a list is asked for: clients that are to be trusted, or bad ones. */
export type DnsListUse = 'trusted' | 'blocked'

export interface DnsList {
  /** In normal form; what the log shows. */
  readonly zone: string
  /** Whether an A record of the list says that the client is on it. */
  matches(answer: string): boolean
}

/** Filters by use; without one, the list has no such clients. */
type Answers = { readonly [use in DnsListUse]?: string }

/**
 * What well-known lists answer for clients to be trusted and for bad ones, by their own documentation:
 * https://www.dnswl.org/?page_id=15 (trust is the last octet, and 0 is none),
 * http://wiki.junkemailfilter.com/index.php/Spam_DNS_Lists (1 white, 2 black, 3 yellow, 4 brown, 5 not to be blocked),
 * https://docs.spamhaus.com/datasets/docs ("Available Zones"); Mailspike's (10 worst to 20 best) as SpamAssassin's rules
 * have them; and those that answer 127.0.0.2 alone.
 */
const KNOWN_LISTS: ReadonlyArray<readonly [zones: RegExp, answers: Answers]> = [
  [/^list\.dnswl\.org$/, { trusted: '127.0.[2..255].[1..3]' }],
  [/^hostkarma\.junkemailfilter\.com$/, { trusted: '127.0.0.1', blocked: '127.0.0.2' }],
  [/^wl\.mailspike\.net$/, { trusted: '127.0.0.[17..20]' }],
  [/^bl\.mailspike\.net$/, { blocked: '127.0.0.[2;10..13]' }],
  [/^rep\.mailspike\.net$/, { trusted: '127.0.0.[17..20]', blocked: '127.0.0.[10..13]' }],
  [/^zen\.(spamhaus\.org|dq\.spamhaus\.net)$/, { blocked: '127.0.0.[2..11;30]' }],
  [/^sbl\.(spamhaus\.org|dq\.spamhaus\.net)$/, { blocked: '127.0.0.[2;3;9;30]' }],
  [/^sbl-xbl\.(spamhaus\.org|dq\.spamhaus\.net)$/, { blocked: '127.0.0.[2..9;30]' }],
  [/^xbl\.(spamhaus\.org|dq\.spamhaus\.net)$/, { blocked: '127.0.0.[4..7]' }],
  [/^pbl\.(spamhaus\.org|dq\.spamhaus\.net)$/, { blocked: '127.0.0.[10;11]' }],
  [/^bl\.spamcop\.net$/, { blocked: '127.0.0.2' }],
  [/^b\.barracudacentral\.org$/, { blocked: '127.0.0.2' }],
  [/^psbl\.surriel\.com$/, { blocked: '127.0.0.2' }],
]

/** The zones of dq.spamhaus.net have the customer's key before their name. */
const CUSTOMER_KEY = /^[a-z0-9]+\.(?=[a-z-]+\.dq\.spamhaus\.net$)/

/** A number, or a list of numbers and ranges in brackets. */
const FIELD = String.raw`(?:\d+|\[\d+(?:\.\.\d+)?(?:;\d+(?:\.\.\d+)?)*\])`
const FIELDS = new RegExp(FIELD, 'g')
const FILTER = new RegExp(`^${FIELD}(?:\\.${FIELD}){3}$`)

/** Reads `zone` or `zone=d.d.d.d`. Throws with what it expected. */
export function parseDnsList(text: string, use: DnsListUse): DnsList {
  const equals = text.indexOf('=')
  const zone = parseZone(equals === -1 ? text : text.slice(0, equals))
  if (equals !== -1) {
    const passes = parseFilter(text.slice(equals + 1))
    return { zone, matches: (answer) => !isError(answer, zone) && passes(answer) }
  }
  const known = knownAnswers(zone)
  if (!known) return { zone, matches: (answer) => isListing(answer, zone) }
  const right = known[use]
  return { zone, matches: right === undefined ? () => false : parseFilter(right) }
}

/** Whether the list is a well-known one that has no clients of that kind: without a filter it never counts. */
export function isWrongUse(zone: string, use: DnsListUse): boolean {
  const known = knownAnswers(zone)
  return known !== undefined && known[use] === undefined
}

function parseZone(text: string): string {
  if (!text.includes('.') || !isDomain(text)) throw new Error('expected a DNS zone like list.dnswl.org')
  return normalDomain(text)
}

function knownAnswers(zone: string): Answers | undefined {
  const bare = zone.replace(CUSTOMER_KEY, '')
  return KNOWN_LISTS.find(([zones]) => zones.test(bare))?.[1]
}

/** 127.0.0.1 is no listing where no list says otherwise: RFC 5782 section 5 wants lists never to answer with it. */
function isListing(answer: string, zone: string): boolean {
  return !isError(answer, zone) && answer !== '127.0.0.1' && answer !== '127.0.0.255'
}

/**
 * By 127.255.255.x a list says that it does not answer this asker (Spamhaus), as dnswl.org does by 127.0.0.255. Anything
 * outside of 127.0.0.0/8 comes from a zone that is none any more, or from a resolver that answers for every name.
 */
function isError(answer: string, zone: string): boolean {
  if (!answer.startsWith('127.') || answer.startsWith('127.255.255.')) return true
  return answer === '127.0.0.255' && zone.endsWith('.dnswl.org')
}

/** Reads `127.0.[0..255].[1;3..5]`; brackets around the whole are allowed. */
function parseFilter(text: string): (answer: string) => boolean {
  const bare = FILTER.test(text) ? text : text.replace(/^\[(.*)\]$/, '$1')
  if (!FILTER.test(bare)) {
    throw new Error(
      'expected four numbers from 0 to 255 after =, or lists of them in brackets, like 127.0.[0..255].[1;3..5]',
    )
  }
  const fields = (bare.match(FIELDS) ?? []).map(octetsOf)
  if (!fields[0]?.has(127))
    throw new Error('expected 127 as the first number after =, as lists answer with 127.x.x.x')
  return (answer) => {
    const octets = answer.split('.').map(Number)
    return fields.every((field, index) => field.has(octets[index] ?? -1))
  }
}

function octetsOf(field: string): ReadonlySet<number> {
  const octets = new Set<number>()
  for (const member of field.replace(/[[\]]/g, '').split(';')) {
    const [first = 0, last = first] = member.split('..').map(Number)
    if (last > 255 || first > last)
      throw new Error(`expected numbers from 0 to 255, and ranges from less to more, in place of ${member}`)
    for (let octet = first; octet <= last; octet += 1) octets.add(octet)
  }
  return octets
}
