// The door for Postfix's policy delegation protocol (check_policy_service). RCPT judges each recipient; mail that may be
// a callout is judged at DATA or at the end of the message, if Postfix asks there. The protocol is left to
// policy/session.ts, what a message gets to message.ts.
//
// Postfix names a message by its `instance`, so that the requests about one message share one `Message`: DNS is asked
// once for it. They may come on several connections, as Postfix has one for each spelling of a service in main.cf.
// Source: Postfix SMTPD_POLICY_README, access(5); smtpd_check.c (check_policy_service, check_table_result).

import { type Address, parseAddress } from '../address.ts'
import { type ClientCertificate, decodeXtext, hexDigits, isWholeName } from '../certificate.ts'
import type { AddressRule } from '../exempt/addresses.ts'
import { compileProbeSenders } from '../exempt/probes.ts'
import type { Network } from '../ip.ts'
import type { PolicyRequest } from '../policy/request.ts'
import { type PolicyFault, type PolicyHandler, PolicySession } from '../policy/session.ts'
import type { NewSession, Peer } from '../sockets/session.ts'
import { asHostName, clientOf, isLogin } from './client.ts'
import { type Answer, type Circumstances, circumstancesBy, type DoorParts, Message } from './message.ts'
import type { SmtpReply } from './reply.ts'

/** The settings that this door needs beside what all doors share; milter.ts says what each means. */
export interface PolicySettings {
  readonly judgeAt: 'mail' | 'rcpt'
  readonly nullSenderAt: 'rcpt' | 'data'
  readonly probeSenders: readonly AddressRule[]
  readonly nat64Prefixes: readonly Network[]
  readonly needsCertificate: boolean
  readonly header: boolean
}

/** The limits on one message. */
export interface PolicyLimits {
  /** Recipients that are judged; those beyond get the action that the last judged one got. */
  readonly recipients: number
}

/** The action with which Postfix goes on to its next restriction. */
const DUNNO = 'DUNNO'
/** The enhanced code that Postfix takes where the action has none (access(5)). */
const DEFAULT_STATUS = '4.7.1'

/** How many characters of an address are read, which is more than Postfix sends (line_length_limit). */
const MAX_ADDRESS_READ = 4096
/** Memory of a message with its key, and of a remembered recipient: numbers of bytes, plus their texts. */
const MESSAGE_OVERHEAD = 1000
const RECIPIENT_OVERHEAD = 300
const FORMS_OF_ADDRESS = 4

/** A function that begins the protocol on each connection of Postfix. */
export function createPolicyDoor(
  settings: PolicySettings,
  limits: PolicyLimits,
  parts: DoorParts,
): NewSession<PolicyFault> {
  const isProbe = compileProbeSenders(settings.probeSenders)
  const deliveries = new Map<string, Delivery>()
  return (peer) =>
    new PolicySession(new PolicyDoor({ settings, limits, parts, isProbe, deliveries }, peer), peer)
}

/** What all connections share. */
interface Shared {
  readonly settings: PolicySettings
  readonly limits: PolicyLimits
  readonly parts: DoorParts
  /** Whether mail from a sender may be a callout, which verifies an address and stops after RCPT. */
  readonly isProbe: (sender: Address) => boolean
  /** The messages that a connection is at, by instance and origin. */
  readonly deliveries: Map<string, Delivery>
}

/** What is remembered of one message until each connection that asked about it goes on to another. */
interface Delivery {
  readonly key: string
  readonly message: Message
  /** Whether the verdict waits for DATA, as the message may be a callout, which stops before it. */
  readonly isJudgedAtData: boolean
  /** The recipients whose verdict waits for DATA; Postfix may have refused some of them since. */
  readonly undecided: Address[]
  /** The answer that all recipients share, once it is asked for. */
  shared: Answer | Promise<Answer> | undefined
  hasHeader: boolean
  recipients: number
  held: number
  /** Number of connections that are at this message. */
  users: number
}

class PolicyDoor implements PolicyHandler {
  readonly #door: Shared
  readonly #peer: Peer<PolicyFault>
  #delivery: Delivery | undefined

  constructor(door: Shared, peer: Peer<PolicyFault>) {
    this.#door = door
    this.#peer = peer
  }

