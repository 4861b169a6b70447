// Reads what Sendmail logs of the attempts of its clients. All lines of a message are joined by its queue id. Recipients
// that a filter defers are logged at once; client and sender follow in a from= line when the message is complete or
// given up. Recipients that passed are logged when they are delivered (to=), or before the from= line when the client
// has sent RSET (stat=RSET).
//
// One message is held for each queue id between its first and its last recipient; timeline.ts bounds how many.
// Source: seen on Sendmail 8.17 at LogLevel 9, which is the default; sendmail/envelope.c (logsender), deliver.c
// (logdelivery), srvrsmtp.c (MILTER_REPLY), and the Sendmail Operations Guide, section 2.1.

import type { Attempt, Client } from '../../attempt.ts'
import { isLogin } from '../../doors/client.ts'
import { decodeText, encodeText } from '../../milter/text.ts'
import { type ReaderParts, readAddress, readBracketed, readClient, slotOf } from './fields.ts'
import type { LogLine } from './heads.ts'
import type { LoggedVerdict } from './logged.ts'
import type { Draft, OpenSlot } from './timeline.ts'

/** A recipient, or a whole message, that a filter has deferred. */
interface Deferral {
  readonly slot: OpenSlot
  /** Absent when the sender was deferred at MAIL FROM. */
  readonly recipient: string | undefined
  readonly logged: LoggedVerdict | undefined
}

interface Message {
  readonly key: string
  readonly queueId: string
  readonly host: string
  /** The place of what passed: that of the first line of the message. */
  readonly slot: OpenSlot
  readonly deferrals: Deferral[]
  /** The place of a deferral at DATA, which is one of all recipients. */
  dataDeferral: Deferral | undefined
  readonly recipients: Set<string>
  /** Recipients after the expansion of aliases, as nrcpts= counts and to= names them. */
  readonly delivered: Set<string>
  from: From | undefined
}

/** What a from= line tells. */
interface From {
  readonly client: Client
  readonly authenticated: boolean
  readonly sender: string
  readonly recipients: number
}

const PROGRAM = /^(?:sendmail|sm-mta|sm-[a-z]+|sendmail-[a-z]+)$/
const QUEUED = /^([0-9A-Za-z]{10,30}): /

export function isSendmail(program: string): boolean {
  return PROGRAM.test(program)
}

/** Largest number of processes whose authentication is remembered until their next message. */
const MAX_LOGINS = 10_000

export class SendmailReader {
  readonly #parts: ReaderParts
  readonly #messages = new Map<string, Message>()
  /** The mechanism by which the client of a process has authenticated, by host, process and client. */
  readonly #logins = new Map<string, string>()

  constructor(parts: ReaderParts) {
    this.#parts = parts
  }

  read(line: LogLine): void {
    const text = unescaped(line.text)
    const login = LOGIN.exec(text)
    if (login) {
      this.#noteLogin(line, login)
      return
    }
    const [all, queueId] = QUEUED.exec(text) ?? []
    if (all === undefined || queueId === undefined) return
    const rest = text.slice(all.length)
    const key = `${line.host} ${queueId}`
    if (rest.startsWith('Milter: ')) this.#readDeferral(line, queueId, rest.slice('Milter: '.length), key)
    else if (rest.startsWith('from=')) this.#readFrom(line, queueId, rest, key)
    else if (rest.startsWith('to=')) this.#readTo(line, queueId, rest, key)
    else if (rest.startsWith('ruleset=check_rcpt')) this.#parts.findings.count('refused', line.place)
  }

  #noteLogin(line: LogLine, [, address = '', mechanism = '']: RegExpExecArray): void {
    const [oldest] = this.#logins.keys()
    if (this.#logins.size >= MAX_LOGINS && oldest !== undefined) this.#logins.delete(oldest)
    this.#logins.set(`${line.host} ${line.process} ${address}`, mechanism)
  }

  /** The message of a line, begun if need be; `undefined` where greymx's own lines tell more. */
  #messageAt(line: LogLine, queueId: string, key: string): Message | undefined {
    const known = this.#messages.get(key)
    if (known) return known
    const { timeline, isCovered } = this.#parts
    if (isCovered(line.at)) return undefined
    const slot = timeline.begin(slotOf(line), () => this.#complete(message))
    const message: Message = {
      key,
      queueId,
      host: line.host,
      slot,
      deferrals: [],
      dataDeferral: undefined,
      recipients: new Set(),
      delivered: new Set(),
      from: undefined,
    }
    this.#messages.set(key, message)
    return message
  }

