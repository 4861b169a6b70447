// Envelope sender → the text that stands for it in a key. Many senders put something of the message into their
// address: a signature, the time, a number, the recipient. Of two such addresses of one sender the form is the same,
// so that a retry, or the next mail, is known again; of two senders it is not. Forms are read in logs: what was an id
// is #, what was an address is *.
// Sources: draft-levine-smtp-batv; Shevek, "The Sender Rewriting Scheme" (libsrs2.org); cr.yp.to/proto/verp.txt;
// ezmlm-return(1); Microsoft, "Sender Rewriting Scheme in Microsoft 365". What vendors send is in the test.

import type { Address } from '../address.ts'

/** Longest address looked into. RFC 5321 allows 320 octets; past this it is no mailer's, and no work is spent on it. */
const MAX_ADDRESS = 512

/** Nothing in here can vary with the message: so are most senders. */
const PLAIN = /^[a-z._-]*$/

/**
 * `joe@example.org` is itself; `prvs=0123abcdef=joe@example.org` and `joe+tag@example.org` are it as well.
 * `recipient` is absent for keys of client and sender alone. `''` for the null sender, and for no other.
 */
export function senderForm(sender: Address, recipient: Address | undefined): string {
  const { local, domain, normal } = sender
  if (PLAIN.test(local) && !domain.includes('bounce') && !local.includes('_at_')) return normal
  if (normal.length > MAX_ADDRESS || local === '' || local.startsWith('"')) return normal
  const form = localForm(local, domain, recipient)
  return domain === '' ? form : `${form}@${domain}`
}

function localForm(local: string, domain: string, recipient: Address | undefined): string {
  const signed = unsigned(local)
  if (signed !== undefined) return localForm(signed, domain, recipient)
  const srs = parseSrs(local)
  if (srs) return srs.before + localForm(srs.local, srs.domain, recipient)
  return vendorForm(local, domain) ?? genericForm(local, domain, recipient)
}

// Wrappers: an address within the address.

const TAG = /^\d[0-9a-f]{8,9}$/
/** Some signers make shorter ones, or longer. */
const ODD_TAG = /^(?=[a-f]*\d)[0-9a-f]{3,16}$/

/** What a BATV signer was given; `undefined` where nothing is signed. */
function unsigned(local: string): string | undefined {
  if (local.startsWith('btv1==')) return behind(local, '==', 'btv1=='.length)
  if (local.startsWith('msprvs1=')) return behind(local, '=', 'msprvs1='.length)
  if (!local.startsWith('prvs=')) return undefined
  const [, first = '', afterFirst = ''] = /^prvs=([^=/]+)[=/](.+)$/s.exec(local) ?? []
  const [, beforeLast = '', last = ''] = /^prvs=(.+)[=/]([^=/]+)$/s.exec(local) ?? []
  // The draft has the tag first; its early versions, and Exim after them, had it last.
  if (TAG.test(first)) return afterFirst
  if (TAG.test(last)) return beforeLast
  return ODD_TAG.test(first) ? afterFirst : undefined
}

/** What follows the next `separator` after a tag that begins at `start`. */
function behind(local: string, separator: string, start: number): string | undefined {
  const end = local.indexOf(separator, start)
  const rest = end > start ? local.slice(end + separator.length) : ''
  return rest === '' ? undefined : rest
}

interface Srs {
  /** All that precedes the original local part, hashes and times dropped. */
  readonly before: string
  readonly domain: string
  readonly local: string
}

