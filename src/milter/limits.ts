// How far an MTA may go on our sockets before something is done about it. Each limit lies beyond what any MTA does, and
// what happens at it harms mail least: a connection that is closed costs the MTA's default action for its message, so
// where something can be left out instead, it is.

export interface Limits {
  /**
   * Open connections. An MTA has one for each SMTP session, so that 10000 are more sessions than a host serves at
   * once. At the limit the oldest connection without a transaction makes room for the newest, as most likely nobody
   * is behind it any more; where there is none, the newest is closed.
   */
  readonly connections: number
  /**
   * Bytes that all connections together may have us keep: pieces of frames, commands not decided yet, macros,
   * recipients, replies not taken. An MTA's connection is good for 1 to 2 KiB. Beyond, those that hold most are
   * closed, so that it never comes to one that behaves. What Node needs for a socket is not counted.
   */
  readonly memory: number
  /**
   * Bytes of a frame without its length. Body chunks are the longest: 64 KiB, and up to 1 MiB where a filter asks for
   * it; greymx asks for no body at all. What announces more is no milter command, and is closed at its first bytes.
   */
  readonly frame: number
  /**
   * Macros of one stage. Sendmail sends 50 at most (MAXFILTERMACROS), Postfix as many as are configured, and both the
   * ten that greymx asks for. The first are kept, the rest is left out.
   */
  readonly macros: number
  /**
   * Recipients of one transaction. Postfix sends 1000 (smtpd_recipient_limit), Sendmail has no limit of its own. What
   * comes behind is answered with `continue` and not judged: a recipient too many is let through, none is refused.
   */
  readonly recipients: number
  /**
   * Longest time in milliseconds for the first command to come, for one that has begun to be whole, and for replies to
   * be taken. MTAs write a command at once and wait for its reply; the longest wait of either is 5 minutes (Postfix
   * milter_content_timeout, Sendmail T=E:5m).
   */
  readonly stall: number
  /**
   * Longest silence in milliseconds outside of a transaction: as long as an SMTP client may say nothing, which Postfix
   * bounds with 5 minutes and Sendmail with an hour. libmilter's own is two hours (smfi_settimeout).
   */
  readonly idle: number
  /**
   * Longest silence in milliseconds within a transaction. Between DATA and the end of message we hear nothing for as
   * long as the client takes to send its message, and neither MTA bounds that as a whole.
   */
  readonly idleInTransaction: number
}