  /** `Milter: to=<ADDRESS>, reject=451 4.7.1 TEXT`, or likewise with from= and cmd=data. */
  #readDeferral(line: LogLine, queueId: string, rest: string, key: string): void {
    const { timeline, findings } = this.#parts
    const [, kind] = /^(to=|from=|cmd=data, |data, )/.exec(rest) ?? []
    if (kind === undefined) return
    const hasAddress = kind === 'to=' || kind === 'from='
    const address = hasAddress ? readOne(rest, kind.length, ', reject=') : undefined
    if (hasAddress && !address) {
      findings.count('malformed', line.place)
      return
    }
    const reply = rest.slice((address?.end ?? kind.length) + (address ? ', '.length : 0))
    const [, code, text = ''] = /^reject=(\d\d\d)(?:[ -](.*))?$/s.exec(reply) ?? []
    if (code === undefined) {
      findings.count('malformed', line.place)
      return
    }
    if (!code.startsWith('4')) {
      if (kind === 'to=') findings.count('refused', line.place)
      return
    }
    const message = this.#messageAt(line, queueId, key)
    if (!message) {
      findings.count('covered', line.place)
      return
    }
    const slot = timeline.begin(slotOf(line), () => this.#complete(message))
    slot.hold(line.text.length)
    const recipient = kind === 'to=' ? address?.content : undefined
    const logged: LoggedVerdict | undefined = isWithoutVerdict(code, text)
      ? undefined
      : { verdict: 'tempfail' }
    const deferral = { slot, recipient, logged }
    if (hasAddress) message.deferrals.push(deferral)
    else {
      message.dataDeferral?.slot.complete([])
      message.dataDeferral = deferral
    }
  }

  #readFrom(line: LogLine, queueId: string, rest: string, key: string): void {
    const { findings } = this.#parts
    const relay = RELAY.exec(rest)
    const known = this.#messages.get(key)
    if (!relay) {
      findings.count(/, relay=/.test(rest) ? 'local' : 'malformed', line.place)
      this.#complete(known)
      return
    }
    const message = this.#messageAt(line, queueId, key)
    if (!message) {
      findings.count('covered', line.place)
      return
    }
    // Once it is known, a message is delivered, and sent on by lists with another sender.
    if (message.from) return
    const [, name, address = '', forged] = relay
    const sender = readSender(rest)
    const [, recipients = '', more = ''] = /, nrcpts=(\d+)(.*)$/s.exec(rest.slice(sender?.end ?? 0)) ?? []
    const client = readClient(address, forged === undefined ? name : undefined, undefined, this.#parts)
    if (!client) findings.count('no-client', line.place)
    if (!sender) findings.count('no-sender', line.place)
    if (!client || !sender) {
      this.#complete(message)
      return
    }
    message.from = {
      client,
      authenticated: this.#isLogin(line, address, more),
      sender: sender.content,
      recipients: Number(recipients),
    }
    message.slot.hold(line.text.length)
    // A message that was given up has no size and no Message-Id; what is complete has at least one of them.
    const isGivenUp = rest.startsWith(', size=0,', sender.end) && !more.includes(', msgid=')
    if (isGivenUp || message.delivered.size >= message.from.recipients) this.#complete(message, isGivenUp)
  }

  #isLogin({ host, process }: LogLine, address: string, more: string): boolean {
    const mechanism = this.#logins.get(`${host} ${process} ${address}`)
    if (mechanism !== undefined) return isLogin(mechanism, '')
    // RFC 3848: with authentication the protocol ends in A.
    return /, proto=E?SMTPS?A,/.test(more)
  }

  /** `to=<ADDRESS>,<ADDRESS>, ctladdr=ADDRESS (UID/GID), delay=…, stat=TEXT`. */
  #readTo(line: LogLine, queueId: string, rest: string, key: string): void {
    const { findings } = this.#parts
    const list = readList(rest, 'to='.length)
    if (!list) {
      if (this.#messages.has(key)) findings.count('malformed', line.place)
      return
    }
    // Delivery of a message whose beginning was not seen tells of no attempt.
    const isGivenUp = / stat=RSET$/.test(rest)
    const message = isGivenUp ? this.#messageAt(line, queueId, key) : this.#messages.get(key)
    if (!message) return
    const [, original] = CONTROLLING.exec(rest.slice(list.end)) ?? []
    for (const recipient of list.addresses) {
      message.recipients.add(original ?? recipient)
      message.delivered.add(recipient)
    }
    message.slot.hold(2 * rest.length)
    if (message.from && message.delivered.size >= message.from.recipients) this.#complete(message)
  }

  /** Hands on what is known of a message; nothing that comes later changes it. */
  #complete(message: Message | undefined, isGivenUp = false): void {
    if (!message || this.#messages.get(message.key) !== message) return
    this.#messages.delete(message.key)
    const { slot, deferrals, dataDeferral, recipients, delivered, from } = message
    const { findings } = this.#parts
    if (!from) {
      findings.count('no-sender', slot.place, deferrals.length)
      for (const deferral of deferrals) deferral.slot.complete([])
      dataDeferral?.slot.complete([])
      slot.complete([])
      return
    }
    findings.count('no-recipients', slot.place, from.recipients - delivered.size)

    const draftOf = draftsOf(message, from)
    for (const { slot, recipient, logged } of deferrals) {
      slot.complete([draftOf(recipient, logged, false)])
    }
    // greymx has bounces alone wait at DATA; any other message had passed by then.
    const isBounceDeferred = dataDeferral !== undefined && from.sender === ''
    const passed = Array.from(recipients)
    const verdict = isBounceDeferred ? dataDeferral.logged : ({ verdict: 'pass' } as const)
    const drafts = passed.map((recipient) => draftOf(recipient, verdict, isGivenUp && !dataDeferral))
    dataDeferral?.slot.complete(isBounceDeferred ? drafts : [])
    slot.complete(isBounceDeferred ? [] : drafts)
  }
}

