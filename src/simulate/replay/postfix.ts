// Reads what Postfix logs of the attempts of its clients. A recipient that a filter or a policy server defers has a line
// with everything in it. A recipient that passes is told in pieces, which the queue id joins: smtpd names the client,
// qmgr the sender and the number of recipients, and whoever delivers the message names each recipient.
//
// One message is held for each queue id between its client= line and its last recipient; timeline.ts bounds how many.
// Source: seen on Postfix 3.7; postfix/src/smtpd/smtpd_check.c (log_whatsup) and smtpd.c, global/log_adhoc.c, qmgr(8).

import type { Attempt, Client } from '../../attempt.ts'
import { isLogin } from '../../doors/client.ts'
import { type ReaderParts, readAddress, readBracketed, readClient, slotOf } from './fields.ts'
import type { LogLine } from './heads.ts'
import type { LoggedVerdict } from './logged.ts'
import type { Draft, OpenSlot } from './timeline.ts'

/** A message from the first recipient that passed. */
interface Message {
  readonly slot: OpenSlot
  readonly key: string
  readonly queueId: string
  readonly host: string
  /** The smtpd process; it has one message at a time. */
  readonly session: string
  readonly client: Client
  readonly authenticated: boolean
  sender: string | undefined
  readonly recipients: Set<string>
  /** Recipients after the expansion of aliases, as qmgr counts and others deliver them. */
  readonly delivered: Set<string>
  expected: number | undefined
  /** Whether cleanup has seen its end, so that it will be delivered. */
  isComplete: boolean
  /** Whether a line has told why it will not be. */
  isRefused: boolean
}

const PROGRAM = /^([^/]+)\/(?:[^/]+\/)*([a-z]+)$/
const QUEUED = /^([0-9A-Za-z]{5,30}): /

/** Whether a program is one of Postfix's, whatever `syslog_name` calls it. */
export function isPostfix(program: string): boolean {
  return PROGRAM.test(program)
}

export class PostfixReader {
  readonly #parts: ReaderParts
  readonly #messages = new Map<string, Message>()
  /** The message that each smtpd process has begun last, until it is complete. */
  readonly #sessions = new Map<string, Message>()

  constructor(parts: ReaderParts) {
    this.#parts = parts
  }

  read(line: LogLine): void {
    const [, instance = '', daemon = ''] = PROGRAM.exec(line.program) ?? []
    const [all, queueId = ''] = QUEUED.exec(line.text) ?? ['']
    const rest = line.text.slice(all.length)
    const key = `${line.host} ${instance} ${queueId}`
    switch (daemon) {
      case 'smtpd':
        this.#readSmtpd(line, queueId, rest, key)
        return
      case 'cleanup':
        this.#readCleanup(line, rest, this.#messages.get(key))
        return
      case 'qmgr':
      case 'oqmgr':
      case 'nqmgr':
        this.#readQmgr(line, rest, this.#messages.get(key))
        return
      case 'pickup':
        if (rest.startsWith('uid=')) this.#parts.findings.count('local', line.place)
        return
      case 'postscreen':
        if (rest.startsWith('reject: RCPT')) this.#parts.findings.count('refused', line.place)
        return
      default:
        if (rest.startsWith('to=<')) this.#readDelivery(line, rest, this.#messages.get(key))
    }
  }

