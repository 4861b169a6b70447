// Whoever decides on attempts in a simulation: greymx itself, a peer's rules, or what a log says was decided. The world
// tells a judge what happens and when, and learns the verdict; neither knows more of the other.

import type { Attempt } from '../attempt.ts'
import type { Verdict } from '../outcome.ts'

export interface Judge {
  /** The name under which its figures are printed. */
  readonly name: string
  /**
   * The stage at which mail from the null sender is judged. With `data`, a callout, which ends after RCPT, is never
   * judged and finds a valid recipient.
   */
  readonly judgesNullSenderAt: 'rcpt' | 'data'
  /**
   * The verdict on an attempt at `at`, in milliseconds of virtual time. The caller presents attempts in order of time,
   * and waits for each verdict before it presents the next attempt.
   */
  judge(attempt: Attempt, at: number): Promise<Verdict>
}
