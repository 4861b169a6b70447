// The milter protocol on one connection of an MTA: bytes in, replies out. A session checks the order of commands, sends
// one reply to each command that awaits one, and drops what ends with a transaction or the connection. What the replies
// say is left to the handler, the socket to the peer.
// Source: sendmail 8.17 libmilter/engine.c (mi_engine, the state table `next_states`); Postfix milter8.c.
//
// The order is looser than libmilter's table in two places: Sendmail sends MAIL without ABORT after end of message and
// after a refused MAIL, and Postfix sends ABORT outside of any transaction, twice before QUIT.

import { ACTIONS, STEPS } from './codes.ts'
import { type Command, type Connection, decodeCommand } from './command.ts'
import { FrameReader } from './frame.ts'
import type { SessionLimits } from './limits.ts'
import { Macros } from './macros.ts'
import { type Agreement, negotiate, type Wants } from './negotiate.ts'
import { CONTINUE, encodeAddHeader, encodeReply, type Header, type Reply } from './reply.ts'

type Answer = Reply | Promise<Reply>

/** The answer to the end of message: the headers to add, and the reply. */
export interface MessageEnd {
  readonly headers: readonly Header[]
  readonly reply: Reply
}

/**
 * What a filter does at each stage of one connection. The reply to a stage is dropped if the MTA agreed not to await
 * one. Every stage may read the macros that have come so far.
 */
export interface Handler {
  readonly wants: Wants
  /** Estimated memory that the handler keeps for this connection, in bytes. */
  readonly held: number
  /** Tells the handler the protocol version agreed on; below `DATA_VERSION` the MTA sends no DATA stage. */
  negotiated(version: number): void
  connect(connection: Connection, macros: Macros): Answer
  helo(name: string, macros: Macros): Answer
  mail(address: string, macros: Macros): Answer
  rcpt(address: string, macros: Macros): Answer
  /** Answers a recipient beyond the limit, which must cost next to nothing. */
  rcptBeyondLimit(address: string, macros: Macros): Answer
  data(macros: Macros): Answer
  endOfMessage(macros: Macros): MessageEnd
  /** The transaction is over: by end of message, ABORT, a new MAIL or the end of the connection. */
  endTransaction(): void
}

/** How an MTA broke the protocol, or which limit it reached; values of the metric's label. */
export type SessionFault = 'length' | 'malformed' | 'order' | 'version' | 'macros' | 'recipients'

/** What a session needs of its socket. */
export interface Peer {
  /** False if the MTA does not take its replies; nothing more is sent until the owner calls `replied`. */
  send(bytes: Buffer): boolean
  /** Ends the connection; the session sends nothing more. */
  end(): void
  /** Reports that the MTA broke the protocol, and closes the connection at once. */
  fail(kind: SessionFault, reason: string): void
  /** Reports that the MTA reached a limit at which the connection goes on. */
  exceeded(kind: SessionFault, reason: string): void
  pause(): void
  resume(): void
  /** Calls `action` once other connections have had their turn. */
  later(action: () => void): void
}

type State = 'new' | 'negotiated' | 'connected' | 'transaction' | 'ended'

/**
 * What a connection waits for: `us` to answer, the MTA to complete a `frame` or send its first, the MTA as `reader` of
 * our replies, or its next command, within a `transaction` or outside (`idle`).
 */
export type Waiting = 'us' | 'frame' | 'reader' | 'transaction' | 'idle'

/**
 * How many commands of a connection are handled before other connections have their turn: otherwise an MTA that sends
 * thousands at once, none of which has to wait for anything, would hold up all others.
 */
const MAX_COMMANDS_PER_TURN = 16

/** The state of one connection. Its owner feeds it with chunks; replies and reports go out through the peer. */
export class Session {
  readonly #handler: Handler
  readonly #peer: Peer
  readonly #limits: SessionLimits
  readonly #reader: FrameReader
  readonly #macros = new Macros()
  #state: State = 'new'
  #steps = 0
  #actions = 0
  /** What the next command waits for: the answer to the last, the MTA as reader of our replies, or our next turn. */
  #waitsFor: 'answer' | 'reader' | 'turn' | undefined
  /** Whether the MTA has closed its half of the connection. */
  #isInputOver = false
  /** Whether the last reply refused a MAIL. */
  #mailRefused = false
  #progress = 0
  #handledInTurn = 0
  #recipients = 0

  constructor(handler: Handler, peer: Peer, limits: SessionLimits) {
    this.#handler = handler
    this.#peer = peer
    this.#limits = limits
    this.#reader = new FrameReader(limits.frame)
  }

  /** Estimated memory that the session and its handler keep, in bytes. */
  get held(): number {
    return this.#reader.held + this.#macros.held + this.#handler.held
  }

  /** A count of whole commands, and of times that the MTA took waiting replies: if it stands still, the MTA stalls. */
  get progress(): number {
    return this.#progress
  }

