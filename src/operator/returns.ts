// Counts, since the start of this process, which first attempts were deferred and which came back, for aligned senders
// and for others. Serving the counts is left to admin/metrics.ts. The statistics and the ledger, which outlive the
// process, are in statistics.ts and ledger.ts.

import { organisationOf } from '../identity/organisation.ts'
import type { Outcome } from '../outcome.ts'
import { isReturn } from './ledger.ts'

/** Whether it is proven who the sender is. */
export const SENDER_KINDS = ['aligned', 'other'] as const
export type SenderKind = (typeof SENDER_KINDS)[number]

/**
 * Counts of one kind of sender at this MX. A message that was deferred at one MX may return to another. One that passes
 * before its delay is over, as when its client is whitelisted meanwhile, may be counted twice as returned.
 */
export interface ReturnCounts {
  /** First attempts that were deferred. */
  deferred: number
  /** Deferred messages that came back and passed. */
  returned: number
}

export class Returns {
  readonly #counts = { aligned: { deferred: 0, returned: 0 }, other: { deferred: 0, returned: 0 } }

  /** The counts so far, which go on counting. */
  get counts(): { readonly [kind in SenderKind]: Readonly<ReturnCounts> } {
    return this.#counts
  }

  /** Counts an outcome, if it is a first deferral or a return. What would have been deferred is neither. */
  take(outcome: Outcome): void {
    if (outcome.would !== undefined) return
    if (outcome.reason === 'new') this.#counts[kindOf(outcome)].deferred += 1
    else if (isReturn(outcome)) this.#counts[kindOf(outcome)].returned += 1
  }
}

/**
 * The kind of the sender, by the name that stands for the client: a sender is aligned if SPF passes, or if the client's
 * confirmed host name is in the sender's domain, or in that of HELO for the null sender.
 */
function kindOf({ identity = '', attempt: { sender, client } }: Outcome): SenderKind {
  if (identity.startsWith('spf:')) return 'aligned'
  const domain = sender.text === '' ? (client.helo ?? '') : sender.domain
  return identity === `host:${organisationOf(domain)}` ? 'aligned' : 'other'
}
