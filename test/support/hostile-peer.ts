// A connection of an MTA that passes on one client after another, each with MAIL, at most one recipient, and RSET.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { STEPS } from '../../src/milter/codes.ts'
import { type Command, encodeCommand } from '../../src/milter/command.ts'
import { FrameReader } from '../../src/milter/frame.ts'

const OFFER = { version: 6, actions: 0x1ff, steps: 0x1fffff }

export class HostilePeer {
  readonly #socket: Socket
  readonly #reader = new FrameReader()
  #steps = 0
  #hasClient = false
  #take: (frame: Buffer) => void = () => undefined
  #fail: (error: Error) => void = () => undefined

  private constructor(path: string) {
    this.#socket = connect({ path })
    this.#socket.on('data', (chunk: Buffer) => {
      this.#reader.push(chunk)
      for (let read = this.#reader.next(); read.kind === 'frame'; read = this.#reader.next())
        this.#take(read.bytes)
    })
    this.#socket.on('error', (error) => this.#fail(error))
    this.#socket.on('close', () => this.#fail(new Error('greymx closed the connection')))
  }

  static async open(path: string): Promise<HostilePeer> {
    const peer = new HostilePeer(path)
    const answer = await peer.#ask({ kind: 'OPTNEG', offer: OFFER })
    peer.#steps = answer.readUInt32BE(9)
    return peer
  }

  /** Begins the session of this client. */
  async client(address: string): Promise<void> {
    if (this.#hasClient) this.#write({ kind: 'QUIT_NC' })
    this.#hasClient = true
    const family = address.includes(':') ? 'inet6' : 'inet'
    const connection = { hostName: `[${address}]`, family, port: 25, address } as const
    await this.#stage({ kind: 'CONNECT', connection }, STEPS.NR_CONN)
    if ((this.#steps & STEPS.NOHELO) === 0)
      await this.#stage({ kind: 'HELO', name: 'client.test' }, STEPS.NR_HELO)
  }

  /** Sends MAIL, RCPT if there is a recipient, and RSET. */
  async message(sender: string, recipient: string | undefined): Promise<void> {
    await this.#stage({ kind: 'MAIL', address: `<${sender}>`, parameters: [] }, STEPS.NR_MAIL)
    if (recipient !== undefined)
      await this.#stage({ kind: 'RCPT', address: `<${recipient}>`, parameters: [] }, STEPS.NR_RCPT)
    this.#write({ kind: 'ABORT' })
  }

  /** Closes the connection; resolves when greymx has read all that was sent. */
  async quit(): Promise<void> {
    this.#fail = () => undefined
    this.#write({ kind: 'QUIT' })
    if (!this.#socket.closed) await once(this.#socket, 'close')
  }

  async #stage(command: Command, noReply: number): Promise<void> {
    if (this.#steps & noReply) this.#write(command)
    else await this.#ask(command)
  }

  #ask(command: Command): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#take = resolve
      this.#fail = reject
      this.#write(command)
    })
  }

  #write(command: Command): void {
    this.#socket.write(encodeCommand(command))
  }
}
