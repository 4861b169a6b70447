// One attempt of a client to hand in mail: a recipient with its circumstances. When the key has no recipient, an
// attempt is a sender with its circumstances.

import type { Address } from './address.ts'
import type { ClientCertificate } from './certificate.ts'
import type { IpAddress } from './ip.ts'

/** The SMTP client whose mail is judged. */
export interface Client {
  /** Absent when the MTA knows none, as for mail that is submitted locally. */
  readonly address?: IpAddress | undefined
  /** The IPv6 address that the MTA gave, when `address` is the IPv4 address embedded in it. */
  readonly ipv6Form?: IpAddress | undefined
  /** Host name in lower case; absent unless the MTA has forward-confirmed it. */
  readonly name?: string | undefined
  /** The name that the client gave in HELO or EHLO; a stranger can claim any name. */
  readonly helo?: string | undefined
}

/** An attempt as greylister and exemptions judge it. */
export interface Attempt {
  readonly client: Client
  /** True when the client has authenticated with SMTP AUTH. */
  readonly authenticated: boolean
  /** The client's TLS certificate; absent when it has none, or no setting has rules for certificates. */
  readonly certificate?: ClientCertificate | undefined
  readonly sender: Address
  /** Absent when the key has no recipient, so that the sender is judged. */
  readonly recipient?: Address | undefined
  /** Host name of the MTA that asks. */
  readonly mta?: string | undefined
  /** The MTA's queue id, once it has one. */
  readonly queueId?: string | undefined
}
