// Reads a client's TLS certificate from the macros that an MTA sends to a milter; exempt/tlsclients.ts decides what it
// is good for. TLS has proven by then that the client has the certificate's key. The names in it are worth as much as
// its signer, whom the MTA verifies.
// Source: Postfix smtpd_milter.c (IF_TRUSTED), tls_verify.c; Sendmail tls.c (tls_get_info), op.me ("{cert_subject}").

import {
  type ClientCertificate,
  decodeXtext,
  hexDigits,
  isDistinguished,
  isWholeName,
} from '../certificate.ts'
import type { Macros } from '../milter/macros.ts'

/** The macros that `readCertificate` reads, without braces. */
export const CERTIFICATE_MACROS: readonly string[] = [
  ...['verify', 'cert_subject', 'cert_issuer', 'cn_subject', 'cn_issuer'],
  ...['cert_md5', 'cert_fp'],
]

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
  return isDistinguished(text) && isWholeName(text) ? [text] : []
}

/** No names if the text begins like a distinguished name, or with BadCertificate, which Sendmail writes for none. */
function commonName(text: string | undefined): string[] {
  if (!text || isDistinguished(text) || text.startsWith('BadCertificate') || !isWholeName(text)) return []
  return [text]
}
