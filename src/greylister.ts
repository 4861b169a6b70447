// One attempt → its outcome: exempt? whose key? what is remembered? what follows? what is kept? Knows nothing of
// milter; whoever asks (the filter, the command line) gets the same answer. A store that fails has its configured one,
// and so has one that takes too long: a decision takes LONGEST_DECISION at most, DNS included.
//
// Nothing is asked on behalf of a stranger before there is a recipient for whom the answer matters.

import type { Attempt } from './attempt.ts'
import type { Exempt, Exemption } from './exempt/exempt.ts'
import { type Decision, decide, isDue, strongest, type Times } from './greylist/decide.ts'
import type { Entry } from './greylist/entry.ts'
import { senderForm } from './greylist/sender.ts'
import { attemptRef, deferralsKey, tripletKey, whitelistKeys } from './greylist/triplet.ts'
import type { Identity } from './identity/identity.ts'
import type { Findings, Investigate } from './investigate.ts'
import { messageOf } from './message.ts'
import type { Outcome } from './outcome.ts'
import type { Store } from './store/store.ts'

export interface GreylistSettings {
  readonly times: Times
  /** Whether a client may be known by the sender's domain. */
  readonly widensBySpf: boolean
  /** Whether senders that differ only by what is made up for each message are one sender. */
  readonly normalizeSender: boolean
  /** Absent when turned off. */
  readonly autoWhitelist?: AutoWhitelist
  /**
   * Deferrals of a sender's domain to a recipient within the retry window until the next attempt passes; of a sender,
   * where keys have no recipient; 0 for never.
   */
  readonly maxDeferrals: number
  /** What becomes of an attempt when the store fails; `local`, where there is no local store, is accept. */
  readonly onStoreError: 'accept' | 'tempfail' | 'local'
}

/** Which identities need not wait any more. Times in milliseconds. */
export interface AutoWhitelist {
  /** First passes that an identity has to complete. */
  readonly after: number
  /** First passes closer together count as one. */
  readonly spacing: number
  /** It stays whitelisted this long after its last use. */
  readonly lifetime: number
}

export interface GreylisterParts {
  readonly settings: GreylistSettings
  readonly exempt: Exempt
  readonly investigate: Investigate
  readonly stores: GreylisterStores
}

/** Looked at anew for each attempt. */
export interface GreylisterStores {
  readonly store: Store
  /** Decides while `store` fails; only asked with `onStoreError: 'local'`. */
  readonly local?: Store | undefined
}

/** What is found out of the client and the sender of one transaction: once, for all of its recipients. */
export interface Inquiry {
  /** Absent until the first attempt needs them. */
  findings?: Promise<Findings>
  /** Set by the caller when its transaction is over: then nothing more is asked. */
  isOver: boolean
}

export interface Greylister {
  /** Starts the inquiry of an attempt that will be judged later, unless the attempt is exempt. */
  prepare(attempt: Attempt, inquiry: Inquiry): void
  /**
   * `inquiry` is that of the transaction, if there is one. Answers at `endsAt`, by performance.now(), at the latest: after
   * LONGEST_DECISION by default. Never rejects.
   */
  judge(attempt: Attempt, inquiry?: Inquiry, endsAt?: number): Promise<Outcome>
}

/** Longest time for one decision, in milliseconds: a store that answers each of several operations slowly is slow too. */
export const LONGEST_DECISION = 2000
/** So much of it is left for the local store when the other has taken too long. */
const LOCAL_SHARE = 200

/** A client whose name says nothing, or that it is anybody's, has to complete so many first passes at least. */
const PASSES_OF_UNNAMED = 5

/** A greylister that learns all the same, and defers nothing. */
export function observing({ prepare, judge }: Greylister): Greylister {
  return {
    prepare,
    async judge(attempt, inquiry, endsAt) {
      const outcome = await judge(attempt, inquiry, endsAt)
      if (outcome.verdict === 'pass') return outcome
      return { ...outcome, verdict: 'pass', reason: 'observe', would: outcome.reason }
    },
  }
}

