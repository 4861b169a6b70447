// Tells which senders other servers use to verify addresses. Such a callout ends after RCPT; when its mail is judged at
// DATA, the callout finds a valid recipient and leaves nothing behind. At which stage it is judged, each door decides.

import type { Address } from '../address.ts'
import { type AddressRule, compileAddresses } from './addresses.ts'

/** The function that tells whether mail of a sender may be a callout: the null sender, or one of these. */
export function compileProbeSenders(rules: readonly AddressRule[]): (sender: Address) => boolean {
  const ruleOf = compileAddresses(rules)
  return (sender) => sender.text === '' || ruleOf(sender) !== undefined
}
