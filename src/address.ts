// An envelope address as MAIL and RCPT give it: its parts, and the normal form under which two spellings of one
// mailbox are the same. Two mailboxes never share a normal form.
// Source: RFC 5321 sections 4.1.2 (syntax, quoting), 4.1.1.3 (source routes are ignored); RFC 6531 section 3.

import { isIPv4 } from 'node:net'
import { domainToASCII } from 'node:url'

export interface Address {
  /**
   * As sent, without `<>`, surrounding space, comments and what follows the address; what log and headers show. `''` is
   * the null sender.
   */
  readonly text: string
  /** Local part in normal form: no needless quotes, case folded. */
  readonly local: string
  /** Domain in normal form: case folded, no final dot, internationalised names as A-labels; `''` where there is none. */
  readonly domain: string
  /** `local@domain` in normal form, `local` where there is no domain; `''` for the null sender. */
  readonly normal: string
}

const ROUTE = /^@(?:[^:[\]]|\[[^\]]*\])*:(?=.)/
const ATOMS = /^[^\s"(),:;<>@[\\\]]+$/
/** What a host name can hold, internationalised or not. */
const HOST_NAME = /^[a-z0-9._\u0080-\u{10ffff}-]*$/u
/** Characters of a domain (RFC 5321 section 4.5.3.1.2). */
const MAX_DOMAIN = 255
const KELVIN = '\u212a'

/**
 * Reads the argument of MAIL or RCPT as both MTAs do, SMTP parameters behind it or not: a client that spells a mailbox
 * otherwise does not make another of it. Never fails: what is no address by the book still has a text, and is a mailbox
 * of its own.
 */
export function parseAddress(raw: string): Address {
  const text = addressIn(raw)
  const mailbox = text.startsWith('@') ? text.replace(ROUTE, '') : text
  // A quoted local part may hold an @; without a domain behind it, it is all there is.
  const at = mailbox.endsWith('"') || mailbox.endsWith('@') ? -1 : mailbox.lastIndexOf('@')
  const local = normalLocal(at === -1 ? mailbox : trimmed(mailbox.slice(0, at)))
  const domain = at === -1 ? '' : normalDomain(domainIn(mailbox.slice(at + 1)))
  return { text, local, domain, normal: domain === '' ? local : `${local}@${domain}` }
}

/**
 * Whether it is an address by RFC 5321 that names one mailbox of one domain. Postfix delivers to what it can make of any
 * other, such as `"u@example.com"` or `u@example.com@`, and there is no telling what that is.
 */
export function isByTheBook({ local, domain }: Address): boolean {
  const isLocal = ATOMS.test(local) ? !/[%!]/.test(local) : /^"[^@%!]*"$/s.test(local)
  if (!isLocal || domain === '' || domain.length > MAX_DOMAIN) return false
  return HOST_NAME.test(domain) || /^\[[^[\]]*\]$/.test(domain)
}

export function normalDomain(domain: string): string {
  const folded = fold(/[^.]\.$/.test(domain) ? domain.slice(0, -1) : domain)
  // domainToASCII reads a URL's host: it decodes %41, ends at / ? #, drops tabs, and makes IPv4 addresses of numbers.
  if (isAscii(folded) || !HOST_NAME.test(folded)) return folded
  // The time that it takes grows with the square of the length. What is too long for a domain has no A-labels.
  if (folded.length > MAX_DOMAIN) return folded
  const ascii = domainToASCII(folded)
  return ascii === '' || isIPv4(ascii) ? folded : ascii
}

/** Spaces and tabs only: a no-break space is part of an internationalised local part. */
function trimmed(text: string): string {
  // By loops: /[ \t]+$/ begins anew at each space of a long row of them that does not end the text.
  let start = 0
  let end = text.length
  while (start < end && isBlank(text[start])) start += 1
  while (end > start && isBlank(text[end - 1])) end -= 1
  return text.slice(start, end)
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t'
}

/** An address as nearly all clients write it: there is nothing in it that has to be looked at twice. */
const PLAIN = /^<([^\s"\\()<>;]*)>$/

/**
 * The address of an SMTP argument, without what both MTAs drop: brackets and the words around them, comments, a group's
 * name, and parameters behind the address. Of several addresses in brackets the last one counts, and of nested ones the
 * inner, as Sendmail has it, since the recipient that is judged has to be the one that gets the mail.
 * Source: seen on Postfix 3.7 and Sendmail 8.17; RFC 5322 sections 3.2.2 (comments), 3.4 (groups).
 */
function addressIn(argument: string): string {
  const [, plain] = PLAIN.exec(argument) ?? []
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

/** The quoted string, or the character behind a backslash, that begins at `start`; `undefined` where it has no end. */
function quotedAt(text: string, start: number): string | undefined {
  const end = text[start] === '"' ? quoteEnd(text, start) : start + 1
  return end === -1 || end >= text.length ? undefined : text.slice(start, end + 1)
}

/** Where the quoted string that begins at `start` has its closing quote; -1 where it has none. */
function quoteEnd(text: string, start: number): number {
  for (let index = start + 1; index < text.length; index += 1) {
    if (text[index] === '\\') index += 1
    else if (text[index] === '"') return index
  }
  return -1
}

/** Where the comment that begins at `start` ends, with those in it: at the last character where it is not closed. */
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

/** `list: a@example.org;` is the address in it. */
function withoutGroup(text: string): string {
  const colon = text.endsWith(';') ? groupNameEnd(text) : -1
  return colon === -1 ? text : trimmed(text.slice(colon + 1, -1)) || text
}

/** Where the first colon is that no quotes are around; -1 where there is none, or quotes before it do not end. */
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

/** Without the space in it, and the stray marks behind it, that Postfix drops. */
function domainIn(text: string): string {
  const bare = text.replace(/[ \t\v\f\r\n]+/g, '')
  if (bare.startsWith('[')) return bare
  // Not by a pattern, which would try anew at each mark of a long row of them.
  let end = bare.length
  while (end > 0 && '<>()[],;:\\"'.includes(bare.charAt(end - 1))) end -= 1
  return bare.slice(0, end) || bare
}

/**
 * `"plain"` and `"pl"ain` are `plain`; what needs quotes is quoted as a whole, with no more backslashes than it needs. A
 * backslash outside of quotes stays: Sendmail takes it for a part of the name, Postfix does not.
 */
function normalLocal(local: string): string {
  const content = local.includes('"') ? contentOf(local) : undefined
  if (content === undefined) return fold(local)
  const folded = fold(content)
  return ATOMS.test(folded) ? folded : `"${folded.replace(/["\\]/g, '\\$&')}"`
}

/** Without quotes and the backslashes within them; `undefined` where a quote has no end, or a backslash no quotes around it. */
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

/** Lower case; but the Kelvin sign, whose lower case is the ASCII letter k, stays: it is another mailbox than k. */
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
