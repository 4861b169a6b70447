// What a log tells of one attempt of a client to hand in mail. Reading logs is left to read.ts, judging to replay.ts.

import type { Attempt } from '../../attempt.ts'
import type { Verdict } from '../../outcome.ts'

/** The program whose lines tell of an attempt. */
export type LogSource = 'greymx' | 'postfix' | 'sendmail'

/** A line of a file; lines are counted from 1. */
export interface Place {
  readonly file: string
  readonly line: number
}

/** The verdict of the greylister that was at work. */
export interface LoggedVerdict {
  /** The verdict itself, or the one that greymx would have had, where it only observed. */
  readonly verdict: Verdict
  /** The reason in greymx's words; absent in the log of an MTA. */
  readonly reason?: string
}

/** An attempt, with everything else that the log tells of it. */
export interface LoggedAttempt {
  readonly attempt: Attempt
  /** Milliseconds since the first attempt of all logs; never less than that of the attempt before. */
  readonly at: number
  readonly source: LogSource
  /** The line with the time of the attempt. */
  readonly place: Place
  /** Absent when no greylister has decided, or one whose store had failed. */
  readonly logged?: LoggedVerdict | undefined
  /** The identity that greymx logged, such as `spf:example.org`. */
  readonly identity?: string | undefined
  /** Names the message on its MTA; the recipients of one message share it. Absent when the log has no queue id. */
  readonly message?: string | undefined
  /** Whether the client is known to have ended the message before DATA, as a callout does. */
  readonly endedBeforeData: boolean
}
