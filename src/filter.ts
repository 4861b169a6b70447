// What greymx answers at each milter stage: the one place where milter and greylisting meet. Stages before the
// judged one only remember; the judged one asks the greylister and turns its outcome into a reply.
//
// At RCPT a pass is `continue`, not `accept`: accept would end the filter for the whole message (libmilter
// xxfi_envrcpt), so that the recipients after an exempt one would not be greylisted.

import { type Address, normalDomain, parseAddress } from './address.ts'
import type { Attempt, Client } from './attempt.ts'
import { CERTIFICATE_MACROS, type ClientCertificate, readCertificate } from './certificate.ts'
import { type Greylister, type Inquiry, LONGEST_DECISION } from './greylist/greylister.ts'
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

export interface FilterSettings {
  /** Whether the key has a recipient: then each RCPT is judged, else MAIL. */
  readonly judgeAt: 'mail' | 'rcpt'
  /** Where mail from the null sender is judged; at DATA, callouts that stop after RCPT leave no trace. */
  readonly nullSenderAt: 'rcpt' | 'data'
  /** The prefixes of translators behind which an IPv6 client is the IPv4 client within its address. */
  readonly nat64Prefixes: readonly Network[]
  /** Whether who calls itself what in HELO can matter. */
  readonly needsHelo: boolean
  /** Whether a client's TLS certificate can matter. */
  readonly needsCertificate: boolean
  readonly reply: ReplyTemplate
  readonly header: boolean
}

export interface FilterParts {
  readonly settings: FilterSettings
  readonly greylister: Greylister
  readonly report: TakeOutcome
  /** Host name for replies and headers where the MTA does not name itself. */
  readonly hostName: string
  /** The wall clock, for the date in headers. */
  readonly now: () => Date
}

/** What X-Greylist says of a recipient that passed, where it says anything. */
const HEADER_TEXTS: Partial<Record<Reason, (outcome: Outcome) => string>> = {
  retry: ({ waited }) => `delayed ${clockTime(waited)}`,
  'max-deferrals': ({ deferrals }) => `deferred ${deferrals} times`,
  'auto-whitelist': () => 'auto-whitelisted',
}

/** The reasons for which one recipient passes, and which say nothing of the next. */
const OF_RECIPIENT: ReadonlySet<Reason> = new Set(['exempt-recipient', 'not-greylisted'])

/** What may stand in a header as it is (RFC 5322 section 2.2); an MTA can be named otherwise. */
const HEADER_WORD = /^[!-~]+$/

const CONTINUE: Reply = { kind: 'continue' }

/**
 * So much of an address is looked at, in characters: no SMTP command line is as long (Postfix line_length_limit and
 * Sendmail's MAXLINE are 2048). What a broken MTA sends beyond must not make work, or lines of log, by the megabyte.
 */
const MAX_ADDRESS = 4096
/** A host name is no longer (RFC 1035 section 2.3.4), and what is longer is none. */
const MAX_HOST_NAME = 255
/** Longer than any queue id; Postfix's long ones have some 20 characters. */
const MAX_QUEUE_ID = 100
/** What a remembered recipient takes in memory beside its text, and its text once for each form. */
const RECIPIENT = 300
const FORMS_OF_ADDRESS = 4

/** Recipients that are judged at once at DATA: a store, and everybody else's mail, has to cope with them. */
const JUDGED_AT_ONCE = 50

/** Gives a handler for each connection of an MTA. */
export function createFilter(parts: FilterParts): () => Handler {
  const wants = wantsOf(parts.settings)
  return () => new Filter(parts, wants)
}

