// First messages that need not wait, though nothing of their client has come back yet: those that a recipient expects,
// answers to mail of one's own users, and a few a day on credit. Who the sender is has to be proven in each case, or
// anybody could write the name of one who is welcome.

import type { Address } from '../address.ts'
import type { Attempt } from '../attempt.ts'
import type { Identity } from '../identity/identity.ts'
import { organisationOf } from '../identity/organisation.ts'
import type { Store } from '../store/store.ts'
import { type Evidence, waitingIn } from './evidence.ts'
import { creditKey, creditSinceKey, expectKey, repliesKey, replyKey } from './keys.ts'

/** First messages that pass within a day though their client has not shown that it retries. */
export interface CreditSettings {
  /** The number of them that one name of a client gets. */
  readonly messages: number
  /** The number of them that all clients of one network get. */
  readonly perNetwork: number
}

/** How long credit is counted from its first message on, in milliseconds. */
const CREDIT_WINDOW = 86_400_000

/** How much more credit a name gets that has had credit for so long without exceeding it, in milliseconds. */
const GROWTH = [
  { after: 24 * 3_600_000, factor: 4 },
  { after: 4 * 3_600_000, factor: 2 },
]

/** How long it is kept since when a name has had credit, in milliseconds. */
const CREDIT_KEPT = 36 * CREDIT_WINDOW

/** Number of correspondents that are kept of one user, so that a user who writes to everybody fills no store. */
const MAX_CORRESPONDENTS = 10_000

/** Whether it is proven who the sender is: SPF passes, or the client's host is in the sender's domain. */
export function isAligned({ sender, client: { helo } }: Attempt, { spf, host }: Identity): boolean {
  if (spf === 'pass') return true
  return (
    host !== undefined && organisationOf(sender.text === '' ? (helo ?? '') : sender.domain) === host.domain
  )
}

/**
 * The keys of the counts that say whether somebody expects the attempt: its recipient from anybody, or from the
 * sender's domain. A client that is nobody in particular is never expected, and there are no keys for it.
 */
export function expectKeys(attempt: Attempt, identity: Identity): string[] {
  const { sender, recipient } = attempt
  if (!recipient || !(identity.isNamed || isAligned(attempt, identity))) return []
  return [expectKey(recipient), expectKey(recipient, organisationOf(sender.domain))]
}

/** Keeps for `window` milliseconds that the user who is `sender` has written to `recipient`. Never rejects. */
export async function learnReply(
  store: Store,
  sender: Address,
  recipient: Address,
  window: number,
): Promise<void> {
  const key = replyKey(sender, recipient)
  try {
    if (!(await store.add(key, window))) return
    if ((await store.count(repliesKey(sender), window)) > MAX_CORRESPONDENTS) await store.forget(key)
  } catch {
    // The guard around the store counts and logs failures.
  }
}

/** The key that says that the recipient has written to the sender; `undefined` if nobody vouches for the sender. */
export function writtenToKey(attempt: Attempt, identity: Identity): string | undefined {
  const { sender, recipient } = attempt
  if (!recipient || sender.text === '' || !isAligned(attempt, identity)) return undefined
  return replyKey(recipient, sender)
}

/**
 * Whether a first message passes on credit. Only a client gets it whose names prove the sender, and under none of whose
 * provable `names` but its network's anything waits or has stayed away. Asking uses it up. Credit grows with the time for
 * which a client has had it and has not exceeded it. Whoever sends a lot at once has exceeded it by then.
 */
export async function takeCredit(
  store: Store,
  attempt: Attempt,
  identity: Identity,
  { names, evidence }: { readonly names: readonly string[]; readonly evidence: Evidence },
  { messages, perNetwork }: CreditSettings,
): Promise<boolean> {
  const { id, network } = identity
  if (id === network || !isAligned(attempt, identity)) return false
  const sinceKey = creditSinceKey(id)
  const beginAnew = () => void store.forget(sinceKey).catch(() => undefined)
  if (names.some((name) => name !== network && waitingIn(evidence.tallyOf(name)) > 0)) {
    beginAnew()
    return false
  }
  const [ofName, ofNetwork, [since]] = await Promise.all([
    store.count(creditKey(id), CREDIT_WINDOW),
    store.count(creditKey(network), CREDIT_WINDOW),
    store.find([sinceKey]),
  ])
  const factor = GROWTH.find(({ after }) => since && since.age >= after)?.factor ?? 1
  if (ofName > messages * factor) {
    beginAnew()
    return false
  }
  if (!since) void store.add(sinceKey, CREDIT_KEPT).catch(() => undefined)
  return ofNetwork <= perNetwork * factor
}
