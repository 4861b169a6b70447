// Reads an envelope address as MAIL and RCPT give it: its parts, and a normal form that all spellings of one mailbox
// share. Two mailboxes never share a normal form. Forms that vary with the message are the business of
// greylist/sender.ts.
// Source: RFC 5321 sections 4.1.2 (syntax, quoting), 4.1.1.3 (source routes are ignored); RFC 6531 section 3.

import { isIPv4 } from 'node:net'
import { domainToASCII } from 'node:url'

export interface Address {
  /**
   * The address as sent, without `<>`, surrounding space, comments and what follows the address; log and headers show
   * it. `''` is the null sender.
   */
  readonly text: string
  /** Local part in normal form: no needless quotes, case folded. */
  readonly local: string
  /** Domain in normal form: case folded, no final dot, internationalised names as A-labels; `''` if there is none. */
  readonly domain: string
  /** `local@domain` in normal form, `local` if there is no domain; `''` for the null sender. */
  readonly normal: string
}

const ROUTE = /^@(?:[^:[\]]|\[[^\]]*\])*:(?=.)/
const ATOMS = /^[^\s"(),:;<>@[\\\]]+$/
/** Characters of a host name, internationalised or not. */
const ADDRESS_DOMAIN = /^[a-z0-9._\u0080-\u{10ffff}-]*$/u
/** Limit of a domain, in characters (RFC 5321 section 4.5.3.1.2). */
const MAX_DOMAIN = 255
const KELVIN = '\u212a'

/**
 * The address in an argument of MAIL or RCPT, with SMTP parameters behind it or without, read as both MTAs read it, so
 * that another spelling does not make another mailbox. Never fails: an argument that is no standard address is a
 * mailbox of its own.
 */
export function parseAddress(raw: string): Address {
  const text = addressIn(raw)
  const mailbox = text.startsWith('@') ? text.replace(ROUTE, '') : text
  // A quoted local part may hold an @; if the text ends in its quote, there is no domain.
  const at = mailbox.endsWith('"') || mailbox.endsWith('@') ? -1 : mailbox.lastIndexOf('@')
  const local = normalLocal(at === -1 ? mailbox : trimmed(mailbox.slice(0, at)))
  const domain = at === -1 ? '' : normalDomain(domainIn(mailbox.slice(at + 1)))
  return { text, local, domain, normal: domain === '' ? local : `${local}@${domain}` }
}

/**
 * Whether RFC 5321 reads the address as one mailbox of one domain. Postfix delivers others, such as `"u@example.com"`
 * or `u@example.com@`, to a mailbox of its own choice that cannot be told from the text.
 */
export function isStandardAddress({ local, domain }: Address): boolean {
  const isLocal = ATOMS.test(local) ? !/[%!]/.test(local) : /^"[^@%!]*"$/s.test(local)
  if (!isLocal || domain === '' || domain.length > MAX_DOMAIN) return false
  return ADDRESS_DOMAIN.test(domain) || /^\[[^[\]]*\]$/.test(domain)
}

/** The domain in normal form; a text that cannot be a domain only has its case folded and its final dot removed. */
export function normalDomain(domain: string): string {
  const folded = fold(/[^.]\.$/.test(domain) ? domain.slice(0, -1) : domain)
  // domainToASCII reads a URL's host: it decodes %41, ends at / ? #, drops tabs and reads numbers as IPv4 addresses.
  if (isAscii(folded) || !ADDRESS_DOMAIN.test(folded)) return folded
  // domainToASCII takes time in the square of the length. A text too long for a domain has no A-labels.
  if (folded.length > MAX_DOMAIN) return folded
  const ascii = domainToASCII(folded)
  return ascii === '' || isIPv4(ascii) ? folded : ascii
}

/** The text without spaces and tabs around it; a no-break space is part of an internationalised local part. */
function trimmed(text: string): string {
  // The pattern /[ \t]+$/ would take quadratic time on long rows of spaces within the text.
  let start = 0
  let end = text.length
  while (start < end && isBlank(text[start])) start += 1
  while (end > start && isBlank(text[end - 1])) end -= 1
  return text.slice(start, end)
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t'
}

/** Fast path: an address as nearly all clients write it, without quotes, comments, groups or parameters. */
const PLAIN_PATH = /^<([^\s"\\()<>;]*)>$/

/**
 * The address in an SMTP argument. Both MTAs drop brackets and the words around them, comments, a group's name, and
 * parameters behind the address. The last of several addresses in brackets counts, and the inner of nested ones, as in
 * Sendmail, since the recipient that is judged has to be the one that gets the mail.
 * Source: seen on Postfix 3.7 and Sendmail 8.17; RFC 5322 sections 3.2.2 (comments), 3.4 (groups).
 */
function addressIn(argument: string): string {
  const [, plain] = PLAIN_PATH.exec(argument) ?? []
  if (plain !== undefined) return plain
  let text = ''
  let opened = -1
  let depth = 0
  let bracketed: { readonly start: number; readonly end: number } | undefined
  for (let index = 0; index < argument.length; index += 1) {
    const character = argument.charAt(index)
    const quoted = character === '"' || character === '\\' ? quotedAt(argument, index) : undefined
    if (quoted !== undefined) {
      text += quoted
      index += quoted.length - 1
    } else if (character === '(') {
      index = commentEnd(argument, index)
    } else if (depth === 0 && isSpace(character)) {
      if (text !== '') break
    } else {
      text += character
      if (character === '<') {
        depth += 1
        opened = text.length
      } else if (character === '>' && depth > 0) {
        depth -= 1
        if (opened !== -1) bracketed = { start: opened, end: text.length - 1 }
        opened = -1
      }
    }
  }
  return withoutGroup(trimmed(bracketed ? text.slice(bracketed.start, bracketed.end) : text))
}

/** The quoted string or backslash pair that begins at `start`; `undefined` if it has no end. */
function quotedAt(text: string, start: number): string | undefined {
  const end = text[start] === '"' ? quoteEnd(text, start) : start + 1
  return end === -1 || end >= text.length ? undefined : text.slice(start, end + 1)
}

/** Index of the closing quote of the quoted string that begins at `start`; -1 if it has none. */
function quoteEnd(text: string, start: number): number {
  for (let index = start + 1; index < text.length; index += 1) {
    if (text[index] === '\\') index += 1
    else if (text[index] === '"') return index
  }
  return -1
}

/** Index of the parenthesis that closes the comment at `start`, nested ones included; the text's end if none does. */
function commentEnd(text: string, start: number): number {
  let depth = 0
  for (let index = start; index < text.length; index += 1) {
    if (text[index] === '\\') index += 1
    else if (text[index] === '(') depth += 1
    else if (text[index] === ')') depth -= 1
    if (depth === 0) return index
  }
  return text.length
}

/** The address in a group such as `list: a@example.org;`, or `text` itself. */
function withoutGroup(text: string): string {
  const colon = text.endsWith(';') ? groupNameEnd(text) : -1
  return colon === -1 ? text : trimmed(text.slice(colon + 1, -1)) || text
}

/** Index of the first colon outside of quotes; -1 if there is none, or a quote before it does not end. */
function groupNameEnd(text: string): number {
  for (let index = 0; index < text.length; index += 1) {
    if (text[index] === ':') return index
    if (text[index] !== '"') continue
    const end = quoteEnd(text, index)
    if (end === -1) return -1
    index = end
  }
  return -1
}

function isSpace(character: string): boolean {
  return /[ \t\v\f\r\n]/.test(character)
}

/** The domain without the space in it and the stray marks behind it, both of which Postfix drops. */
function domainIn(text: string): string {
  const bare = text.replace(/[ \t\v\f\r\n]+/g, '')
  if (bare.startsWith('[')) return bare
  // A pattern would take quadratic time on long rows of marks.
  let end = bare.length
  while (end > 0 && '<>()[],;:\\"'.includes(bare.charAt(end - 1))) end -= 1
  return bare.slice(0, end) || bare
}

/**
 * The local part in normal form. `"plain"` and `"pl"ain` become `plain`; one that needs quotes is quoted as a whole,
 * with the fewest backslashes. A backslash outside of quotes stays: to Sendmail it is part of the name, to Postfix it
 * is not.
 */
function normalLocal(local: string): string {
  const content = local.includes('"') ? contentOf(local) : undefined
  if (content === undefined) return fold(local)
  const folded = fold(content)
  return ATOMS.test(folded) ? folded : `"${folded.replace(/["\\]/g, '\\$&')}"`
}

/**
 * The local part without quotes and the backslashes in them; `undefined` if a quote does not end or a backslash stands
 * outside of quotes.
 */
function contentOf(local: string): string | undefined {
  let content = ''
  let isQuoted = false
  for (let index = 0; index < local.length; index += 1) {
    const character = local.charAt(index)
    if (character === '"') isQuoted = !isQuoted
    else if (character !== '\\') content += character
    else if (!isQuoted) return undefined
    else {
      index += 1
      content += local.charAt(index)
    }
  }
  return isQuoted ? undefined : content
}

/** The text in lower case, save the Kelvin sign: its lower case is the ASCII letter k, which is another mailbox. */
function fold(text: string): string {
  if (!text.includes(KELVIN)) return text.toLowerCase()
  return text
    .split(KELVIN)
    .map((part) => part.toLowerCase())
    .join(KELVIN)
}

function isAscii(text: string): boolean {
  return !/[^\0-\x7f]/.test(text)
}
