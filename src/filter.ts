// The milter handler, the one place where milter and greylisting meet. Stages before the judged one only remember; the
// judged one asks the greylister and turns its outcome into a reply. The protocol is left to milter/session.ts, the
// decision to greylist/greylister.ts.
//
// At RCPT a pass is `continue`, not `accept`: accept would end the filter for the whole message (libmilter
// xxfi_envrcpt), so that the recipients after an exempt one would not be greylisted.

import { type Address, normalDomain, parseAddress } from './address.ts'
import type { Attempt, Client } from './attempt.ts'
import { CERTIFICATE_MACROS, type ClientCertificate, readCertificate } from './certificate.ts'
import { DECISION_TIMEOUT, type Greylister, type Inquiry } from './greylist/greylister.ts'
import { type Network, parseIp } from './ip.ts'
import type { TakeOutcome } from './log/reporter.ts'
import { DATA_VERSION } from './milter/codes.ts'
import type { Connection } from './milter/command.ts'
import type { Macros } from './milter/macros.ts'
import type { Wants } from './milter/negotiate.ts'
import type { Header, Reply } from './milter/reply.ts'
import type { Handler, MessageEnd } from './milter/session.ts'
import type { Outcome, Reason } from './outcome.ts'
import { ipv4Within } from './ranges.ts'
import type { ReplyTemplate } from './reply.ts'

/** The settings that the filter needs. */
export interface FilterSettings {
  /** The judged stage: each RCPT if the key has a recipient, otherwise MAIL. */
  readonly judgeAt: 'mail' | 'rcpt'
  /** The stage that judges mail from the null sender: at DATA, callouts that stop after RCPT leave no trace. */
  readonly nullSenderAt: 'rcpt' | 'data'
  /** NAT64 prefixes; a client in one of them is judged as the IPv4 client whose address its own contains. */
  readonly nat64Prefixes: readonly Network[]
  /** Whether any decision depends on the name in HELO. */
  readonly needsHelo: boolean
  /** Whether any decision depends on the client's TLS certificate. */
  readonly needsCertificate: boolean
  readonly reply: ReplyTemplate
  /** Whether passed mail gets an X-Greylist header. */
  readonly header: boolean
}

/** What the filter is made of. */
export interface FilterParts {
  readonly settings: FilterSettings
  readonly greylister: Greylister
  readonly report: TakeOutcome
  /** Host name for replies and headers if the MTA does not name itself. */
  readonly hostName: string
  /** The wall clock, for the date in headers. */
  readonly now: () => Date
}

/** The text of X-Greylist for each reason to pass that has one. */
const HEADER_TEXTS: Partial<Record<Reason, (outcome: Outcome) => string>> = {
  retry: ({ waited }) => `delayed ${clockTime(waited)}`,
  'max-deferrals': ({ deferrals }) => `deferred ${deferrals} times`,
  'auto-whitelist': () => 'auto-whitelisted',
}

/** Reasons to pass that hold for one recipient and say nothing about the next. */
const RECIPIENT_REASONS: ReadonlySet<Reason> = new Set(['exempt-recipient', 'not-greylisted'])

/** Text that may stand in a header unchanged (RFC 5322 section 2.2); an MTA's name may contain other characters. */
const HEADER_WORD = /^[!-~]+$/

const CONTINUE: Reply = { kind: 'continue' }

/**
 * How many characters of an address are read: no SMTP command line is as long (Postfix line_length_limit and Sendmail's
 * MAXLINE are 2048). An address by the megabyte from a broken MTA must not cost as much work and log.
 */
const MAX_ADDRESS_READ = 4096
/** Longest host name (RFC 1035 section 2.3.4); longer text is no host name. */
const MAX_HOST_NAME = 255
/** How many characters of a queue id are read: more than any has; Postfix's long ones have some 20. */
const MAX_QUEUE_ID = 100
/** Memory of a remembered recipient: a number of bytes, plus its text once for each form of the address. */
const RECIPIENT_OVERHEAD = 300
const FORMS_OF_ADDRESS = 4

/** How many recipients are judged concurrently at DATA, so that the store keeps up and other mail is not held up. */
const JUDGE_BATCH = 50

/** A function that makes the handler for each connection of an MTA. */
export function createFilter(parts: FilterParts): () => Handler {
  const wants = wantsOf(parts.settings)
  return () => new Filter(parts, wants)
}

interface Transaction {
  readonly sender: Address
  readonly authenticated: boolean
  readonly certificate: ClientCertificate | undefined
  /** The inquiry about client and sender; it begins with the first recipient that the MTA lets through. */
  readonly inquiry: Inquiry
  /** The recipients whose verdict waits for DATA. */
  readonly undecided: Address[]
  /** The reply to the last recipient whose verdict also says something about other recipients. */
  standingReply?: Reply | undefined
  /** The outcome that X-Greylist reports: that of the recipient that waited longest, among those that passed. */
  headerOutcome?: Outcome | undefined
}

