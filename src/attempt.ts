// One attempt to hand in mail: a recipient (or, where the key has none, a sender) with its circumstances.

import type { Address } from './address.ts'
import type { ClientCertificate } from './certificate.ts'
import type { IpAddress } from './ip.ts'

/** The SMTP client whose mail is judged. */
export interface Client {
  /** Absent when the MTA has none, as for mail submitted locally. */
  readonly address?: IpAddress | undefined
  /** The IPv6 address that the MTA gave, where `address` is the IPv4 address within it. */
  readonly ipv6Form?: IpAddress | undefined
  /** Host name, lower case, only when forward-confirmed by the MTA. */
  readonly name?: string | undefined
  /** What it called itself in HELO or EHLO; anybody can claim anything there. */
  readonly helo?: string | undefined
}

export interface Attempt {
  readonly client: Client
  /** By SMTP AUTH. */
  readonly authenticated: boolean
  /** That of the client, where the settings have rules for certificates. */
  readonly certificate?: ClientCertificate | undefined
  readonly sender: Address
  /** Absent where the key has no recipient and the sender is judged. */
  readonly recipient?: Address | undefined
  /** Host name of the MTA that asks. */
  readonly mta?: string | undefined
  /** The MTA's queue id, once it has one. */
  readonly queueId?: string | undefined
}
