// The door for the milter protocol, the one place where milter and greylisting meet. Stages before the judged one only
// remember; at the judged one a message is judged, and its answer becomes a reply. The protocol is left to
// milter/session.ts, what a message gets to message.ts.
//
// At RCPT a pass is `continue`, not `accept`: accept would end the filter for the whole message (libmilter
// xxfi_envrcpt), so that the recipients after an exempt one would not be greylisted.

import { type Address, parseAddress } from '../address.ts'
import type { Client } from '../attempt.ts'
import type { AddressRule } from '../exempt/addresses.ts'
import { compileProbeSenders } from '../exempt/probes.ts'
import type { Network } from '../ip.ts'
import { DATA_VERSION } from '../milter/codes.ts'
import type { Connection } from '../milter/command.ts'
import type { SessionLimits } from '../milter/limits.ts'
import type { Macros } from '../milter/macros.ts'
import type { Wants } from '../milter/negotiate.ts'
import { CONTINUE, type Reply } from '../milter/reply.ts'
import { type Handler, type MessageEnd, type Peer, Session } from '../milter/session.ts'
import { CERTIFICATE_MACROS, readCertificate } from './certificate.ts'
import { asHostName, clientOf, isLogin } from './client.ts'
import { type Answer, type Circumstances, circumstancesBy, type DoorParts, Message } from './message.ts'

/** The settings that this door needs beside what all doors share. */
export interface MilterSettings {
  /** The judged stage: each RCPT if the key has a recipient, otherwise MAIL. */
  readonly judgeAt: 'mail' | 'rcpt'
  /** The stage that judges mail from the null sender: at DATA, callouts that stop after RCPT leave no trace. */
  readonly nullSenderAt: 'rcpt' | 'data'
  /** Senders with which other servers verify addresses; their mail is judged where that of the null sender is. */
  readonly probeSenders: readonly AddressRule[]
  /** NAT64 prefixes; a client in one of them is judged as the IPv4 client whose address its own contains. */
  readonly nat64Prefixes: readonly Network[]
  /** Whether any decision depends on the name in HELO. */
  readonly needsHelo: boolean
  /** Whether any decision depends on the client's TLS certificate. */
  readonly needsCertificate: boolean
  /** Whether passed mail gets an X-Greylist header. */
  readonly header: boolean
}

/**
 * How many characters of an address are read: no SMTP command line is as long (Postfix line_length_limit and Sendmail's
 * MAXLINE are 2048). An address by the megabyte from a broken MTA must not cost as much work and log.
 */
const MAX_ADDRESS_READ = 4096
/** Memory of a remembered recipient: a number of bytes, plus its text once for each form of the address. */
const RECIPIENT_OVERHEAD = 300
const FORMS_OF_ADDRESS = 4

/** A function that begins the protocol on each connection of an MTA. */
export function createMilterDoor(
  settings: MilterSettings,
  limits: SessionLimits,
  parts: DoorParts,
): (peer: Peer) => Session {
  const newHandler = createHandlers(settings, parts)
  return (peer) => new Session(newHandler(), peer, limits)
}

/** A function that makes the handler for each connection of an MTA. */
export function createHandlers(settings: MilterSettings, parts: DoorParts): () => Handler {
  const wants = wantsOf(settings)
  const isProbe = compileProbeSenders(settings.probeSenders)
  return () => new MilterDoor(settings, parts, wants, isProbe)
}

interface Transaction {
  /** Whether the verdict waits for DATA, as the message may be a callout, which stops before it. */
  readonly isJudgedAtData: boolean
  readonly message: Message
  /** The recipients whose verdict waits for DATA. */
  readonly undecided: Address[]
}

class MilterDoor implements Handler {
  readonly wants: Wants
  readonly #settings: MilterSettings
  readonly #parts: DoorParts
  /** Whether mail from a sender may be a callout, which verifies an address and stops after RCPT. */
  readonly #isProbe: (sender: Address) => boolean
  #hasDataStage = true
  #client: Client = {}
  #transaction: Transaction | undefined
  #held = 0

  constructor(
    settings: MilterSettings,
    parts: DoorParts,
    wants: Wants,
    isProbe: (sender: Address) => boolean,
  ) {
    this.#settings = settings
    this.#parts = parts
    this.wants = wants
    this.#isProbe = isProbe
  }

  get held(): number {
    return this.#held
  }

  negotiated(version: number): void {
    this.#hasDataStage = version >= DATA_VERSION
  }

  connect(connection: Connection, macros: Macros): Reply {
    const address = isInternet(connection) ? connection.address : undefined
    this.#client = clientOf(address, confirmedName(connection, macros), this.#settings.nat64Prefixes)
    return CONTINUE
  }

