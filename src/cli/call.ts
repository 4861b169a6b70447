// Asks the running daemon for a command, through the unix socket that the setting `admin_socket` names, and prints what
// stands in the way. What an answer means, and how it is shown, is left to the commands.

import { randomUUID } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { userInfo } from 'node:os'
import { loadAdminSocket } from '../config/load.ts'
import { messageOf } from '../errors.ts'
import { EXIT, type ExitStatus } from './exit.ts'
import { complain } from './output.ts'
import { Waiting } from './progress.ts'

/** Longest wait for the beginning of an answer, and for the rest of one that is no stream, in milliseconds. */
const ANSWER_TIMEOUT = 300_000

/** Longest answer, and longest item of a stream, in characters: what is longer is not from greymx. */
const MAX_ANSWER_LENGTH = 64 * 1024 * 1024

/** Longest problem that is shown, in characters. */
const MAX_PROBLEM_LENGTH = 2000

/** Statuses of HTTP by which the daemon says that it cannot do this, however often it is asked. */
const MISUSES: readonly number[] = [400, 404, 409, 413, 415]

/** What all commands that ask the daemon are given. */
export interface CallValues {
  readonly config: string | undefined
  readonly json: boolean
}

/** Why there is no answer; it is printed once, as the command ends. */
class Problem extends Error {
  readonly status: ExitStatus

  constructor(status: ExitStatus, message: string) {
    super(message)
    this.status = status
  }
}

/**
 * Returns the daemon's answer, or the exit status after the problem was printed. No text of the answer has a control
 * character, so that it can be printed on a terminal.
 */
export function callDaemon(
  values: CallValues,
  name: string,
  params: unknown,
): Promise<{ readonly answer: unknown } | { readonly status: ExitStatus }> {
  const waiting = new Waiting(() => process.stderr)
  return explaining(values, async (path) => {
    const response = await ask(path, name, params)
    return { answer: parse(await bodyOf(response)) }
  }).finally(() => waiting.end())
}

/**
 * Hands each item of a stream to `take` and returns the exit status, after a problem was printed if there is one. No
 * text of an item has a control character. The stream ends early when `take` returns false, as `print` does when its
 * reader has gone.
 */
export async function streamFromDaemon(
  values: CallValues,
  name: string,
  params: unknown,
  take: (item: unknown) => unknown,
): Promise<ExitStatus> {
  const waiting = new Waiting(() => process.stderr)
  const takeItem = (item: unknown) => {
    waiting.end()
    return take(item)
  }
  const { status } = await explaining(values, async (path) => {
    const response = await ask(path, name, params)
    if (!(await readStream(response, takeItem)))
      throw new Problem(EXIT.unavailable, 'the answer broke off: what was printed is not all of it')
    return { status: EXIT.ok }
  }).finally(() => waiting.end())
  return status
}

/** Returns what `act` returns, or the exit status after the reason for its failure was printed. */
async function explaining<T>(
  { config: file }: CallValues,
  act: (path: string) => Promise<T>,
): Promise<T | { readonly status: ExitStatus }> {
  const loaded = loadAdminSocket(file)
  if (loaded.kind === 'faults') {
    complain(loaded.faults.map((fault) => `${fault}\n`).join(''))
    return { status: EXIT.config }
  }
  const { path } = loaded
  if (path === undefined) {
    complain('Cannot ask the daemon: admin_socket is false: expected the path of its socket\n')
    return { status: EXIT.unavailable }
  }
  try {
    return await act(path)
  } catch (error) {
    const text = printable(messageOf(error)).slice(0, MAX_PROBLEM_LENGTH)
    if (error instanceof Problem && error.status === EXIT.usage) complain(`${text}\n`)
    else complain(`Cannot ask the daemon on unix:${path}: ${text}\n`)
    return { status: error instanceof Problem ? error.status : EXIT.unavailable }
  }
}

/** Resolves to the answer, as soon as it begins; rejects when the daemon refuses. */
async function ask(path: string, name: string, params: unknown): Promise<IncomingMessage> {
  const response = await send(path, name, JSON.stringify(params))
  if (response.statusCode === 200) return response
  throw refused(response.statusCode ?? 0, await bodyOf(response))
}