  #readSmtpd(line: LogLine, queueId: string, rest: string, key: string): void {
    if (queueId === '') {
      const session = sessionOf(line)
      if (rest.startsWith('disconnect from ')) this.#abandon(this.#sessions.get(session))
    } else if (rest.startsWith('client=')) {
      // A message without a queue id yet goes to a filter before the queue, which hands it back.
      if (queueId !== 'NOQUEUE') this.#begin(line, queueId, rest, key)
    } else if (rest.startsWith('milter-reject: ') || rest.startsWith('reject: ')) {
      this.#readRefusal(line, queueId, rest, this.#messages.get(key))
    }
  }

  #begin(line: LogLine, queueId: string, rest: string, key: string): void {
    const { timeline, findings, isCovered } = this.#parts
    const session = sessionOf(line)
    this.#abandon(this.#sessions.get(session))
    // A short queue id is used again once its message is gone.
    this.#complete(this.#messages.get(key))
    if (isCovered(line.at)) {
      findings.count('covered', line.place)
      return
    }
    const found = CLIENT.exec(rest)
    if (!found) {
      findings.count('malformed', line.place)
      return
    }
    const [, more = ''] = found.slice(2)
    if (more.includes(', orig_queue_id=')) {
      findings.count('reinjected', line.place)
      return
    }
    // A filter before the queue hands mail in for its client, which smtpd has logged without a queue id.
    const [, name = '', address = ''] = ORIGINAL_CLIENT.exec(more) ?? found
    const client = this.#clientOf(name, address, undefined)
    if (!client) {
      findings.count('no-client', line.place)
      return
    }
    const [, mechanism = ''] = /, sasl_method=([^,]*)/.exec(more) ?? []
    const [, user = ''] = /, sasl_username=([^,]*)/.exec(more) ?? []
    const slot = timeline.begin(slotOf(line), () => this.#complete(message))
    const message: Message = {
      slot,
      key,
      queueId,
      host: line.host,
      session,
      client,
      authenticated: isLogin(mechanism, user),
      sender: undefined,
      recipients: new Set(),
      delivered: new Set(),
      expected: undefined,
      isComplete: false,
      isRefused: false,
    }
    slot.hold(line.text.length)
    this.#messages.set(key, message)
    this.#sessions.set(session, message)
  }

  /** A recipient, or a whole message, that was not accepted. */
  #readRefusal(line: LogLine, queueId: string, rest: string, message: Message | undefined): void {
    const { timeline, findings, isCovered } = this.#parts
    const found = REFUSAL.exec(rest)
    if (!found) {
      findings.count('malformed', line.place)
      return
    }
    const [all, by = '', stage = '', name = '', address = '', code = ''] = found
    const text = rest.slice(all.length)
    if (!STAGES.has(stage)) return
    const envelope = readEnvelope(text)
    if (typeof envelope === 'string') {
      findings.count(envelope, line.place)
      return
    }
    const { sender, recipient, helo, end } = envelope
    const isBounceAtData = DATA_STAGES.has(stage) && sender === ''
    const isDeferral = code.startsWith('4') && (by === 'milter-reject' || GREYLISTER.test(text.slice(0, end)))
    const isAttempt = isDeferral && (stage === 'MAIL' || stage === 'RCPT' || isBounceAtData)
    if (message) {
      message.sender ??= sender
      if (!isAttempt && stage !== 'RCPT') this.#refuseMessage(line, message, recipient)
      if (isBounceAtData) message.isRefused = true
    }
    if (!isAttempt) {
      if (stage === 'RCPT') findings.count('refused', line.place)
      return
    }
    if (isCovered(line.at)) {
      findings.count('covered', line.place)
      return
    }
    const client = this.#clientOf(name, address, helo)
    if (!client) {
      findings.count('no-client', line.place)
      return
    }
    if (isBounceAtData) findings.count('after-data', line.place)
    const hasQueueId = queueId !== 'NOQUEUE'
    const attempt: Attempt = {
      client,
      authenticated: message?.authenticated ?? false,
      sender: readAddress(sender),
      recipient: recipient === undefined ? undefined : readAddress(recipient),
      mta: line.host || undefined,
      queueId: hasQueueId ? queueId : undefined,
    }
    timeline.add(slotOf(line), {
      attempt,
      source: 'postfix',
      logged: isWithoutVerdict(text) ? undefined : { verdict: 'tempfail' },
      message: hasQueueId ? `${line.host} ${queueId}` : undefined,
      endedBeforeData: false,
    })
  }

  /** A message that passed at RCPT and was refused later; the line names one of its recipients. */
  #refuseMessage(line: LogLine, message: Message, recipient: string | undefined): void {
    if (recipient !== undefined) message.recipients.add(recipient)
    message.isRefused = true
    this.#parts.findings.count('after-data', line.place)
    this.#complete(message)
  }

  #readCleanup(line: LogLine, rest: string, message: Message | undefined): void {
    if (!message) return
    if (rest.startsWith('message-id=')) {
      message.isComplete = true
      return
    }
    if (!/^(?:milter-reject|milter-discard|reject|discard): /.test(rest)) return
    const envelope = readEnvelope(rest)
    if (typeof envelope === 'string') {
      this.#parts.findings.count(envelope, line.place)
      return
    }
    message.sender ??= envelope.sender
    this.#refuseMessage(line, message, envelope.recipient)
  }

  #readQmgr(line: LogLine, rest: string, message: Message | undefined): void {
    if (!message) return
    if (rest === 'removed') {
      this.#complete(message)
      return
    }
    const [, sender, recipients] = QUEUE_ACTIVE.exec(rest) ?? []
    if (sender === undefined) return
    message.isComplete = true
    message.sender ??= sender
    message.expected ??= Number(recipients)
    message.slot.hold(line.text.length)
    if (message.delivered.size >= message.expected) this.#complete(message)
  }

  #readDelivery(line: LogLine, rest: string, message: Message | undefined): void {
    if (!message) return
    const to = readBracketed(rest, 'to='.length)
    const original =
      to && rest.startsWith(ORIGINAL, to.end) ? readBracketed(rest, to.end + ORIGINAL.length) : undefined
    const end = original?.end ?? to?.end
    if (!to || !rest.startsWith(', relay=', end)) {
      this.#parts.findings.count('malformed', line.place)
      return
    }
    message.isComplete = true
    message.recipients.add(original?.content ?? to.content)
    message.delivered.add(`${to.content} ${original?.content}`)
    message.slot.hold(2 * rest.length)
    if (message.expected !== undefined && message.delivered.size >= message.expected) this.#complete(message)
  }

  /** Ends a message that its client has given up, if it was not complete by then. */
  #abandon(message: Message | undefined): void {
    if (!message) return
    this.#sessions.delete(message.session)
    if (!message.isComplete) this.#complete(message)
  }

  /** Hands on what is known of a message; nothing that comes later changes it. */
  #complete(message: Message | undefined): void {
    if (!message || this.#messages.get(message.key) !== message) return
    const { findings } = this.#parts
    const { slot, queueId, host, client, authenticated, sender, recipients, delivered, expected } = message
    this.#messages.delete(message.key)
    if (this.#sessions.get(message.session) === message) this.#sessions.delete(message.session)
    if (expected !== undefined) findings.count('no-recipients', slot.place, expected - delivered.size)
    else if (message.isComplete && recipients.size === 0) findings.count('no-recipients', slot.place)
    else if (recipients.size === 0 && !message.isRefused) findings.count('dropped', slot.place)
    if (sender === undefined) {
      findings.count('no-sender', slot.place, recipients.size)
      slot.complete([])
      return
    }
    const from = readAddress(sender)
    const logged: LoggedVerdict = { verdict: 'pass' }
    const circumstances = { client, authenticated, sender: from, mta: host || undefined, queueId }
    const drafts = Array.from(
      recipients,
      (recipient): Draft => ({
        attempt: { ...circumstances, recipient: readAddress(recipient) },
        source: 'postfix',
        logged,
        message: `${host} ${queueId}`,
        endedBeforeData: false,
      }),
    )
    slot.complete(drafts)
  }

  #clientOf(name: string, address: string, helo: string | undefined): Client | undefined {
    return readClient(address, name === 'unknown' ? undefined : name, helo, this.#parts)
  }
}

