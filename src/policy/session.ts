// Postfix's policy protocol on one connection: bytes in, one reply to each request out, in order. What the replies say is
// left to the handler, the socket to the peer.
// Source: Postfix SMTPD_POLICY_README. Postfix sends the next request when it has the reply to the last; a connection
// serves one smtpd process, for many messages and clients.

import type { Peer, Session, Waiting } from '../sockets/session.ts'
import { decodeRequest, encodeAction, type PolicyRequest, RequestReader } from './request.ts'

/** How Postfix broke the protocol, or which limit it reached; values of the metric's label. */
export type PolicyFault = 'policy-malformed' | 'policy-length' | 'policy-recipients'

/** What a policy server does on one connection. */
export interface PolicyHandler {
  /** Estimated memory that the handler keeps for this connection, in bytes. */
  readonly held: number
  /** The action for a request, such as `DUNNO` (access(5)). */
  answer(request: PolicyRequest): string | Promise<string>
  /** The connection is over. */
  end(): void
}

/**
 * How many requests of a connection are handled before other connections have their turn: otherwise a peer that sends
 * thousands at once would hold up all others.
 */
const MAX_REQUESTS_PER_TURN = 16

/** The state of one connection. */
export class PolicySession implements Session {
  readonly #handler: PolicyHandler
  readonly #peer: Peer<PolicyFault>
  readonly #reader = new RequestReader()
  /** What the next request waits for: the answer to the last, Postfix as reader of our replies, or our next turn. */
  #waitsFor: 'answer' | 'reader' | 'turn' | undefined
  #isEnded = false
  #progress = 0
  #handledInTurn = 0

  constructor(handler: PolicyHandler, peer: Peer<PolicyFault>) {
    this.#handler = handler
    this.#peer = peer
  }

  get held(): number {
    return this.#reader.held + this.#handler.held
  }

  get progress(): number {
    return this.#progress
  }

  /** Never `transaction`: Postfix connects anew when it finds its connection closed, so that no mail goes unjudged. */
  get waiting(): Waiting {
    if (this.#waitsFor === 'reader' || this.#isEnded) return 'reader'
    if (this.#waitsFor) return 'us'
    return this.#progress === 0 || this.#reader.held > 0 ? 'frame' : 'idle'
  }

  receive(chunk: Buffer): void {
    if (this.#isEnded) return
    this.#reader.push(chunk)
    if (this.#waitsFor) {
      this.#peer.pause()
      return
    }
    this.#handledInTurn = 0
    this.#read()
  }

  replied(): void {
    if (this.#waitsFor !== 'reader') return
    this.#progress += 1
    this.#goOn()
  }

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
      if (this.#handledInTurn === MAX_REQUESTS_PER_TURN) {
        this.#waitForTurn()
        return
      }
      const read = this.#reader.next()
      if (read.kind === 'incomplete') return
      if (read.kind === 'too-long') {
        this.#fail('policy-length', 'a request is longer than Postfix sends any')
        return
      }
      const decoded = decodeRequest(read.bytes)
      if (decoded.kind === 'malformed') {
        this.#fail('policy-malformed', decoded.reason)
        return
      }
      this.#progress += 1
      this.#handledInTurn += 1
      this.#answer(this.#handler.answer(decoded.request))
    }
  }

  #answer(action: string | Promise<string>): void {
    if (typeof action === 'string') {
      this.#send(action)
      return
    }
    this.#waitsFor = 'answer'
    // A rejection is a fault of ours, not of the MTA: it stays unhandled, and Node ends the process.
    void action.then((text) => {
      this.#waitsFor = undefined
      if (!this.#isEnded) this.#send(text)
      if (!this.#waitsFor) this.#goOn()
    })
  }

  #send(action: string): void {
    if (!this.#peer.send(encodeAction(action))) this.#waitsFor = 'reader'
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
    if (!this.#waitsFor) this.#peer.resume()
  }

  #fail(kind: PolicyFault, reason: string): void {
    this.#end()
    this.#peer.fail(kind, reason)
  }

  #end(): void {
    if (this.#isEnded) return
    this.#isEnded = true
    this.#handler.end()
  }
}
