// An envelope address as MAIL and RCPT give it: its parts, and the normal form under which two spellings of one
// mailbox are the same. Two mailboxes never share a normal form.
// Source: RFC 5321 sections 4.1.2 (syntax, quoting), 4.1.1.3 (source routes are ignored); RFC 6531 section 3.

import { isIPv4 } from 'node:net'
import { domainToASCII } from 'node:url'

export interface Address {
  /** As sent, without `<>` and surrounding space; what log and headers show. `''` is the null sender. */
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

/** Never fails: what is no address by the book still has a text, and is a mailbox of its own. */
export function parseAddress(raw: string): Address {
  const text = trimmed(withoutBrackets(trimmed(raw)))
  const mailbox = text.startsWith('@') ? text.replace(ROUTE, '') : text
  // A quoted local part may hold an @; without a domain behind it, it is all there is.
  const at = mailbox.endsWith('"') || mailbox.endsWith('@') ? -1 : mailbox.lastIndexOf('@')
  const local = normalLocal(at === -1 ? mailbox : mailbox.slice(0, at))
  const domain = at === -1 ? '' : normalDomain(mailbox.slice(at + 1))
  return { text, local, domain, normal: domain === '' ? local : `${local}@${domain}` }
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

function withoutBrackets(text: string): string {
  return text.startsWith('<') && text.endsWith('>') ? text.slice(1, -1) : text
}

/** `"plain"` is `plain`; what needs quotes keeps them, with no more backslashes than it needs. */
function normalLocal(local: string): string {
  if (!local.startsWith('"')) return fold(local)
  const [, quoted] = /^"((?:[^"\\]|\\.)*)"$/s.exec(local) ?? []
  if (quoted === undefined) return fold(local)
  const content = fold(quoted.replace(/\\(.)/gs, '$1'))
  return ATOMS.test(content) ? content : `"${content.replace(/["\\]/g, '\\$&')}"`
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