function sessionOf({ host, program, process }: LogLine): string {
  return `${host} ${program} ${process}`
}

/** `client=NAME[ADDRESS]`, with a port if smtpd_client_port_logging is on. */
const CLIENT = /^client=([^\s[\],]+)\[([0-9A-Fa-f:.]+|unknown)\](?::\d+)?(|, .*)$/s

const ORIGINAL_CLIENT = /, orig_client=([^\s[\],]+)\[([0-9A-Fa-f:.]+|unknown)\]/

/** `milter-reject: RCPT from NAME[ADDRESS]: 451 4.7.1 TEXT`, up to the text. */
const REFUSAL =
  /^(milter-reject|reject): ([A-Z-]+) from ([^\s[\]]+)\[([0-9A-Fa-f:.]+|unknown)\](?::\d+)?: (\d\d\d)[ -]/

/** The stages whose refusals name an envelope. */
const STAGES: ReadonlySet<string> = new Set(['MAIL', 'RCPT', 'DATA', 'BDAT', 'END-OF-MESSAGE'])
const DATA_STAGES: ReadonlySet<string> = new Set(['DATA', 'BDAT'])

/** Policy servers that greylist, such as Postgrey, say so in their text. */
const GREYLISTER = /gr[ae]y-?list/i

const QUEUE_ACTIVE = /^from=<(.*)>, size=\d+, nrcpt=(\d+) \(queue active\)/s