// Hashes are base64 and may hold any separator but `=`. Times are two digits of base 32, or what we have made of them.
const SRS0 = /^srs0[=+-][^=]+=(?:[a-z2-7]{2}|#)=([^=]+)=(.+)$/s
const SRS1 = /^srs1[=+-][^=]+=([^=]+)=(.+)$/s
const MICROSOFT_SRS = /^([^+=]+)\+srs=[^=]+=(?:[a-z2-7]{2}|#)=([^=]+)=(.+)$/s

function parseSrs(local: string): Srs | undefined {
  if (!local.includes('srs')) return undefined
  const [, domain, original] = SRS0.exec(local) ?? []
  if (domain !== undefined && original !== undefined) {
    return { before: `srs0=#=#=${domain}=`, domain, local: original }
  }
  const [, mailbox, hop, inner] = MICROSOFT_SRS.exec(local) ?? []
  if (mailbox !== undefined && hop !== undefined && inner !== undefined) {
    return { before: `${mailbox}+srs=#=#=${hop}=`, domain: hop, local: inner }
  }
  const [, forwarder, rest] = SRS1.exec(local) ?? []
  if (forwarder === undefined || rest === undefined) return undefined
  const first = parseSrs(`srs0${rest}`)
  const before = `srs1=#=${forwarder}=`
  // A first forwarder's own scheme: nobody else can read it.
  if (!first?.before.startsWith('srs0')) return { before, domain: forwarder, local: rest }
  return { ...first, before: before + first.before.slice('srs0'.length) }
}

// Forms of one vendor that no general rule would know.

/** Constant Contact: two MD5s in base64, and the customer between them. */
const CONSTANT_CONTACT = /^[a-z0-9+/]{22,23}==(?:_(\d+)_[a-z0-9+/]{22}==)?$/
/** Silverpop (IBM, Acoustic): numbers in letters, `v-maojhn_pdojdhjapp_ifjcpaoc_ifjcpaoc_a`. */
const SILVERPOP = /^v-[a-z]+(?:_[a-p]{5,})+_[a-z]$/

function vendorForm(local: string, domain: string): string | undefined {
  // Google's mailers encipher sender and recipient, by another alphabet for each mail.
  if (domain.endsWith('.bounces.google.com')) return '#'
  if (SILVERPOP.test(local) && isBounceDomain(domain)) return 'v-#'
  const [all, customer] = CONSTANT_CONTACT.exec(local) ?? []
  if (all !== undefined) return customer === undefined ? '#' : `#_${customer}_#`
  return undefined
}

// Everything else: the recipient, the detail, the ids.

function genericForm(local: string, domain: string, recipient: Address | undefined): string {
  const isBounce = isBounceDomain(domain)
  const verp = withoutRecipient(local, recipient) ?? withoutAddress(local, isBounce) ?? local
  const bare = withoutDetail(verp)
  const form = withoutAddress(bare, isBounce) ?? bare
  return withoutIds(form, isBounce, verp !== local || form !== bare)
}

const AT_SIGNS = ['=', '#', '%', '_at_', '-at-', '===']
const MAY_HOLD_ADDRESS = /[=#%*]|[_-]at[_-]/

/** The recipient of this mail, wherever it stands and however its @ is spelled. */
function withoutRecipient(local: string, recipient: Address | undefined): string | undefined {
  if (!recipient || recipient.local === '' || recipient.domain === '') return undefined
  if (recipient.normal.length > local.length || !MAY_HOLD_ADDRESS.test(local)) return undefined
  for (const at of AT_SIGNS) {
    const embedded = `${recipient.local}${at}${recipient.domain}`
    const start = local.indexOf(embedded)
    if (start === -1) continue
    const before = local.slice(0, start)
    const after = local.slice(start + embedded.length)
    // Not the end of another name, nor the beginning of another domain.
    if (/[\p{L}\p{N}]$/u.test(before) || /^(?:[\p{L}\p{N}]|\.\p{L})/u.test(after)) continue
    return `${before}*${after}`
  }
  return undefined
}

const HOST_NAME = /^(?:[a-z0-9_-]+\.)+(?:[a-z]{2,}|xn--[a-z0-9-]+)$/
/** LISTSERV's dot is `*-`, and its @ `**`. */
const LISTSERV_END = /\*-[a-z]{2,}$/

/**
 * An address at the end, whosesoever: the recipient has been an alias, or is not asked for. Only `user=example.com`,
 * and only behind something else: with %, _at_ or alone it is as often the sender's own, as a gateway writes it.
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

/** Where the user's name begins that `before` ends in: it may have hyphens, and so may the list's. */
function addressStart(before: string): number {
  const equals = before.lastIndexOf('=')
  if (equals !== -1) return equals + 1
  // The detail goes as a whole.
  if (before.includes('+')) return before.length
  let mark = 0
  for (const { 0: word, index } of before.matchAll(/[a-z0-9]+(?=-)/g)) {
    if (word === 'return' || BOUNCE_WORD.test(word) || isId(word, 'bounce')) mark = index + word.length + 1
  }
  return mark > 0 ? mark : before.lastIndexOf('-') + 1
}

/** `+` at the start is that of a telephone number. */
function withoutDetail(local: string): string {
  const plus = local.indexOf('+', 1)
  return plus === -1 ? local : local.slice(0, plus)
}

// Ids. Greylisting asks for little: an id left in costs its sender the delay once more, an account number taken out
// lets one stranger pass for another. So without a sign of a bounce address only that goes which nobody has for a
// name:
//   - a UUID, and the numbers that Amazon SES puts around it;
//   - 16 hexadecimal digits or 20 letters and digits, if they change from one to the other at every fourth place or
//     oftener. Random ones change at every second or third; names with years, dates and telephone numbers in them
//     (`becca19850412`, `web2print4business2020`) once a word;
//   - 16 decimal digits, if there is something beside them: a telephone number has 15 at most (E.164), and a local
//     part that is one number is somebody's account, however long.
// Behind a word such as `bounces`, and below a domain such as `bounce.example.com`, every number is an id, and so is
// what begins as a hexadecimal one (`1b`, `669fdf8f`) or mixes letters and digits over 8 places; `us1`, `v2`, `3com`
// stay. Behind an embedded address without such a word, numbers need 5 digits: lists have years and ordinals in
// their names.

const UUID =
  /(?<![a-z0-9])(?:[0-9a-f]{8,16}-)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:-\d{1,12})?(?![a-z0-9])/g
/** ezmlm's confirmations: the time, and a hash in letters. */
const EZMLM_COOKIE = /(?<![a-z0-9])\d{9,10}\.[a-p]{20}(?![a-z0-9])/g
const BOUNCE_WORD = /^(?:[a-z]*bounces?|bnc|verp|sentto)$/
const BOUNCE_LABEL = /(?:^|-)(?:bounces?|bnc)\d*(?:-|$)/
const EZMLM_BOUNCE = /-return-\d+-$/
/** Marketo and others write nothing but numbers; a date or an IP address has fewer. */
const MANY_NUMBERS = 5

/** What an id is looked for in: an address for bounces, one with another address in it, or any. */
type Place = 'bounce' | 'verp' | 'any'

/** `isBounce`: by its domain; `isVerp`: there was an address within it. */
function withoutIds(local: string, isBounce: boolean, isVerp: boolean): string {
  if (!/\d/.test(local)) return local
  const form = local.replace(UUID, '#').replace(EZMLM_COOKIE, '#')
  const wordEnd = bounceWordEnd(form, isVerp || EZMLM_BOUNCE.test(form))
  const numbers = form.match(/(?<![a-z0-9])\d+(?![a-z0-9])/g)?.length ?? 0
  const idsFrom = wordEnd ?? (isBounce || numbers >= MANY_NUMBERS ? 0 : Number.POSITIVE_INFINITY)
  const elsewhere = isVerp ? 'verp' : 'any'
  // Whoever has a number for a name.
  if (idsFrom > 0 && /^\d+$/.test(form)) return form
  return form
    .replace(/(?<![a-z0-9])(bounces?)\d+(?![a-z0-9])/g, '$1#')
    .replace(/[a-z0-9]+/g, (word, index: number) =>
      isId(word, index >= idsFrom ? 'bounce' : elsewhere) ? '#' : word,
    )
    .replace(/#(?:[-._]+#)+/g, '#')
}

/** Where the first word ends that only bounce addresses have; `return` is one in ezmlm's addresses alone. */
function bounceWordEnd(local: string, isEzmlm: boolean): number | undefined {
  for (const { 0: word, index } of local.matchAll(/[a-z]+/g)) {
    if (BOUNCE_WORD.test(word) || (isEzmlm && word === 'return')) return index + word.length
  }
  return undefined
}

/** `word` is of letters and digits only. */
function isId(word: string, place: Place): boolean {
  const length = word.length
  if (/^\d+$/.test(word)) return place === 'bounce' || length >= (place === 'verp' ? 5 : 16)
  const isHex = /^[0-9a-f]+$/.test(word)
  const changes = word.match(/\d(?=[a-z])|[a-z](?=\d)/g)?.length ?? 0
  if (changes === 0) return false
  if (place === 'any') return length >= (isHex ? 16 : 20) && changes * 4 >= length
  if (place === 'bounce' && isHex && /^\d/.test(word)) return true
  return length >= 8 && changes >= 2
}

/** `bounce.example.com`, `email-bounces.example.com`, but not `bounce.com`, which may be anybody's. */
function isBounceDomain(domain: string): boolean {
  if (!domain.includes('bounce') && !domain.includes('bnc')) return false
  const labels = domain.split('.').slice(0, -2)
  return labels.some((label) => BOUNCE_LABEL.test(label))
}