export function createGreylister({ settings, exempt, investigate, stores }: GreylisterParts): Greylister {
  const { times, autoWhitelist, maxDeferrals } = settings

  async function judge(
    attempt: Attempt,
    inquiry: Inquiry = { isOver: false },
    endsAt = performance.now() + LONGEST_DECISION,
  ): Promise<Outcome> {
    const exemption = exempt(attempt)
    if (exemption) return exempted(attempt, exemption)
    const found = await findingsOf(attempt, inquiry)
    if (found.exemption) return exempted(attempt, found.exemption, found.identity)
    const { identity } = found
    // Mail submitted on the MTA's own host comes over no network; there is nobody who could retry from elsewhere.
    if (!identity) return exempted(attempt, { reason: 'exempt-client', rule: 'no-address' })
    const keys = tripletKeys(attempt, identity)
    const subject = { attempt, identity: identity.id, ref: attemptRef(formOf(attempt), attempt.recipient) }
    const question = { attempt, identity, keys }
    const { store, local } = stores
    const fallback = settings.onStoreError === 'local' ? local : undefined
    try {
      const storeEndsAt = fallback ? endsAt - LOCAL_SHARE : endsAt
      return { ...subject, ...(await weigh({ ...question, store, endsAt: storeEndsAt })) }
    } catch (error) {
      return { ...subject, ...(await weighWithout(messageOf(error), { ...question, endsAt }, fallback)) }
    }
  }

  function findingsOf({ client, sender }: Attempt, inquiry: Inquiry): Promise<Findings> {
    inquiry.findings ??= investigate(client, sender, () => !inquiry.isOver)
    return inquiry.findings
  }

  /** What follows when the store has failed with `error`. Never rejects. */
  async function weighWithout(
    error: string,
    question: Omit<Question, 'store'>,
    fallback: Store | undefined,
  ): Promise<Judgement> {
    const verdict = settings.onStoreError === 'tempfail' ? 'tempfail' : 'pass'
    const unknown = { verdict, reason: 'store-error', waited: 0, retryIn: 0, error } as const
    if (!fallback) return unknown
    return weigh({ ...question, store: fallback }).then(
      (judgement) => ({ ...judgement, store: 'local', error }),
      (failure) => ({ ...unknown, error: `${error}; ${messageOf(failure)}` }),
    )
  }

  /** That of the identity, and that of the network beside it: the identity may not be known at the next try. */
  function tripletKeys(attempt: Attempt, { id, network }: Identity): string[] {
    const { recipient } = attempt
    const form = formOf(attempt)
    const key = tripletKey(id, form, recipient)
    return id === network ? [key] : [key, tripletKey(network, form, recipient)]
  }

  function formOf({ sender, recipient }: Attempt): string {
    return settings.normalizeSender ? senderForm(sender, recipient) : sender.normal
  }

  /** Whose deferrals are counted: those of a domain to one recipient, but not to all of them, who hear from many. */
  function deferred(attempt: Attempt, { id }: Identity): string {
    const { sender, recipient } = attempt
    if (recipient) return deferralsKey(sender.domain || sender.normal, recipient)
    return deferralsKey(formOf(attempt) || id, undefined)
  }

  /** Rejects when the store fails, or has not said at `endsAt` what there is to know. */
  async function weigh(question: Question): Promise<Judgement> {
    const { identity, keys, store, endsAt } = question
    const { listed } = whitelistKeys(identity.id)
    const [whitelisted, ...entries] = autoWhitelist
      ? await by(endsAt, store.find([listed, ...keys]))
      : [undefined, ...(await by(endsAt, store.find(keys)))]
    if (autoWhitelist && whitelisted?.passed) {
      const isKept = isDue(whitelisted.age, autoWhitelist.lifetime)
      await orLeave(endsAt, [isKept && keepPassed(store, [listed], autoWhitelist.lifetime)])
      return { verdict: 'pass', reason: 'auto-whitelist', waited: 0, retryIn: 0 }
    }
    const decision = decide(strongest(entries), times)
    if (decision.verdict === 'tempfail') return by(endsAt, defer(question, entries, decision))
    const { verdict, reason, waited, keep } = decision
    // What only one of the keys knew, the other knows from now on.
    const isKept = keep || entries.some((entry) => !entry?.passed)
    await orLeave(endsAt, [
      isKept && keepPassed(store, keys, times.lifetime),
      reason === 'retry' && countPass(store, identity),
    ])
    return { verdict, reason, waited, retryIn: 0 }
  }

  /** Writes down a first attempt, or one that came too early, unless the sender has been deferred too often by now. */
  async function defer(
    { attempt, identity, keys, store }: Question,
    entries: ReadonlyArray<Entry | undefined>,
    { reason, waited, retryIn }: Deferral,
  ): Promise<Judgement> {
    const counted = deferred(attempt, identity)
    const missing = keys.filter((_, index) => !entries[index])
    const [deferrals, ...added] = await Promise.all([
      maxDeferrals > 0 ? store.count(counted, times.retryWindow) : 0,
      ...missing.map((key) => store.add(key, times.retryWindow, waited)),
    ])
    if (maxDeferrals > 0 && deferrals > maxDeferrals) {
      await Promise.all([
        keepPassed(store, keys, times.lifetime),
        store.forget(counted).catch(() => undefined),
      ])
      const hint = hintFor(attempt, identity)
      return { verdict: 'pass', reason: 'max-deferrals', waited, retryIn: 0, deferrals: maxDeferrals, hint }
    }
    const wasFirst = !added.includes(false) // else another frontend was, a moment ago
    return { verdict: 'tempfail', reason: wasFirst ? reason : 'early', waited, retryIn }
  }

  /** The setting with which the sender would not have been deferred so often. */
  function hintFor({ sender }: Attempt, { network }: Identity): string {
    if (!settings.widensBySpf) return 'greylist.client.spf_domain'
    return sender.domain === ''
      ? `exempt.clients: ${network.replace('network:', '')}`
      : `exempt.senders: ${sender.domain}`
  }

  /** The wait is over whether or not it can be written down; the next attempt writes it again. */
  async function keepPassed(store: Store, keys: readonly string[], lifetime: number): Promise<void> {
    await Promise.all(keys.map((key) => store.pass(key, lifetime).catch(() => undefined)))
  }

  /** Towards the auto-whitelist. What cannot be counted is not: the mail passes all the same. */
  async function countPass(store: Store, { id, isNamed }: Identity): Promise<void> {
    if (!autoWhitelist) return
    const { listed, passes, spacing } = whitelistKeys(id)
    const needed = isNamed ? autoWhitelist.after : Math.max(autoWhitelist.after, PASSES_OF_UNNAMED)
    try {
      if (!(await store.add(spacing, autoWhitelist.spacing))) return
      if ((await store.count(passes, autoWhitelist.lifetime)) < needed) return
      await store.pass(listed, autoWhitelist.lifetime)
    } catch {
      // The guard around the store has counted and logged it.
    }
  }

  return {
    prepare(attempt, inquiry) {
      if (!inquiry.findings && !exempt(attempt)) void findingsOf(attempt, inquiry)
    },
    judge,
  }
}