class Filter implements Handler {
  readonly wants: Wants
  readonly #parts: FilterParts
  #hasDataStage = true
  #client: Client = {}
  #transaction: Transaction | undefined
  #held = 0

  constructor(parts: FilterParts, wants: Wants) {
    this.#parts = parts
    this.wants = wants
  }

  get held(): number {
    return this.#held
  }

  negotiated(version: number): void {
    this.#hasDataStage = version >= DATA_VERSION
  }

  connect(connection: Connection, macros: Macros): Reply {
    const address = isInternet(connection) ? parseIp(connection.address ?? '') : undefined
    const ipv4 = address && ipv4Within(address, this.#parts.settings.nat64Prefixes)
    this.#client = {
      address: ipv4 ?? address,
      ...(ipv4 ? { ipv6Form: address } : {}),
      name: confirmedName(connection, macros),
    }
    return CONTINUE
  }

  helo(name: string): Reply {
    this.#client = { ...this.#client, helo: asHostName(name) }
    return CONTINUE
  }

  mail(address: string, macros: Macros): Reply | Promise<Reply> {
    const sender = parseAddress(address.slice(0, MAX_ADDRESS_READ))
    const transaction: Transaction = {
      sender,
      authenticated: isAuthenticated(macros),
      certificate: this.#parts.settings.needsCertificate ? readCertificate(macros) : undefined,
      inquiry: { isOver: false },
      undecided: [],
    }
    this.#transaction = transaction
    if (this.#parts.settings.judgeAt === 'rcpt' || this.#isJudgedAtData(sender)) return CONTINUE
    return this.#judgeOne(this.#attempt(transaction, undefined, macros), transaction)
  }

  rcpt(address: string, macros: Macros): Reply | Promise<Reply> {
    const transaction = this.#transaction
    if (!transaction || this.#parts.settings.judgeAt === 'mail') return CONTINUE
    const recipient = parseAddress(address.slice(0, MAX_ADDRESS_READ))
    const attempt = this.#attempt(transaction, recipient, macros)
    if (!this.#isJudgedAtData(transaction.sender)) return this.#judgeOne(attempt, transaction)
    this.#parts.greylister.prepare(attempt, transaction.inquiry)
    transaction.undecided.push(recipient)
    this.#held += RECIPIENT_OVERHEAD + FORMS_OF_ADDRESS * recipient.text.length
    return CONTINUE
  }

  /**
   * The last verdict stands for all recipients beyond the limit. If there is none, because all before were exempt or
   * wait for DATA, this one is judged: otherwise a message could carry any number of recipients behind thousands of
   * postmaster@.
   */
  rcptBeyondLimit(address: string, macros: Macros): Reply | Promise<Reply> {
    const transaction = this.#transaction
    if (!transaction || this.#parts.settings.judgeAt === 'mail') return CONTINUE
    if (transaction.standingReply) return transaction.standingReply
    const recipient = parseAddress(address.slice(0, MAX_ADDRESS_READ))
    return this.#judgeOne(this.#attempt(transaction, recipient, macros), transaction)
  }

  data(macros: Macros): Reply | Promise<Reply> {
    const transaction = this.#transaction
    if (!transaction || !this.#isJudgedAtData(transaction.sender)) return CONTINUE
    const recipients = this.#parts.settings.judgeAt === 'mail' ? [undefined] : transaction.undecided
    const attempts = recipients.map((recipient) => this.#attempt(transaction, recipient, macros))
    return this.#judgeTogether(attempts, transaction.inquiry)
  }

  endOfMessage(macros: Macros): MessageEnd {
    const outcome = this.#transaction?.headerOutcome
    return { headers: outcome ? [this.#greylistHeader(outcome, macros)] : [], reply: CONTINUE }
  }

  endTransaction(): void {
    if (this.#transaction) this.#transaction.inquiry.isOver = true
    this.#transaction = undefined
    this.#held = 0
  }

  #isJudgedAtData(sender: Address): boolean {
    return sender.text === '' && this.#parts.settings.nullSenderAt === 'data' && this.#hasDataStage
  }

  #attempt(transaction: Transaction, recipient: Address | undefined, macros: Macros): Attempt {
    return {
      client: this.#client,
      authenticated: transaction.authenticated,
      certificate: transaction.certificate,
      sender: transaction.sender,
      recipient,
      mta: asHostName(macros.get('j')),
      queueId: macros.get('i')?.slice(0, MAX_QUEUE_ID),
    }
  }

  async #judgeOne(attempt: Attempt, transaction: Transaction): Promise<Reply> {
    const startedAt = performance.now()
    const outcome = await this.#parts.greylister.judge(attempt, transaction.inquiry)
    this.#note(outcome, startedAt)
    const reply = this.#replyTo(outcome)
    if (!RECIPIENT_REASONS.has(outcome.reason)) transaction.standingReply = reply
    return reply
  }

  /**
   * One verdict for all recipients, as DATA has one reply: if one has to wait, all wait and later pass together. They
   * share the time of one decision, as the MTA waits for one reply.
   */
  async #judgeTogether(attempts: readonly Attempt[], inquiry: Inquiry): Promise<Reply> {
    const startedAt = performance.now()
    const deadline = startedAt + DECISION_TIMEOUT
    const outcomes: Outcome[] = []
    for (let start = 0; start < attempts.length; start += JUDGE_BATCH) {
      const batch = attempts.slice(start, start + JUDGE_BATCH)
      outcomes.push(
        ...(await Promise.all(
          batch.map((attempt) => this.#parts.greylister.judge(attempt, inquiry, deadline)),
        )),
      )
    }
    const deferral = outcomes
      .filter(({ verdict }) => verdict === 'tempfail')
      .reduce<Outcome | undefined>(
        (longest, next) => (longest && longest.retryIn >= next.retryIn ? longest : next),
        undefined,
      )
    for (const outcome of outcomes) {
      this.#note(
        outcome.verdict === 'pass' && deferral ? { ...deferral, attempt: outcome.attempt } : outcome,
        startedAt,
      )
    }
    return deferral ? this.#replyTo(deferral) : CONTINUE
  }

  #note(outcome: Outcome, startedAt: number): void {
    const transaction = this.#transaction
    if (transaction && HEADER_TEXTS[outcome.reason]) {
      const { headerOutcome } = transaction
      if (!headerOutcome || outcome.waited > headerOutcome.waited) transaction.headerOutcome = outcome
    }
    this.#parts.report(outcome, performance.now() - startedAt)
  }

  #replyTo({ verdict, attempt, ref, retryIn }: Outcome): Reply {
    if (verdict === 'pass') return CONTINUE
    const { recipient, mta } = attempt
    const reply = this.#parts.settings.reply.fill({
      ref: ref ?? '',
      seconds: Math.ceil(retryIn / 1000),
      recipient: recipient?.text ?? '',
      domain: recipient?.domain ?? '',
      host: mta ?? this.#parts.hostName,
    })
    return { kind: 'smtp', reply }
  }

  /** `X-Greylist: delayed 00:16:40 by mx1.example.org; Thu, 01 Jan 2026 08:00:00 +0000` */
  #greylistHeader(outcome: Outcome, macros: Macros): Header {
    const named = asHostName(macros.get('j')) ?? ''
    const host = HEADER_WORD.test(named) ? named : this.#parts.hostName
    const date = this.#parts.now().toUTCString().replace('GMT', '+0000') // RFC 5322 section 3.3
    return ['X-Greylist', `${HEADER_TEXTS[outcome.reason]?.(outcome)} by ${host}; ${date}`]
  }
}

