// The admin HTTP server: /healthz for monitoring, /livez and /readyz for probes that restart greymx or keep MTAs away
// from it, /metrics for Prometheus. It changes nothing; what it shows comes from the caller.

import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import type { Change } from '../change.ts'
import { bracketedHost } from '../ip.ts'
import type { StoreState } from '../store/guard.ts'
import { withHolder } from '../taken-port.ts'

/** The state of the process, as /healthz shows it. */
export interface Health {
  readonly store: StoreState & { readonly name: string }
  /** What this host keeps beside the store; `unmerged` counts the entries that the store does not have yet. */
  readonly local?: { readonly name: string; readonly entries: number; readonly unmerged: number }
  readonly listeners: readonly string[]
  /** What the operator should look at although greymx is healthy; empty if nothing. */
  readonly warnings: readonly string[]
}

/** What the server shows; all are called anew for each request. */
export interface AdminParts {
  readonly metrics: () => Promise<{ readonly type: string; readonly text: string }>
  readonly health: () => Promise<Health>
  /** Whether the sockets for MTAs listen. */
  readonly isListening: () => boolean
}

/** Address on which the server listens; port 0 means any free port. */
export interface AdminAddress {
  readonly host: string
  readonly port: number
}

/** The admin server at the address that the settings name, or at none; closed until a change is applied. */
export class Admin {
  readonly #parts: AdminParts
  #address: AdminAddress | undefined
  #server: Server | undefined

  constructor(parts: AdminParts) {
    this.#parts = parts
  }

  /** The port on which it listens, if it does. */
  get port(): number | undefined {
    return (this.#server?.address() as AddressInfo | undefined)?.port // no path and no null: it listens on TCP
  }

  /** Prepares to listen on `address` instead, or nowhere; rejects with the address in the message. */
  async prepare(address: AdminAddress | undefined): Promise<Change> {
    if (isDeepStrictEqual(address, this.#address)) return { apply: async () => {}, abandon: async () => {} }
    const next = address && (await listen(address, this.#parts))
    return {
      apply: async () => {
        const last = this.#server
        this.#address = address
        this.#server = next
        await closeNow(last)
      },
      abandon: () => closeNow(next),
    }
  }

  /** Ends open connections, too. */
  async close(): Promise<void> {
    await closeNow(this.#server)
  }
}

async function listen(address: AdminAddress, parts: AdminParts): Promise<Server> {
  const server = createServer((request, response) => {
    answer(request.method ?? '', request.url ?? '', response, parts).catch((error: Error) => {
      send(response, 500, 'text/plain; charset=utf-8', `${error.message}\n`)
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      const url = `http://${bracketedHost(address.host)}:${address.port}`
      reject(new Error(`Cannot listen on ${url}: ${withHolder(error, address.port)}`, { cause: error }))
    })
    server.listen(address, resolve)
  })
  return server
}

async function closeNow(server: Server | undefined): Promise<void> {
  if (!server?.listening) return
  await new Promise((resolve) => {
    server.close(resolve)
    server.closeAllConnections()
  })
}

async function answer(
  method: string,
  url: string,
  response: ServerResponse,
  parts: AdminParts,
): Promise<void> {
  const path = url.replace(/\?.*$/, '')
  if (method !== 'GET' && method !== 'HEAD') {
    return send(response, 405, 'text/plain; charset=utf-8', 'expected GET\n')
  }
  if (path === '/healthz') {
    const health = await parts.health()
    const isWell = health.store.up && health.listeners.length > 0
    const body = JSON.stringify({ status: isWell ? 'ok' : 'unavailable', ...health })
    return send(response, isWell ? 200 : 503, 'application/json', `${body}\n`)
  }
  // An answer at all shows that the event loop turns.
  if (path === '/livez') return send(response, 200, 'text/plain; charset=utf-8', 'ok\n')
  if (path === '/readyz') {
    const isReady = parts.isListening()
    const body = isReady ? 'ok\n' : 'no socket listens\n'
    return send(response, isReady ? 200 : 503, 'text/plain; charset=utf-8', body)
  }
  if (path === '/metrics') {
    const { type, text } = await parts.metrics()
    return send(response, 200, type, text)
  }
  send(response, 404, 'text/plain; charset=utf-8', 'expected /livez, /readyz, /healthz or /metrics\n')
}

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' })
  response.end(body)
}
