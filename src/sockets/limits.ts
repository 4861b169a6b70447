// The limits on connections, in number, memory and time; connections.ts enforces them. Each lies beyond what any MTA
// does, as a closed connection costs its message the MTA's default action. What a protocol limits is left to its room.

/** Limits on connections; each says what happens when it is reached. */
export interface ConnectionLimits {
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
