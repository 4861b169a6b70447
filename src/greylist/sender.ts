// Makes the sender form, the text that stands for an envelope sender in a key. Many senders put something of the
// message into their address: a signature, the time, a number, the recipient. All such addresses of one sender have the
// same form, so that a retry or the next mail is known again; two senders have different ones. Operators read forms in
// logs: an id becomes #, an embedded address *. Spellings of one mailbox are the business of address.ts.
// Sources: draft-levine-smtp-batv; Shevek, "The Sender Rewriting Scheme" (libsrs2.org); cr.yp.to/proto/verp.txt;
// ezmlm-return(1); Microsoft, "Sender Rewriting Scheme in Microsoft 365"; RFC 2156 (X.400), RFC 3191
// (telephones); publicsuffix.org for domains. What vendors send is in the test.

import type { Address } from '../address.ts'
import { ownerOf } from '../identity/organisation.ts'

/** Longest address that is examined, in characters. RFC 5321 allows 320 octets; no mailer sends longer ones. */
const MAX_ADDRESS = 512

/** A domain with hosts, but no IP address. */
const HOST_NAME = /^(?:[a-z0-9_-]+\.)+(?:[a-z]{2,}|xn--[a-z0-9-]+)$/

/** Fast path: most local parts consist of these characters, and none of them varies with the message. */
const DIGITLESS = /^[a-z._-]*$/
/** Fast path: most others have numbers as well, but fewer than MANY_NUMBERS. */
const FEW_NUMBERS = /^[a-z._-]*(?:\d+[a-z._-]+){0,3}\d*$/
/** Words of bounces, beside which every number may be an id, and the @ of an address within the local part. */
const BOUNCE_OR_AT = /bounce|bnc|verp|sentto|return|[_-]at[_-]/
/** Fewest characters of an id in an address without a sign of a bounce. */
const MIN_ID = 16

/** The forms of one sender. */
export interface SenderForms {
  /**
   * `joe@example.org`, `prvs=0123abcdef=joe@example.org` and `joe+tag@example.org` have the form `joe@example.org`; the
   * null sender, and no other, has `''`.
   */
  readonly form: string
  /**
   * The form that earlier versions made, often the same. Entries from before an upgrade are stored under it. The last
   * of them expires one lifetime after the last host was upgraded.
   */
  readonly former: string
}

/** The forms of a sender; `recipient` is absent for keys of client and sender alone. */
export function senderForms(sender: Address, recipient: Address | undefined): SenderForms {
  const { local, domain, normal } = sender
  if (DIGITLESS.test(local) && !domain.includes('bounce') && !local.includes('_at_')) return unchanged(normal)
  const isShort = local.length < MIN_ID && FEW_NUMBERS.test(local)
  if (isShort && !BOUNCE_OR_AT.test(local) && !mayBeForBounces(domain)) return unchanged(normal)
  if (normal.length > MAX_ADDRESS || local === '' || local.startsWith('"')) return unchanged(normal)
  const forms = partForms(local, domain, recipient)
  if (domain === '') return { form: forms.local, former: forms.former }
  return { form: `${forms.local}@${forms.domain}`, former: `${forms.former}@${domain}` }
}

function unchanged(normal: string): SenderForms {
  return { form: normal, former: normal }
}

/** What stands for the local part and for the domain; `former` is what stood for the local part in earlier versions. */
interface PartForms {
  readonly local: string
  readonly domain: string
  readonly former: string
}

