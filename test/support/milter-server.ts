// A server of the milter protocol, with a handler of the test.

import { type Handler, Session, type SessionFault } from '../../src/milter/session.ts'
import type { ConnectionFault } from '../../src/sockets/connections.ts'
import type { ListenOn } from '../../src/sockets/listener.ts'
import { Server } from '../../src/sockets/server.ts'
import type { SocketSpec } from '../../src/sockets/spec.ts'
import type { Limits } from '../milter/recording.ts'

export interface ServerOptions {
  readonly listen: readonly ListenOn[]
  readonly socketMode: number
  readonly limits: Limits
  readonly newHandler: () => Handler
  readonly onConnection: (open: number) => void
  readonly onProtocolError: (kind: SessionFault | ConnectionFault, reason: string, peer: string) => void
}

export interface MilterServer {
  readonly addresses: readonly SocketSpec[]
  /** Listens at these endpoints and no others, with unchanged limits. */
  listen(listen: readonly ListenOn[], socketMode: number): Promise<void>
  useLimits(limits: Limits): Promise<void>
  close(graceMs: number, silenceMs?: number): Promise<void>
}

/** Starts a server; rejects when a socket cannot be opened. */
export async function startServer(options: ServerOptions): Promise<MilterServer> {
  const server = new Server<SessionFault>(options.limits, {
    onConnection: options.onConnection,
    onFault: options.onProtocolError,
  })
  let { listen, socketMode, limits } = options
  const use = async (next: Pick<ServerOptions, 'listen' | 'socketMode' | 'limits'>) => {
    const endpoints = next.listen.map((on) => ({
      on,
      protocol: 'milter',
      newSession: (peer: ConstructorParameters<typeof Session>[1]) =>
        new Session(options.newHandler(), peer, next.limits),
    }))
    const change = await server.prepare({ endpoints, socketMode: next.socketMode, limits: next.limits })
    await change.apply()
    listen = next.listen
    socketMode = next.socketMode
    limits = next.limits
  }
  await use(options)
  return {
    get addresses() {
      return server.addresses
    },
    listen: (on, mode) => use({ listen: on, socketMode: mode, limits }),
    useLimits: (next) => use({ listen, socketMode, limits: next }),
    close: (graceMs, silenceMs) => server.close(graceMs, silenceMs),
  }
}
