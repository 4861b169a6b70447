// The interface of a mail server, through which each scenario runs against Postfix and Sendmail.

/** A message as it left the MTA under test, in the SMTP dialogue with the server behind it. */
export interface DeliveredMessage {
  /** Envelope addresses without the angle brackets. */
  readonly from: string
  readonly to: readonly string[]
  /** The message without SMTP's dots, with its header. */
  readonly data: Buffer
  /** The part behind the header, which an MTA passes on unchanged. */
  readonly body: Buffer
}

export interface Mta {
  readonly host: '127.0.0.1'
  readonly port: number
  /** The name in its greeting. */
  readonly hostname: string
  /** The log so far. */
  log(): Promise<string>
  /** The messages passed on so far, in order. The MTA accepts mail for example.com and example.net only. */
  delivered(): Promise<readonly DeliveredMessage[]>
  stop(): Promise<void>
}
