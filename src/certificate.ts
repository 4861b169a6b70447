// Reads a client's TLS certificate from the macros that the MTA sends; exempt/tlsclients.ts decides what it is good
// for. TLS has proven by then that the client has the certificate's key. The names in it are worth as much as its
// signer, whom the MTA verifies.
// Source: Postfix smtpd_milter.c (IF_TRUSTED), tls_verify.c; Sendmail tls.c (tls_get_info), op.me ("{cert_subject}").

import type { Macros } from './milter/macros.ts'
import { decodeText, encodeText } from './milter/text.ts'

export interface ClientCertificate {
  /** Digest of the certificate in lower-case hexadecimal digits. Postfix sends none. */
  readonly fingerprint?: string
  /**
   * Names of the certificate's holder and of its signer: the common name, and from Sendmail also the distinguished
   * name, which begins with a slash. Both lists are empty unless the MTA verified the certificate.
   */
  readonly subjects: readonly string[]
  readonly issuers: readonly string[]
}

/** The macros that `readCertificate` reads, without braces. */
export const CERTIFICATE_MACROS: readonly string[] = [
  ...['verify', 'cert_subject', 'cert_issuer', 'cn_subject', 'cn_issuer'],
  ...['cert_md5', 'cert_fp'],
]

/** Longest name that counts, in bytes. Both MTAs cut names to fit 256 bytes, so a longer one may be incomplete. */
export const MAX_CERTIFICATE_NAME = 254

/** The certificate that the client has shown; `undefined` if it has shown none or the MTA sends nothing of it. */
export function readCertificate(macros: Macros): ClientCertificate | undefined {
  const isPostfix = macros.get('v')?.startsWith('Postfix') ?? false
  const certificate = isPostfix ? fromPostfix(macros) : fromSendmail(macros)
  const { fingerprint, subjects, issuers } = certificate
  return fingerprint || subjects.length > 0 || issuers.length > 0 ? certificate : undefined
}

/** Postfix sends only common names, and only those of trusted certificates. */
function fromPostfix(macros: Macros): ClientCertificate {
  return { subjects: commonName(macros.get('cert_subject')), issuers: commonName(macros.get('cert_issuer')) }
}

/** Sendmail sends every certificate, and says in {verify} whether one of its authorities vouches for it. */
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

/** No names if the text begins like a distinguished name, or with BadCertificate, which Sendmail writes for none. */
function commonName(text: string | undefined): string[] {
  if (!text || isDistinguished(text) || text.startsWith('BadCertificate') || !isWhole(text)) return []
  return [text]
}

export function isDistinguished(name: string): boolean {
  return name.startsWith('/')
}

function isWhole(name: string): boolean {
  return encodeText(name).length <= MAX_CERTIFICATE_NAME
}

/** The digits without colons and in lower case: `AB:CD` and `abcd` give `abcd`. */
export function hexDigits(text: string): string {
  return text.replaceAll(':', '').toLowerCase()
}

/**
 * The text without Sendmail's encoding, in which space, brackets, quotes, + and non-ASCII bytes are + and two digits,
 * as in `Darth+20Mail`.
 */
export function decodeXtext(text: string): string {
  if (!text.includes('+')) return text
  const bytes = encodeText(text).toString('latin1')
  const decoded = bytes.replace(/\+([0-9A-F]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  )
  return decodeText(Buffer.from(decoded, 'latin1'))
}
