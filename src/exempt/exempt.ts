// Who is never greylisted, by configuration: the lists in order → the first rule that applies.

import type { Attempt } from '../attempt.ts'
import { type AddressRule, compileAddresses } from './addresses.ts'
import { type ClientRule, compileClients } from './clients.ts'

export interface ExemptSettings {
  /** Exempts clients that authenticated. */
  readonly authenticated: boolean
  readonly clients: readonly ClientRule[]
  readonly senders: readonly AddressRule[]
  readonly recipients: readonly AddressRule[]
}

export interface Exemption {
  readonly reason: 'authenticated' | 'exempt-client' | 'exempt-sender' | 'exempt-recipient'
  /** The rule as configured. */
  readonly rule: string
}

export type Exempt = (attempt: Attempt) => Exemption | undefined

export function compileExempt(settings: ExemptSettings): Exempt {
  const clientRule = compileClients(settings.clients)
  const senderRule = compileAddresses(settings.senders)
  const recipientRule = compileAddresses(settings.recipients)
  return ({ authenticated, client, sender, recipient }) => {
    if (authenticated && settings.authenticated) return { reason: 'authenticated', rule: 'authenticated' }
    const clientMatch = clientRule(client)
    if (clientMatch) return { reason: 'exempt-client', rule: clientMatch }
    const senderMatch = senderRule(sender)
    if (senderMatch) return { reason: 'exempt-sender', rule: senderMatch }
    const recipientMatch = recipient && recipientRule(recipient)
    if (recipientMatch) return { reason: 'exempt-recipient', rule: recipientMatch }
    return undefined
  }
}