  helo(name: string): Reply {
    const { address, ipv6Form, name: confirmed } = this.#client
    this.#client = { address, ipv6Form, name: confirmed, helo: asHostName(name) }
    return CONTINUE
  }

  mail(address: string, macros: Macros): Reply | Promise<Reply> {
    const sender = readAddress(address)
    const message = new Message(this.#parts, {
      client: this.#client,
      sender,
      authenticated: isLogin(macros.get('auth_type') ?? '', macros.get('auth_authen') ?? ''),
      certificate: this.#settings.needsCertificate ? readCertificate(macros) : undefined,
    })
    const isJudgedAtData =
      this.#settings.nullSenderAt === 'data' && this.#hasDataStage && this.#isProbe(sender)
    this.#transaction = { isJudgedAtData, message, undecided: [] }
    if (this.#settings.judgeAt === 'rcpt' || isJudgedAtData) return CONTINUE
    return message.judge(undefined, circumstancesOf(macros)).then(replyOf)
  }

  rcpt(address: string, macros: Macros): Reply | Promise<Reply> {
    const transaction = this.#transaction
    if (!transaction || this.#settings.judgeAt === 'mail') return CONTINUE
    const { isJudgedAtData, message, undecided } = transaction
    const recipient = readAddress(address)
    if (!isJudgedAtData) return message.judge(recipient, circumstancesOf(macros)).then(replyOf)
    message.prepare(recipient, circumstancesOf(macros))
    undecided.push(recipient)
    this.#held += RECIPIENT_OVERHEAD + FORMS_OF_ADDRESS * recipient.text.length
    return CONTINUE
  }

  /**
   * The last verdict stands for all recipients beyond the limit. If there is none, because all before were exempt or
   * wait for DATA, this one is judged: otherwise a message could carry any number of recipients behind thousands of
   * postmaster@.
   */
  rcptBeyondLimit(address: string, macros: Macros): Reply | Promise<Reply> {
    if (!this.#transaction || this.#settings.judgeAt === 'mail') return CONTINUE
    const { message } = this.#transaction
    if (message.standingAnswer) return replyOf(message.standingAnswer)
    return message.judge(readAddress(address), circumstancesOf(macros)).then(replyOf)
  }

  data(macros: Macros): Reply | Promise<Reply> {
    if (!this.#transaction?.isJudgedAtData) return CONTINUE
    const { message, undecided } = this.#transaction
    const recipients = this.#settings.judgeAt === 'mail' ? [undefined] : undecided
    return message.judgeTogether(recipients, circumstancesOf(macros)).then(replyOf)
  }

  endOfMessage(macros: Macros): MessageEnd {
    const header = this.#transaction?.message.header(asHostName(macros.get('j')))
    return { headers: header ? [header] : [], reply: CONTINUE }
  }

  endTransaction(): void {
    this.#transaction?.message.end()
    this.#transaction = undefined
    this.#held = 0
  }
}

function readAddress(address: string): Address {
  return parseAddress(address.slice(0, MAX_ADDRESS_READ))
}

function circumstancesOf(macros: Macros): Circumstances {
  return circumstancesBy(macros.get('j'), macros.get('i'))
}

function replyOf(answer: Answer): Reply {
  return answer.kind === 'pass' ? CONTINUE : { kind: 'smtp', reply: answer.reply }
}

function wantsOf({ judgeAt, nullSenderAt, needsHelo, needsCertificate, header }: MilterSettings): Wants {
  return {
    stages: {
      connect: 'note',
      helo: needsHelo ? 'note' : 'skip',
      mail: judgeAt === 'mail' ? 'answer' : 'note',
      rcpt: judgeAt === 'mail' ? 'skip' : 'answer',
      data: nullSenderAt === 'data' ? 'answer' : 'skip',
    },
    macros: {
      connect: ['j', 'v', '_', 'client_resolve'],
      helo: [],
      mail: ['i', 'auth_type', 'auth_authen', ...(needsCertificate ? CERTIFICATE_MACROS : [])],
      rcpt: ['i'],
      // Empty, as Sendmail sends macros in a packet of their own, and over TCP waits 40 ms before the next command.
      data: [],
      eom: [],
    },
    addHeaders: header,
  }
}

function isInternet({ family }: Connection): boolean {
  return family === 'inet' || family === 'inet6'
}

/**
 * The client's host name if address and name lead to each other. For any other client, Postfix sends `[ADDRESS]` or
 * `unknown`; Sendmail sends the name all the same and says in {client_resolve}, or in `_`, that it is not confirmed.
 */
function confirmedName({ hostName }: Connection, macros: Macros): string | undefined {
  if (hostName === 'unknown' || hostName.startsWith('[')) return undefined
  const resolved = macros.get('client_resolve')
  const isConfirmed = resolved ? resolved === 'OK' : !macros.get('_')?.includes('may be forged')
  return isConfirmed ? hostName : undefined
}
