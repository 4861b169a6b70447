// What greymx knows of a client's TLS certificate. doors/certificate.ts reads it from what the MTA says;
// exempt/tlsclients.ts decides what it is good for.

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

/** Longest name that counts, in bytes. Both MTAs cut names to fit 256 bytes, so a longer one may be incomplete. */
export const MAX_CERTIFICATE_NAME = 254

/** Whether a name is there, and is surely not cut. */
export function isWholeName(name: string): boolean {
  const { length } = encodeText(name)
  return length > 0 && length <= MAX_CERTIFICATE_NAME
}

/** Whether a name is a distinguished name, of several parts, rather than a common name. */
export function isDistinguished(name: string): boolean {
  return name.startsWith('/')
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
