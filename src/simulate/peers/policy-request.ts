// What Postfix tells a policy server of an attempt, as far as Postgrey and sqlgrey use it.
// Source: SMTPD_POLICY_README of Postfix, "Protocol description".

import type { Attempt } from '../../attempt.ts'

export interface PolicyRequest {
  readonly clientAddress: string
  /** `unknown` when Postfix has not confirmed the name. */
  readonly clientName: string
  /** `''` is the null sender. */
  readonly sender: string
  readonly recipient: string
}

/** The request for an attempt; `undefined` for mail that is submitted locally, of which no policy server is asked. */
export function policyRequest({ client, sender, recipient }: Attempt): PolicyRequest | undefined {
  if (!client.address) return undefined
  return {
    clientAddress: client.address.text,
    clientName: client.name ?? 'unknown',
    sender: sender.text,
    recipient: recipient?.text ?? '',
  }
}

/** The part before the first @, and what follows it; the domain is `undefined` if there is no @. */
export function splitAtFirst(address: string): {
  readonly user: string
  readonly domain: string | undefined
} {
  const at = address.indexOf('@')
  if (at === -1) return { user: address, domain: undefined }
  return { user: address.slice(0, at), domain: address.slice(at + 1) }
}

/** The text with its ASCII letters in lower case: these servers read bytes, of which Perl's `lc` knows no others. */
export function lowerAscii(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
}
