// One connection of an MTA: bytes in, replies out. Sees to the legal order of commands, to one reply for each command
// that awaits one, and to what ends with a transaction or a connection. What the replies say is the handler's affair.
// Source: sendmail 8.17 libmilter/engine.c (mi_engine, the state table `next_states`); Postfix milter8.c.
//
// Where the order is looser than libmilter's table: Sendmail sends MAIL after end of message, and after a refused MAIL,
// without ABORT; Postfix sends ABORT outside of any transaction, twice before QUIT.

import { ACTIONS, STEPS } from './codes.ts'
import { type Command, type Connection, decodeCommand } from './command.ts'
import { FrameReader, MAX_FRAME } from './frame.ts'
import { Macros } from './macros.ts'
import { type Agreement, negotiate, type Wants } from './negotiate.ts'
import { encodeAddHeader, encodeReply, type Header, type Reply } from './reply.ts'

type Answer = Reply | Promise<Reply>

/** The end of message: headers to add, then the reply. */
export interface MessageEnd {
  readonly headers: readonly Header[]
  readonly reply: Reply
}

/**
 * What a filter does at each stage of one connection. A reply to a stage that was negotiated as not awaiting one is
 * dropped. Every stage may read the macros that have come so far.
 */
export interface Handler {
  readonly wants: Wants
  /** The protocol version agreed on: below `DATA_VERSION` no DATA stage comes. */
  negotiated(version: number): void
  connect(connection: Connection, macros: Macros): Answer
  helo(name: string, macros: Macros): Answer
  mail(address: string, macros: Macros): Answer
  rcpt(address: string, macros: Macros): Answer
  data(macros: Macros): Answer
  endOfMessage(macros: Macros): MessageEnd
  /** Whatever was remembered of the transaction is over: end of message, ABORT, a new MAIL, the end of all. */
  endTransaction(): void
}

/** How an MTA broke the protocol; the values of the metric's label. */
export type ProtocolErrorKind = 'length' | 'malformed' | 'order' | 'version'

/** What a session needs of its socket. */
export interface Peer {
  send(bytes: Buffer): void
  /** No more will come from us. */
  end(): void
  /** The MTA broke the protocol: close at once. */
  fail(kind: ProtocolErrorKind, reason: string): void
  pause(): void
  resume(): void
}

const CONTINUE: Reply = { kind: 'continue' }

type State = 'new' | 'negotiated' | 'connected' | 'transaction' | 'ended'

export class Session {
  readonly #handler: Handler
  readonly #peer: Peer
  readonly #reader = new FrameReader()
  readonly #macros = new Macros()
  #state: State = 'new'
  #steps = 0
  #actions = 0
  #answering = false
  /** Whether the last reply refused a MAIL. */
  #mailRefused = false

  constructor(handler: Handler, peer: Peer) {
    this.#handler = handler
    this.#peer = peer
  }

