// What every door does with one message: it judges the recipients, one by one or together, fills in the reply's text,
// and writes the header of a message that was delayed. It knows no wire: when a recipient is judged and how the answer
// is sent is left to each door, the decision to greylist/greylister.ts.

import type { Address } from '../address.ts'
import type { Attempt, Client } from '../attempt.ts'
import type { ClientCertificate } from '../certificate.ts'
import { DECISION_TIMEOUT } from '../greylist/deadline.ts'
import type { Greylister, Inquiry } from '../greylist/greylister.ts'
import type { TakeOutcome } from '../log/reporter.ts'
import type { Outcome, Reason } from '../outcome.ts'
import { asHostName } from './client.ts'
import type { ReplyTemplate, SmtpReply } from './reply.ts'

/** What the doors share. */
export interface DoorParts {
  readonly greylister: Pick<Greylister, 'prepare' | 'judge'>
  readonly report: TakeOutcome
  readonly reply: ReplyTemplate
  /** Host name for replies and headers if the MTA does not name itself. */
  readonly hostName: string
  /** The wall clock, for the date in headers. */
  readonly now: () => Date
}

/** Who hands in a message. */
export interface MessageOrigin {
  readonly client: Client
  readonly sender: Address
  readonly authenticated: boolean
  readonly certificate: ClientCertificate | undefined
}

/** What the MTA says of itself and of the message at the time of an attempt. */
export type Circumstances = Pick<Attempt, 'mta' | 'queueId'>

/** How many characters of a queue id are read: more than any has; Postfix's long ones have some 20, Exim's 23. */
const MAX_QUEUE_ID = 100

/** The circumstances, by what the MTA calls itself and the message. */
export function circumstancesBy(mta: string | undefined, queueId: string | undefined): Circumstances {
  return { mta: asHostName(mta), queueId: queueId?.slice(0, MAX_QUEUE_ID) }
}

/** What the MTA is to tell its client: go on, or this reply. */
export type Answer = { readonly kind: 'pass' } | { readonly kind: 'defer'; readonly reply: SmtpReply }

/**
 * The wait that a reply names as {seconds} while the store is down, in milliseconds. Nobody knows when the store is back,
 * so that this is how long Postfix waits before it retries (postconf(5), minimal_backoff_time).
 */
const STORE_RETRY = 300_000

/** The text of X-Greylist for each reason to pass that has one. */
const HEADER_TEXTS: Partial<Record<Reason, (outcome: Outcome) => string>> = {
  retry: ({ waited }) => `delayed ${clockTime(waited)}`,
  'max-deferrals': ({ deferrals }) => `deferred ${deferrals} times`,
  'auto-whitelist': () => 'auto-whitelisted',
  carrier: () => 'auto-whitelisted',
}

/** Reasons to pass that hold for one recipient and say nothing about the next. */
const RECIPIENT_REASONS: ReadonlySet<Reason> = new Set(['exempt-recipient', 'not-greylisted', 'off'])

/** Text that may stand in a header unchanged (RFC 5322 section 2.2); an MTA's name may contain other characters. */
const HEADER_WORD = /^[!-~]+$/

/** How many recipients are judged concurrently, so that the store keeps up and other mail is not held up. */
const JUDGE_BATCH = 50

const PASS: Answer = { kind: 'pass' }

/** One message, from its sender to its end. */
export class Message {
  readonly #parts: DoorParts
  readonly #origin: MessageOrigin
  /** The inquiry about client and sender; it begins with the first recipient that the MTA lets through. */
  readonly #inquiry: Inquiry = { isOver: false }
  #standingAnswer: Answer | undefined
  /** The outcome that X-Greylist reports: that of the recipient that waited longest, among those that passed. */
  #headerOutcome: Outcome | undefined

  constructor(parts: DoorParts, origin: MessageOrigin) {
    this.#parts = parts
    this.#origin = origin
  }

  /** The answer to the last recipient whose verdict also says something about other recipients. */
  get standingAnswer(): Answer | undefined {
    return this.#standingAnswer
  }

