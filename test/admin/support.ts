// Runs the admin servers with calls that a test defines, and makes requests to them: sound ones, and raw bytes.

import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { connect, type NetConnectOpts } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import type { CallResult, RefusalReason } from '../../src/admin/calls.ts'
import { Admin, type AdminParts, type AdminTimes } from '../../src/admin/server.ts'
import type { AdminSettings } from '../../src/admin/settings.ts'
import { type Call, type Caller, defineCall, defineStream, Refusal } from '../../src/operator/call.ts'
import { endWith, type Scope, scratch } from '../support/scratch.ts'

/** What the calls of the test have done, and what the server told. */
export interface Seen {
  readonly changes: string[]
  readonly logged: string[]
  readonly failures: string[]
  readonly refusals: string[]
  readonly results: string[]
  readonly problems: string[]
  readonly callers: string[]
  /** Streams that have ended, by any way. */
  streamsEnded: number
}

/** Calls of each kind: they answer, change, refuse, fail, wait, and stream. */
export function testCalls(seen: Seen): readonly Call[] {
  const asked = ({ name }: Caller) => void seen.callers.push(name)
  return [
    defineCall({
      name: 'echo',
      summary: 'returns what it was given',
      changes: false,
      params: z.strictObject({
        text: z.string().max(50_000, 'expected 50000 characters at most'),
        count: z.int().optional(),
      }),
      result: z.object({ text: z.string(), caller: z.string() }),
      async run({ text }, caller) {
        asked(caller)
        return { text, caller: caller.name }
      },
    }),
    defineCall({
      name: 'change',
      summary: 'changes something',
      changes: true,
      params: z.strictObject({ to: z.string(), secret: z.string().optional() }),
      result: z.object({ changed: z.string() }),
      async run({ to }, caller) {
        asked(caller)
        if (to === 'unknown' || to === 'unsuited' || to === 'unavailable')
          throw new Refusal(to, `cannot change: ${to}`)
        if (to === 'fail') throw new Error('the store is away')
        seen.changes.push(to)
        return { changed: to }
      },
    }),
    defineCall({
      name: 'wait',
      summary: 'answers when nobody waits any more',
      changes: false,
      params: z.strictObject({}),
      result: z.object({}),
      async run(_, caller, signal) {
        asked(caller)
        if (!signal.aborted) await once(signal, 'abort')
        return {}
      },
    }),
    defineStream({
      name: 'count',
      summary: 'counts, and may refuse or fail on the way',
      changes: false,
      params: z.strictObject({
        to: z.int(),
        failAt: z.int().optional(),
        refuseAt: z.int().optional(),
        padding: z.int().optional(),
        pause: z.int().optional(),
      }),
      result: z.strictObject({ number: z.int(), padding: z.string() }).meta({ id: 'Counted' }),
      async *run({ to, failAt, refuseAt, padding = 0, pause }, _caller, signal) {
        try {
          for (let number = 1; number <= to && !signal.aborted; number += 1) {
            if (number === failAt) throw new Error('the store has gone')
            if (number === refuseAt) throw new Refusal('unavailable', 'no further')
            yield { number, padding: 'x'.repeat(padding) }
            if (pause !== undefined) await sleep(pause, undefined, { signal }).catch(() => undefined)
          }
        } finally {
          seen.streamsEnded += 1
        }
      },
    }),
  ]
}

export interface TestAdmin {
  readonly dir: string
  readonly admin: Admin
  readonly seen: Seen
  /** Path of the unix socket. */
  readonly path: string
  readonly port: number
}

/** Starts the servers on a socket in a folder of its own and on a free port. */
export async function startAdmin(
  scope: Scope,
  settings: AdminSettings = {},
  times?: AdminTimes,
  parts: Partial<AdminParts> = {},
): Promise<TestAdmin> {
  const dir = await scratch(scope)
  const seen: Seen = {
    ...{ changes: [], logged: [], failures: [], refusals: [], results: [], problems: [], callers: [] },
    streamsEnded: 0,
  }
  const admin = new Admin(
    {
      metrics: async () => ({ type: 'text/plain', text: '' }),
      health: async () => ({
        store: { name: 'memory', up: true, since: new Date() },
        listeners: ['x'],
        policy: [],
        exim: [],
        warnings: [],
      }),
      isListening: () => true,
      calls: testCalls(seen),
      hostName: 'mx',
      version: '1.0',
      ...parts,
    },
    {
      onChange: (who, call, params) => void seen.logged.push(`${who} ${call} ${params}`),
      onFailure: (who, call, params, problem) =>
        void seen.failures.push(`${who} ${call} ${params}: ${problem}`),
      onRefusal: (reason: RefusalReason, peer) => void seen.refusals.push(`${reason} ${peer}`),
      onCall: (call, result: CallResult) => void seen.results.push(`${call} ${result}`),
      onSocketProblem: (problem) => void seen.problems.push(problem),
      tokens: {
        onWarning: (warning) => void seen.problems.push(warning),
        onProblem: (problem) => void seen.problems.push(problem),
      },
    },
    undefined,
    times,
  )
  const path = join(dir, 'admin.sock')
  await (
    await admin.prepare({ admin: { host: '127.0.0.1', port: 0 }, adminSocket: path, ...settings })
  ).apply()
  endWith(dir, () => admin.close())
  return { dir, admin, seen, path, port: admin.port ?? 0 }
}

export interface Answer {
  readonly status: number
  readonly text: string
  readonly json: Record<string, unknown>
  readonly headers: IncomingMessage['headers']
}

let keys = 0

/** A key that was not used before. */
export function newKey(at = Date.now()): string {
  keys += 1
  return `${at}-test-${String(keys).padStart(8, '0')}`
}

/** A call that is in order, except for what `headers`, `body` or `method` change; to a socket by path, or a port. */
export async function post(
  where: string | number,
  name: string,
  params: unknown,
  {
    headers = {},
    body = JSON.stringify(params),
    method = 'POST',
  }: {
    readonly headers?: Record<string, string | undefined>
    readonly body?: string | Buffer
    readonly method?: string
  } = {},
): Promise<Answer> {
  const all = { 'content-type': 'application/json', 'idempotency-key': newKey(), ...headers }
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request(
      {
        ...(typeof where === 'string' ? { socketPath: where } : { host: '127.0.0.1', port: where }),
        method,
        path: `/v1/${name}`,
        headers: Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)),
        agent: false,
      },
      resolve,
    )
      .once('error', reject)
      .end(body)
  })
  const text = (await response.setEncoding('utf8').toArray()).join('')
  const isJson = response.headers['content-type'] === 'application/json'
  return {
    status: response.statusCode ?? 0,
    text,
    json: isJson ? JSON.parse(text) : {},
    headers: response.headers,
  }
}

/** The lines of a stream. */
export function linesOf({ text }: Answer): Record<string, unknown>[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
}

/** Sends bytes, and resolves to all that comes back until the server closes the connection. */
export async function raw(where: NetConnectOpts, ...parts: ReadonlyArray<string | Buffer>): Promise<string> {
  const socket = connect(where)
  let answer = ''
  socket.setEncoding('latin1').on('data', (text: string) => {
    answer += text
  })
  socket.on('error', () => undefined) // the server closes while we write
  const closed = new Promise((resolve) => socket.once('close', resolve))
  for (const part of parts) if (!socket.destroyed) socket.write(part)
  await closed
  return answer
}
