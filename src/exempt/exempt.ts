// Decides which attempts the configuration exempts from greylisting: it asks the lists in order, and the first rule
// that applies counts. Exemptions that need DNS are the business of greylist/investigate.ts.

import { isStandardAddress } from '../address.ts'
import type { Attempt } from '../attempt.ts'
import type { ExemptReason } from '../outcome.ts'
import { type AddressRule, compileAddresses } from './addresses.ts'
import { type ClientRule, compileClients } from './clients.ts'
import { compileTlsClients, type TlsClientRule } from './tlsclients.ts'

export interface ExemptSettings {
  /** Whether SMTP AUTH exempts a client. */
  readonly authenticated: boolean
  /** Certificates that exempt a client. */
  readonly tlsClients: readonly TlsClientRule[]
  readonly clients: readonly ClientRule[]
  readonly senders: readonly AddressRule[]
  readonly recipients: readonly AddressRule[]
  /** Hosts that relay mail of others, such as the domain's own backup MX. */
  readonly trustedRelays: readonly ClientRule[]
  /** Whose mail is greylisted; `store` if operators keep that in the store, while greymx runs. */
  readonly greylisted: GreylistedRecipients | 'store'
}

/** Recipients whose mail is greylisted: all, or those in `only`, and in either case without those in `except`. */
export interface GreylistedRecipients {
  readonly only?: readonly AddressRule[]
  readonly except: readonly AddressRule[]
}

export interface Exemption {
  readonly reason: ExemptReason
  /** The rule that applied, in normal form, or the name of a setting whose list does not have the recipient. */
  readonly rule: string
}

/** The exemption of an attempt, or `undefined` if it is not exempt. */
export type Exempt = (attempt: Attempt) => Exemption | undefined

/** Rules from list files, which add to the settings. */
export type ExemptLists = Pick<ExemptSettings, 'clients' | 'senders' | 'recipients'>

/** A setting that exempts attempts. */
export interface ExemptStep {
  /** Its name; `recipients` is the setting of who is greylisted at all. */
  readonly setting: string
  readonly exempt: Exempt
}

/** The function that decides by these settings and lists. */
export function compileExempt(settings: ExemptSettings, lists: ExemptLists): Exempt {
  return firstExemption(compileExemptSteps(settings, lists))
}

/** The function that decides by the first of `steps` that exempts an attempt. */
export function firstExemption(steps: readonly ExemptStep[]): Exempt {
  return (attempt) => {
    for (const { exempt } of steps) {
      const exemption = exempt(attempt)
      if (exemption) return exemption
    }
    return undefined
  }
}

/**
 * The settings and lists in the order in which they are asked, the first of which that exempts an attempt counts.
 * `byStore` is what operators keep in the store of whose mail is greylisted; that of everybody by default.
 */
export function compileExemptSteps(
  settings: ExemptSettings,
  lists: ExemptLists,
  byStore: Exempt = () => undefined,
): ExemptStep[] {
  const tlsClientRule = compileTlsClients(settings.tlsClients)
  const clientRule = compileClients([...settings.clients, ...settings.trustedRelays, ...lists.clients])
  const senderRule = compileAddresses([...settings.senders, ...lists.senders])
  const recipientRule = compileAddresses([...settings.recipients, ...lists.recipients])
  const { greylisted } = settings
  return [
    {
      setting: 'exempt.authenticated',
      exempt: ({ authenticated }) =>
        authenticated && settings.authenticated
          ? { reason: 'authenticated', rule: 'authenticated' }
          : undefined,
    },
    {
      setting: 'exempt.tls_clients',
      exempt: ({ certificate }) => exemption('authenticated', certificate && tlsClientRule(certificate)),
    },
    { setting: 'exempt.clients', exempt: ({ client }) => exemption('exempt-client', clientRule(client)) },
    { setting: 'exempt.senders', exempt: ({ sender }) => exemption('exempt-sender', senderRule(sender)) },
    {
      setting: 'exempt.recipients',
      exempt: ({ recipient }) => exemption('exempt-recipient', recipient && recipientRule(recipient)),
    },
    { setting: 'recipients', exempt: greylisted === 'store' ? byStore : compileGreylisted(greylisted) },
  ]
}

/** The function that exempts recipients whose mail is not greylisted. */
export function compileGreylisted({ only, except }: GreylistedRecipients): Exempt {
  const exceptRule = compileAddresses(except)
  const onlyRule = only && compileAddresses(only)
  return ({ recipient }) => {
    if (!recipient) return undefined
    const exceptMatch = exceptRule(recipient)
    if (exceptMatch) return { reason: 'not-greylisted', rule: exceptMatch }
    // A stranger can spell a recipient so that no list has it and Postfix still delivers to it, so it is greylisted.
    if (onlyRule && !onlyRule(recipient) && isStandardAddress(recipient))
      return { reason: 'not-greylisted', rule: 'only' }
    return undefined
  }
}

function exemption(reason: ExemptReason, rule: string | undefined): Exemption | undefined {
  return rule ? { reason, rule } : undefined
}
