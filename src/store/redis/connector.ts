// Opens connections to a host and port, in place of the connector of ioredis, which resolves host names by getaddrinfo
// alone. How they are resolved here is in host-addresses.ts.

import { connect as connectTcp, type LookupFunction, type Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { AbstractConnector } from './ioredis.ts'
import type { ServerAddress } from './settings.ts'

/**
 * Begins to connect and returns the socket. With TLS, the certificate is checked against `address.host` as it is. The
 * socket needs a lasting listener for errors: one with TLS may emit another after its first (Node.js, lib/_tls_wrap.js,
 * _emitTLSError), as when it is closed while it refuses the certificate, and ioredis listens for one.
 */
export type OpenSocket = (address: ServerAddress) => Socket

/** An `OpenSocket` with TLS if there is a function that returns the options for it, and without otherwise. */
export function socketOpener(
  lookup: LookupFunction,
  tlsNow: (() => ConnectionOptions) | undefined,
): OpenSocket {
  if (tlsNow) return (address) => connectTls({ ...address, lookup, ...tlsNow() })
  return (address) => connectTcp({ ...address, lookup })
}

/** The class for the option `Connector` of ioredis, whose connections `open` makes. */
export function hostConnector(open: OpenSocket) {
  return class extends HostConnector {
    constructor(options: unknown) {
      super(options as GivenOptions, open) // ioredis passes its own options, with its defaults
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
    stream.on('error', (error) => {
      this.firstError ??= error
    })
    this.stream = stream
    return stream
  }
}
