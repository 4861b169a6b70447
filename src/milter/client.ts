// The MTA's side of a milter connection, with which the probe and the tests talk to a filter. It sends the stages that
// the filter did not decline, waits for the replies that it did not waive, and returns them as an MTA would pass them
// to its SMTP client. The order of the stages is left to the caller.

import { connect, type Socket } from 'node:net'
import { STEPS } from './codes.ts'
import { type Command, type Connection, encodeCommand, type MacroPairs } from './command.ts'
import { FrameReader } from './frame.ts'

/** The filter's answer to one command: the reply's character, its text (for `y`), and the headers sent before it. */
export interface FilterReply {
  readonly code: string
  readonly text: string
  readonly headers: ReadonlyArray<readonly [name: string, value: string]>
}

/** This side offers version 6, every action (SMFIF_*) and every step (SMFIP_*). */
const OFFER = { version: 6, actions: 0x1ff, steps: 0x1fffff }

/** The steps with which a filter declines each stage, and with which it waives the reply to it. */
const STAGES = {
  CONNECT: [STEPS.NOCONNECT, STEPS.NR_CONN],
  HELO: [STEPS.NOHELO, STEPS.NR_HELO],
  MAIL: [STEPS.NOMAIL, STEPS.NR_MAIL],
  RCPT: [STEPS.NORCPT, STEPS.NR_RCPT],
  DATA: [STEPS.NODATA, STEPS.NR_DATA],
  HEADER: [STEPS.NOHDRS, STEPS.NR_HDR],
  EOH: [STEPS.NOEOH, STEPS.NR_EOH],
  BODY: [STEPS.NOBODY, STEPS.NR_BODY],
  UNKNOWN: [STEPS.NOUNKNOWN, STEPS.NR_UNKN],
} as const

/** Matches the beginning of what a server sends that speaks in lines of text. */
const TEXT = /^[\x20-\x7e]{4}/

/** Length of the line that is shown of such a server, in characters. */
const SHOWN_LINE = 60

const WAIVED_REPLY: FilterReply = { code: 'c', text: '', headers: [] }

/** Where a filter listens. */
export type FilterAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'inet' | 'inet6'; readonly host: string; readonly port: number }

/** A negotiated connection to the filter; rejects when nobody listens, or no answer comes in `timeout` milliseconds. */
export async function connectToFilter(address: FilterAddress, timeout: number): Promise<MilterClient> {
  const socket =
    address.kind === 'unix'
      ? connect({ path: address.path })
      : connect({ host: address.host, port: address.port })
  const client = new MilterClient(socket, timeout)
  try {
    await client.negotiate()
  } catch (error) {
    socket.destroy()
    throw error
  }
  return client
}

/**
 * One milter connection, seen from the MTA. Each stage resolves with the filter's reply, or with `continue` if the
 * filter declined the stage or waived its reply, and rejects once the connection has failed.
 */
export class MilterClient {
  readonly #socket: Socket
  readonly #reader = new FrameReader()
  readonly #frames: Buffer[] = []
  /** Whether nothing has been received yet. */
  #isFirst = true
  #steps = 0
  #wake: (() => void) | undefined
  #error: Error | undefined

  constructor(socket: Socket, timeout: number) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.setTimeout(timeout, () => socket.destroy(new Error(`no answer within ${timeout}ms`)))
    socket.on('data', (chunk: Buffer) => this.#received(chunk))
    socket.on('error', (error) => this.#failed(error))
    socket.on('close', () => this.#failed(new Error('the filter closed the connection')))
  }

  async negotiate(): Promise<void> {
    this.#write({ kind: 'OPTNEG', offer: OFFER })
    const answer = await this.#nextFrame()
    if (answer[0] !== 'O'.charCodeAt(0) || answer.length < 13) throw new Error('the filter did not negotiate')
    this.#steps = answer.readUInt32BE(9)
  }

  connect(connection: Connection, macros: MacroPairs = []): Promise<FilterReply> {
    return this.#stage({ kind: 'CONNECT', connection }, macros)
  }

  helo(name: string): Promise<FilterReply> {
    return this.#stage({ kind: 'HELO', name }, [])
  }

  mail(address: string, macros: MacroPairs = []): Promise<FilterReply> {
    return this.#stage({ kind: 'MAIL', address, parameters: [] }, macros)
  }

  rcpt(address: string, macros: MacroPairs = []): Promise<FilterReply> {
    return this.#stage({ kind: 'RCPT', address, parameters: [] }, macros)
  }

  data(): Promise<FilterReply> {
    return this.#stage({ kind: 'DATA' }, [])
  }

  async endOfMessage(): Promise<FilterReply> {
    this.#write({ kind: 'BODYEOB' })
    return this.#reply()
  }

  abort(): void {
    this.#write({ kind: 'ABORT' })
  }

  quit(): void {
    if (!this.#error) this.#write({ kind: 'QUIT' })
    this.#socket.end()
  }

  async #stage(command: Command & { kind: keyof typeof STAGES }, macros: MacroPairs): Promise<FilterReply> {
    const [skipped, noReply] = STAGES[command.kind]
    if (this.#steps & skipped) return WAIVED_REPLY
    if (macros.length > 0) this.#write({ kind: 'MACRO', stage: command.kind, macros })
    this.#write(command)
    return this.#steps & noReply ? WAIVED_REPLY : this.#reply()
  }

  async #reply(): Promise<FilterReply> {
    const headers: Array<readonly [string, string]> = []
    for (;;) {
      const frame = await this.#nextFrame()
      const code = String.fromCharCode(frame[0] ?? 0)
      const text = frame.toString('utf8', 1).replace(/\0$/, '')
      if (code !== 'h') return { code, text: text.replaceAll('%%', '%'), headers }
      const [name = '', value = ''] = text.split('\0')
      headers.push([name, value])
    }
  }

  async #nextFrame(): Promise<Buffer> {
    for (;;) {
      const frame = this.#frames.shift()
      if (frame) return frame
      if (this.#error) throw this.#error
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  #write(command: Command): void {
    this.#socket.write(encodeCommand(command))
  }

  #received(chunk: Buffer): void {
    // The first bytes of a filter are the length of its answer, which is short. Text is another protocol.
    if (this.#isFirst && TEXT.test(chunk.toString('latin1', 0, 4))) {
      this.#socket.destroy(new Error(`what listens there is no milter: ${protocolOf(chunk)}`))
      return
    }
    this.#isFirst = false
    this.#reader.push(chunk)
    for (let result = this.#reader.next(); result.kind !== 'incomplete'; result = this.#reader.next()) {
      if (result.kind === 'bad-length') {
        this.#socket.destroy(new Error(`the filter sent a frame of ${result.length} bytes`))
        break
      }
      this.#frames.push(result.bytes)
    }
    this.#wake?.()
  }

  #failed(error: Error): void {
    this.#error ??= error
    this.#wake?.()
  }
}

/** Says which protocol a server speaks whose first bytes are text. */
function protocolOf(chunk: Buffer): string {
  const [line = ''] = chunk.toString('latin1').split(/[^\x20-\x7e]/, 1)
  if (line.startsWith('HTTP/')) return "it speaks HTTP, as greymx's admin port does"
  if (line.startsWith('220')) return `it speaks SMTP, as an MTA does ("${line.slice(0, SHOWN_LINE)}")`
  return `it answers "${line.slice(0, SHOWN_LINE)}"`
}