function partForms(local: string, domain: string, recipient: Address | undefined): PartForms {
  const signed = withoutSignature(local)
  if (signed !== undefined) return partForms(signed, domain, recipient)
  const srs = parseSrs(local)
  if (srs) {
    const inner = partForms(srs.local, srs.domain, recipient)
    const former = `${srs.before}${srs.domain}=${inner.former}`
    return { local: `${srs.before}${inner.domain}=${inner.local}`, domain, former }
  }
  const vendor = vendorForm(local, domain)
  const former = vendor ?? genericForm(local, domain, recipient)
  const mailer = mailerForm(local, domain) ?? vendor
  const form = mailer ?? withoutUnpronounceable(former)
  if (form === local) return { local, domain, former }
  if (mailer === undefined && isPersonal(local, domain, recipient)) return { local, domain, former }
  return { local: form, domain: /[#*]/.test(form) ? mailerDomain(domain, form) : domain, former }
}

// Wrappers hold another address within the address.

const TAG = /^\d[0-9a-f]{8,9}$/
/** A tag of a signer that makes shorter or longer ones than the draft. */
const ODD_TAG = /^(?=[a-f]*\d)[0-9a-f]{3,16}$/

/** The local part that a BATV signer was given; `undefined` if the local part has no signature. */
function withoutSignature(local: string): string | undefined {
  if (local.startsWith('btv1==')) return afterTag(local, '==', 'btv1=='.length)
  if (local.startsWith('msprvs1=')) return afterTag(local, '=', 'msprvs1='.length)
  if (!local.startsWith('prvs=')) return undefined
  const [, first = '', afterFirst = ''] = /^prvs=([^=/]+)[=/](.+)$/s.exec(local) ?? []
  const [, beforeLast = '', last = ''] = /^prvs=(.+)[=/]([^=/]+)$/s.exec(local) ?? []
  // The draft has the tag first; its early versions, and Exim after them, had it last.
  if (TAG.test(first)) return afterFirst
  if (TAG.test(last)) return beforeLast
  return ODD_TAG.test(first) ? afterFirst : undefined
}

/** The text behind the next `separator` after a tag that begins at `start`; `undefined` if one of them is empty. */
function afterTag(local: string, separator: string, start: number): string | undefined {
  const end = local.indexOf(separator, start)
  const rest = end > start ? local.slice(end + separator.length) : ''
  return rest === '' ? undefined : rest
}

interface Srs {
  /** The text before the original domain, with # for hashes and times. */
  readonly before: string
  readonly domain: string
  readonly local: string
}

// Hashes are base64 and may hold any separator but `=`. Times are two digits of base 32, or the # that replaced them.
const SRS0 = /^srs0[=+-][^=]+=(?:[a-z2-7]{2}|#)=([^=]+)=(.+)$/s
const SRS1 = /^srs1[=+-][^=]+=([^=]+)=(.+)$/s
const MICROSOFT_SRS = /^([^+=]+)\+srs=[^=]+=(?:[a-z2-7]{2}|#)=([^=]+)=(.+)$/s

function parseSrs(local: string): Srs | undefined {
  if (!local.includes('srs')) return undefined
  const [, domain, original] = SRS0.exec(local) ?? []
  if (domain !== undefined && original !== undefined) {
    return { before: 'srs0=#=#=', domain, local: original }
  }
  const [, mailbox, hop, inner] = MICROSOFT_SRS.exec(local) ?? []
  if (mailbox !== undefined && hop !== undefined && inner !== undefined) {
    return { before: `${mailbox}+srs=#=#=`, domain: hop, local: inner }
  }
  const [, forwarder, rest] = SRS1.exec(local) ?? []
  if (forwarder === undefined || rest === undefined) return undefined
  const first = parseSrs(`srs0${rest}`)
  // The first forwarder has a scheme of its own that nobody else can read.
  if (!first) return { before: 'srs1=#=', domain: forwarder, local: rest }
  return { ...first, before: `srs1=#=${forwarder}=${first.before.slice('srs0'.length)}` }
}

// Forms of single vendors that no general rule covers.

/** Constant Contact writes two MD5s in base64, and the customer between them. */
const CONSTANT_CONTACT = /^[a-z0-9+/]{22,23}==(?:_(\d+)_[a-z0-9+/]{22}==)?$/
/** Silverpop (IBM, Acoustic) writes numbers in letters, `v-maojhn_pdojdhjapp_ifjcpaoc_ifjcpaoc_a`. */
const SILVERPOP = /^v-[a-z]+(?:_[a-p]{5,})+_[a-z]$/

function vendorForm(local: string, domain: string): string | undefined {
  // Google's mailers encipher sender and recipient, by another alphabet for each mail.
  if (domain.endsWith('.bounces.google.com')) return '#'
  if (SILVERPOP.test(local) && isBounceDomain(domain)) return 'v-#'
  const [all, customer] = CONSTANT_CONTACT.exec(local) ?? []
  if (all !== undefined) return customer === undefined ? '#' : `#_${customer}_#`
  return undefined
}

type Mailer = readonly [pattern: RegExp, form: string]

/** Fast path: the local part of each of `MAILERS` begins like this. */
const MAILER_START = /^(?:e3|1ax|[0-9a-f]{8}[.\d]|bounce-mc\.|g-\d)/
/** Local parts that one mailer writes and nobody has for a name, with what stands for them. */
const MAILERS: readonly Mailer[] = [
  // Emarsys: its cluster, a number, and two hexadecimal ids around II.
  [/^(e3[a-z]{0,3})-\d{9,14}-[0-9a-f]{1,12}ii[0-9a-f]{1,12}$/, '$1-#'],
  // HubSpot: 38 digits of base 36, of which the first three are always the same, alone or before the recipient.
  [/^1ax[0-9a-z]{30,40}$/, '#'],
  [/^1ax[0-9a-z]{30,40}-[^=]+=(?:[a-z0-9_-]+\.)+[a-z]{2,}$/, '#-*'],
  // Mailjet: a hash, and 39 bytes in base64.
  [/^[0-9a-f]{8}\.[a-z0-9_-]{48,56}$/, '#'],
  // Mailchimp: its data centre, account and campaign, and a hexadecimal id.
  [/^(bounce-mc\.[a-z]{2,4}\d{1,3}_)\d[\d.]*-[0-9a-f]{8,16}$/, '$1#'],
  // Episerver (Optivo): client, mailing, recipient and time.
  [/^g-\d{9,12}-\d{3,8}-\d{8,12}-\d{13}$/, 'g-#'],
  // Booking.com: a reservation, and two random words of 25 characters.
  [/^(\d{9,11}-)[0-9a-z]{25}\.[0-9a-z]{25}$/, '$1#'],
]
/** Local parts of mailers that say so only below a domain for bounces. */
const BOUNCE_MAILERS: readonly Mailer[] = [
  // Silverpop (IBM, Acoustic), as in `SILVERPOP`, with a number.
  [/^v-[a-z]+(?:_[a-p]{5,})+_[a-z]-\d+$/, 'v-#'],
  // Amazon: the time, a hexadecimal id, its region, and the customer's id.
  [/^\d{14}[0-9a-f]{24,32}p0[a-z]{2}(?:-c[0-9a-z]{8,16})?$/, '#'],
  // Salesforce writes the sender's own address before the id.
  [/^([^=]+=(?:[a-z0-9-]+\.)+[a-z]{2,}__)[a-z0-9.-]+$/, '$1#'],
]

/** The form of a local part that a known mailer made; `undefined` for all others. */
function mailerForm(local: string, domain: string): string | undefined {
  const isMailer = ([pattern]: Mailer) => pattern.test(local)
  const found =
    (MAILER_START.test(local) && MAILERS.find(isMailer)) ||
    (isBounceDomain(domain) && BOUNCE_MAILERS.find(isMailer))
  return found ? local.replace(...found) : undefined
}

// Domains. A mailer may put the message or the sending host into the domain, too. Such labels are left out of the form,
// but only where the local part is made up as well, so that no mailbox loses its domain: `admin@tenant1.acme.com` stays
// apart from that of any other tenant. Labels of four digits or more stay, since mailers give such numbers to customers
// (`a1189921.bnc3.mailjet.com`, `em1847.acme.com`), and so do random ones, which may be a customer's.
// A stranger who knows this gains little. Entries are kept for a client and a recipient as well, so that an entry is
// shared by customers of one mailer at most, whose mail comes from its hosts and is retried by them. The loop breaker
// counts attempts from anywhere, but a stranger can write one and the same sender in all of them in any case.

/** A host's number, behind a short word or alone: `mail12`, `atl31`, `bf01x`, `mta-68`, `117`. */
const NUMBERED_LABEL = /^(?:[a-z]{1,6}-?)?\d{1,3}[a-z]?$/
/** Below it, Salesforce makes up labels, some without digits. */
const SALESFORCE_ZONE = /\.(bnc\.[a-z0-9-]+\.[a-z]+)$/
/** Brevo names its hosts by two letters. */
const BREVO_HOST = /^[a-z]{2}\.(?=d\.sender-sib\.com$)/

/** The domain of the mailer that made an address, of whose local part `form` is the form. */
function mailerDomain(domain: string, form: string): string {
  // Salesforce writes before the id who the sender is.
  const [, zone] = (form.endsWith('__#') && SALESFORCE_ZONE.exec(domain)) || []
  if (zone !== undefined) return zone
  if (!/\d/.test(domain)) return domain.replace(BREVO_HOST, '')
  const owner = HOST_NAME.test(domain) ? ownerOf(domain) : undefined
  if (owner === undefined || owner === domain) return domain
  const labels = domain.slice(0, -owner.length - 1).split('.')
  return [...labels.filter((label) => !NUMBERED_LABEL.test(label)), owner].join('.')
}

// The general rules replace the recipient, the detail and the ids of all other addresses.

function genericForm(local: string, domain: string, recipient: Address | undefined): string {
  const isBounce = isBounceDomain(domain)
  const verp = withoutRecipient(local, recipient) ?? withoutAddress(local, isBounce) ?? local
  const bare = withoutDetail(verp)
  const form = withoutAddress(bare, isBounce) ?? bare
  return withoutIds(form, isBounce, verp !== local || form !== bare)
}

const AT_SIGNS = ['=', '#', '%', '_at_', '-at-', '===']
const MAY_HOLD_ADDRESS = /[=#%*]|[_-]at[_-]/

/** The local part with * for this mail's recipient, in any place and spelling of its @; `undefined` if it has none. */
function withoutRecipient(local: string, recipient: Address | undefined): string | undefined {
  if (!recipient || recipient.local === '' || recipient.domain === '') return undefined
  if (recipient.normal.length > local.length || !MAY_HOLD_ADDRESS.test(local)) return undefined
  for (const at of AT_SIGNS) {
    const embedded = `${recipient.local}${at}${recipient.domain}`
    const start = local.indexOf(embedded)
    if (start === -1) continue
    const before = local.slice(0, start)
    const after = local.slice(start + embedded.length)
    // A longer name may end like the recipient's, and a longer domain may begin like its domain.
    if (/[\p{L}\p{N}]$/u.test(before) || /^(?:[\p{L}\p{N}]|\.\p{L})/u.test(after)) continue
    return `${before}*${after}`
  }
  return undefined
}

/** LISTSERV writes `*-` for a dot and `**` for @. */
const LISTSERV_END = /\*-[a-z]{2,}$/

/**
 * The local part with * for any address at its end, for a recipient that was an alias or is no part of the key;
 * `undefined` if there is none. Only `user=example.com` behind something else counts: with %, _at_ or alone, it is as
 * often the sender's own address, written by a gateway.
 */
function withoutAddress(local: string, isBounce: boolean): string | undefined {
  const star = local.indexOf('*')
  if (star > 0 && local.indexOf('**', star) > star + 1 && LISTSERV_END.test(local)) {
    return `${local.slice(0, star)}*`
  }
  const end = local.lastIndexOf('=')
  if (end === -1 || !HOST_NAME.test(local.slice(end + 1))) return undefined
  const before = local.slice(0, end).replace(/==$/, '')
  const start = addressStart(before)
  if (start === before.length || (start === 0 && !isBounce)) return undefined
  return `${before.slice(0, start)}*`
}

/** Index of the user's name at the end of `before`; the user's name and the list's before it may both have hyphens. */
function addressStart(before: string): number {
  const equals = before.lastIndexOf('=')
  if (equals !== -1) return equals + 1
  // `withoutDetail` removes everything behind the +.
  if (before.includes('+')) return before.length
  return markEnd(before) || before.lastIndexOf('-') + 1
}

/** Index behind the last word before a hyphen that only lists and bounces have; 0 if there is none. */
function markEnd(before: string): number {
  let end = 0
  for (const { 0: word, index } of before.matchAll(/[a-z0-9]+(?=-)/g)) {
    if (word === 'return' || BOUNCE_WORD.test(word) || isId(word, 'bounce')) end = index + word.length + 1
  }
  return end
}

/** The local part before its +; a + at the start belongs to a telephone number, as do those that `isPersonal` knows. */
function withoutDetail(local: string): string {
  const plus = local.indexOf('+', 1)
  return plus === -1 ? local : local.slice(0, plus)
}

// Personal addresses that the general rules would take for made up, and so one person for another.

/** Relays give each person an address of random letters and digits, or a UUID, that stays the person's. */
const RELAY = /(?:^|\.)(?:members\.ebay\.[a-z.]+|craigslist\.org|anonaddy\.(?:com|me))$/
/** X.400 and X.500 names as Exchange encapsulates them (`IMCEAEX-_O=ACME`) and MIXER gateways (RFC 2156, `/S=JOE/`). */
const ENCAPSULATED = /^(?:imcea[a-z0-9]*-|\/[a-z0-9.]+=)/
/** The end of what stands before a telephone number's + (RFC 3191, `FAX=+12025550123/T33S=6`); no name ends so. */
const TELEPHONE_FIELD = /[^\p{L}\p{N}]$/u
/** A telephone number behind a word for what it is good for. */
const TELEPHONE = /(?:^|[^a-z])(?:fax|mms|phone|sms|tel|voice)\+\d{7,15}$/
/** Most digits of a telephone number (E.164 section 6). */
const MAX_TELEPHONE = 15
/** Twitter writes the recipient behind a hash. */
const TWITTER = /^b[0-9a-f]{10}[^=]+=/
/** A word for a list, before a user's name. */
const LIST = /^(?:list|mailing|news|newsletter|owner)-/

/** Whether the address is one person's, though the general rules find something made up in it. */
function isPersonal(local: string, domain: string, recipient: Address | undefined): boolean {
  if (ENCAPSULATED.test(local) || RELAY.test(domain)) return true
  if (withoutRecipient(local, recipient) !== undefined) return false
  if (TWITTER.test(local) && isBounceDomain(domain)) return false
  const end = local.lastIndexOf('=')
  if (end !== -1 && HOST_NAME.test(local.slice(end + 1))) return isForwarded(local.slice(0, end))
  const plus = local.indexOf('+', 1)
  if (plus === -1) return isTelephone(local, domain)
  // A detail stands behind a user's name, which has no =.
  const user = local.slice(0, plus)
  return user.lastIndexOf('=') > 0 || TELEPHONE_FIELD.test(user) || TELEPHONE.test(local)
}

/** Whether `user`, before an address's domain, is a forwarder's user, as nothing of a list or a number is before it. */
function isForwarded(user: string): boolean {
  return !/[=+]/.test(user) && !LIST.test(user) && markEnd(user) === 0
}

/** Whether the address's many numbers can be one telephone number in groups, `06.12.34.56.78`. */
function isTelephone(local: string, domain: string): boolean {
  const numbers = numbersIn(local)
  if (numbers.length < MANY_NUMBERS || numbers.join('').length > MAX_TELEPHONE) return false
  return !isBounceDomain(domain) && bounceWordEnd(local, true) === undefined
}

// Ids. An id that is left in costs its sender one more delay; an account number that is taken out lets one stranger
// pass for another. So an address without a sign of a bounce loses only what nobody has for a name:
//   - a UUID, and the numbers that Amazon SES puts around it;
//   - 16 hexadecimal digits or 20 letters and digits, if they change from one to the other at every fourth place or
//     oftener. Random ones change at every second or third; names with years, dates and telephone numbers in them
//     (`becca19850412`, `web2print4business2020`) once a word;
//   - 24 letters and digits that change three times or oftener, if fewer than a quarter of the letters are vowels. A
//     name has more vowels, and its digits in fewer places;
//   - 16 decimal digits, if there is something beside them: a telephone number has 15 at most (E.164), and a local
//     part that is one number is somebody's account, however long.
// Behind a word such as `bounces`, and below a domain such as `bounce.example.com`, every number is an id. So is a word
// that begins like a hexadecimal number (`1b`, `669fdf8f`) or mixes letters and digits over 8 places; `us1`, `v2` and
// `3com` stay. Beside an embedded address without such a word, a number needs 5 digits to be an id, as names of lists
// have years and ordinals in them.

const UUID =
  /(?<![a-z0-9])(?:[0-9a-f]{8,16}-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:-\d{1,12})?(?![a-z0-9])/g
/** ezmlm's confirmations have the time and a hash in letters. */
const EZMLM_COOKIE = /(?<![a-z0-9])\d{9,10}\.[a-p]{20}(?![a-z0-9])/g
const BOUNCE_WORD = /^(?:[a-z]*bounces?|bnc|verp|sentto)$/
const FIRST_BOUNCE_WORD = /(?<![a-z])(?:[a-z]*bounces?|bnc|verp|sentto)(?![a-z])/
const FIRST_EZMLM_WORD = /(?<![a-z])(?:[a-z]*bounces?|bnc|verp|sentto|return)(?![a-z])/
const BOUNCE_LABEL = /(?:^|-)(?:bounces?|bnc)\d*(?:-|$)/
const EZMLM_BOUNCE = /-return-\d+-$/
/** Marketo and others write nothing but numbers, at least this many; a date or an IP address has fewer. */
const MANY_NUMBERS = 5

const MANY_IDS = /#(?:[-._]+#)+/g

/** The place of a possible id: an address for bounces, an address with another one in it, or any other. */
type Place = 'bounce' | 'verp' | 'any'

/** The local part with # for ids. `isBounce` says that its domain is for bounces, `isVerp` that it held an address. */
function withoutIds(local: string, isBounce: boolean, isVerp: boolean): string {
  if (!/\d/.test(local)) return local
  const form = local.replace(UUID, '#').replace(EZMLM_COOKIE, '#')
  const wordEnd = bounceWordEnd(form, isVerp || EZMLM_BOUNCE.test(form))
  const idsFrom =
    wordEnd ?? (isBounce || numbersIn(form).length >= MANY_NUMBERS ? 0 : Number.POSITIVE_INFINITY)
  const elsewhere = isVerp ? 'verp' : 'any'
  // A local part that is one number is an account.
  if (idsFrom > 0 && /^\d+$/.test(form)) return form
  return form
    .replace(/(?<![a-z0-9])(bounces?)\d+(?![a-z0-9])/g, '$1#')
    .replace(/[a-z0-9]+/g, (word, index: number) =>
      isId(word, index >= idsFrom ? 'bounce' : elsewhere) ? '#' : word,
    )
    .replace(MANY_IDS, '#')
}

/** The local part with # for long words that no language has: with digits in them, and with few vowels. */
function withoutUnpronounceable(local: string): string {
  if (local.length < 24) return local
  return local
    .replace(/[a-z0-9]{24,}/g, (word) => (isUnpronounceable(word) ? '#' : word))
    .replace(MANY_IDS, '#')
}

/** The numbers that stand alone. */
function numbersIn(local: string): string[] {
  return local.match(/(?<![a-z0-9])\d+(?![a-z0-9])/g) ?? []
}

/** Index behind the first word that only bounce addresses have; `return` is such a word only in ezmlm's addresses. */
function bounceWordEnd(local: string, isEzmlm: boolean): number | undefined {
  const found = (isEzmlm ? FIRST_EZMLM_WORD : FIRST_BOUNCE_WORD).exec(local)
  return found ? found.index + found[0].length : undefined
}

/** Whether `word`, of 24 letters and digits or more, is no name. */
function isUnpronounceable(word: string): boolean {
  const letters = word.replace(/\d+/g, '').length
  const vowels = word.replace(/[^aeiou]+/g, '').length
  return changesIn(word) >= 3 && vowels * 4 < letters
}

/** Fewest characters of an id, by its place. */
const SHORTEST_ID = { bounce: 1, verp: 5, any: MIN_ID } as const

/** Whether `word`, of letters and digits only, is an id. */
function isId(word: string, place: Place): boolean {
  const length = word.length
  if (length < SHORTEST_ID[place]) return false
  if (/^\d+$/.test(word)) return true
  const isHex = /^[0-9a-f]+$/.test(word)
  const changes = changesIn(word)
  if (place === 'any') return length >= (isHex ? MIN_ID : 20) && changes * 4 >= length
  if (place === 'bounce' && isHex && /^\d/.test(word)) return true
  return length >= 8 && changes >= 2
}

/** How often letters and digits take turns in `word`. */
function changesIn(word: string): number {
  return word.match(/\d(?=[a-z])|[a-z](?=\d)/g)?.length ?? 0
}

/** Whether a label below the registrable domain says bounces: in `bounce.example.com`, but not in `bounce.com`. */
function isBounceDomain(domain: string): boolean {
  if (!mayBeForBounces(domain)) return false
  const labels = domain.split('.').slice(0, -2)
  return labels.some((label) => BOUNCE_LABEL.test(label))
}

/** Fast path: a domain for bounces has one of these in it. */
function mayBeForBounces(domain: string): boolean {
  return domain.includes('bounce') || domain.includes('bnc')
}