  get waiting(): Waiting {
    if (this.#waitsFor === 'reader' || this.#state === 'ended') return 'reader'
    if (this.#waitsFor) return 'us'
    if (this.#state === 'new' || this.#reader.held > 0) return 'frame'
    return this.#hasMessage ? 'transaction' : 'idle'
  }

  /** Whether a message is under way that would go unfiltered if the connection ended. */
  get #hasMessage(): boolean {
    // Sendmail sends no ABORT after a refused MAIL, so the transaction stays open without a message.
    return this.#state === 'transaction' && !this.#mailRefused
  }

  /** Takes bytes from the socket, cut anywhere. Commands behind one that awaits its answer are kept until then. */
  receive(chunk: Buffer): void {
    if (this.#state === 'ended') return
    this.#reader.push(chunk)
    if (this.#waitsFor) {
      this.#peer.pause()
      return
    }
    this.#handledInTurn = 0
    this.#read()
  }

  /**
   * The owner calls this when the MTA has closed its half of the connection. Commands that have arrived behind one that
   * awaits its answer are handled first. The answer to the last one is not waited for, as the MTA may be gone.
   */
  inputOver(): void {
    this.#isInputOver = true
    if (!this.#waitsFor || this.#reader.unread === 0) this.#close()
  }

  /** The owner calls this when the MTA has taken the replies that were waiting. */
  replied(): void {
    if (this.#waitsFor !== 'reader') return
    this.#progress += 1
    this.#goOn()
  }

  /** The owner calls this when the socket is closed; an answer that is still awaited is dropped. */
  disconnected(): void {
    this.#end()
  }

  /** Ends the connection unless a message is under way, or an answer is still awaited or not taken by the MTA. */
  endIfIdle(): void {
    if (this.#waitsFor || this.#hasMessage) return
    this.#close()
  }

  #read(): void {
    while (this.#state !== 'ended' && !this.#waitsFor) {
      if (this.#handledInTurn === MAX_COMMANDS_PER_TURN) {
        this.#waitForTurn()
        return
      }
      const frame = this.#reader.next()
      if (frame.kind === 'incomplete') return
      if (frame.kind === 'bad-length') {
        this.#fail('length', `frame of ${frame.length} bytes: expected 1 to ${this.#limits.frame}`)
        return
      }
      const command = decodeCommand(frame.bytes, this.#limits.macros)
      if (command.kind === 'malformed') {
        this.#fail('malformed', command.reason)
        return
      }
      this.#progress += 1
      this.#handledInTurn += 1
      this.#handle(command)
    }
  }

  #waitForTurn(): void {
    this.#waitsFor = 'turn'
    this.#peer.pause()
    this.#peer.later(() => {
      this.#handledInTurn = 0
      this.#goOn()
    })
  }

  #goOn(): void {
    this.#waitsFor = undefined
    this.#read()
    if (this.#waitsFor) return
    if (this.#isInputOver) this.#close()
    else this.#peer.resume()
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
        this.#send(negotiation.answer)
        return
      }
      case 'MACRO':
        if (command.isCut) {
          this.#peer.exceeded('macros', `more than ${command.macros.length} macros: the others are left out`)
        }
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
        this.#recipients = 0
        this.#answer(STEPS.NR_MAIL, handler.mail(command.address, macros))
        return
      case 'RCPT':
        this.#recipients += 1
        if (this.#recipients === this.#limits.recipients + 1) {
          this.#peer.exceeded(
            'recipients',
            `more than ${this.#limits.recipients} recipients: the others get the last one's reply`,
          )
        }
        this.#answer(
          STEPS.NR_RCPT,
          this.#recipients > this.#limits.recipients
            ? handler.rcptBeyondLimit(command.address, macros)
            : handler.rcpt(command.address, macros),
        )
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
        this.#send(Buffer.concat([...added.map(encodeAddHeader), encodeReply(reply)]))
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
        this.#close()
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

  /** Sends the reply unless `noReplyStep` was agreed; awaits it in either case, so that stages stay in order. */
  #answer(noReplyStep: number, answer: Answer): void {
    if (!(answer instanceof Promise)) {
      this.#reply(noReplyStep, answer)
      return
    }
    this.#waitsFor = 'answer'
    // A rejection is a fault of ours, not of the MTA: it stays unhandled, and Node ends the process.
    void answer.then((reply) => {
      this.#waitsFor = undefined
      if (this.#state !== 'ended') this.#reply(noReplyStep, reply)
      if (!this.#waitsFor) this.#goOn()
    })
  }

  #reply(noReplyStep: number, reply: Reply): void {
    if ((this.#steps & noReplyStep) !== 0) return
    this.#send(encodeReply(reply))
    this.#mailRefused = noReplyStep === STEPS.NR_MAIL && reply.kind !== 'continue'
  }

  #send(bytes: Buffer): void {
    if (!this.#peer.send(bytes)) this.#waitsFor = 'reader'
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

  #close(): void {
    if (this.#state === 'ended') return
    this.#end()
    this.#peer.end()
  }

  #fail(kind: SessionFault, reason: string): void {
    this.#end()
    this.#peer.fail(kind, reason)
  }
}