  /** Takes what the socket read, whatever its cut. While an answer is being found, what follows it waits. */
  receive(chunk: Buffer): void {
    if (this.#state === 'ended') return
    this.#reader.push(chunk)
    if (this.#answering) this.#peer.pause()
    else this.#read()
  }

  /** The socket is gone; an answer still being found is dropped. */
  disconnected(): void {
    this.#end()
  }

  /** Ends the connection unless a transaction is open, whose message would lose its filter, or an answer is awaited. */
  endIfIdle(): void {
    // Sendmail sends no ABORT after a MAIL that was refused: there is no message then.
    const hasMessage = this.#state === 'transaction' && !this.#mailRefused
    if (this.#answering || hasMessage || this.#state === 'ended') return
    this.#end()
    this.#peer.end()
  }

  #read(): void {
    while (this.#state !== 'ended') {
      const frame = this.#reader.next()
      if (frame.kind === 'incomplete') return
      if (frame.kind === 'bad-length') {
        this.#fail('length', `frame of ${frame.length} bytes: expected 1 to ${MAX_FRAME}`)
        return
      }
      const command = decodeCommand(frame.bytes)
      if (command.kind === 'malformed') {
        this.#fail('malformed', command.reason)
        return
      }
      this.#handle(command)
      if (this.#answering) return
    }
  }

  #handle(command: Command): void {
    if (!this.#isLegal(command)) {
      this.#fail('order', `${command.kind} while ${this.#state}`)
      return
    }
    const handler = this.#handler
    const macros = this.#macros
    switch (command.kind) {
      case 'OPTNEG': {
        const negotiation = negotiate(command.offer, handler.wants)
        if (negotiation.kind === 'refused') {
          this.#fail('version', negotiation.reason)
          return
        }
        this.#agree(negotiation.agreement)
        handler.negotiated(negotiation.agreement.version)
        this.#peer.send(negotiation.answer)
        return
      }
      case 'MACRO':
        macros.set(command.stage, command.macros)
        return
      case 'CONNECT':
        this.#state = 'connected'
        this.#answer(STEPS.NR_CONN, handler.connect(command.connection, macros))
        return
      case 'HELO':
        this.#answer(STEPS.NR_HELO, handler.helo(command.name, macros))
        return
      case 'MAIL':
        if (this.#state === 'transaction') handler.endTransaction()
        this.#state = 'transaction'
        this.#answer(STEPS.NR_MAIL, handler.mail(command.address, macros))
        return
      case 'RCPT':
        this.#answer(STEPS.NR_RCPT, handler.rcpt(command.address, macros))
        return
      case 'DATA':
        this.#answer(STEPS.NR_DATA, handler.data(macros))
        return
      case 'HEADER':
        this.#answer(STEPS.NR_HDR, CONTINUE)
        return
      case 'EOH':
        this.#answer(STEPS.NR_EOH, CONTINUE)
        return
      case 'BODY':
        this.#answer(STEPS.NR_BODY, CONTINUE)
        return
      case 'UNKNOWN':
        this.#answer(STEPS.NR_UNKN, CONTINUE)
        return
      case 'BODYEOB': {
        const { headers, reply } = handler.endOfMessage(macros)
        const added = this.#actions & ACTIONS.ADDHDRS ? headers : []
        this.#peer.send(Buffer.concat([...added.map(encodeAddHeader), encodeReply(reply)]))
        this.#endTransaction()
        return
      }
      case 'ABORT':
        this.#endTransaction()
        return
      case 'QUIT_NC':
        this.#endTransaction()
        macros.endConnection()
        if (this.#state !== 'ended') this.#state = 'negotiated'
        return
      case 'QUIT':
        this.#end()
        this.#peer.end()
        return
    }
  }

  #isLegal(command: Command): boolean {
    switch (command.kind) {
      case 'OPTNEG':
        return this.#state === 'new'
      case 'QUIT':
        return true
      case 'CONNECT':
        return this.#state === 'negotiated'
      case 'MACRO':
      case 'ABORT':
      case 'QUIT_NC':
        return this.#state !== 'new'
      case 'HELO':
      case 'MAIL':
      case 'UNKNOWN':
        return this.#state === 'connected' || this.#state === 'transaction'
      case 'RCPT':
      case 'DATA':
      case 'HEADER':
      case 'EOH':
      case 'BODY':
      case 'BODYEOB':
        return this.#state === 'transaction'
    }
  }

  #agree({ steps, actions }: Agreement): void {
    this.#steps = steps
    this.#actions = actions
    this.#state = 'negotiated'
  }

  /** Sends the reply unless `noReplyStep` was agreed; waits for it in either case, so that stages stay in order. */
  #answer(noReplyStep: number, answer: Answer): void {
    if (!(answer instanceof Promise)) {
      this.#reply(noReplyStep, answer)
      return
    }
    this.#answering = true
    // Rejection would be a fault of ours, not of the MTA's; it is left to the process's handler of last resort.
    void answer.then((reply) => {
      if (this.#state !== 'ended') this.#reply(noReplyStep, reply)
      this.#answering = false
      this.#read()
      if (!this.#answering) this.#peer.resume()
    })
  }

  #reply(noReplyStep: number, reply: Reply): void {
    if ((this.#steps & noReplyStep) !== 0) return
    this.#peer.send(encodeReply(reply))
    this.#mailRefused = noReplyStep === STEPS.NR_MAIL && reply.kind !== 'continue'
  }

  #endTransaction(): void {
    if (this.#state === 'transaction') {
      this.#state = 'connected'
      this.#handler.endTransaction()
    }
    this.#macros.endTransaction()
  }

  #end(): void {
    if (this.#state === 'transaction') this.#handler.endTransaction()
    this.#state = 'ended'
  }

  #fail(kind: ProtocolErrorKind, reason: string): void {
    this.#end()
    this.#peer.fail(kind, reason)
  }
}