  get held(): number {
    return this.#delivery?.held ?? 0
  }

  answer(request: PolicyRequest): string | Promise<string> {
    const { judgeAt } = this.#door.settings
    switch (request.state) {
      case 'MAIL':
        return judgeAt === 'mail' ? this.#rcpt(request) : DUNNO
      // Without a state, a request is one that somebody has written by hand.
      case 'RCPT':
      case '':
        return this.#rcpt(request)
      case 'DATA':
      case 'BDAT':
      case 'END-OF-MESSAGE':
        return this.#data(request)
      default:
        return DUNNO
    }
  }

  end(): void {
    this.#leave()
  }

  #rcpt(request: PolicyRequest): string | Promise<string> {
    const { settings, limits } = this.#door
    const delivery = this.#enter(request)
    const { message, isJudgedAtData } = delivery
    const circumstances = circumstancesOf(request)
    if (settings.judgeAt === 'mail') {
      if (isJudgedAtData) return DUNNO
      delivery.shared ??= message.judge(undefined, circumstances)
      return this.#actionOf(delivery.shared, delivery, request)
    }
    delivery.recipients += 1
    if (delivery.recipients > limits.recipients) {
      if (delivery.recipients === limits.recipients + 1)
        this.#peer.exceeded(
          'policy-recipients',
          `more than ${limits.recipients} recipients: the others get the last one's reply`,
        )
      const { standingAnswer } = message
      if (standingAnswer) return this.#actionOf(standingAnswer, delivery, request)
      return this.#actionOf(message.judge(readAddress(request.recipient), circumstances), delivery, request)
    }
    const recipient = readAddress(request.recipient)
    if (!isJudgedAtData) return this.#actionOf(message.judge(recipient, circumstances), delivery, request)
    message.prepare(recipient, circumstances)
    delivery.undecided.push(recipient)
    delivery.held += RECIPIENT_OVERHEAD + FORMS_OF_ADDRESS * recipient.text.length
    return DUNNO
  }

  #data(request: PolicyRequest): string | Promise<string> {
    const delivery = this.#enter(request)
    if (!delivery.isJudgedAtData) return DUNNO
    const { message, undecided } = delivery
    delivery.shared ??= message.judgeTogether(
      this.#recipientsAtData(request, undecided),
      circumstancesOf(request),
    )
    return this.#actionOf(delivery.shared, delivery, request)
  }

  /**
   * Postfix names the recipient of a message that has one. Those of a message with several are known from RCPT, unless
   * another process was asked there: the message is then judged under the empty recipient.
   */
  #recipientsAtData(
    { recipient }: PolicyRequest,
    undecided: readonly Address[],
  ): ReadonlyArray<Address | undefined> {
    if (this.#door.settings.judgeAt === 'mail') return [undefined]
    return recipient === '' && undecided.length > 0 ? undecided : [readAddress(recipient)]
  }

  #actionOf(
    answer: Answer | Promise<Answer>,
    delivery: Delivery,
    request: PolicyRequest,
  ): string | Promise<string> {
    const toAction = (given: Answer) =>
      given.kind === 'pass' ? this.#passed(delivery, request) : deferral(given.reply)
    return answer instanceof Promise ? answer.then(toAction) : toAction(answer)
  }

  /** The message's header goes with its first recipient that has one; after the content, Postfix takes no header. */
  #passed(delivery: Delivery, { state }: PolicyRequest): string {
    if (!this.#door.settings.header || delivery.hasHeader || state === 'END-OF-MESSAGE') return DUNNO
    const header = delivery.message.header(undefined)
    if (!header) return DUNNO
    delivery.hasHeader = true
    return `PREPEND ${header[0]}: ${header[1]}`
  }

  /** The message that a request is about. A request without an instance is about a message of its own. */
  #enter(request: PolicyRequest): Delivery {
    const key = keyOf(request)
    if (this.#delivery && this.#delivery.key === key && request.instance !== '') return this.#delivery
    this.#leave()
    const { deliveries } = this.#door
    const known = request.instance === '' ? undefined : deliveries.get(key)
    const delivery = known ?? this.#begin(key, request)
    if (!known && request.instance !== '') deliveries.set(key, delivery)
    delivery.users += 1
    this.#delivery = delivery
    return delivery
  }

  #begin(key: string, request: PolicyRequest): Delivery {
    const { settings, parts, isProbe } = this.#door
    const sender = readAddress(request.sender)
    const confirmedName = request.clientName === 'unknown' ? undefined : request.clientName || undefined
    const client = clientOf(request.clientAddress, confirmedName, settings.nat64Prefixes)
    return {
      key,
      message: new Message(parts, {
        client: { ...client, helo: asHostName(request.helo || undefined) },
        sender,
        authenticated: isLogin(request.saslMethod, request.saslUsername),
        certificate: settings.needsCertificate ? certificateOf(request) : undefined,
      }),
      isJudgedAtData: settings.nullSenderAt === 'data' && isProbe(sender),
      undecided: [],
      shared: undefined,
      hasHeader: false,
      recipients: 0,
      held: MESSAGE_OVERHEAD + FORMS_OF_ADDRESS * key.length,
      users: 0,
    }
  }

  #leave(): void {
    const delivery = this.#delivery
    this.#delivery = undefined
    if (!delivery) return
    delivery.users -= 1
    if (delivery.users > 0) return
    const { deliveries } = this.#door
    if (deliveries.get(delivery.key) === delivery) deliveries.delete(delivery.key)
    delivery.message.end()
  }
}

