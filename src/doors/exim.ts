// The door for Exim, whose ACLs ask through ${readsocket…}: line by line about one recipient at RCPT, or about all of a
// message at DATA. Each question of an SMTP session comes on a connection of its own, so what a message's recipients
// share is kept here, by a name that Exim gives to the message. The lines are left to exim/, what a message gets to
// message.ts.

import { type Address, parseAddress } from '../address.ts'
import { type ClientCertificate, hexDigits, isWholeName } from '../certificate.ts'
import type { AddressRule } from '../exempt/addresses.ts'
import { compileProbeSenders } from '../exempt/probes.ts'
import { type EximRequest, type Fields, PASS, type TripletRequest } from '../exim/request.ts'
import { type AnswerRequest, type EximFault, EximSession } from '../exim/session.ts'
import type { Network } from '../ip.ts'
import { smtpLines } from '../milter/reply.ts'
import type { NewSession } from '../sockets/session.ts'
import { asHostName, clientOf, isLogin } from './client.ts'
import { type Answer, type Circumstances, circumstancesBy, type DoorParts, Message } from './message.ts'
import type { SmtpReply } from './reply.ts'

/** The settings that this door needs beside what all doors share. */
export interface EximSettings {
  /** Whether the key has a recipient, or the sender is judged at the message's first recipient. */
  readonly judgeAt: 'mail' | 'rcpt'
  /** The stage that judges mail from the null sender and from probe senders. */
  readonly nullSenderAt: 'rcpt' | 'data'
  readonly probeSenders: readonly AddressRule[]
  readonly nat64Prefixes: readonly Network[]
  readonly needsCertificate: boolean
  /** Whether passed mail gets an X-Greylist header. */
  readonly header: boolean
}

/** Recipients of one message that are judged; those beyond get the reply that the last judged one got. */
export interface EximLimits {
  readonly recipients: number
}

/** How many characters of an address are read; no SMTP command line is as long as that of Exim, 4096 bytes. */
const MAX_ADDRESS_READ = 4096
/**
 * How many messages are remembered between their requests: more than a host receives at once. Beyond, the oldest is
 * forgotten, and its later recipients are judged as those of another message.
 */
const MAX_MESSAGES = 1000
/** Longest key of a message that is remembered, in characters; all that Exim says of one is shorter. */
const MAX_KEY = 16_384

/** A function that begins the protocol on each connection of an MTA. */
export function createEximDoor(
  settings: EximSettings,
  limits: EximLimits,
  parts: DoorParts,
): NewSession<EximFault> {
  const answer = createAnswers(settings, limits, parts)
  return (peer) => new EximSession(answer, peer)
}

/** A function that answers the requests of all connections. */
export function createAnswers(settings: EximSettings, limits: EximLimits, parts: DoorParts): AnswerRequest {
  const door = new EximDoor(settings, limits, parts)
  return (request) => door.answer(request)
}

/** A message between its requests. */
interface Transaction {
  readonly message: Message
  /** Whether the verdict waits for DATA, as the message may be a callout, which stops before it. */
  readonly isJudgedAtData: boolean
  /** How many recipients were judged. */
  recipients: number
}

class EximDoor {
  readonly #settings: EximSettings
  readonly #limits: EximLimits
  readonly #parts: DoorParts
  readonly #isProbe: (sender: Address) => boolean
  /** The messages between their requests, the oldest first. */
  readonly #transactions = new Map<string, Transaction>()

  constructor(settings: EximSettings, limits: EximLimits, parts: DoorParts) {
    this.#settings = settings
    this.#limits = limits
    this.#parts = parts
    this.#isProbe = compileProbeSenders(settings.probeSenders)
  }

  answer(request: EximRequest): string | Promise<string> {
    switch (request.kind) {
      case 'rcpt':
        return this.#rcpt(request.of, readAddress(request.recipient))
      case 'data':
        return this.#data(request.of, request.recipients)
      case 'greylistd':
        return this.#greylistd(request)
      case 'refused':
        return request.answer
    }
  }

