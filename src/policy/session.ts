// Postfix's policy protocol on one connection: bytes in, one reply to each request out, in order. What the replies say is
// left to the handler, the socket to the peer.
// Source: Postfix SMTPD_POLICY_README. Postfix sends the next request when it has the reply to the last; a connection
// serves one smtpd process, for many messages and clients.

import { type Next, type RequestProtocol, RequestSession } from '../sockets/requests.ts'
import type { Peer } from '../sockets/session.ts'
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

/** The state of one connection. */
export class PolicySession extends RequestSession<PolicyFault> {
  constructor(handler: PolicyHandler, peer: Peer<PolicyFault>) {
    super(new PolicyProtocol(handler), peer)
  }
}

class PolicyProtocol implements RequestProtocol<PolicyFault> {
  readonly #handler: PolicyHandler
  readonly #reader = new RequestReader()

  constructor(handler: PolicyHandler) {
    this.#handler = handler
  }

  get held(): number {
    return this.#reader.held + this.#handler.held
  }

  push(chunk: Buffer): void {
    this.#reader.push(chunk)
  }

  next(): Next<PolicyFault> {
    const read = this.#reader.next()
    if (read.kind === 'incomplete') return { kind: 'incomplete' }
    if (read.kind === 'too-long')
      return { kind: 'fault', fault: 'policy-length', reason: 'a request is longer than Postfix sends any' }
    const decoded = decodeRequest(read.bytes)
    if (decoded.kind === 'malformed')
      return { kind: 'fault', fault: 'policy-malformed', reason: decoded.reason }
    const action = this.#handler.answer(decoded.request)
    return {
      kind: 'reply',
      reply: action instanceof Promise ? action.then(encodeAction) : encodeAction(action),
    }
  }

  end(): void {
    this.#handler.end()
  }
}