  /** Begins to ask what the verdict on this recipient will need; the caller has it judged later. */
  prepare(recipient: Address, circumstances: Circumstances): void {
    this.#parts.greylister.prepare(this.#attempt(recipient, circumstances), this.#inquiry)
  }

  /** Judges one recipient, or the sender if the key has no recipient. */
  async judge(recipient: Address | undefined, circumstances: Circumstances): Promise<Answer> {
    const startedAt = performance.now()
    const attempt = this.#attempt(recipient, circumstances)
    const outcome = await this.#parts.greylister.judge(attempt, this.#inquiry)
    this.#note(outcome, startedAt)
    const answer = this.#answerTo(outcome)
    if (!RECIPIENT_REASONS.has(outcome.reason)) this.#standingAnswer = answer
    return answer
  }

  /**
   * One verdict for all recipients, for a stage that has one reply: if one has to wait, all wait and later pass
   * together. They share the time of one decision, as the MTA waits for one reply.
   */
  async judgeTogether(
    recipients: ReadonlyArray<Address | undefined>,
    circumstances: Circumstances,
  ): Promise<Answer> {
    const startedAt = performance.now()
    const deadline = startedAt + DECISION_TIMEOUT
    const outcomes: Outcome[] = []
    for (let start = 0; start < recipients.length; start += JUDGE_BATCH) {
      const batch = recipients.slice(start, start + JUDGE_BATCH)
      outcomes.push(
        ...(await Promise.all(
          batch.map((recipient) => {
            const attempt = this.#attempt(recipient, circumstances)
            return this.#parts.greylister.judge(attempt, this.#inquiry, deadline)
          }),
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
    return deferral ? this.#answerTo(deferral) : PASS
  }

  /**
   * The header for the message, if it passed after a delay or for a reason that the header tells. `mta` is the MTA's
   * name: `X-Greylist: delayed 00:16:40 by mx1.example.org; Thu, 01 Jan 2026 08:00:00 +0000 (spf:example.org)`.
   */
  header(mta: string | undefined): readonly [name: string, text: string] | undefined {
    const outcome = this.#headerOutcome
    if (!outcome) return undefined
    const host = mta !== undefined && HEADER_WORD.test(mta) ? mta : this.#parts.hostName
    const date = this.#parts.now().toUTCString().replace('GMT', '+0000') // RFC 5322 section 3.3
    // A comment (RFC 5322 section 3.2.2).
    const evidence = outcome.evidence === undefined ? '' : ` (${outcome.evidence})`
    return ['X-Greylist', `${HEADER_TEXTS[outcome.reason]?.(outcome)} by ${host}; ${date}${evidence}`]
  }

  /** The message is over: nothing more is asked on its behalf. */
  end(): void {
    this.#inquiry.isOver = true
  }

  #attempt(recipient: Address | undefined, { mta, queueId }: Circumstances): Attempt {
    const { client, authenticated, certificate, sender } = this.#origin
    return { client, authenticated, certificate, sender, recipient, mta, queueId }
  }

  #note(outcome: Outcome, startedAt: number): void {
    if (!this.#inquiry.isOver && HEADER_TEXTS[outcome.reason]) {
      if (!this.#headerOutcome || outcome.waited > this.#headerOutcome.waited) this.#headerOutcome = outcome
    }
    this.#parts.report(outcome, performance.now() - startedAt)
  }

  #answerTo({ verdict, reason, attempt, ref, retryIn }: Outcome): Answer {
    if (verdict === 'pass') return PASS
    const { recipient, mta } = attempt
    const reply = this.#parts.reply.fill({
      ref: ref ?? '',
      seconds: Math.ceil((reason === 'store-error' ? STORE_RETRY : retryIn) / 1000),
      recipient: recipient?.text ?? '',
      domain: recipient?.domain ?? '',
      host: mta ?? this.#parts.hostName,
    })
    return { kind: 'defer', reply }
  }
}

/** Hours, minutes and seconds, rounded down: 1000000 → `00:16:40`. */
function clockTime(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000)
  return [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
    .map((part) => String(part).padStart(2, '0'))
    .join(':')
}
