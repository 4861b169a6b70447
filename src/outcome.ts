// The outcome of an attempt, as reply, log and metrics see it. The reasons are a promise to operators, who find them in
// log and metrics.

import type { Attempt } from './attempt.ts'

/** The greylister's answer: the mail passes, or is deferred. */
export type Verdict = 'pass' | 'tempfail'

/** Reasons for which the configuration exempts an attempt. */
export type ExemptReason =
  | 'authenticated'
  | 'exempt-client'
  | 'exempt-sender'
  | 'exempt-recipient'
  | 'exempt-spf'
  | 'not-greylisted'

/** Reasons for a verdict; README explains each to the operator. */
export type Reason =
  | 'new'
  | 'early'
  | 'retry'
  | 'known'
  | 'auto-whitelist'
  | 'carrier'
  | 'credit'
  | 'expected'
  | 'written-to'
  | 'max-deferrals'
  | 'off'
  | ExemptReason
  | 'observe'
  | 'store-error'

/** The verdicts that each reason may have. */
export const VERDICTS: { readonly [reason in Reason]: readonly Verdict[] } = {
  new: ['tempfail'],
  early: ['tempfail'],
  retry: ['pass'],
  known: ['pass'],
  'auto-whitelist': ['pass'],
  carrier: ['pass'],
  credit: ['pass'],
  expected: ['pass'],
  'written-to': ['pass'],
  'max-deferrals': ['pass'],
  off: ['pass'],
  authenticated: ['pass'],
  'exempt-client': ['pass'],
  'exempt-sender': ['pass'],
  'exempt-recipient': ['pass'],
  'exempt-spf': ['pass'],
  'not-greylisted': ['pass'],
  observe: ['pass'],
  'store-error': ['tempfail', 'pass'],
}

/** A verdict on an attempt, and how it came about. */
export interface Outcome {
  readonly attempt: Attempt
  readonly verdict: Verdict
  readonly reason: Reason
  /** The part of the key that stands for the client; absent when no key was needed. */
  readonly identity?: string
  /**
   * The name of the client that the verdict follows from, with its returns and deferrals: `spf:example.org(3/4)`. It
   * begins with `crowd:` where the client waits longer because of its network.
   */
  readonly evidence?: string
  /** With reason `observe` or `off`: the reason for which the attempt would have been deferred. */
  readonly would?: Reason
  /** The rule that exempted the attempt: a configured one, or one that an operator made, such as `allow:4f2a`. */
  readonly rule?: string
  /** Milliseconds since the first attempt. */
  readonly waited: number
  /** Milliseconds until a retry passes; 0 on a pass. */
  readonly retryIn: number
  /** Short name of sender and recipient, the same on every host; reply and log show it. */
  readonly ref?: string
  /** With reason `max-deferrals`: the number of deferrals after which the attempt passed. */
  readonly deferrals?: number
  /**
   * With reason `max-deferrals`: the setting that would spare the sender deferrals; absent when it is not proven who
   * the sender is.
   */
  readonly hint?: string
  /** Present when the store failed and the local store of this host decided. */
  readonly store?: 'local'
  /** Error message of the store, when it failed. */
  readonly error?: string
}
