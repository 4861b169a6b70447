// Who is never greylisted, by configuration: the lists in order → the first rule that applies.

import { isStandardAddress } from '../address.ts'
import type { Attempt } from '../attempt.ts'
import type { ExemptReason } from '../outcome.ts'
import { type AddressRule, compileAddresses } from './addresses.ts'
import { type ClientRule, compileClients } from './clients.ts'
import { compileTlsClients, type TlsClientRule } from './tlsclients.ts'

export interface ExemptSettings {
  /** Exempts clients that authenticated by SMTP AUTH. */
  readonly authenticated: boolean
  /** Exempts clients that authenticated by one of these certificates. */
  readonly tlsClients: readonly TlsClientRule[]
  readonly clients: readonly ClientRule[]
  readonly senders: readonly AddressRule[]
  readonly recipients: readonly AddressRule[]
  /** Hosts that hand on mail of others, such as the domain's own backup MX. */
  readonly trustedRelays: readonly ClientRule[]
  readonly greylisted: GreylistedRecipients
}

/** For whom there is greylisting at all: all, or `only` some, and in either case not those in `except`. */
export interface GreylistedRecipients {
  readonly only?: readonly AddressRule[]
  readonly except: readonly AddressRule[]
}

export interface Exemption {
  readonly reason: ExemptReason
  /** The rule that applied, in normal form; the setting's name where it is what its list does not have. */
  readonly rule: string
}

export type Exempt = (attempt: Attempt) => Exemption | undefined

/** What list files add to the settings. */
export type ExemptLists = Pick<ExemptSettings, 'clients' | 'senders' | 'recipients'>

export function compileExempt(settings: ExemptSettings, lists: ExemptLists): Exempt {
  const tlsClientRule = compileTlsClients(settings.tlsClients)
  const clientRule = compileClients([...settings.clients, ...settings.trustedRelays, ...lists.clients])
  const senderRule = compileAddresses([...settings.senders, ...lists.senders])
  const recipientRule = compileAddresses([...settings.recipients, ...lists.recipients])
  const exceptRule = compileAddresses(settings.greylisted.except)
  const onlyRule = settings.greylisted.only && compileAddresses(settings.greylisted.only)
  return ({ authenticated, certificate, client, sender, recipient }) => {
    if (authenticated && settings.authenticated) return { reason: 'authenticated', rule: 'authenticated' }
    const tlsClientMatch = certificate && tlsClientRule(certificate)
    if (tlsClientMatch) return { reason: 'authenticated', rule: tlsClientMatch }
    const clientMatch = clientRule(client)
    if (clientMatch) return { reason: 'exempt-client', rule: clientMatch }
    const senderMatch = senderRule(sender)
    if (senderMatch) return { reason: 'exempt-sender', rule: senderMatch }
    if (!recipient) return undefined
    const recipientMatch = recipientRule(recipient)
    if (recipientMatch) return { reason: 'exempt-recipient', rule: recipientMatch }
    const exceptMatch = exceptRule(recipient)
    if (exceptMatch) return { reason: 'not-greylisted', rule: exceptMatch }
    // A stranger can spell a recipient so that it is on no list and Postfix still finds it: such a one is greylisted.
    if (onlyRule && !onlyRule(recipient) && isStandardAddress(recipient)) {
      return { reason: 'not-greylisted', rule: 'only' }
    }
    return undefined
  }
}
