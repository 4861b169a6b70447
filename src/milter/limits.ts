// The limits on what an MTA may do on our sockets. Each lies beyond what any MTA does, and its consequence is the one
// that harms mail least: a closed connection costs its message the MTA's default action, so something is left out
// instead wherever that is possible. connections.ts and session.ts enforce the limits.

/** Limits on connections; each says what happens when it is reached. */
export interface Limits {
  /**
   * Open connections. An MTA has one for each SMTP session, so that 10000 are more sessions than a host serves at
   * once. At the limit the oldest connection without a transaction is closed in favour of the newest, as most likely
   * its MTA is gone; if all are in transactions, the newest is closed.
   */
  readonly connections: number
  /**
   * Bytes kept for all connections together: incomplete frames, commands not decided yet, macros, recipients, replies
   * that the MTA has not taken. An MTA's connection takes 1 to 2 KiB. Beyond the limit the connections that hold most
   * are closed, so that an MTA that behaves never loses its own. What Node needs for a socket is not counted.
   */
  readonly memory: number
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
  /**
   * Time-out in milliseconds for the first command, for the rest of a command that has begun, and for the MTA to take
   * its replies. MTAs write a command at once and wait for its reply; the longest wait of either is 5 minutes (Postfix
   * milter_content_timeout, Sendmail T=E:5m). The connection is closed.
   */
  readonly stall: number
  /**
   * Time-out in milliseconds for a command outside of a transaction, after which the connection is closed. The MTA is
   * silent for as long as its SMTP client, which Postfix limits to 5 minutes and Sendmail to an hour. libmilter's own
   * time-out is two hours (smfi_settimeout).
   */
  readonly idle: number
  /**
   * Time-out in milliseconds for a command within a transaction, after which the connection is closed. Between DATA and
   * the end of message the MTA is silent for as long as the client takes to send its message, and neither MTA limits
   * that time as a whole.
   */
  readonly idleInTransaction: number
}
