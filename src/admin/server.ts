// The admin HTTP servers: on a TCP port for monitoring, /healthz, /livez, /readyz and /metrics, and for calls with a
// token; on a unix socket for the commands of operators. What the pages show comes from the caller, what calls do from
// operator/.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { resolve } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { type Change, prepareAll } from '../change.ts'
import { messageOf } from '../errors.ts'
import { bracketedHost } from '../ip.ts'
import type { Call } from '../operator/call.ts'
import { type InheritedSocket, type Listener, type ListenOn, openListener } from '../sockets/listener.ts'
import type { SocketSpec } from '../sockets/spec.ts'
import { withHolder } from '../taken-port.ts'
import { CALL_PATH, CallDesk, type CallDoor, type CallEvents } from './calls.ts'
import type { Health } from './health.ts'
import type { AdminAddress, AdminSettings, PageFor } from './settings.ts'
import { type TokenEvents, TokenFile } from './tokens.ts'

/** What the server shows; all are called anew for each request. */
export interface AdminParts {
  readonly metrics: () => Promise<{ readonly type: string; readonly text: string }>
  readonly health: () => Promise<Health>
  /** Whether the sockets for MTAs listen. */
  readonly isListening: () => boolean
  /** The calls that operators may make. */
  readonly calls: readonly Call[]
  /** What the page says of this host. */
  readonly hostName: string
  readonly version: string
}

/** Callbacks by which the owner of the servers learns what happens there. */
export interface AdminEvents extends CallEvents {
  /** The socket for commands cannot be opened at the start, which goes on without it. */
  readonly onSocketProblem: (problem: string) => void
  readonly tokens: TokenEvents
}

/** The times that a client of the servers has, in milliseconds. */
export interface AdminTimes {
  /** For the head of a request. */
  readonly head: number
  /** For all of it. */
  readonly request: number
  /** Between two requests on one connection. */
  readonly idle: number
  /** For reading an answer that is no call's, with the time in which it is made. */
  readonly answer: number
}

const TIMES: AdminTimes = { head: 10_000, request: 20_000, idle: 5_000, answer: 120_000 }

/** Open connections of one server. Further ones are closed at once. */
const MAX_CONNECTIONS = 100

/** Permission bits of the unix socket: who may open it is its group's matter. */
const SOCKET_MODE = 0o660

/** A server that listens. */
interface Open {
  readonly server: Server
  /** The unix socket that it listens on; absent for TCP. */
  readonly listener?: Listener
}

/** The admin servers at the addresses that the settings name; closed until a change is applied. */
export class Admin {
  readonly #parts: AdminParts
  readonly #events: AdminEvents
  readonly #times: AdminTimes
  readonly #desk: CallDesk
  /** The socket that the service manager has opened for us, in place of the one in the settings. */
  readonly #inherited: InheritedSocket | undefined
  #address: AdminAddress | undefined
  #server: Open | undefined
  /** Whether settings were applied before. */
  #hasStarted = false
  #socketOn: ListenOn | undefined
  #socket: Open | undefined
  #socketProblem: string | undefined
  #tokens: TokenFile | undefined
  #page: PageFor | undefined
  /** Serves the page, once somebody has asked for it: many never do, and it takes memory. */
  #servePage: Promise<ServePage> | undefined

  constructor(parts: AdminParts, events: AdminEvents, inherited?: InheritedSocket, times = TIMES) {
    this.#parts = parts
    this.#events = events
    this.#times = times
    this.#inherited = inherited
    this.#desk = new CallDesk(parts.calls, events)
  }

