// Rules that operators make while greymx runs (`greymx allow`, `greymx off`): compiles a list of them into a function.
// Where they are kept, and how every MX gets them, is left to operator/rulebook.ts.

import type { Attempt } from '../attempt.ts'
import { compileAddresses, parseAddressRule } from './addresses.ts'
import { compileClients, parseClientRule } from './clients.ts'
import type { Exemption } from './exempt.ts'

/** A rule for attempts to which all of its criteria apply; one without criteria is for all attempts. */
export interface RuntimeRule {
  /** Short name by which the operator ends it. */
  readonly id: string
  /** `allow`: such mail is exempt. `off`: it is judged, and passes whatever the verdict is. */
  readonly kind: 'allow' | 'off'
  /** A client, in one of `CLIENT_RULE_FORMS`. */
  readonly client?: string | undefined
  /** A sender, in one of `ADDRESS_RULE_FORMS`. */
  readonly sender?: string | undefined
  /** A recipient, in one of `ADDRESS_RULE_FORMS`. */
  readonly recipient?: string | undefined
  /** Milliseconds since the epoch from which on the rule has no effect; absent if it is for good. */
  readonly until?: number | undefined
}

/** The rule for an attempt: one that allows it, else one that switches greylisting off for it, else `undefined`. */
export type RuntimeRuleFor = (attempt: Attempt) => RuntimeRule | undefined

type Matches = (attempt: Attempt) => boolean

/** The function for these rules; `now` returns milliseconds since the epoch. Throws when a rule cannot be read. */
export function compileRuntimeRules(rules: readonly RuntimeRule[], now: () => number): RuntimeRuleFor {
  const compiled = rules
    .toSorted((one, other) => rankOf(one) - rankOf(other))
    .map((rule) => ({ rule, matches: compileRule(rule) }))
  if (compiled.length === 0) return () => undefined
  const mayMatch = compileMayMatch(rules)
  return (attempt) => {
    if (!mayMatch(attempt)) return undefined
    const found = compiled.find(
      ({ rule, matches }) => (rule.until === undefined || rule.until > now()) && matches(attempt),
    )
    return found?.rule
  }
}

/** Begins the rule of an outcome that an operator has allowed; the rule's id follows. */
export const ALLOWED_BY = 'allow:'

/** The exemption by a rule that allows mail. With a recipient, it says nothing about the message's other recipients. */
export function exemptionBy({ id, client, recipient }: RuntimeRule): Exemption {
  const rule = `${ALLOWED_BY}${id}`
  if (recipient !== undefined) return { reason: 'exempt-recipient', rule }
  return { reason: client === undefined ? 'exempt-sender' : 'exempt-client', rule }
}

/** Rules that allow mail come first, and those that switch greylisting off for all mail last. */
function rankOf({ kind, client, sender, recipient }: RuntimeRule): number {
  if (kind === 'allow') return 0
  return client === undefined && sender === undefined && recipient === undefined ? 2 : 1
}

function compileRule({ client, sender, recipient }: RuntimeRule): Matches {
  const matchers: Matches[] = []
  if (client !== undefined) {
    const matchesClient = compileClients([parseClientRule(client)])
    matchers.push((attempt) => matchesClient(attempt.client) !== undefined)
  }
  if (sender !== undefined) {
    const matchesSender = compileAddresses([parseAddressRule(sender)])
    matchers.push((attempt) => matchesSender(attempt.sender) !== undefined)
  }
  if (recipient !== undefined) {
    const matchesRecipient = compileAddresses([parseAddressRule(recipient)])
    matchers.push(
      (attempt) => attempt.recipient !== undefined && matchesRecipient(attempt.recipient) !== undefined,
    )
  }
  return (attempt) => matchers.every((matches) => matches(attempt))
}

/**
 * A quick look whether any rule can match, by one criterion of each: the time that it takes does not depend on the number
 * of rules, and nearly all mail ends here.
 */
function compileMayMatch(rules: readonly RuntimeRule[]): Matches {
  const clients: string[] = []
  const senders: string[] = []
  const recipients: string[] = []
  for (const { client, sender, recipient } of rules) {
    if (recipient !== undefined) recipients.push(recipient)
    else if (sender !== undefined) senders.push(sender)
    else if (client !== undefined) clients.push(client)
    else return () => true
  }
  const matchesClient = compileClients(clients.map(parseClientRule))
  const matchesSender = compileAddresses(senders.map(parseAddressRule))
  const matchesRecipient = compileAddresses(recipients.map(parseAddressRule))
  return ({ client, sender, recipient }) =>
    (recipient !== undefined && matchesRecipient(recipient) !== undefined) ||
    matchesSender(sender) !== undefined ||
    matchesClient(client) !== undefined
}
