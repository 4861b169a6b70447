// Clients that are never greylisted, by their TLS certificates: fingerprint, subject, issuer. One list → a matcher.

import {
  type ClientCertificate,
  decodeXtext,
  hexDigits,
  isDistinguished,
  MAX_CERTIFICATE_NAME,
} from '../certificate.ts'
import { encodeText } from '../milter/text.ts'

/** A certificate has to have all that is given. */
export interface TlsClientRule {
  /** As configured. */
  readonly text: string
  readonly fingerprint?: string
  readonly subject?: string
  readonly issuer?: string
}

/** The rule that applies, as configured. */
export type TlsClientMatcher = (certificate: ClientCertificate) => string | undefined

const FORMS = 'fingerprint:HEX, subject:NAME, issuer:NAME, or several of them like "subject:NAME issuer:NAME"'

/** Hexadecimal digits of MD5, SHA-1 and the SHA-2 family. */
const DIGESTS: readonly number[] = [32, 40, 56, 64, 96, 128]

/**
 * Reads `fingerprint:AB:CD…`, `subject:mail.example.org issuer:Example CA`. Names are compared to the letter, as the MTA
 * tells them, with its + and two digits for a byte or without. Throws with what it expected.
 */
export function parseTlsClientRule(text: string): TlsClientRule {
  const [before, ...parts] = text.trim().split(/(?:^|\s+)(fingerprint|subject|issuer):/)
  const pairs = parts.flatMap((key, index) =>
    index % 2 === 0 ? [[key, parts[index + 1]?.trim() ?? ''] as const] : [],
  )
  const values = new Map(pairs)
  if (before !== '' || values.size === 0) throw new Error(`expected ${FORMS}`)
  if (values.size < pairs.length)
    throw new Error('expected each of fingerprint, subject and issuer once at most')
  const [fingerprint, subject, issuer] = [
    values.get('fingerprint'),
    values.get('subject'),
    values.get('issuer'),
  ]
  return {
    text: text.trim(),
    ...(fingerprint === undefined ? {} : { fingerprint: parseFingerprint(fingerprint) }),
    ...(subject === undefined ? {} : { subject: parseName(subject) }),
    ...(issuer === undefined ? {} : { issuer: parseName(issuer) }),
  }
}

function parseFingerprint(text: string): string {
  const digits = hexDigits(text)
  if (!/^[0-9a-f]+$/.test(digits) || !DIGESTS.includes(digits.length) || !/^\w\w(:\w\w)*$|^\w+$/.test(text)) {
    throw new Error(
      'expected after fingerprint: the hexadecimal digits of a digest like SHA-256, with or without colons between bytes',
    )
  }
  return digits
}

function parseName(text: string): string {
  const name = decodeXtext(text)
  const length = encodeText(name).length
  if (length === 0 || length > MAX_CERTIFICATE_NAME) {
    throw new Error(
      `expected after subject: and issuer: a common name, or a distinguished one like /O=Example/CN=mail.example.org, of at most ${MAX_CERTIFICATE_NAME} bytes`,
    )
  }
  return name
}

/** Whether the rule has a name as Sendmail alone tells it. */
export function hasDistinguishedName({ subject = '', issuer = '' }: TlsClientRule): boolean {
  return isDistinguished(subject) || isDistinguished(issuer)
}

export function compileTlsClients(rules: readonly TlsClientRule[]): TlsClientMatcher {
  return (certificate) => rules.find((rule) => applies(rule, certificate))?.text
}

function applies({ fingerprint, subject, issuer }: TlsClientRule, certificate: ClientCertificate): boolean {
  if (fingerprint !== undefined && certificate.fingerprint !== fingerprint) return false
  if (subject !== undefined && !certificate.subjects.includes(subject)) return false
  return issuer === undefined || certificate.issuers.includes(issuer)
}