/**
 * Instance and origin: two hosts with Postfix may have the same instance at once, and a message is never judged by what
 * another request says of its client.
 */
function keyOf(request: PolicyRequest): string {
  const { instance, clientAddress, clientName, helo, sender, saslMethod, saslUsername, ...rest } = request
  const { ccertSubject, ccertIssuer, ccertFingerprint } = rest
  return [
    ...[instance, clientAddress, clientName, helo, sender, saslMethod, saslUsername],
    ...[ccertSubject, ccertIssuer, ccertFingerprint],
  ].join('\n') // no value has a line feed
}

/**
 * The address that Postfix means: in a policy request, unlike in the milter protocol, it has no brackets, and a local
 * part with special characters no quotes (smtpd.c, extract_addr).
 */
function readAddress(internal: string): Address {
  const text = internal.slice(0, MAX_ADDRESS_READ)
  const at = text.lastIndexOf('@')
  const local = at === -1 ? text : text.slice(0, at)
  if (!NEEDS_QUOTES.test(local)) return parseAddress(`<${text}>`)
  return parseAddress(`<"${local.replace(/["\\]/g, '\\$&')}"${at === -1 ? '' : text.slice(at)}>`)
}

/** Characters that an atom must not have (RFC 5321 section 4.1.2). */
const NEEDS_QUOTES = /[\s"(),:;<>@[\\\]]/

function circumstancesOf({ queueId }: PolicyRequest): Circumstances {
  return circumstancesBy(undefined, queueId || undefined)
}

/**
 * The client's certificate; `undefined` if it has shown none. Postfix sends the common names of trusted certificates
 * only, as xtext, and the fingerprint of any, by the digest of smtpd_tls_fingerprint_digest.
 */
function certificateOf(request: PolicyRequest): ClientCertificate | undefined {
  const fingerprint = hexDigits(request.ccertFingerprint)
  const subjects = commonName(request.ccertSubject)
  const issuers = commonName(request.ccertIssuer)
  if (fingerprint === '' && subjects.length === 0 && issuers.length === 0) return undefined
  return { ...(fingerprint === '' ? {} : { fingerprint }), subjects, issuers }
}

function commonName(xtext: string): string[] {
  const name = decodeXtext(xtext)
  return isWholeName(name) ? [name] : []
}

/**
 * DEFER_IF_PERMIT lets Postfix's later restrictions refuse the recipient for good. The reply's code is Postfix's
 * (access_map_defer_code); enhanced code and text are ours, with all lines in one.
 */
function deferral({ enhanced, lines }: SmtpReply): string {
  // Without a status, Postfix would take one of any class from a text that an address begins.
  return `DEFER_IF_PERMIT ${enhanced ?? DEFAULT_STATUS} ${lines.join(' ')}`
}