const ORIGINAL = ', orig_to='

/** Texts of Postfix itself for a milter that did not answer. */
function isWithoutVerdict(text: string): boolean {
  return text.startsWith('4.7.1 Service unavailable') || text.startsWith('4.3.0 Service unavailable')
}

interface Envelope {
  readonly sender: string
  /** Absent at MAIL FROM. */
  readonly recipient: string | undefined
  readonly helo: string | undefined
  /** Index at which the text of the reply ends. */
  readonly end: number
}

/** Largest number of places in a line that are examined for the sender; a sound line has one. */
const MAX_SENDERS = 4

const SENDER = '; from='
const RECIPIENT = ' to='
const PROTOCOL = / proto=E?SMTP[A-Z0-9]* helo=<(.*)>(?:$| [a-z_]+=|: )/sy

/**
 * The envelope at the end of a refusal. The text before it can hold what the client wrote, and Postfix before 3.5 wrote
 * addresses without quotes, so that a client could forge one: a line that can be read in two ways is `forged`.
 */
function readEnvelope(text: string): Envelope | 'malformed' | 'forged' {
  const found: Envelope[] = []
  let examined = 0
  for (let start = text.indexOf(SENDER); start !== -1; start = text.indexOf(SENDER, start + 1)) {
    examined += 1
    if (examined > MAX_SENDERS) return 'forged'
    const envelope = readEnvelopeAt(text, start)
    if (envelope === 'forged') return 'forged'
    if (envelope) found.push(envelope)
  }
  const [envelope] = found
  if (found.length > 1) return 'forged'
  return envelope ?? 'malformed'
}

function readEnvelopeAt(text: string, start: number): Envelope | 'forged' | undefined {
  const sender = readBracketed(text, start + SENDER.length)
  if (!sender) return undefined
  const hasRecipient = text.startsWith(RECIPIENT, sender.end)
  const recipient = hasRecipient ? readBracketed(text, sender.end + RECIPIENT.length) : undefined
  if (hasRecipient && !recipient) return undefined
  PROTOCOL.lastIndex = recipient?.end ?? sender.end
  const [, helo] = PROTOCOL.exec(text) ?? []
  if (helo === undefined) return undefined
  if (/ (?:to|proto)=|; from=/.test(helo)) return 'forged'
  return {
    sender: sender.content,
    recipient: recipient?.content,
    helo: /^[^\s<>]+$/.test(helo) ? helo : undefined,
    end: start,
  }
}
