// A connection on which each request gets one reply, in order, as of a policy server. It waits for answers and for the
// reader of its replies, and leaves other connections their turns. What a request is, and what it is answered, is left to
// the protocol.

import type { Peer, Session, Waiting } from './session.ts'

/** What comes next of a connection's bytes. */
export type Next<Fault extends string> =
  /** A request, and the reply to it. */
  | { readonly kind: 'reply'; readonly reply: Buffer | Promise<Buffer> }
  /** The rest of a request is yet to come, or the first byte of one. */
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'fault'; readonly fault: Fault; readonly reason: string }

/** One connection's protocol. */
export interface RequestProtocol<Fault extends string> {
  /** Estimated memory that it keeps, in bytes. */
  readonly held: number
  push(chunk: Buffer): void
  /** `isInputOver` says that nothing follows what was pushed. */
  next(isInputOver: boolean): Next<Fault>
  /** The connection is over. Called once. */
  end(): void
}

/**
 * How many requests of a connection are answered before other connections have their turn: otherwise a peer that sends
 * thousands at once would hold up all others.
 */
const MAX_REQUESTS_PER_TURN = 16

/** The state of one connection. */
export class RequestSession<Fault extends string> implements Session {
  readonly #protocol: RequestProtocol<Fault>
  readonly #peer: Peer<Fault>
  /** What the next request waits for: the answer to the last, the MTA as reader of our replies, or our next turn. */
  #waitsFor: 'answer' | 'reader' | 'turn' | undefined
  /** Whether the other side has closed its half of the connection. */
  #isInputOver = false
  #isEnded = false
  #progress = 0
  #answeredInTurn = 0

  constructor(protocol: RequestProtocol<Fault>, peer: Peer<Fault>) {
    this.#protocol = protocol
    this.#peer = peer
  }

  get held(): number {
    return this.#protocol.held
  }

  /** A count of requests, and of times that the MTA took waiting replies. */
  get progress(): number {
    return this.#progress
  }

  /** Never `transaction`: an MTA connects anew when it finds its connection closed, so that no mail goes unjudged. */
  get waiting(): Waiting {
    if (this.#waitsFor === 'reader' || this.#isEnded) return 'reader'
    if (this.#waitsFor) return 'us'
    return this.#progress === 0 || this.#protocol.held > 0 ? 'frame' : 'idle'
  }

  receive(chunk: Buffer): void {
    if (this.#isEnded) return
    this.#protocol.push(chunk)
    if (this.#waitsFor) {
      this.#peer.pause()
      return
    }
    this.#answeredInTurn = 0
    this.#read()
  }

  /** Answers what has arrived, and ends the connection then. */
  inputOver(): void {
    this.#isInputOver = true
    if (!this.#waitsFor) this.#read()
  }

  replied(): void {
    if (this.#waitsFor !== 'reader') return
    this.#progress += 1
    this.#goOn()
  }

  /** An answer that is still awaited is dropped. */
  disconnected(): void {
    this.#end()
  }

  endIfIdle(): void {
    if (this.#waitsFor || this.#isEnded) return
    this.#end()
    this.#peer.end()
  }

  #read(): void {
    while (!this.#isEnded && !this.#waitsFor) {
      if (this.#answeredInTurn === MAX_REQUESTS_PER_TURN) {
        this.#waitForTurn()
        return
      }
      const next = this.#protocol.next(this.#isInputOver)
      switch (next.kind) {
        case 'reply':
          this.#progress += 1
          this.#answeredInTurn += 1
          this.#answer(next.reply)
          break
        case 'incomplete':
          if (this.#isInputOver) this.endIfIdle()
          return
        case 'fault':
          this.#end()
          this.#peer.fail(next.fault, next.reason)
      }
    }
  }

  #answer(reply: Buffer | Promise<Buffer>): void {
    if (!(reply instanceof Promise)) {
      this.#send(reply)
      return
    }
    this.#waitsFor = 'answer'
    // A rejection is a fault of ours, not of the MTA: it stays unhandled, and Node ends the process.
    void reply.then((bytes) => {
      this.#waitsFor = undefined
      if (!this.#isEnded) this.#send(bytes)
      if (!this.#waitsFor) this.#goOn()
    })
  }

  #send(bytes: Buffer): void {
    if (!this.#peer.send(bytes)) this.#waitsFor = 'reader'
  }

  #waitForTurn(): void {
    this.#waitsFor = 'turn'
    this.#peer.pause()
    this.#peer.later(() => {
      this.#answeredInTurn = 0
      this.#goOn()
    })
  }

  #goOn(): void {
    this.#waitsFor = undefined
    this.#read()
    if (!this.#waitsFor && !this.#isEnded) this.#peer.resume()
  }

  #end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#protocol.end()
  }
}
