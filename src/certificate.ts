// What an MTA tells its filters of a client's TLS certificate. That the client has the certificate's key, TLS has proven by
// then in either case; what the names in it are worth depends on who signed it, which the MTA verifies.
// Source: Postfix smtpd_milter.c (IF_TRUSTED), tls_verify.c; Sendmail tls.c (tls_get_info), op.me ("{cert_subject}").

import type { Macros } from './milter/macros.ts'
import { decodeText, encodeText } from './milter/text.ts'

export interface ClientCertificate {
  /** Digest of the certificate, in hexadecimal digits of lower case. Postfix tells none. */
  readonly fingerprint?: string
  /**
   * The names of whom it is for, and of who signed it: the common name, and from Sendmail the distinguished name, which
   * begins with a slash. There are none unless the MTA verified the certificate.
   */
  readonly subjects: readonly string[]
  readonly issuers: readonly string[]
}

/** The macros that `readCertificate` reads, without braces. */
export const CERTIFICATE_MACROS: readonly string[] = [
  ...['verify', 'cert_subject', 'cert_issuer', 'cn_subject', 'cn_issuer'],
  ...['cert_md5', 'cert_fp'],
]

/** Both MTAs cut names to fit 256 bytes; of one of this length nobody knows how it goes on. */
export const LONGEST_NAME = 254

/** The certificate that the client has shown; `undefined` where it has shown none, or the MTA tells of none. */
export function readCertificate(macros: Macros): ClientCertificate | undefined {
  const isPostfix = macros.get('v')?.startsWith('Postfix') ?? false
  const certificate = isPostfix ? fromPostfix(macros) : fromSendmail(macros)
  const { fingerprint, subjects, issuers } = certificate
  return fingerprint || subjects.length > 0 || issuers.length > 0 ? certificate : undefined
}

/** Postfix tells common names only, and of trusted certificates only. */
function fromPostfix(macros: Macros): ClientCertificate {
  return { subjects: commonName(macros.get('cert_subject')), issuers: commonName(macros.get('cert_issuer')) }
}

/** Sendmail tells of any certificate, and in {verify} whether one of its authorities stands behind it. */
function fromSendmail(macros: Macros): ClientCertificate {
  const digest = hexDigits(macros.get('cert_fp') || macros.get('cert_md5') || '')
  const fingerprint = digest === '' ? {} : { fingerprint: digest }
  if (macros.get('verify') !== 'OK') return { ...fingerprint, subjects: [], issuers: [] }
  const value = (name: string) => decodeXtext(macros.get(name) ?? '')
  return {
    ...fingerprint,
    subjects: [...distinguishedName(value('cert_subject')), ...commonName(value('cn_subject'))],
    issuers: [...distinguishedName(value('cert_issuer')), ...commonName(value('cn_issuer'))],
  }
}

function distinguishedName(text: string): string[] {
  return isDistinguished(text) && isWhole(text) ? [text] : []
}

/** A common name that begins like a distinguished one is none; Sendmail writes BadCertificate… where there is none. */
function commonName(text: string | undefined): string[] {
  if (!text || isDistinguished(text) || text.startsWith('BadCertificate') || !isWhole(text)) return []
  return [text]
}

export function isDistinguished(name: string): boolean {
  return name.startsWith('/')
}

function isWhole(name: string): boolean {
  return encodeText(name).length <= LONGEST_NAME
}

/** `AB:CD` or `abcd` → `abcd`. */
export function hexDigits(text: string): string {
  return text.replaceAll(':', '').toLowerCase()
}

/** Sendmail writes space, brackets, quotes, + and all that is not ASCII as + and two digits: `Darth+20Mail`. */
export function decodeXtext(text: string): string {
  if (!text.includes('+')) return text
  const bytes = encodeText(text).toString('latin1')
  const decoded = bytes.replace(/\+([0-9A-F]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  )
  return decodeText(Buffer.from(decoded, 'latin1'))
}