function wantsOf({ judgeAt, nullSenderAt, needsHelo, needsCertificate, header }: FilterSettings): Wants {
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

function asHostName(text: string | undefined): string | undefined {
  return text !== undefined && text.length <= MAX_HOST_NAME ? text : undefined
}

function isInternet({ family }: Connection): boolean {
  return family === 'inet' || family === 'inet6'
}

/**
 * The client's host name if address and name lead to each other. For any other client, Postfix sends `[ADDRESS]` or
 * `unknown`; Sendmail sends the name all the same and says in {client_resolve}, or in `_`, that it is not confirmed.
 */
function confirmedName({ hostName }: Connection, macros: Macros): string | undefined {
  if (!asHostName(hostName) || hostName === 'unknown' || hostName.startsWith('[')) return undefined
  const resolved = macros.get('client_resolve')
  const isConfirmed = resolved ? resolved === 'OK' : !macros.get('_')?.includes('may be forged')
  return isConfirmed ? normalDomain(hostName) : undefined
}

/**
 * SASL mechanisms that do not count as a login, as the client shows no password. With EXTERNAL, Sendmail takes any
 * certificate signed by one of its authorities, public ones included, for a login; greymx leaves such clients to the
 * rules for certificates.
 */
const MECHANISMS_WITHOUT_LOGIN = new Set(['ANONYMOUS', 'EXTERNAL'])

/** Whether the client has logged in: after a successful AUTH, and only then, both MTAs give these macros a value. */
function isAuthenticated(macros: Macros): boolean {
  const mechanism = macros.get('auth_type')?.toUpperCase() ?? ''
  return !MECHANISMS_WITHOUT_LOGIN.has(mechanism) && Boolean(mechanism || macros.get('auth_authen'))
}

/** Hours, minutes and seconds, rounded down: 1000000 → `00:16:40`. */
function clockTime(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000)
  return [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
    .map((part) => String(part).padStart(2, '0'))
    .join(':')
}
