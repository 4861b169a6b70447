// The way to a server at a host and port. In place of the client's own way, which leaves it to getaddrinfo alone where
// the host is: see lookup.ts.

import { connect as connectTcp, type LookupFunction, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { AbstractConnector } from './ioredis.ts'
import type { ServerAddress } from './settings.ts'

/** Begins a connection. Certificates are checked against the host as it is written here. */
export type OpenSocket = (address: ServerAddress) => Socket

/** Without TLS where there are no options for it. */
export function socketOpener(lookup: LookupFunction, tls: ConnectionOptions | undefined): OpenSocket {
  if (tls) return (address) => connectTls({ ...address, lookup, ...tls })
  return (address) => connectTcp({ ...address, lookup })
}

/** What the client takes for its option `Connector`. */
export function hostConnector(open: OpenSocket) {
  return class extends HostConnector {
    constructor(options: unknown) {
      super(options as GivenOptions, open) // the client hands over its own, with its defaults
    }
  }
}

type GivenOptions = ServerAddress & { readonly disconnectTimeout: number }

class HostConnector extends AbstractConnector {
  readonly #address: ServerAddress
  readonly #open: OpenSocket

  constructor({ host, port, disconnectTimeout }: GivenOptions, open: OpenSocket) {
    super(disconnectTimeout)
    this.#address = { host, port }
    this.#open = open
  }

  override async connect(): Promise<Socket> {
    this.connecting = true
    const stream = this.#open(this.#address)
    stream.once('error', (error) => {
      this.firstError = error
    })
    this.stream = stream
    return stream
  }
}
