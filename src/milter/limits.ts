// The limits on what an MTA may send in the milter protocol; session.ts enforces them. Each lies beyond what any MTA
// does, and something is left out, instead of the connection closed, wherever that is possible: a closed connection
// costs its message the MTA's default action.

/** Limits on one session; each says what happens when it is reached. */
export interface SessionLimits {
  /**
   * Bytes of a frame without its length field. Body chunks are the longest: 64 KiB, and up to 1 MiB if a filter asks
   * for it; greymx asks for no body at all. A frame that announces more is no milter command, and its connection is
   * closed at the first bytes.
   */
  readonly frame: number
  /**
   * Macros of one stage. Sendmail sends 50 at most (MAXFILTERMACROS), Postfix as many as are configured, and both send
   * the ten that greymx asks for. The first are kept, the others are left out.
   */
  readonly macros: number
  /**
   * Recipients of one transaction. Postfix sends 1000 (smtpd_recipient_limit), Sendmail has no limit of its own. The
   * recipients beyond get the reply that the last judged one got (`Handler.rcptBeyondLimit`).
   */
  readonly recipients: number
}
