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
  return isLocal && domain !== '' && (HOST_NAME.test(domain) || /^\[[^[\]]*\]$/.test(domain))
}

export function normalDomain(domain: string): string {
  const folded = fold(/[^.]\.$/.test(domain) ? domain.slice(0, -1) : domain)
  // domainToASCII reads a URL's host: it decodes %41, ends at / ? #, drops tabs, and makes IPv4 addresses of numbers.
  if (isAscii(folded) || !HOST_NAME.test(folded)) return folded
  const ascii = domainToASCII(folded)
  return ascii === '' || isIPv4(ascii) ? folded : ascii
}

/** Spaces and tabs only: a no-break space is part of an internationalised local part. */
function trimmed(text: string): string {
  return text.trim() === text ? text : text.replace(/^[ \t]+|[ \t]+$/g, '')
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
  let bracketed: string | undefined
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
        if (opened !== -1) bracketed = text.slice(opened, -1)
        opened = -1
      }
    }
  }
  return withoutGroup(trimmed(bracketed ?? text))
}

/** The quoted string, or the character behind a backslash, that begins at `start`; `undefined` where it has no end. */
function quotedAt(text: string, start: number): string | undefined {
  const pattern = text[start] === '"' ? /"(?:[^"\\]|\\.)*"/sy : /\\./sy
  pattern.lastIndex = start
  return pattern.exec(text)?.[0]
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
  if (!text.endsWith(';')) return text
  const [, member = ''] = /^(?:"(?:[^"\\]|\\.)*"|[^":])*:(.*);$/s.exec(text) ?? []
  return trimmed(member) || text
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
  // A quote without an end is part of the name.
  if (!local.includes('"') || /["\\]/.test(local.replace(QUOTED, ''))) return fold(local)
  const content = fold(local.replace(QUOTED, (_, quoted: string) => quoted.replace(/\\(.)/gs, '$1')))
  return ATOMS.test(content) ? content : `"${content.replace(/["\\]/g, '\\$&')}"`
}

const QUOTED = /"((?:[^"\\]|\\.)*)"/gs

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