  async #rcpt(of: Fields, recipient: Address): Promise<string> {
    const transaction = this.#enter(of)
    const { message, isJudgedAtData } = transaction
    if (isJudgedAtData) {
      message.prepare(recipient, circumstancesOf(of))
      return PASS
    }
    const isByMail = this.#settings.judgeAt === 'mail'
    const isSettled = isByMail || transaction.recipients >= this.#limits.recipients
    transaction.recipients += 1
    const standing = isSettled ? message.standingAnswer : undefined
    return answerText(
      standing ?? (await message.judge(isByMail ? undefined : recipient, circumstancesOf(of))),
    )
  }

  /** The last request about a message. A pass brings the header that the message is to have. */
  async #data(of: Fields, recipients: readonly string[]): Promise<string> {
    const { message, isJudgedAtData } = this.#enter(of)
    this.#transactions.delete(keyOf(of))
    const answer = isJudgedAtData
      ? await message.judgeTogether(this.#judged(recipients), circumstancesOf(of))
      : undefined
    const header = this.#settings.header ? message.header(circumstancesOf(of).mta) : undefined
    message.end()
    if (answer?.kind === 'defer') return answerText(answer)
    return header ? `${PASS} ${header.join(': ')}` : PASS
  }

  async #greylistd({ list, client, sender, recipients }: TripletRequest): Promise<string> {
    // greylistd's ACL asks this behind its other question about the same recipient, who is judged once.
    if (list === 'black') return 'false'
    const message = new Message(this.#parts, {
      client: clientOf(bareAddress(client), undefined, this.#settings.nat64Prefixes),
      sender: readAddress(sender),
      authenticated: false,
      certificate: undefined,
    })
    const answer = await message.judgeTogether(this.#judged(recipients), {})
    message.end()
    const found = answer.kind === 'defer' ? 'grey' : 'white'
    return list === undefined ? found : String(list === found)
  }

  /** What is judged of all recipients; those beyond the limit share the reply, which is one for all. */
  #judged(recipients: readonly string[]): ReadonlyArray<Address | undefined> {
    if (this.#settings.judgeAt === 'mail') return [undefined]
    return recipients.slice(0, this.#limits.recipients).map(readAddress)
  }

  /** The message that a request is about. One that Exim gives no name is a message of its own in each request. */
  #enter(of: Fields): Transaction {
    const key = keyOf(of)
    const known = of.message === '' ? undefined : this.#transactions.get(key)
    if (known) return known
    const sender = readAddress(of.sender)
    const client = clientOf(of.client, of.name || undefined, this.#settings.nat64Prefixes)
    const transaction: Transaction = {
      message: new Message(this.#parts, {
        client: { ...client, helo: asHostName(of.helo || undefined) },
        sender,
        // Without an authenticator, Exim names the user that runs it (spec, `authenticated_id`).
        authenticated: of.auth !== '' && isLogin(of.auth, of.user),
        certificate: this.#settings.needsCertificate ? certificateOf(of) : undefined,
      }),
      isJudgedAtData: this.#settings.nullSenderAt === 'data' && this.#isProbe(sender),
      recipients: 0,
    }
    if (of.message !== '' && key.length <= MAX_KEY) this.#remember(key, transaction)
    return transaction
  }

  #remember(key: string, transaction: Transaction): void {
    this.#transactions.set(key, transaction)
    if (this.#transactions.size <= MAX_MESSAGES) return
    const [oldest] = this.#transactions
    if (!oldest) return
    this.#transactions.delete(oldest[0])
    oldest[1].message.end()
  }
}

/**
 * The name of a message with its origin: two hosts with Exim may give the same name, and a message is never judged by
 * what another request says of its client.
 */
function keyOf({ id, mta, ...origin }: Fields): string {
  return JSON.stringify(Object.values(origin))
}

/** The address, which Exim gives without brackets. */
function readAddress(text: string): Address {
  return parseAddress(`<${text.slice(0, MAX_ADDRESS_READ)}>`)
}

function circumstancesOf({ mta, id }: Fields): Circumstances {
  return circumstancesBy(mta || undefined, id || undefined)
}

/**
 * The client's address without the length of a mask. greylistd-setup-exim4 -netmask writes Exim's operator `mask`,
 * whose IPv6 addresses have dots in place of colons.
 */
function bareAddress(text: string): string {
  const address = text.replace(/\/\d+$/, '')
  return /^(?:[\da-f]{4}\.){7}[\da-f]{4}$/i.test(address) ? address.replaceAll('.', ':') : address
}

/** The client's certificate; `undefined` if it has shown none. Names count only if Exim has verified them. */
function certificateOf({ verified, subject, issuer, fingerprint }: Fields): ClientCertificate | undefined {
  const digest = hexDigits(fingerprint)
  const named = (name: string) => (verified === '1' && isWholeName(name) ? [name] : [])
  const [subjects, issuers] = [named(subject), named(issuer)]
  if (digest === '' && subjects.length === 0 && issuers.length === 0) return undefined
  return { ...(digest === '' ? {} : { fingerprint: digest }), subjects, issuers }
}

function answerText(answer: Answer): string {
  return answer.kind === 'pass' ? PASS : `defer ${replyLine(answer.reply)}`
}

/** The reply with all its lines in one, as the answer to a request is a line. Exim wraps it for the client. */
function replyLine(reply: SmtpReply): string {
  return smtpLines({ ...reply, lines: [reply.lines.join(' ')] }).join('')
}
