// What became of an attempt, as reply, log and metrics see it. The reasons are a promise to operators.

import type { Attempt } from './attempt.ts'

export type Verdict = 'pass' | 'tempfail'

/** Why an attempt is never greylisted, by configuration. */
export type ExemptReason =
  | 'authenticated'
  | 'exempt-client'
  | 'exempt-sender'
  | 'exempt-recipient'
  | 'exempt-spf'
  | 'not-greylisted'

export type Reason =
  | 'new'
  | 'early'
  | 'retry'
  | 'known'
  | 'auto-whitelist'
  | 'max-deferrals'
  | ExemptReason
  | 'observe'
  | 'store-error'

export interface Outcome {
  readonly attempt: Attempt
  readonly verdict: Verdict
  readonly reason: Reason
  /** What stood for the client in the key; absent where no key was needed. */
  readonly identity?: string
  /** With reason `observe`: why it would have been deferred. */
  readonly would?: Reason
  /** The configured rule that exempted it. */
  readonly rule?: string
  /** Milliseconds since the first attempt. */
  readonly waited: number
  /** Milliseconds until a retry passes; 0 on a pass. */
  readonly retryIn: number
  /** Short name of what the sender sends to the recipient, the same on every host; in reply and log. */
  readonly ref?: string
  /**
   * With reason `max-deferrals`: after how many of them, and the setting that would spare the sender so many, where it
   * is known who the sender is.
   */
  readonly deferrals?: number
  readonly hint?: string
  /** The store failed, and this was decided by what this host knows alone. */
  readonly store?: 'local'
  /** What the store said when it failed. */
  readonly error?: string
}
