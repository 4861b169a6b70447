// Serves what operators ask of greymx: `POST /v1/NAME` with the parameters as JSON. It decides whether a request is
// genuine, reads it, and writes the answer; what a call does is left to operator/.
//
// Nothing is read of a body before it is certain that the caller may make calls: on the unix socket everybody who may
// open it, on the admin port who has a token.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { isIP } from 'node:net'
import type { ZodError, ZodType } from 'zod'
import { messageOf } from '../errors.ts'
import { bareHost } from '../ip.ts'
import { type Call, type Caller, Refusal } from '../operator/call.ts'
import { type KeyProblem, UsedKeys } from './keys.ts'
import { writeItems } from './stream.ts'
import type { TokenFile } from './tokens.ts'

/** Where calls are made; each followed by the name of a call. */
export const CALL_PATH = '/v1/'

/** Largest body of a request, in bytes. */
const MAX_BODY = 64 * 1024

/** Calls that run at once: so many that answer with one object, and as many with a stream. */
const MAX_RUNNING = 8

/** Calls that run at once for views of the page: so many that answer with one object, and fewer with a stream. */
const MAX_ASKED = { answers: 16, streams: 8 } as const

/** Longest text of the parameters of a change in the log, and of a value in an error, in characters. */
const MAX_LOGGED = 500
const MAX_SHOWN = 100

const STATUS_OF: { readonly [kind in Refusal['kind']]: number } = {
  unknown: 404,
  unsuited: 409,
  unavailable: 503,
}
const STATUS_OF_KEY: { readonly [kind in KeyProblem['kind']]: number } = {
  malformed: 400,
  repeated: 409,
  full: 503,
}

/**
 * Why a request is not taken for a call. `token`: it has none that counts. `forged`: a web page has sent it, or may have.
 * `repeated`: it was made before. `malformed`: it is no call. `oversized`, `slow`: its size or its time. `busy`: too
 * many at once.
 */
export const REFUSALS = ['token', 'forged', 'repeated', 'malformed', 'oversized', 'slow', 'busy'] as const
export type RefusalReason = (typeof REFUSALS)[number]

/** How a call ended: done; refused, as it could not be done; or failed by an error. */
export const CALL_RESULTS = ['ok', 'refused', 'failed'] as const
export type CallResult = (typeof CALL_RESULTS)[number]

/** What is told of calls. No token is told, and of a request that is refused nothing that is in it. */
export interface CallEvents {
  /** A change was made; `params` are its parameters in short, '' if they are confidential. */
  readonly onChange: (who: string, call: string, params: string) => void
  /** A call failed; a change may have been made in part. */
  readonly onFailure: (who: string, call: string, params: string | undefined, problem: string) => void
  readonly onRefusal: (reason: RefusalReason, peer: string) => void
  readonly onCall: (call: string, result: CallResult) => void
}

/** Where a request came in. */
export type CallDoor =
  | { readonly kind: 'socket' }
  /** `host` is the address of the setting `admin`; without `tokens`, no call can be made there. */
  | { readonly kind: 'tcp'; readonly host: string; readonly tokens: TokenFile | undefined }

/** A call that somebody asks for at the page. */
export interface PageCall {
  readonly name: string
  readonly params: unknown
  readonly caller: Caller
  readonly signal: AbortSignal
}

/** A request that is not served: why, and the answer. */
class Rejected extends Error {
  readonly status: number
  /** Absent for a slip of the operator, which is not logged. */
  readonly reason: RefusalReason | undefined

  constructor(status: number, reason: RefusalReason | undefined, message: string) {
    super(message)
    this.status = status
    this.reason = reason
  }
}

/** Serves calls, a bounded number at once. */
export class CallDesk {
  readonly #calls: ReadonlyMap<string, Call>
  readonly #events: CallEvents
  readonly #keys = new UsedKeys()
  readonly #running = { answers: 0, streams: 0 }
  readonly #asked = { answers: 0, streams: 0 }

  constructor(calls: readonly Call[], events: CallEvents) {
    this.#calls = new Map(calls.map((call) => [call.name, call]))
    this.#events = events
  }

