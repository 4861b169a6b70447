// Whoever decides on attempts in a simulation: greymx itself, a peer's rules, or what a log says was decided. The world
// tells a judge what happens and when, and learns the verdict; neither knows more of the other.

import type { Address } from '../address.ts'
import type { Attempt } from '../attempt.ts'
import type { Verdict } from '../outcome.ts'

export interface Judge {
  /** The name under which its figures are printed. */
  readonly name: string
  /**
   * Whether mail of a sender is judged at DATA, and not at RCPT. A callout, which ends after RCPT, is then never judged
   * and finds a valid recipient.
   */
  judgesAtData(sender: Address): boolean
  /**
   * The verdict on an attempt at `at`, in milliseconds of virtual time. The caller presents attempts in order of time,
   * and waits for each verdict before it presents the next attempt.
   */
  judge(attempt: Attempt, at: number): Promise<Verdict>
}
