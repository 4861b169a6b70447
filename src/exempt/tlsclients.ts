// Parses rules for TLS client certificates by fingerprint, subject and issuer, and compiles a list of them into a
// matcher. certificate.ts reads what the MTA sends of a certificate.

import {
  type ClientCertificate,
  decodeXtext,
  hexDigits,
  isDistinguished,
  isWholeName,
  MAX_CERTIFICATE_NAME,
} from '../certificate.ts'

/** A rule for certificates; all values that it gives have to be equal. */
export interface TlsClientRule {
  /** The rule as configured. */
  readonly text: string
  readonly fingerprint?: string
  readonly subject?: string
  readonly issuer?: string
}

/** The rule that applies, as configured; `undefined` if none does. */
export type TlsClientMatcher = (certificate: ClientCertificate) => string | undefined

const FORMS = 'fingerprint:HEX, subject:NAME, issuer:NAME, or several of them like "subject:NAME issuer:NAME"'

/** Numbers of hexadecimal digits in digests of MD5, SHA-1 and the SHA-2 family. */
const DIGESTS: readonly number[] = [32, 40, 56, 64, 96, 128]

/**
 * The rule in a text like `fingerprint:AB:CD…` or `subject:mail.example.org issuer:Example CA`. Names have to equal
 * those that the MTA sends to the letter; a byte may be written as Sendmail's + and two digits. Throws an error that
 * says what it expected.
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
  if (!isWholeName(name)) {
    throw new Error(
      `expected after subject: and issuer: a common name, or a distinguished one like /O=Example/CN=mail.example.org, of at most ${MAX_CERTIFICATE_NAME} bytes`,
    )
  }
  return name
}

/** Whether the rule has a distinguished name, which only Sendmail sends. */
export function hasDistinguishedName({ subject = '', issuer = '' }: TlsClientRule): boolean {
  return isDistinguished(subject) || isDistinguished(issuer)
}

/** The matcher for a list of rules. */
export function compileTlsClients(rules: readonly TlsClientRule[]): TlsClientMatcher {
  return (certificate) => rules.find((rule) => applies(rule, certificate))?.text
}

function applies({ fingerprint, subject, issuer }: TlsClientRule, certificate: ClientCertificate): boolean {
  if (fingerprint !== undefined && certificate.fingerprint !== fingerprint) return false
  if (subject !== undefined && !certificate.subjects.includes(subject)) return false
  return issuer === undefined || certificate.issuers.includes(issuer)
}