/** What is asked of a store for one attempt, and until when (by performance.now()) its answer is of use. */
interface Question {
  readonly store: Store
  readonly attempt: Attempt
  readonly identity: Identity
  readonly keys: readonly string[]
  readonly endsAt: number
}

type Deferral = Extract<Decision, { verdict: 'tempfail' }>

type Judgement = Omit<Outcome, 'attempt' | 'identity' | 'ref'>

function exempted(attempt: Attempt, exemption: Exemption, identity?: Identity): Outcome {
  const known = identity ? { identity: identity.id } : {}
  return { attempt, verdict: 'pass', ...exemption, ...known, waited: 0, retryIn: 0 }
}

/** `answer`, or a rejection at `endsAt`. */
function by<T>(endsAt: number, answer: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`the store took too long: a decision takes ${LONGEST_DECISION}ms at most`)),
      endsAt - performance.now(),
    )
    answer.then(resolve, reject).then(() => clearTimeout(timer))
  })
}

/** For what is decided already: waits until it is written down, but not for longer than `endsAt`. */
async function orLeave(endsAt: number, writes: ReadonlyArray<Promise<void> | false>): Promise<void> {
  if (!writes.some(Boolean)) return
  await by(endsAt, Promise.all(writes)).catch(() => undefined)
}