  /** Answers a request for `CALL_PATH`. Never rejects. */
  async serve(request: IncomingMessage, response: ServerResponse, door: CallDoor): Promise<void> {
    try {
      const caller = authenticate(request, door)
      const call = this.#find(request)
      const slots = call.isStream ? 'streams' : 'answers'
      if (this.#running[slots] >= MAX_RUNNING)
        throw new Rejected(503, 'busy', `${MAX_RUNNING} calls run already: expected this one later`)
      this.#running[slots] += 1
      try {
        await this.#run(call, caller, request, response)
      } finally {
        this.#running[slots] -= 1
      }
    } catch (error) {
      if (!(error instanceof Rejected)) return sendError(response, 500, messageOf(error))
      const { status, reason, message } = error
      if (reason !== undefined) this.refused(reason, request)
      // What is left of the body is not read.
      sendJson(response, status, { error: message }, { connection: 'close' })
    }
  }

  /**
   * Makes a call for somebody who asks at the page, and hands its answer, or the stream of it, to `use`. Rejects with
   * `Refusal` when the call cannot be made or done, and with the call's own error when it fails. The page has its own
   * bound on calls that run at once, so that readers do not keep the commands of operators waiting.
   */
  async ask<T>(
    { name, params: raw, caller, signal }: PageCall,
    use: (result: Result) => Promise<T>,
  ): Promise<T> {
    const call = this.#calls.get(name)
    if (!call) throw new Refusal('unknown', `there is no call ${shown(name)}`)
    const read = call.params.safeParse(raw)
    if (!read.success) throw new Refusal('unsuited', mistakesOf(read.error, raw, call.params))
    const slots = call.isStream ? 'streams' : 'answers'
    const most = MAX_ASKED[slots]
    if (this.#asked[slots] >= most)
      throw new Refusal('unavailable', `${most} other views are made: expected this one a moment later`)
    this.#asked[slots] += 1
    try {
      return await this.#make({ call, raw, params: read.data, caller, signal }, use)
    } finally {
      this.#asked[slots] -= 1
    }
  }

  /** Notes that a request was not taken. */
  refused(reason: RefusalReason, { socket }: Pick<IncomingMessage, 'socket'>): void {
    this.#events.onRefusal(reason, socket.remoteAddress ?? 'unix socket')
  }

  #find({ method, url = '', headers }: IncomingMessage): Call {
    if (method !== 'POST') throw new Rejected(405, 'malformed', `expected POST, not ${method}`)
    const name = url.slice(CALL_PATH.length)
    const call = this.#calls.get(name)
    if (!call) {
      const known = [...this.#calls.keys()].join(', ') || 'none, as this greymx has no calls'
      // The path is not shown whole: whoever writes an address into it should not find it in a log.
      throw new Rejected(404, undefined, `there is no call ${shown(name)}: expected ${known}`)
    }
    // A form of a web page has other types, and a script of one may not send this one to another site.
    if (!/^application\/json *(; *charset="?utf-8"? *)?$/i.test(headers['content-type'] ?? ''))
      throw new Rejected(415, 'malformed', 'expected the header Content-Type: application/json')
    return call
  }

  async #run(call: Call, caller: Caller, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const text = await bodyOf(request)
    if (text === undefined) return
    const raw = parseJson(text)
    const read = call.params.safeParse(raw)
    if (!read.success) throw new Rejected(400, undefined, mistakesOf(read.error, raw, call.params))
    if (call.changes) {
      const problem = this.#keys.take(headerOf(request, 'idempotency-key'))
      if (problem) {
        const reason = problem.kind === 'full' ? 'busy' : problem.kind
        throw new Rejected(STATUS_OF_KEY[problem.kind], reason, problem.message)
      }
    }
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    const asked = { call, raw, params: read.data, caller, signal: gone.signal }
    try {
      await this.#make(asked, (result) => answer(call, result, response))
    } catch (error) {
      sendError(response, error instanceof Refusal ? STATUS_OF[error.kind] : 500, messageOf(error))
    }
  }

  /** Makes a call and hands its result to `use`; tells what it changed and how it ended. Rejects as they do. */
  async #make<T>(
    { call, raw, params, caller, signal }: Asked,
    use: (result: Result) => Promise<T>,
  ): Promise<T> {
    const logged = call.isConfidential ? '' : cut(JSON.stringify(raw), MAX_LOGGED)
    const changed = call.changes ? logged : undefined
    try {
      const used = await use(call.run(params, caller, signal))
      if (changed !== undefined) this.#events.onChange(caller.name, call.name, changed)
      this.#events.onCall(call.name, 'ok')
      return used
    } catch (error) {
      if (error instanceof Refusal) this.#events.onCall(call.name, 'refused')
      else if (call.changes || !signal.aborted) {
        this.#events.onFailure(caller.name, call.name, changed, messageOf(error))
        this.#events.onCall(call.name, 'failed')
      }
      throw error
    }
  }
}

/** A call that is to be made, with its parameters as they were given and as they were read. */
interface Asked {
  readonly call: Call
  readonly raw: unknown
  readonly params: unknown
  readonly caller: Caller
  readonly signal: AbortSignal
}

/** The answer of a call, or the stream of its items. */
export type Result = Promise<unknown> | AsyncIterable<unknown>

/** Returns who makes the request; throws when it may be no operator's. */
function authenticate(request: IncomingMessage, door: CallDoor): Caller {
  // Browsers send it with whatever a page of another site asks for; commands and programs do not.
  if (request.headers.origin !== undefined)
    throw new Rejected(403, 'forged', 'expected no header Origin: calls are not for web pages')
  if (door.kind === 'socket') return { name: nameOf(headerOf(request, 'greymx-caller')) }
  if (!isOwnHost(request.headers.host ?? '', door.host))
    throw new Rejected(
      403,
      'forged',
      'expected the header Host to be an IP address, localhost or the host in admin',
    )
  if (!door.tokens)
    throw new Rejected(
      403,
      'token',
      'calls need a token here: expected the setting admin_tokens, or a request to the unix socket of admin_socket',
    )
  const [, token] = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '') ?? []
  const name = token === undefined ? undefined : door.tokens.nameOf(token)
  if (name === undefined)
    throw new Rejected(
      401,
      'token',
      'expected the header Authorization: Bearer TOKEN, with a token of admin_tokens',
    )
  return { name: `token ${name}` }
}