  /** The port on which it listens, if it does. */
  get port(): number | undefined {
    // There is no path and no null: it listens on TCP.
    return (this.#server?.server.address() as AddressInfo | undefined)?.port
  }

  /** Where commands reach it, if they do. */
  get socket(): SocketSpec | undefined {
    return this.#socket?.listener?.address
  }

  /** What the operator should look at. */
  get warnings(): readonly string[] {
    return this.#socketProblem === undefined ? [] : [`commands cannot reach greymx: ${this.#socketProblem}`]
  }

  /**
   * Prepares to listen as `settings` have it; rejects with the address or the file in the message. That the unix socket
   * cannot be opened at the start is told and not an error: mail does not wait for the operator.
   */
  async prepare({ admin, adminSocket, adminTokens, adminPage }: AdminSettings): Promise<Change> {
    return prepareAll([
      () => this.#prepareTokens(adminTokens),
      () => ({
        apply: async () => {
          this.#page = adminPage
        },
        abandon: async () => {},
      }),
      () => this.#preparePort(admin),
      () => this.#prepareSocket(adminSocket),
    ])
  }

  /** Ends open connections, too. */
  async close(): Promise<void> {
    await Promise.all([closeNow(this.#server), closeNow(this.#socket)])
  }

  #prepareTokens(path: string | undefined): Change {
    const next = path === undefined ? undefined : new TokenFile(path, this.#events.tokens)
    return {
      apply: async () => {
        this.#hasStarted = true
        this.#tokens = next
        next?.warn()
      },
      abandon: async () => {},
    }
  }

  async #preparePort(address: AdminAddress | undefined): Promise<Change> {
    if (isDeepStrictEqual(address, this.#address)) return NO_CHANGE
    const next = address && (await this.#openPort(address))
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

  async #prepareSocket(path: string | undefined): Promise<Change> {
    const on: ListenOn | undefined =
      this.#inherited ?? (path === undefined ? undefined : { kind: 'unix', path })
    const isSame = isDeepStrictEqual(on, this.#socketOn)
    let next = isSame ? this.#socket : undefined
    let problem: string | undefined
    try {
      if (on && !next) next = await this.#openSocket(on)
      problem = elsewhere(next, path)
    } catch (error) {
      if (this.#hasStarted && !isSame) throw error
      problem = messageOf(error)
    }
    return {
      apply: async () => {
        const last = this.#socket
        this.#socketOn = on
        this.#socket = next
        this.#socketProblem = problem
        if (problem !== undefined) this.#events.onSocketProblem(problem)
        if (last !== next) await closeNow(last)
      },
      abandon: async () => {
        if (next !== this.#socket) await closeNow(next)
      },
    }
  }

  async #openPort(address: AdminAddress): Promise<Open> {
    const server = this.#createServer(() => ({ kind: 'tcp', host: address.host, tokens: this.#tokens }))
    await new Promise<void>((open, reject) => {
      // This handler stays: accept(2) can fail while listening goes on, and unhandled, that ends the process.
      server.on('error', (error) => {
        const url = `http://${bracketedHost(address.host)}:${address.port}`
        reject(new Error(`Cannot listen on ${url}: ${withHolder(error, address.port)}`, { cause: error }))
      })
      server.listen(address, open)
    })
    return { server }
  }

  async #openSocket(on: ListenOn): Promise<Open> {
    const server = this.#createServer(() => ({ kind: 'socket' }))
    const events = { onSocket: () => undefined, onError: () => undefined } // the server has its own
    return { server, listener: await openListener(on, SOCKET_MODE, events, server) }
  }

  #createServer(door: () => CallDoor): Server {
    const { head, request, idle } = this.#times
    const server = createServer(
      {
        headersTimeout: head,
        requestTimeout: request,
        keepAliveTimeout: idle,
        connectionsCheckingInterval: Math.min(1000, head),
      },
      (request, response) => void this.#answer(request, response, door()),
    )
    server.maxConnections = MAX_CONNECTIONS
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) =>
      this.#clientError(error, socket),
    )
    return server
  }

  async #answer(request: IncomingMessage, response: ServerResponse, door: CallDoor): Promise<void> {
    const { method = '', url = '' } = request
    if (url.startsWith(CALL_PATH)) return this.#desk.serve(request, response, door)
    // Who does not read must not keep a connection for ever.
    const timer = setTimeout(() => response.destroy(), this.#times.answer)
    response.once('close', () => clearTimeout(timer))
    try {
      if (door.kind === 'tcp' && this.#page && !isForMonitoring(url)) {
        const serve = await this.#loadPage()
        return await serve(request, response)
      }
      await answer(method, url, response, this.#parts)
    } catch (error) {
      send(response, 500, 'text/plain; charset=utf-8', `${messageOf(error)}\n`)
    }
  }

  #loadPage(): Promise<ServePage> {
    this.#servePage ??= import('./page/page.ts').then(({ createPage }) =>
      createPage({
        ask: (call, use) => this.#desk.ask(call, use),
        health: this.#parts.health,
        hostName: this.#parts.hostName,
        version: this.#parts.version,
        settings: () => ({
          host: this.#address?.host ?? '',
          base: this.#page?.base ?? { path: '', isHttps: false },
          readers: this.#page?.readers ?? 'token',
          tokens: this.#tokens,
        }),
        refused: (reason, request) => this.#desk.refused(reason, request),
      }),
    )
    return this.#servePage
  }

  /** Answers what is no request of HTTP, or does not become one in time, and closes the connection. */
  #clientError(error: NodeJS.ErrnoException, socket: Socket): void {
    const isGone = error.code === 'ECONNRESET' || error.code === 'EPIPE' || !socket.writable
    if (isGone) return void socket.destroy()
    const isSlow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
    this.#desk.refused(isSlow ? 'slow' : 'malformed', { socket })
    // After the beginning of an answer, these lines would be taken for a part of it.
    if (socket.bytesWritten > 0) return void socket.destroy()
    const status = isSlow ? '408 Request Timeout' : '400 Bad Request'
    socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`, () => socket.destroy())
  }
}

/** Why commands do not find the socket that is open: they look for it where the setting says. */
function elsewhere(open: Open | undefined, path: string | undefined): string | undefined {
  const found = open?.listener?.address
  if (found?.kind !== 'unix' || path === undefined || resolve(path) === resolve(found.path)) return undefined
  return `systemd has opened ${found.path}, and admin_socket is ${path}: expected the same in both`
}

type ServePage = (request: IncomingMessage, response: ServerResponse) => Promise<void>

/** The paths of monitoring. */
const MONITORING = ['/healthz', '/livez', '/readyz', '/metrics']

function isForMonitoring(url: string): boolean {
  return MONITORING.includes(url.replace(/\?.*$/, ''))
}

/** The change of a part that stays as it is. */
const NO_CHANGE: Change = { apply: async () => {}, abandon: async () => {} }

async function closeNow(open: Open | undefined): Promise<void> {
  if (!open?.server.listening) return
  await new Promise((closed) => {
    open.server.close(closed)
    open.server.closeAllConnections()
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
