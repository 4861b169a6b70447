// The line protocol of Exim's ${readsocket…} on one connection: lines in, and for each one line out, in their order. A
// line ends with LF or with the MTA's half of the connection, which Exim closes behind its request. What is answered is
// left to the handler, the socket to the peer.
// Source: Exim 4.96 spec, chapter 11 (readsocket); greylistd 0.9, which answers without a line end.

import type { Peer, Session, Waiting } from '../sockets/session.ts'
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

/**
 * How many requests of a connection are answered before other connections have their turn: otherwise a peer that sends
 * thousands at once would hold up all others.
 */
const MAX_REQUESTS_PER_TURN = 16

/** The state of one connection. */
export class EximSession implements Session {
  readonly #answer: AnswerRequest
  readonly #peer: Peer<EximFault>
  readonly #reader: LineReader
  /** What the next request waits for: the answer to the last, the MTA as reader of our replies, or our next turn. */
  #waitsFor: 'answer' | 'reader' | 'turn' | undefined
  /** Whether the MTA has closed its half of the connection. */
  #isInputOver = false
  #isEnded = false
  #progress = 0
  #answeredInTurn = 0

  constructor(answer: AnswerRequest, peer: Peer<EximFault>, maxLine = MAX_LINE) {
    this.#answer = answer
    this.#peer = peer
    this.#reader = new LineReader(maxLine)
  }

  get held(): number {
    return this.#reader.held
  }

  /** A count of requests, and of times that the MTA took waiting replies. */
  get progress(): number {
    return this.#progress
  }

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
    this.#answeredInTurn = 0
    this.#read()
  }

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
    this.#isEnded = true
  }

  endIfIdle(): void {
    if (this.#waitsFor || this.#isEnded) return
    this.#isEnded = true
    this.#peer.end()
  }

  #read(): void {
    while (!this.#isEnded && !this.#waitsFor) {
      if (this.#answeredInTurn === MAX_REQUESTS_PER_TURN) {
        this.#waitForTurn()
        return
      }
      const line = this.#reader.next()
      switch (line.kind) {
        case 'line':
          this.#handle(line.bytes, '\n')
          break
        case 'too-long':
          this.#isEnded = true
          this.#peer.fail('exim-length', 'a line is longer than the request for any message')
          return
        case 'incomplete': {
          if (!this.#isInputOver) return
          const rest = this.#reader.rest()
          // As such a request is the last, its answer needs no line end either, and a short ${readsocket…} keeps one.
          if (rest) this.#handle(rest, '')
          else this.endIfIdle()
        }
      }
    }
  }

  #handle(line: Buffer, lineEnd: '\n' | ''): void {
    this.#progress += 1
    this.#answeredInTurn += 1
    const request = parseRequest(line)
    if (request.kind === 'refused') this.#peer.exceeded('exim-malformed', request.reason)
    const answer = this.#answer(request)
    if (!(answer instanceof Promise)) {
      this.#reply(answer, lineEnd)
      return
    }
    this.#waitsFor = 'answer'
    // A rejection is a fault of ours, not of the MTA: it stays unhandled, and Node ends the process.
    void answer.then((text) => {
      this.#waitsFor = undefined
      if (!this.#isEnded) this.#reply(text, lineEnd)
      if (!this.#waitsFor) this.#goOn()
    })
  }

  #reply(text: string, lineEnd: string): void {
    const line = text.replace(/[^\x20-\x7e]/g, '?').slice(0, MAX_ANSWER)
    if (!this.#peer.send(Buffer.from(`${line}${lineEnd}`, 'latin1'))) this.#waitsFor = 'reader'
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
}
