// The line protocol of Exim's ${readsocket…} on one connection: lines in, and for each one line out, in their order. A
// line ends with LF or with the MTA's half of the connection, which Exim closes behind its request. What is answered is
// left to the handler, the socket to the peer.
// Source: Exim 4.96 spec, chapter 11 (readsocket); greylistd 0.9, which answers without a line end.

import { type Next, type RequestProtocol, RequestSession } from '../sockets/requests.ts'
import type { Peer } from '../sockets/session.ts'
import { LineReader } from './lines.ts'
import { type EximRequest, parseRequest } from './request.ts'

/** How an MTA broke the protocol, or which limit it reached; values of the metric's label. */
export type EximFault = 'exim-malformed' | 'exim-length'

/** Answers a request with one line, without its end. */
export type AnswerRequest = (request: EximRequest) => string | Promise<string>

/**
 * Longest line, in bytes. A request at DATA has all recipients of a message in it: 5000 of 50 characters are shorter.
 * Exim lets the mail pass whose request is longer.
 */
export const MAX_LINE = 256 * 1024

/** Longest answer, in characters: an SMTP reply line (RFC 5321 section 4.5.3.1.5) behind a word of ours. */
const MAX_ANSWER = 520

/** The state of one connection. */
export class EximSession extends RequestSession<EximFault> {
  constructor(answer: AnswerRequest, peer: Peer<EximFault>, maxLine = MAX_LINE) {
    super(new EximProtocol(answer, peer, maxLine), peer)
  }
}

class EximProtocol implements RequestProtocol<EximFault> {
  readonly #answer: AnswerRequest
  readonly #peer: Peer<EximFault>
  readonly #reader: LineReader

  constructor(answer: AnswerRequest, peer: Peer<EximFault>, maxLine: number) {
    this.#answer = answer
    this.#peer = peer
    this.#reader = new LineReader(maxLine)
  }

  get held(): number {
    return this.#reader.held
  }

  push(chunk: Buffer): void {
    this.#reader.push(chunk)
  }

  next(isInputOver: boolean): Next<EximFault> {
    const line = this.#reader.next()
    switch (line.kind) {
      case 'line':
        return this.#replyTo(line.bytes, '\n')
      case 'too-long': {
        const reason = 'a line is longer than the request for any message'
        return { kind: 'fault', fault: 'exim-length', reason }
      }
      case 'incomplete': {
        const rest = isInputOver && this.#reader.rest()
        // As such a request is the last, its answer needs no line end either, and a short ${readsocket…} keeps one.
        return rest ? this.#replyTo(rest, '') : { kind: 'incomplete' }
      }
    }
  }

  end(): void {}

  #replyTo(line: Buffer, lineEnd: '\n' | ''): Next<EximFault> {
    const request = parseRequest(line)
    if (request.kind === 'refused') this.#peer.exceeded('exim-malformed', request.reason)
    const answer = this.#answer(request)
    const encode = (text: string) => encodeAnswer(text, lineEnd)
    return { kind: 'reply', reply: answer instanceof Promise ? answer.then(encode) : encode(answer) }
  }
}

/** The answer as one line of printable ASCII, cut at `MAX_ANSWER`. */
function encodeAnswer(text: string, lineEnd: '\n' | ''): Buffer {
  return Buffer.from(`${text.replace(/[^\x20-\x7e]/g, '?').slice(0, MAX_ANSWER)}${lineEnd}`, 'latin1')
}