type DraftOf = (
  recipient: string | undefined,
  logged: LoggedVerdict | undefined,
  endedBeforeData: boolean,
) => Draft

function draftsOf({ host, queueId }: Message, { client, authenticated, sender }: From): DraftOf {
  const circumstances: Omit<Attempt, 'recipient'> = {
    client,
    authenticated,
    sender: readAddress(sender),
    mta: host || undefined,
    queueId,
  }
  return (recipient, logged, endedBeforeData) => ({
    attempt: {
      ...circumstances,
      recipient: recipient === undefined ? undefined : readAddress(recipient),
    },
    source: 'sendmail',
    logged,
    message: `${host} ${queueId}`,
    endedBeforeData,
  })
}

const LOGIN =
  /^AUTH=server, relay=(?:[^\s,[\]]+ )?\[([0-9A-Za-z:.]+)\](?: \(may be forged\))?, (?:authid=.*, )?mech=([^,\s]+), bits=\d+$/s

/** `relay=NAME [ADDRESS] (may be forged)` at the end, where nothing that a client chooses can stand behind it. */
const RELAY = /, relay=(?:[^\s,@]+@)?(?:([^\s,[\]]+) )?\[([0-9A-Za-z:.]+)\]( \(may be forged\))?$/

const CONTROLLING = /^, ctladdr=<([^<>]+)> \(/

/** Sendmail's own text for a filter that gives none, as when it fails. */
function isWithoutVerdict(code: string, text: string): boolean {
  return code === '451' && text.startsWith('4.3.2 Please try again later')
}

interface Field {
  readonly content: string
  /** Index behind it. */
  readonly end: number
}

/** The sender of a from= line; `undefined` when Sendmail has cut it. */
function readSender(rest: string): Field | undefined {
  return readOne(rest, 'from='.length, ', size=')
}

/** The address at `start`, which must be followed by `next`; clients may leave out the brackets. */
function readOne(rest: string, start: number, next: string): Field | undefined {
  if (rest[start] === '<') {
    const found = readBracketed(rest, start)
    return found && rest.startsWith(next, found.end) ? found : undefined
  }
  const end = rest.indexOf(next, start)
  const content = rest.slice(start, end)
  return end === -1 || /[\s<>"]/.test(content) ? undefined : { content, end }
}

interface List {
  readonly addresses: readonly string[]
  readonly end: number
}

/** The addresses at `start`: `<ADDRESS>,<ADDRESS>, [more]`, or a single one without brackets. */
function readList(rest: string, start: number): List | undefined {
  if (rest[start] !== '<') {
    const one = readOne(rest, start, ', ')
    return one && { addresses: [one.content], end: one.end }
  }
  const addresses: string[] = []
  let end = start
  for (let found = readBracketed(rest, start); found; ) {
    addresses.push(found.content)
    end = found.end
    found = rest.startsWith(',<', end) ? readBracketed(rest, end + 1) : undefined
  }
  if (rest.startsWith(MORE, end)) end += MORE.length
  return addresses.length > 0 && rest.startsWith(', ', end) ? { addresses, end } : undefined
}

/** Stands behind the addresses of a line that did not hold all of them; the next line has the others. */
const MORE = ', [more]'

/** Sendmail writes a backslash twice, and what is not printable in octal. */
function unescaped(text: string): string {
  if (!text.includes('\\')) return text
  const parts = text.match(/\\[0-7]{3}|\\\\|[^\\]+|\\/gs) ?? []
  const bytes = parts.map((part) => {
    const isOctal = /^\\[0-7]{3}$/.test(part)
    return isOctal ? Buffer.of(Number.parseInt(part.slice(1), 8)) : encodeText(part === '\\\\' ? '\\' : part)
  })
  return decodeText(Buffer.concat(bytes))
}
