// Decides which answers of a DNS list count as a listing: those of a filter in Postfix's notation, `zone=filter`, else
// the right ones of a well-known list, else all that can mean a listing. Pure; dnslists.ts asks the lists.
// Source: postconf(5) "reject_rbl_client", "permit_dnswl_client"; Postfix ip_match.c; RFC 5782 sections 2.1 and 5.

import { normalDomain } from '../address.ts'
import { isDomain } from './domains.ts'

/** The use of a list: it names clients to be trusted, or bad ones. */
export type DnsListUse = 'trusted' | 'blocked'

export interface DnsList {
  /** The zone in normal form, as the log shows it. */
  readonly zone: string
  /** Whether `answer`, the address in an A record of the list, says that the client is on it. */
  matches(answer: string): boolean
  /** Why the list does not fit its use; `undefined` if nothing is known against it. */
  readonly fault: DnsListFault | undefined
}

/**
 * `other use`: the list names only clients of the other use. `domains`: it lists domains, not addresses. `no default`:
 * it gives a score or a trait for nearly every client, so that only a filter can say which answers count.
 */
export type DnsListFault = 'other use' | 'domains' | 'no default'

/** Filters by use. For a use without one, no answer of the list counts unless the operator gives a filter. */
type Answers = { readonly [use in DnsListUse]?: string }

/** The answers of lists of bad clients whose last number is the reason. */
const ANY_REASON = '127.0.0.[2..254]'

/**
 * The answers of well-known lists for clients to be trusted and for bad ones; the first zone that fits counts. Sources:
 * https://www.dnswl.org/?page_id=15 (trust is the last octet, and 0 is none);
 * http://wiki.junkemailfilter.com/index.php/Spam_DNS_Lists (1 white, 2 black, 3 yellow, 4 brown, 5 not to be blocked);
 * https://docs.spamhaus.com/datasets/docs ("Available Zones"; zones with a key are below dq.spamhaus.net);
 * SpamAssassin's 20_dnsbl_tests.cf and 72_active.cf (IADB: 127.0.1.255 is vouched for, others only describe the
 * sender), 20_mailspike.cf (10 worst to 20 best); rspamd's rbl.conf (SWL, SORBS, UCEPROTECT); senderscore.org (the last
 * octet of score.senderscore.com is a score from 0, the worst, to 100).
 */
const KNOWN_LISTS: ReadonlyArray<readonly [zones: RegExp, answers: Answers | 'domains']> = [
  [/^list\.dnswl\.org$/, { trusted: '127.0.[2..255].[1..3]' }],
  [/^hostkarma\.junkemailfilter\.com$/, { trusted: '127.0.0.1', blocked: '127.0.0.2' }],
  [/^black\.junkemailfilter\.com$/, { blocked: '127.0.0.2' }],
  [/^nobl\.junkemailfilter\.com$/, {}],
  [/^wl\.mailspike\.net$/, { trusted: '127.0.0.[17..20]' }],
  [/^bl\.mailspike\.net$/, { blocked: '127.0.0.[2;10..13]' }],
  [/^rep\.mailspike\.net$/, { trusted: '127.0.0.[17..20]', blocked: '127.0.0.[10..13]' }],
  [/^iadb\.isipp\.com$/, { trusted: '127.0.1.255' }],
  [/^(iadb2\.isipp\.com|score\.senderscore\.com|score\.spfbl\.net)$/, {}],
  [/^bl\.score\.senderscore\.com$/, { blocked: ANY_REASON }],
  [/^swl\.spamhaus\.org$/, { trusted: '127.0.2.[2;3;102;103]' }],
  [/^zen\.(spamhaus\.org|dq\.spamhaus\.net)$/, { blocked: '127.0.0.[2..11;30]' }],
  [/^sbl\.(spamhaus\.org|dq\.spamhaus\.net)$/, { blocked: '127.0.0.[2;3;9;30]' }],
  [/^sbl-xbl\.(spamhaus\.org|dq\.spamhaus\.net)$/, { blocked: '127.0.0.[2..9;30]' }],
  [/^xbl\.(spamhaus\.org|dq\.spamhaus\.net)$/, { blocked: '127.0.0.[4..7]' }],
  [/^pbl\.(spamhaus\.org|dq\.spamhaus\.net)$/, { blocked: '127.0.0.[10;11]' }],
  [/^authbl\.dq\.spamhaus\.net$/, { blocked: '127.0.0.20' }],
  // All other zones of Spamhaus with a key, such as dbl, zrd and hbl, list domains and hashes.
  [/^([dh]bl|dwl|zrd)\.spamhaus\.org$|\.dq\.spamhaus\.net$/, 'domains'],
  [
    /^(dwl\.dnswl\.org|iddb\.isipp\.com|multi\.surbl\.org|[a-z]+\.uribl\.com|(.+\.)?rhsbl\.sorbs\.net)$/,
    'domains',
  ],
  [/^(bl\.spamcop\.net|b\.barracudacentral\.org|psbl\.surriel\.com)$/, { blocked: '127.0.0.2' }],
  [/^((.+\.)?dnsbl\.sorbs\.net|dnsbl-[0-3]\.uceprotect\.net|dnsbl\.dronebl\.org)$/, { blocked: ANY_REASON }],
  [/^(bl\.spameatingmonkey\.net|ix\.dnsbl\.manitu\.net|[a-z]+\.spamrats\.com)$/, { blocked: ANY_REASON }],
]