function send(path: string, name: string, body: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        socketPath: path,
        method: 'POST',
        path: `/v1/${name}`,
        headers: {
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(body),
          'idempotency-key': `${Date.now()}-${randomUUID()}`,
          'greymx-caller': caller(),
        },
        agent: false,
        timeout: ANSWER_TIMEOUT,
      },
      resolve,
    )
    asked.once('timeout', () =>
      asked.destroy(new Problem(EXIT.unavailable, `no answer within ${ANSWER_TIMEOUT / 1000} s`)),
    )
    asked.once('error', (error: NodeJS.ErrnoException) => reject(unreachable(error, path)))
    asked.end(body)
  })
}

/** Who asks, for the daemon's log, such as `uid 0 (root, sudo by anna)`. */
function caller(): string {
  const uid = `uid ${process.getuid?.() ?? 'unknown'}`
  const { SUDO_USER: sudo } = process.env
  const names = [userName(), ...(sudo ? [`sudo by ${sudo}`] : [])].filter(Boolean).join(', ')
  return names === '' ? uid : `${uid} (${names.replace(/[^\w.@$, +-]/g, '?').slice(0, 80)})`
}

/** The user's name; empty for a user without one, as in a container. */
function userName(): string {
  try {
    return userInfo().username
  } catch {
    return ''
  }
}

function unreachable(error: NodeJS.ErrnoException, path: string): Error {
  switch (error.code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
      return new Problem(
        EXIT.unavailable,
        `${error.message}: expected greymx serve to run, and admin_socket to be the same in both`,
      )
    case 'EACCES':
      return new Problem(
        EXIT.unavailable,
        `no permission: expected a user who may open ${path}, such as one ${ownerOf(path)}`,
      )
    case 'ECONNRESET':
    case 'EPIPE':
      return new Problem(
        EXIT.unavailable,
        `the daemon closed the connection without an answer (${error.code})`,
      )
    default:
      return error
  }
}

/** Whom the socket's permissions let in, as the end of a sentence. */
function ownerOf(path: string): string {
  try {
    const { gid } = statSync(path)
    const name = readFileSync('/etc/group', 'utf8')
      .split('\n')
      .map((line) => line.split(':'))
      .find(([, , id]) => id === String(gid))?.[0]
    return `in its group, ${name ?? `which has the number ${gid}`}`
  } catch {
    return 'who may also open the folder that it is in'
  }
}

function refused(status: number, body: string): Problem {
  const error = errorIn(body)
  const other = `the answer has the status ${status} of HTTP: expected greymx serve at this socket`
  const isMisuse = error !== undefined && MISUSES.includes(status)
  return new Problem(isMisuse ? EXIT.usage : EXIT.unavailable, error ?? other)
}

/** The error that the daemon gives as JSON; `undefined` when somebody else has answered. */
function errorIn(body: string): string | undefined {
  try {
    const { error } = JSON.parse(body) as Record<string, unknown>
    return typeof error === 'string' ? error : undefined
  } catch {
    return undefined
  }
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  let body = ''
  for await (const text of texts(response)) {
    body += text
    if (body.length > MAX_ANSWER_LENGTH) throw new Problem(EXIT.unavailable, 'the answer does not end')
  }
  return body
}

/**
 * Hands each item to `take`; resolves to whether the stream was complete, or as long as it was wanted. Rejects with the
 * error that ended it.
 */
async function readStream(response: IncomingMessage, take: (item: unknown) => unknown): Promise<boolean> {
  response.socket.setTimeout(0) // a stream may be silent for as long as nothing happens
  let rest = ''
  for await (const text of texts(response)) {
    const lines = (rest + text).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > MAX_ANSWER_LENGTH)
      throw new Problem(EXIT.unavailable, 'a line of the answer does not end')
    for (const line of lines) {
      const { item, end, error, status } = parse(line) as Record<string, unknown>
      if (item !== undefined && take(item) === false) return true
      if (error !== undefined) throw refused(Number(status), line)
      if (end !== undefined) return true
    }
  }
  return false
}

/** The texts of an answer; ends early when the connection breaks off. */
async function* texts(response: IncomingMessage): AsyncIterable<string> {
  try {
    yield* response.setEncoding('utf8') as AsyncIterable<string>
  } catch (error) {
    if (!response.destroyed || (error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text, (_, value: unknown) => (typeof value === 'string' ? printable(value) : value))
  } catch {
    throw new Problem(EXIT.unavailable, 'the answer is not complete, or is not from greymx')
  }
}

/** The text without control characters and line ends: strangers write it, and another program may have answered. */
function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, ' ')
}
