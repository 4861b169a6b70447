// Cuts the stream of Postfix's policy delegation protocol into requests, and reads one request. What is answered is left
// to the door.
// Source: Postfix SMTPD_POLICY_README ("Protocol description"); smtpd_check.c (check_policy_service); attr_print_plain.c.

import { decodeText } from '../milter/text.ts'
import { Unread } from '../unread.ts'

/**
 * Longest request, in bytes. Postfix sends some 35 attributes, of which a stranger fills five, each with less than an
 * SMTP command line of 2048 bytes (line_length_limit).
 */
export const MAX_REQUEST = 64 * 1024

/** Smallest buffer for a request that arrives in pieces, in bytes. */
const MIN_BUFFER = 1024

const LF = 0x0a
/** The end of an attribute, and the empty line behind it. */
const END = Buffer.from('\n\n')

/** The attributes that are read, with the field of `PolicyRequest` that has each; others are passed over. */
const FIELDS = {
  request: 'type',
  protocol_state: 'state',
  instance: 'instance',
  client_address: 'clientAddress',
  client_name: 'clientName',
  helo_name: 'helo',
  sender: 'sender',
  recipient: 'recipient',
  sasl_method: 'saslMethod',
  sasl_username: 'saslUsername',
  ccert_subject: 'ccertSubject',
  ccert_issuer: 'ccertIssuer',
  ccert_fingerprint: 'ccertFingerprint',
  queue_id: 'queueId',
} as const

type Attribute = keyof typeof FIELDS

/** The attributes without which there is nothing to judge. Every Postfix sends them at each stage, if need be empty. */
const REQUIRED = ['client_address', 'sender', 'recipient'] as const

/** One request. An attribute that Postfix does not send, or sends empty, is `''`. */
export type PolicyRequest = { readonly [field in Exclude<(typeof FIELDS)[Attribute], 'type'>]: string }

/** What a request reads as; it is malformed when no Postfix sends the like. */
export type Decoded =
  | { readonly kind: 'request'; readonly request: PolicyRequest }
  | { readonly kind: 'malformed'; readonly reason: string }

/** What `RequestReader.next` returns; `bytes` end with the line feed of the last attribute. */
export type ReadResult =
  | { readonly kind: 'request'; readonly bytes: Buffer }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'too-long' }

const INCOMPLETE: ReadResult = { kind: 'incomplete' }

/** Collects chunks and returns whole requests as views, which stay intact. No byte is searched twice for an end. */
export class RequestReader {
  readonly #maxRequest: number
  readonly #unread = new Unread(MIN_BUFFER)
  /** Number of unread bytes in which there is no end of a request. */
  #searched = 0

  constructor(maxRequest = MAX_REQUEST) {
    this.#maxRequest = maxRequest
  }

  /** Bytes of memory kept for requests that are incomplete or not returned yet. */
  get held(): number {
    return this.#unread.held
  }

  push(chunk: Buffer): void {
    this.#unread.push(chunk)
  }

  /** The next request, without the empty line that ends it. After `too-long` the stream cannot be read on. */
  next(): ReadResult {
    const unread = this.#unread
    const end = this.#emptyLine()
    if ((end ?? unread.length) > this.#maxRequest) return { kind: 'too-long' }
    if (end === undefined) {
      unread.release()
      return INCOMPLETE
    }
    const bytes = unread.take(end)
    unread.skip(1)
    this.#searched = 0
    return { kind: 'request', bytes }
  }

  /** Index of the line feed of the first empty line, which is either the first byte or follows another line feed. */
  #emptyLine(): number | undefined {
    const unread = this.#unread
    if (unread.length > 0 && unread.byteAt(0) === LF) return 0
    const found = unread.indexOf(END, Math.max(0, this.#searched - 1))
    this.#searched = unread.length
    return found === -1 ? undefined : found + 1
  }
}

/** Reads a request, whose attributes stand one a line, in any order. */
export function decodeRequest(bytes: Buffer): Decoded {
  const found = new Map<Attribute, string>()
  // A character for each byte. Searches of the buffer took half of the 6 µs that it takes to read a request.
  const text = bytes.toString('latin1')
  for (let start = 0; start < text.length; ) {
    const end = text.indexOf('\n', start)
    const equals = text.indexOf('=', start)
    if (equals === -1 || equals > end)
      return malformed(`line ${shown(bytes, start, end)}: expected NAME=VALUE`)
    const name = text.slice(start, equals)
    if (isRead(name)) {
      if (found.has(name)) return malformed(`${name} is there twice: expected each attribute once`)
      const value = decodeText(bytes, equals + 1, end)
      if (value.includes('\0')) return malformed(`${name} has a NUL: expected text`)
      found.set(name, value)
    }
    start = end + 1
  }
  const type = found.get('request')
  if (type !== 'smtpd_access_policy')
    return malformed(
      type === undefined
        ? 'there is no request=smtpd_access_policy: expected a request of Postfix'
        : `request ${JSON.stringify(type.slice(0, MAX_SHOWN))}: expected smtpd_access_policy`,
    )
  const missing = REQUIRED.find((name) => !found.has(name))
  if (missing !== undefined) return malformed(`there is no ${missing}: expected a request of Postfix`)
  const value = (name: Attribute) => found.get(name) ?? ''
  return {
    kind: 'request',
    request: {
      state: value('protocol_state'),
      instance: value('instance'),
      clientAddress: value('client_address'),
      clientName: value('client_name'),
      helo: value('helo_name'),
      sender: value('sender'),
      recipient: value('recipient'),
      saslMethod: value('sasl_method'),
      saslUsername: value('sasl_username'),
      ccertSubject: value('ccert_subject'),
      ccertIssuer: value('ccert_issuer'),
      ccertFingerprint: value('ccert_fingerprint'),
      queueId: value('queue_id'),
    },
  }
}

/** Longest part of a malformed request that a fault shows, in characters. */
const MAX_SHOWN = 60

function shown(bytes: Buffer, start: number, end: number): string {
  return JSON.stringify(decodeText(bytes, start, Math.min(end, start + MAX_SHOWN)))
}

function isRead(name: string): name is Attribute {
  return Object.hasOwn(FIELDS, name)
}

function malformed(reason: string): Decoded {
  return { kind: 'malformed', reason }
}

/** Longest action in octets: Postfix makes it the text of one SMTP reply line or header. */
const MAX_ACTION = 500

/** The reply with an action of access(5), reduced to one line of printable ASCII and cut at `MAX_ACTION`. */
export function encodeAction(action: string): Buffer {
  return Buffer.from(`action=${action.replace(/[^\x20-\x7e]/g, '?').slice(0, MAX_ACTION)}\n\n`, 'latin1')
}