interface Transaction {
  readonly sender: Address
  readonly authenticated: boolean
  readonly certificate: ClientCertificate | undefined
  /** What has to be asked about client and sender; asked from the first recipient on that the MTA lets through. */
  readonly inquiry: Inquiry
  /** The recipients whose verdict waits for DATA. */
  readonly undecided: Address[]
  /** The reply to the last recipient whose verdict says something of others. */
  standing?: Reply | undefined
  /** What the message's recipients that passed say in a header: the one that waited longest has the word. */
  delayed?: Outcome | undefined
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
    const given = isInternet(connection) ? parseIp(connection.address ?? '') : undefined
    const within = given && ipv4Within(given, this.#parts.settings.nat64Prefixes)
    this.#client = {
      address: within ?? given,
      ...(within ? { ipv6Form: given } : {}),
      name: confirmedName(connection, macros),
    }
    return CONTINUE
  }

  helo(name: string): Reply {
    this.#client = { ...this.#client, helo: asHostName(name) }
    return CONTINUE
  }

  mail(address: string, macros: Macros): Reply | Promise<Reply> {
    const sender = parseAddress(address.slice(0, MAX_ADDRESS))
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
    const recipient = parseAddress(address.slice(0, MAX_ADDRESS))
    const attempt = this.#attempt(transaction, recipient, macros)
    if (!this.#isJudgedAtData(transaction.sender)) return this.#judgeOne(attempt, transaction)
    this.#parts.greylister.prepare(attempt, transaction.inquiry)
    transaction.undecided.push(recipient)
    this.#held += RECIPIENT + FORMS_OF_ADDRESS * recipient.text.length
    return CONTINUE
  }

  /**
   * The last verdict stands for all recipients beyond the limit. Where there is none yet, since all before were exempt or
   * wait for DATA, this one is judged: else a message would carry any number of recipients behind thousands of postmaster@.
   */
  rcptBeyondLimit(address: string, macros: Macros): Reply | Promise<Reply> {
    const transaction = this.#transaction
    if (!transaction || this.#parts.settings.judgeAt === 'mail') return CONTINUE
    if (transaction.standing) return transaction.standing
    const recipient = parseAddress(address.slice(0, MAX_ADDRESS))
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
    const delayed = this.#transaction?.delayed
    return { headers: delayed ? [this.#greylistHeader(delayed, macros)] : [], reply: CONTINUE }
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
    if (!OF_RECIPIENT.has(outcome.reason)) transaction.standing = reply
    return reply
  }

  /**
   * One verdict for all, as DATA has one reply: who is known already waits with who is not, and passes with them. All of
   * them together have the time of one decision, as the MTA waits for one reply.
   */
  async #judgeTogether(attempts: readonly Attempt[], inquiry: Inquiry): Promise<Reply> {
    const startedAt = performance.now()
    const deadline = startedAt + LONGEST_DECISION
    const outcomes: Outcome[] = []
    for (let start = 0; start < attempts.length; start += JUDGED_AT_ONCE) {
      const some = attempts.slice(start, start + JUDGED_AT_ONCE)
      outcomes.push(
        ...(await Promise.all(
          some.map((attempt) => this.#parts.greylister.judge(attempt, inquiry, deadline)),
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
      const { delayed } = transaction
      if (!delayed || outcome.waited > delayed.waited) transaction.delayed = outcome
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
      // Sendmail sends macros in a packet of their own, and over TCP waits 40 ms before the command that follows them.
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
 * The client's host name, only when its address and the name lead to each other. Postfix sends `[ADDRESS]` or
 * `unknown` for any other; Sendmail sends the name all the same and says so in {client_resolve}, or in `_`.
 */
function confirmedName({ hostName }: Connection, macros: Macros): string | undefined {
  if (!asHostName(hostName) || hostName === 'unknown' || hostName.startsWith('[')) return undefined
  const resolved = macros.get('client_resolve')
  const isConfirmed = resolved ? resolved === 'OK' : !macros.get('_')?.includes('may be forged')
  return isConfirmed ? normalDomain(hostName) : undefined
}

/**
 * SASL mechanisms by which nobody has shown a password. With EXTERNAL, Sendmail takes any certificate that one of its
 * authorities has signed, a public one among them, for a login: who that is, the rules for certificates say.
 */
const WITHOUT_LOGIN = new Set(['ANONYMOUS', 'EXTERNAL'])

/** Both MTAs send these macros after an AUTH that has succeeded, and empty or not at all else. */
function isAuthenticated(macros: Macros): boolean {
  const mechanism = macros.get('auth_type')?.toUpperCase() ?? ''
  return !WITHOUT_LOGIN.has(mechanism) && Boolean(mechanism || macros.get('auth_authen'))
}

/** Hours, minutes and seconds, rounded down: 1000000 → `00:16:40`. */
function clockTime(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000)
  return [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
    .map((part) => String(part).padStart(2, '0'))
    .join(':')
}