/**
 * How the log names who calls through the unix socket. The command says who that is, as Node.js cannot ask the kernel:
 * all who may open the socket may do the same, and the name is for the log. It cannot be mistaken for that of a token.
 */
function nameOf(claim: string | undefined): string {
  return claim !== undefined && /^uid \d{1,10}( \([\w.@$,? +-]{1,80}\))?$/.test(claim) ? claim : 'uid unknown'
}

/**
 * Whether a request is meant for this server by its own name. A page whose site's name leads to our address, for the
 * time that its owner likes, has that name (DNS rebinding).
 */
export function isOwnHost(header: string, configured: string): boolean {
  const host = hostIn(header)
  return isIP(host) !== 0 || host === 'localhost' || host === configured.toLowerCase()
}

/** The host in a header `Host`, in small letters and without port and brackets; '' if there is none. */
export function hostIn(header: string): string {
  const [, host = ''] = /^(\[[^\]]+\]|[^:]+)(?::\d{1,5})?$/.exec(header) ?? []
  return bareHost(host).toLowerCase()
}

/** The one value of a header; `undefined` if there is none. Node.js joins the values of one that comes twice. */
function headerOf({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value.join() : value
}

/** Resolves to the body, or to `undefined` when the client has gone before its end; rejects when it is too large. */
function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    const refuse = () => {
      request.removeAllListeners('data').pause()
      reject(new Rejected(413, 'oversized', `expected a body of ${MAX_BODY} bytes at most`))
    }
    if (Number(request.headers['content-length'] ?? 0) > MAX_BODY) return refuse()
    request.on('data', (chunk: Buffer) => {
      size += chunk.length
      if (size > MAX_BODY) refuse()
      else chunks.push(chunk)
    })
    request.once('end', () => resolve(Buffer.concat(chunks)))
    request.once('close', () => resolve(undefined))
    request.once('error', () => resolve(undefined))
  })
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    throw new Rejected(400, 'malformed', 'expected a body of JSON in UTF-8, such as {}')
  }
}

/** Names each parameter that cannot be read, with its value and what was expected. */
function mistakesOf({ issues }: ZodError, raw: unknown, schema: ZodType): string {
  return issues
    .map((issue) => {
      const expected = issue.message.replace(/^Invalid (?:input|option): /, '')
      if (issue.code === 'unrecognized_keys' && issue.path.length === 0) {
        return `unknown parameter ${issue.keys.map(shown).join(', ')}: expected ${namesIn(schema)}`
      }
      if (issue.path.length === 0) return `Cannot read the parameters: ${expected}`
      const value = issue.path.reduce<unknown>(
        (outer, key) => (outer as Record<PropertyKey, unknown> | undefined)?.[key],
        raw,
      )
      return `Cannot read ${issue.path.join('.')} ${shown(value)}: ${expected}`
    })
    .join('; ')
}

/** The names of the parameters. zod itself is not imported, as that takes longer than a start without calls. */
function namesIn(schema: ZodType): string {
  const shape = 'shape' in schema ? (schema.shape as object) : {}
  return Object.keys(shape).join(', ') || 'no parameters'
}

function shown(value: unknown): string {
  return cut(JSON.stringify(value) ?? '(absent)', MAX_SHOWN)
}

function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}…`
}

async function answer(call: Call, result: Result, response: ServerResponse): Promise<void> {
  if (!(call.isStream && isStream(result))) return sendJson(response, 200, await result)
  // The status tells that the call has begun. How it ended is in the last line.
  response.writeHead(200, { ...HEADERS, 'content-type': 'application/x-ndjson' })
  response.flushHeaders()
  await writeItems(response, result)
}

function isStream(result: Result): result is AsyncIterable<unknown> {
  return Symbol.asyncIterator in result
}

const HEADERS = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } as const

/** Sends an error as the answer or, if that has begun, as the last line of the stream. */
function sendError(response: ServerResponse, status: number, error: string): void {
  if (!response.headersSent) sendJson(response, status, { error })
  else if (!response.destroyed) response.end(`${JSON.stringify({ error, status })}\n`)
}

function sendJson(
  response: ServerResponse,
  status: number,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (response.destroyed) return
  const text = `${JSON.stringify(body)}\n`
  response.writeHead(status, {
    ...HEADERS,
    ...(status === 401 ? { 'www-authenticate': 'Bearer' } : {}),
    ...(status === 405 ? { allow: 'POST' } : {}),
    ...headers,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  })
  response.end(text)
}