/** The customer's key, which precedes the name of a zone of dq.spamhaus.net. */
const CUSTOMER_KEY = /^[^.]+\.(?=[a-z-]+\.dq\.spamhaus\.net$)/

/** A number, or a list of numbers and ranges in brackets. */
const FIELD = String.raw`(?:\d+|\[\d+(?:\.\.\d+)?(?:;\d+(?:\.\.\d+)?)*\])`
const FIELDS = new RegExp(FIELD, 'g')
const FILTER = new RegExp(`^${FIELD}(?:\\.${FIELD}){3}$`)

/** The list in `zone` or `zone=d.d.d.d`. Throws an error that says what it expected. */
export function parseDnsList(text: string, use: DnsListUse): DnsList {
  const equals = text.indexOf('=')
  const zone = parseZone(equals === -1 ? text : text.slice(0, equals))
  const known = knownAnswers(zone)
  const fault = faultOf(known, use)
  if (equals !== -1) {
    const passes = parseFilter(text.slice(equals + 1))
    const matches = (answer: string) => !isError(answer, zone) && passes(answer)
    return { zone, matches, fault: fault === 'no default' ? undefined : fault }
  }
  if (!known) return { zone, matches: (answer) => isListing(answer, zone), fault }
  const right = known === 'domains' ? undefined : known[use]
  return { zone, matches: right === undefined ? () => false : parseFilter(right), fault }
}

function faultOf(known: Answers | 'domains' | undefined, use: DnsListUse): DnsListFault | undefined {
  if (known === undefined || known === 'domains') return known
  if (known[use] !== undefined) return undefined
  return (known.trusted ?? known.blocked) ? 'other use' : 'no default'
}

function parseZone(text: string): string {
  if (!text.includes('.') || !isDomain(text)) throw new Error('expected a DNS zone like list.dnswl.org')
  return normalDomain(text)
}

function knownAnswers(zone: string): Answers | 'domains' | undefined {
  const bare = zone.replace(CUSTOMER_KEY, '')
  return KNOWN_LISTS.find(([zones]) => zones.test(bare))?.[1]
}

/**
 * Whether an answer of an unknown list may mean a listing. 127.0.0.1 does not, as lists must never answer with it (RFC
 * 5782 section 5).
 */
function isListing(answer: string, zone: string): boolean {
  return !isError(answer, zone) && answer !== '127.0.0.1' && answer !== '127.0.0.255'
}

/**
 * Whether an answer is an error. Spamhaus refuses an asker with 127.255.255.x, dnswl.org with 127.0.0.255, and
 * Spamhaus's list of domains answers any address with 127.0.1.255. Anything outside of 127.0.0.0/8 comes from a zone
 * that is no list any more, or from a resolver that answers for every name.
 */
function isError(answer: string, zone: string): boolean {
  if (!answer.startsWith('127.') || answer.startsWith('127.255.255.')) return true
  if (answer === '127.0.1.255') return /(^|\.)dbl\.(spamhaus\.org|dq\.spamhaus\.net)$/.test(zone)
  return answer === '127.0.0.255' && zone.endsWith('.dnswl.org')
}

/**
 * The test for a filter like `127.0.[0..255].[1;3..5]`, with or without brackets around the whole. Throws on others.
 */
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
