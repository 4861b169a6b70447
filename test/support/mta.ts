// What the scenarios need of a mail server, so that each of them runs against Postfix and Sendmail alike.

/** A message as it left the MTA under test, in the SMTP dialogue with the server behind it. */
export interface DeliveredMessage {
  /** Envelope addresses without the angle brackets. */
  readonly from: string
  readonly to: readonly string[]
  /** The message without SMTP's dots, header included. */
  readonly data: Buffer
  /** What follows the header: the part that an MTA passes on as it came. */
  readonly body: Buffer
}

export interface Mta {
  readonly host: '127.0.0.1'
  readonly port: number
  /** The name it greets with. */
  readonly hostname: string
  /** Its log so far. */
  log(): Promise<string>
  /** The messages it has passed on so far, in order. It accepts mail for example.com and example.net alone. */
  delivered(): Promise<readonly DeliveredMessage[]>
  stop(): Promise<void>
}
