// The greylister: takes an attempt, returns its outcome. It joins the exemptions, the identity, the keys, the store and
// the decision, and knows nothing of milter: every door and the command line get the same outcome. A store that fails
// or is slow gives the configured answer. A decision takes DECISION_TIMEOUT at most, DNS included.
//
// Nothing is asked on behalf of a stranger before there is a recipient for whom the answer matters.

import type { Address } from '../address.ts'
import type { Attempt } from '../attempt.ts'
import { messageOf } from '../errors.ts'
import type { Exempt, Exemption } from '../exempt/exempt.ts'
import { exemptionBy, type RuntimeRule, type RuntimeRuleFor } from '../exempt/runtime-rules.ts'
import type { Identity } from '../identity/identity.ts'
import { formatNetwork, type IpAddress, networkOf } from '../ip.ts'
import type { Outcome } from '../outcome.ts'
import { CUSTOMER_PREFIX } from '../ranges.ts'
import { UnreadableEntry } from '../store/encoding.ts'
import type { Entry } from '../store/entry.ts'
import {
  type LookedEntry,
  lookIn,
  readReachable,
  type Store,
  StoreFull,
  type Write,
  type Written,
  writeTo,
} from '../store/store.ts'
import {
  type AutoWhitelistSettings,
  carrierName,
  FirstPassCounter,
  holdingAmong,
  isCarrier,
  type Listing,
  listingsFor,
} from './auto-whitelist.ts'
import { DECISION_TIMEOUT, settledWithin, untilWritten, withDeadline } from './deadline.ts'
import { type Decision, decide, isExtensionDue, strongest, type Times } from './decide.ts'
import {
  crowdTimes,
  DEFERRAL,
  Evidence,
  isAnybody,
  isCrowd,
  provableNames,
  returnIn,
  TALLY_WINDOW,
  type Tally,
  waitingIn,
} from './evidence.ts'
import {
  type CreditSettings,
  expectKeys,
  isAligned,
  learnReply,
  takeCredit,
  writtenToKey,
} from './first-mail.ts'
import { type FirstAttempt, type FirstKeys, heldEntry, holding, keepBeside, mayHold } from './held.ts'
import { domainInNetwork } from './imported.ts'
import type { Findings, Investigate } from './investigate.ts'
import { attemptRef, formerFirstKey, loopKey, tallyKey, tripletKeys, whitelistKeys } from './keys.ts'
import { type LoopAttempt, LoopBreaker } from './loop-breaker.ts'
import { decideBySlot } from './overflow.ts'
import { isPair } from './pairs.ts'
import { type Concealment, concealed, concealments, type PrivacyKey } from './privacy.ts'
import { type SenderForms, senderForms } from './sender.ts'
import { type Trial, TrialStore } from './trial.ts'
import { UntalliedNames } from './untallied.ts'

export interface GreylistSettings {
  readonly times: Times
  /** Whether the sender's domain may stand for a client. */
  readonly widensBySpf: boolean
  /** Leading bits that a client and its neighbours share. */
  readonly prefixes: Readonly<Record<IpAddress['kind'], number>>
  /** Whether senders that differ only in what varies with the message are one sender. */
  readonly normalizeSender: boolean
  /** Keys by which addresses are hashed in the store, the one in use first; absent if they are stored as they are. */
  readonly privacy?: readonly PrivacyKey[]
  /** Absent if the auto-whitelist is off. */
  readonly autoWhitelist?: AutoWhitelistSettings
  /**
   * Number of deferrals of a sender form to a recipient, or of a sender form if keys have no recipient, after which the
   * loop breaker lets the next attempt pass. They count within the retry window, a delay apart, from three networks or
   * more; 0 turns the loop breaker off.
   */
  readonly maxDeferrals: number
  /** Absent if no first message passes on credit. */
  readonly credit?: CreditSettings
  /**
   * How long it is kept to whom the authenticated users have written, in milliseconds, whose first answers need not
   * wait; absent if that is not learnt.
   */
  readonly learnReplies?: number
  /**
   * Number of first attempts that wait in one network, or under one sender's domain, before further ones are kept in
   * slots only (overflow.ts).
   */
  readonly maxPending: number
  /** The answer when the store fails; `local` without a local store is accept. */
  readonly onStoreError: 'accept' | 'tempfail' | 'local'
  /**
   * The answer to an attempt of which the store has no room to remember anything, as when it is full; that of
   * `onStoreError` by default. With `local`, the store itself finds room, and accept is for when it does not.
   */
  readonly onStoreFull?: 'accept' | 'tempfail' | 'local'
}

export interface GreylisterParts {
  readonly settings: GreylistSettings
  readonly exempt: Exempt
  /** The rules that operators have made while greymx runs; none by default. */
  readonly runtimeRuleFor?: RuntimeRuleFor
  readonly investigate: Investigate
  readonly stores: GreylisterStores
  /** Whether the store may have keys of an import (imported.ts); it never has by default. */
  readonly hasImports?: () => boolean
  /** A clock in milliseconds that never goes back, performance.now() by default. The stores have their own. */
  readonly now?: () => number
  /** Seeds of the table of names that have no tally yet (untallied.ts), random by default. */
  readonly seeds?: Uint32Array
}

/** The stores; the greylister reads these properties anew for each attempt. */
export interface GreylisterStores {
  readonly store: Store
  /** The fallback while `store` fails, with `onStoreError: 'local'` only. */
  readonly local?: Store | undefined
}

/** The findings on the client and the sender of one transaction, shared by all of its recipients. */
export interface Inquiry {
  /** Absent until the first attempt needs them. */
  findings?: Findings | Promise<Findings>
  /** The caller sets it when its transaction is over, so that DNS is not asked any more. */
  isOver: boolean
}

export interface Greylister {
  /** Starts the inquiry of an attempt that will be judged later, unless the attempt is exempt. */
  prepare(attempt: Attempt, inquiry: Inquiry): void
  /**
   * The outcome of an attempt by `deadline`, an instant of performance.now(), DECISION_TIMEOUT from now by default.
   * `inquiry` belongs to the transaction, if there is one. Never rejects.
   */
  judge(attempt: Attempt, inquiry?: Inquiry, deadline?: number): Promise<Outcome>
  /**
   * As `judge`, but lets every attempt pass; `would` has the reason for a deferral. Waits and passes are kept. A sender
   * that was let through need not come back, so it is not held to have stayed away.
   */
  observe(attempt: Attempt, inquiry?: Inquiry, deadline?: number): Promise<Outcome>
  /** The outcome that the attempt would have; `trial` gets what was found. Writes nothing. Never rejects. */
  tryOut(attempt: Attempt, trial: Trial): Promise<Outcome>
}

/** Part of the decision's time that is kept for the local store, in milliseconds. */
const LOCAL_STORE_RESERVE = 200

/**
 * How long a sender that has come back waits for its first pass to be counted, in milliseconds. A store nearby has
 * counted by then, so that the sender's next message finds it listed.
 */
const COUNTING_WAIT = 50

/** How long a retry from another network is awaited, in milliseconds. */
const ELSEWHERE_WINDOW = 12 * 3_600_000

/** How long a retry from another network is awaited with `times`, in milliseconds. */
function elsewhereWindow({ delay, retryWindow }: Times): number {
  return Math.max(Math.min(retryWindow, ELSEWHERE_WINDOW), Math.min(2 * delay, retryWindow))
}

/** A greylister that observes where the given one judges. */
export function observing({ prepare, observe, tryOut }: Greylister): Greylister {
  return {
    prepare,
    judge: observe,
    observe,
    tryOut: async (attempt, trial) => letThrough(await tryOut(attempt, trial), 'observe'),
  }
}

/** The outcome with a pass in place of a deferral. */
function letThrough(outcome: Outcome, reason: 'observe' | 'off', rule?: string): Outcome {
  if (outcome.verdict === 'pass') return outcome
  return {
    ...outcome,
    verdict: 'pass',
    reason,
    would: outcome.reason,
    ...(rule === undefined ? {} : { rule }),
  }
}

/** The greylister that every door asks. */
export function createGreylister(parts: GreylisterParts): Greylister {
  const { settings, exempt, runtimeRuleFor, investigate, stores } = parts
  const { hasImports = () => false, now = () => performance.now() } = parts
  const { times, autoWhitelist } = settings
  const loopBreaker = new LoopBreaker(times, settings.maxDeferrals)
  const untallied = new UntalliedNames(now, parts.seeds)
  const [concealment, ...formerConcealments] = concealments(settings.privacy)
  const createdAt = now()

  async function judge(
    attempt: Attempt,
    inquiry: Inquiry = { isOver: false },
    deadline = performance.now() + DECISION_TIMEOUT,
    trial?: Trial,
    isObserved = false,
  ): Promise<Outcome> {
    const exemption = exempt(attempt)
    if (exemption) {
      if (exemption.reason === 'authenticated' && !trial) noteWrittenTo(attempt)
      return exempted(attempt, exemption)
    }
    const rule = runtimeRuleFor?.(attempt)
    if (trial && rule) trial.rule = rule
    if (rule?.kind === 'allow') return exempted(attempt, exemptionBy(rule))
    const findings = findingsOf(attempt, inquiry)
    const found = findings instanceof Promise ? await findings : findings
    if (trial) trial.findings = found
    if (found.exemption) return exempted(attempt, found.exemption, found.identity)
    const { identity } = found
    // Mail without a client address was submitted on the MTA's own host; nobody could retry it from elsewhere.
    if (!identity) return exempted(attempt, { reason: 'exempt-client', rule: 'no-address' })
    const { store, local } = stores
    const fallback = settings.onStoreError === 'local' ? local : undefined
    const storeDeadline = fallback ? deadline - LOCAL_STORE_RESERVE : deadline
    const asked = questionOf(attempt, identity, viewOf(store, trial), storeDeadline, rule, trial)
    const question = isObserved ? { ...asked, isObserved } : asked
    let judgement: Judgement
    try {
      judgement = await judgeByStore(question)
    } catch (error) {
      const standIn = fallback && viewOf(fallback, trial)
      judgement = await judgeWithoutStore(error, { ...question, deadline }, standIn)
    }
    const outcome = outcomeOf(question, judgement)
    return rule ? letThrough(outcome, 'off', `off:${rule.id}`) : outcome
  }

  function viewOf(store: Store, trial: Trial | undefined): Store {
    return trial ? new TrialStore(store, trial.later, times) : store
  }

  function findingsOf({ client, sender }: Attempt, inquiry: Inquiry): Findings | Promise<Findings> {
    inquiry.findings ??= investigate(client, sender, () => !inquiry.isOver)
    return inquiry.findings
  }

  /** The judgement after the store failed with `error`, by the fallback if there is one. Never rejects. */
  async function judgeWithoutStore(
    failed: unknown,
    question: Question,
    fallback: Store | undefined,
  ): Promise<Judgement> {
    const error = messageOf(failed)
    const isFull = failed instanceof StoreFull && settings.onStoreFull !== undefined
    const verdict =
      (isFull ? settings.onStoreFull : settings.onStoreError) === 'tempfail' ? 'tempfail' : 'pass'
    const unknown = { verdict, reason: 'store-error', waited: 0, retryIn: 0, error } as const
    if (!fallback || isFull) return unknown
    return judgeByStore({ ...question, store: fallback }).then(
      (judgement) => ({ ...judgement, store: 'local', error }),
      (failure) => ({ ...unknown, error: `${error}; ${messageOf(failure)}` }),
    )
  }

  function questionOf(
    attempt: Attempt,
    identity: Identity,
    store: Store,
    deadline: number,
    rule: RuntimeRule | undefined,
    trial: Trial | undefined,
  ): Question {
    const { form, former } = formsOf(attempt, concealment)
    const known = settings.privacy ? concealed(attempt, concealment) : attempt
    const { recipient } = known
    const keys: string[] = []
    const formerKeys: NamedKey[] = []
    // The client's names are all looked up, so that a retry under any of them is the retry.
    for (const name of identity.names) {
      const triplet = tripletKeys(name, form, recipient)
      keys.push(triplet.key)
      if (triplet.former !== triplet.key) formerKeys.push({ name, key: triplet.former })
    }
    if (former !== form)
      for (const name of identity.names)
        formerKeys.push({ name, key: tripletKeys(name, former, recipient).former })
    const firstKey = loopKey('first', form, recipient)
    const formerFirsts = formerConcealments.map((formerConcealment): FirstKey => {
      const { form: other } = formsOf(attempt, formerConcealment)
      const { recipient: to } = concealed(attempt, formerConcealment)
      for (const name of identity.names) formerKeys.push({ name, key: tripletKeys(name, other, to).key })
      return { key: loopKey('first', other, to), form: other, recipient: to }
    })
    if (recipient && hasImports()) {
      const { network } = identity
      formerKeys.push({ name: network, key: tripletKeys(network, form, undefined).key })
    }
    const isOff = rule !== undefined
    const counted = countedNetwork(attempt)
    return {
      store,
      attempt: known,
      asked: attempt,
      form,
      identity,
      keys,
      formerKeys,
      firstKey,
      formerFirsts,
      deadline,
      isOff,
      isObserved: false,
      trial,
      counted,
    }
  }

  /** The sender form of an attempt and that of earlier versions, as the store may know them. */
  function formsOf({ sender, recipient }: Attempt, { text }: Concealment): SenderForms {
    const forms = settings.normalizeSender
      ? senderForms(sender, recipient)
      : { form: sender.normal, former: sender.normal }
    return settings.privacy ? { form: text(forms.form), former: text(forms.former) } : forms
  }

  /** The judgement by what the store knows. Rejects if the store fails or has not answered by `deadline`. */
  async function judgeByStore(question: Question): Promise<Judgement> {
    const known = await withDeadline(lookUp(question), question.deadline)
    if (question.trial) Object.assign(question.trial, shownOf(question, known))
    const { listing } = known
    return autoWhitelist && listing
      ? await passListed(question, known, listing, autoWhitelist)
      : await judgeByWait(question, known)
  }

  /** What a trial shows of the look-up. */
  function shownOf(question: Question, known: Known): Omit<Trial, 'later'> {
    const { form, identity, keys, formerKeys, firstKey } = question
    const { found, first, evidence, crowd, listing } = known
    const named = [...identity.names.map((name, index) => ({ name, key: keys[index] ?? '' })), ...formerKeys]
    const isCrowded = isCrowd(times, identity, evidence.tallyOf(crowd))
    return {
      form,
      entries: named
        .map(({ name, key }, index) => ({ name, key, entry: found[index] }))
        .filter(({ entry }, index) => entry || index < keys.length),
      first: { key: firstKey, entry: first },
      evidence,
      crowd: { name: crowd, isCrowded },
      listing: listing?.name,
      times: isCrowded ? crowdTimes(times) : times,
    }
  }

  /** All that the store knows of an attempt, in one round trip, or in two if somebody waits. */
  async function lookUp(question: Question): Promise<Known> {
    const { attempt, identity, keys, formerKeys, store } = question
    const names = provableNames(attempt, identity)
    const crowd = crowdName(question)
    const tallied = names.includes(crowd) ? [...names] : [...names, crowd]
    const listings = autoWhitelist ? listingsFor(names) : []
    const imported = hasImports() ? domainInNetwork(attempt.sender.domain, identity.network) : undefined
    if (autoWhitelist && imported !== undefined) listings.push(...listingsFor([imported]))
    for (const carrier of identity.carriers) {
      const name = carrierName(carrier)
      tallied.push(name)
      if (autoWhitelist) listings.push(...listingsFor([name]))
    }
    const writtenTo = writtenToKeys(question)
    const entryKeys = [...keys]
    for (const { key } of formerKeys) entryKeys.push(key)
    const ownKeys = entryKeys.length
    for (const key of firstKeysOf(question)) entryKeys.push(key)
    const firstsEnd = entryKeys.length
    for (const { key } of listings) entryKeys.push(key)
    for (const key of writtenTo) entryKeys.push(key)
    const countKeys = tallied.map(tallyKey)
    for (const key of expectKeys(attempt, identity)) countKeys.push(key)

    const look = await lookIn(store, entryKeys, countKeys)
    const { answers: entries, away, error } = look.entries
    const counts = look.counts.answers
    const waiting = entries.slice(0, firstsEnd)
    // How long anybody has waited says nothing beside a pass.
    const isPassed = entries.slice(0, ownKeys).some((entry) => entry?.passed)
    const aged =
      isPassed || !waiting.some(isUndated) ? waiting.map(agedOnly) : await withAges(store, entryKeys, waiting)
    const found = aged.slice(0, ownKeys)
    const firstAt = waiting.slice(ownKeys).findIndex(Boolean)
    const first = firstAt < 0 ? undefined : aged[ownKeys + firstAt]
    const held = heldEntry(first, firstAttemptAt(question, firstAt), times, elsewhereWindow(times))
    const ownIndex = identity.names.indexOf(identity.network)
    const isSisters = held?.isSisters === true && !found.some(Boolean)
    if (held) found[ownIndex] = strongest([found[ownIndex], held.entry])
    const evidence = new Evidence(
      tallied,
      tallied.map((name, index) => (counts[index] ?? 0) + untalliedIn(name)),
    )
    const listed = entries.slice(firstsEnd, firstsEnd + listings.length)
    const index = holdingAmong(listings, listed, evidence)
    // Without the mark of an earlier version, the loop breaker begins anew, and no wait or pass is overlooked.
    const needed = Math.min(ownKeys + 1, firstsEnd)
    const isUnread = isAnyBelow(away, needed) && !found.some(Boolean)
    return {
      found,
      isSisters,
      unread: isUnread ? error : undefined,
      first,
      names,
      evidence,
      crowd,
      listing: listings[index],
      listedFor: listed[index]?.age ?? 0,
      isExpected: counts.slice(tallied.length).some((count) => count > 0),
      isWrittenTo: writtenTo.some((_, index) => entries[entries.length - 1 - index]),
    }
  }

  /** The pass of a client with a listing that holds. */
  async function passListed(
    question: Question,
    known: Known,
    listing: Listing,
    { lifetime }: AutoWhitelistSettings,
  ): Promise<Judgement> {
    const { found, listedFor, evidence } = known
    const { store, deadline, keys } = question
    const isKept = isExtensionDue(listedFor, lifetime)
    const isRetry = isListedRetry(question, known)
    const writes = [
      isKept && keepPassed(store, [listing.key], lifetime),
      isRetry && keepPassed(store, keys, times.lifetime),
      isRetry && noteReturn(question, known),
    ]
    await untilWritten(writes, deadline)
    const reason = isCarrier(listing.name) ? 'carrier' : 'auto-whitelist'
    const best = strongest(found)
    const waited = best.passed ? 0 : best.age
    return { verdict: 'pass', reason, waited, retryIn: 0, evidence: evidence.describe(listing.name) }
  }

  /** Whether a listed client's attempt is the retry of a triplet that was deferred, as when a sister host is listed. */
  function isListedRetry({ identity }: Question, { found, crowd, evidence }: Known): boolean {
    const best = strongest(found)
    const isCrowded = isCrowd(times, identity, evidence.tallyOf(crowd))
    return !best.added && decide(best, isCrowded ? crowdTimes(times) : times).reason === 'retry'
  }

  /** The judgement by how long the triplet has waited, under whichever name. */
  async function judgeByWait(question: Question, known: Known): Promise<Judgement> {
    const { attempt, form, identity, keys, store, deadline } = question
    const { found, evidence, crowd, unread } = known
    // Whether the triplet is new cannot be told while a part of the store is away that may have its wait or its pass.
    if (unread) throw unread
    const isCrowded = isCrowd(times, identity, evidence.tallyOf(crowd))
    const terms: Terms = {
      times: isCrowded ? crowdTimes(times) : times,
      isCrowded,
      full: fullAmong(identity.names, crowd, evidence),
    }
    const best = strongest(found)
    const { client, recipient } = attempt
    const hasNoRoom = terms.full.length === identity.names.length
    const decision =
      hasNoRoom && best.added && client.address && !question.isOff
        ? await withDeadline(
            decideBySlot(store, { address: client.address, form, recipient }, terms.times),
            deadline,
          )
        : decide(best, terms.times)
    if (decision.verdict === 'tempfail')
      return await withDeadline(deferUnlessWelcome(question, known, terms, decision), deadline)
    const { verdict, reason, waited, keep } = decision
    // A pass under one of the keys, or of the former ones, is written under all names.
    const isKept = keep || found.slice(0, keys.length).some((entry) => !entry?.passed)
    if (isKept) {
      const writes = [
        keepPassed(store, keys, times.lifetime),
        reason === 'retry' && noteReturn(question, known),
      ]
      await untilWritten(writes, deadline)
    }
    const index = found.findIndex((entry) => entry?.age === best.age)
    const name = identity.names[index] ?? question.formerKeys[index - keys.length]?.name ?? identity.id
    return { verdict, reason, waited, retryIn: 0, evidence: evidence.describe(name) }
  }

  /** The pass of a first message that need not wait, or the judgement on one that is deferred. */
  async function deferUnlessWelcome(
    question: Question,
    known: Known,
    terms: Terms,
    deferral: Deferral,
  ): Promise<Judgement> {
    const { evidence, crowd } = known
    const { reason, waited } = deferral
    if (question.isOff) return deferral
    const { credit } = settings
    // Only an attempt that is new uses credit up.
    const mayHaveCredit = credit && reason === 'new'
    const welcome = welcomeBy(known) ?? (mayHaveCredit ? await creditFor(question, known, credit) : undefined)
    if (welcome) {
      const name = question.identity.id
      return { verdict: 'pass', reason: welcome, waited, retryIn: 0, evidence: evidence.describe(name) }
    }
    const judgement = await defer(question, known, terms, deferral)
    return terms.isCrowded ? { ...judgement, evidence: `crowd:${evidence.describe(crowd)}` } : judgement
  }

  async function creditFor(
    { attempt, identity, store }: Question,
    known: Known,
    credit: CreditSettings,
  ): Promise<'credit' | undefined> {
    const isTaken = await takeCredit(store, attempt, identity, known, credit).catch(() => false)
    return isTaken ? 'credit' : undefined
  }

  /** Records an attempt that is to be deferred, unless the loop breaker lets it through. */
  async function defer(
    question: Question,
    known: Known,
    terms: Terms,
    { reason, waited, retryIn }: Deferral,
  ): Promise<Judgement> {
    const { attempt, identity, keys, firstKey, store } = question
    const { found, first: mark, evidence } = known
    const { full } = terms
    const loop = loopOf(question)
    const isMissing = (index: number) => !found[index] && !full.includes(identity.names[index] ?? '')
    // What is not kept is not counted either.
    const isNew = reason === 'new' && keys.some((_, index) => isMissing(index))
    const isCounted = isNew && full.length === 0 && loopBreaker.isCounted(loop)
    const isFirst = isCounted && !mark
    const isHolding = isFirst && mayHold(times)
    const first = { ...firstAttemptOf(question), isCrowded: terms.isCrowded }
    const counting = isCounted && mark && loopBreaker.count(store, loop, mark).catch(() => false)
    const writes: Write[] = []
    let held: FirstKeys | undefined
    for (const [index, key] of keys.entries()) {
      if (!isMissing(index)) continue
      const name = identity.names[index]
      const window = windowOf(name, identity, terms.times)
      if (isHolding && name === identity.network) held = { firstKey, key, window }
      else writes.push({ kind: 'add', key, retryWindow: window, age: waited })
    }
    const addsEnd = writes.length
    if (held) writes.push(holding(first, firstKey, times))
    else if (isFirst) writes.push({ kind: 'add', key: firstKey, retryWindow: times.retryWindow })
    if (isNew && !isAnybody(attempt) && !question.isObserved)
      writes.push(...deferralTallies(question, evidence))
    const written = await writeTo(store, writes)
    const adds = written.slice(0, addsEnd)
    const holder = written[addsEnd]
    if (held)
      adds.push(
        holder === true || holder instanceof UnreadableEntry
          ? holder
          : await keepBeside(store, first, held, times, elsewhereWindow(times)).catch(
              (error: Error) => error,
            ),
      )
    const added = addedAny(found.some(Boolean), adds)
    const letsThrough = await counting
    if (letsThrough && mark) {
      await Promise.all([keepPassed(store, keys, times.lifetime), loopBreaker.reset(store, loop, mark)])
      const hint = hintFor(attempt, identity)
      const pass = { verdict: 'pass', reason: 'max-deferrals', waited, retryIn: 0 } as const
      const { deferralsNeeded: deferrals } = loopBreaker
      return { ...pass, deferrals, ...(hint === undefined ? {} : { hint }) }
    }
    const wasFirst = !added.includes(false) // false: another frontend added the key since `find`
    return { verdict: 'tempfail', reason: wasFirst ? reason : 'early', waited, retryIn }
  }

  /**
   * How long a retry under a name is awaited. One from another network has less time than one from the same network: a
   * sender of daily mail that never retries would take tomorrow's for the retry of today's.
   */
  function windowOf(name: string | undefined, { network }: Identity, timesNow: Times): number {
    return name === network ? timesNow.retryWindow : elsewhereWindow(timesNow)
  }

  /** The keys that may mark the first attempt. Earlier versions had another one, whose entries expire after an upgrade. */
  function firstKeysOf(question: Question): string[] {
    const { attempt, form, firstKey, formerFirsts } = question
    // Whatever SPF says now, the network may be the holder. Only bounces have none.
    if (form === '') return []
    const keys = [firstKey]
    for (const { key } of formerFirsts) keys.push(key)
    if (now() - createdAt < times.retryWindow && loopBreaker.isCounted(loopOf(question)))
      keys.push(formerFirstKey(form, attempt.recipient))
    return keys
  }

  /** The keys that say that the recipient has written to the sender. */
  function writtenToKeys({ asked, attempt, identity }: Question): string[] {
    if (settings.learnReplies === undefined) return []
    const former = formerConcealments.map((each) => concealed(asked, each))
    return [attempt, ...former].flatMap((each) => writtenToKey(each, identity) ?? [])
  }

  function loopOf({ attempt, form, identity, counted }: Question): LoopAttempt {
    return { form, recipient: attempt.recipient, network: counted, spf: identity.spf }
  }

  /** The first attempt of which the entry at `index` of `firstKeysOf` tells. */
  function firstAttemptAt(question: Question, index: number): FirstAttempt {
    const first = firstAttemptOf(question)
    const former = question.formerFirsts[index - 1]
    return former ? { ...first, form: former.form, recipient: former.recipient } : first
  }

  function firstAttemptOf({ attempt: { recipient }, form, identity }: Question): FirstAttempt {
    const { network, provider } = identity
    return { network, provider, form, recipient }
  }

  /** The name whose tally tells whether strangers crowd the client's network, and whether the network has room. */
  function crowdName({ attempt, identity, counted }: Question): string {
    return isAnybody(attempt) ? identity.network : `network:${counted}`
  }

  /**
   * The names under which no further first attempt is kept. A sender's domain has room of its own, as SPF vouches that
   * the client is no stranger of its network; all other names have that of the network.
   */
  function fullAmong(names: readonly string[], crowd: string, evidence: Evidence): string[] {
    const isFull = (name: string) => waitingIn(evidence.tallyOf(name)) >= settings.maxPending
    return names.filter((name) => isFull(name.startsWith('spf:') ? name : crowd))
  }

  /** The network that counts as one among several; it is at least as large as the one that stands for a client. */
  function countedNetwork({ client: { address } }: Attempt): string {
    if (!address) return ''
    const { kind } = address
    return formatNetwork(networkOf(address, Math.min(CUSTOMER_PREFIX[kind], settings.prefixes[kind])))
  }

  /**
   * The setting with which the sender would not have been deferred so often. There is none for an unproven sender, as
   * the operator would exempt a name that a stranger has forged.
   */
  function hintFor(attempt: Attempt, identity: Identity): string | undefined {
    if (identity.spf === 'pass' && !settings.widensBySpf) return 'greylist.client.spf_domain'
    return isAligned(attempt, identity) ? `exempt.senders: ${attempt.sender.domain}` : undefined
  }

  /** Writes a pass. A failed write does not change the verdict, as the next attempt writes the pass again. */
  async function keepPassed(store: Store, keys: readonly string[], lifetime: number): Promise<void> {
    await writeTo(
      store,
      keys.map((key) => ({ kind: 'pass', key, lifetime })),
    )
  }

  /** Notes to whom a user has written, without anybody waiting for it. */
  function noteWrittenTo(attempt: Attempt): void {
    const { sender, recipient } = concealed(attempt, concealment)
    if (settings.learnReplies === undefined || !recipient || sender.text === '') return
    void learnReply(stores.store, sender, recipient, settings.learnReplies)
  }

  /**
   * Notes that a deferred attempt has come back. What its names have shown is written together with the pass. Whether
   * that is enough for the auto-whitelist takes more round trips, for which the sender waits COUNTING_WAIT at most.
   */
  async function noteReturn(question: Question, { evidence, isSisters }: Known): Promise<void> {
    const { store, attempt, identity, firstKey, counted } = question
    if (isAnybody(attempt)) return
    const pass = { attempt, identity, evidence, network: counted }
    const counter = autoWhitelist && new FirstPassCounter(store, autoWhitelist)
    if (!isSisters) {
      await Promise.all([
        writeTo(store, tallies(question, evidence, returnIn)),
        counter && settledWithin(COUNTING_WAIT, counter.count(pass)),
      ])
      return
    }
    // Nothing was deferred in this network, and one deferral has one return from elsewhere.
    const { spacing } = whitelistKeys(firstKey)
    if (!(await store.add(spacing, times.retryWindow).catch(() => false))) return
    await Promise.all([
      writeTo(
        store,
        tallies(question, evidence, (shown, name) => (isPair(name) ? returnIn(shown) : 0)),
      ),
      counter && settledWithin(COUNTING_WAIT, counter.countForPairs(pass)),
    ])
  }

  /** The writes that count a deferral under each name; the first under a name stays in this process (untallied.ts). */
  function deferralTallies(question: Question, evidence: Evidence): Write[] {
    return tallies(question, evidence, ({ deferred }, name, age) => {
      if (deferred > 0 || age !== undefined || (settings.credit && !isPair(name))) return DEFERRAL
      untallied.note(name)
      return 0
    })
  }

  /** The writes that add to the tally of each name, and the deferral of `age` that it lacks. A failed one is lost. */
  function tallies(
    { trial }: Question,
    evidence: Evidence,
    by: (tally: Tally, name: string, age: number | undefined) => number,
  ): Write[] {
    if (trial) return []
    const counts: Write[] = []
    for (const name of evidence.names) {
      const age = untallied.take(name)
      const given = by(evidence.tallyOf(name), name, age) + (age === undefined ? 0 : DEFERRAL)
      if (given > 0)
        counts.push({
          kind: 'count',
          key: tallyKey(name),
          window: Math.ceil(TALLY_WINDOW - (age ?? 0)),
          by: given,
        })
    }
    return counts
  }

  /** The deferrals under a name that this process has noted, and that are not counted in the store yet. */
  function untalliedIn(name: string): number {
    return untallied.ageOf(name) === undefined ? 0 : DEFERRAL
  }

  return {
    prepare(attempt, inquiry) {
      if (!inquiry.findings && !exempt(attempt)) void findingsOf(attempt, inquiry)
    },
    judge,
    observe: async (attempt, inquiry, deadline) =>
      letThrough(await judge(attempt, inquiry, deadline, undefined, true), 'observe'),
    tryOut: (attempt, trial) => judge(attempt, undefined, undefined, trial),
  }
}

/** Why an attempt need not wait though nothing has come back yet, by what the recipient has asked for. */
function welcomeBy({ isExpected, isWrittenTo }: Known): 'expected' | 'written-to' | undefined {
  if (isExpected) return 'expected'
  return isWrittenTo ? 'written-to' : undefined
}

function outcomeOf({ attempt, asked, identity, form }: Question, judgement: Judgement): Outcome {
  return Object.assign(judgement, {
    attempt: asked,
    identity: identity.id,
    ref: attemptRef(form, attempt.recipient),
  })
}

/** Whether an entry is one whose age is yet to be asked for. */
function isUndated(entry: LookedEntry | undefined): boolean {
  return entry !== undefined && entry.age === undefined
}

/** An entry whose age is known. */
function agedOnly(entry: LookedEntry | undefined): Entry | undefined {
  return entry?.age === undefined ? undefined : (entry as Entry)
}

/** `entries`, which are under the first of `keys`, with the ages that a look has left out. */
async function withAges(
  store: Store,
  keys: readonly string[],
  entries: ReadonlyArray<LookedEntry | undefined>,
): Promise<Array<Entry | undefined>> {
  const undated = keys.filter((_, index) => isUndated(entries[index]))
  const { answers } = await readReachable(store.find(undated))
  let next = 0
  return entries.map((entry) => {
    if (!isUndated(entry)) return agedOnly(entry)
    next += 1
    return answers[next - 1]
  })
}

function isAnyBelow(indexes: ReadonlySet<number>, limit: number): boolean {
  for (const index of indexes) if (index < limit) return true
  return false
}

/**
 * Whether each key that could be added was free. One key is enough to know the retry by, so this throws only when none
 * could be added, and nothing `isKnown` under another, and for a key under which something is that cannot be read.
 */
function addedAny(isKnown: boolean, adds: readonly Written[]): boolean[] {
  const added = adds.filter((result) => typeof result === 'boolean')
  const failed = adds.filter((result) => result instanceof Error)
  const unreadable = failed.find((error) => error instanceof UnreadableEntry)
  if (unreadable) throw unreadable
  const [error] = failed
  if (error && added.length === 0 && !isKnown) throw error
  return added
}

/** The question to a store for one attempt, with the deadline of the answer by performance.now(). */
interface Question {
  readonly store: Store
  /** The attempt as the store may know it. */
  readonly attempt: Attempt
  /** The attempt as the caller has it. */
  readonly asked: Attempt
  /** The sender form, as the store may know it. */
  readonly form: string
  readonly identity: Identity
  readonly keys: readonly string[]
  /** The keys of earlier versions where these differ. Entries under them count, and nothing is written under them. */
  readonly formerKeys: readonly NamedKey[]
  /** The key that marks the first attempt of the sender form to the recipient (held.ts). */
  readonly firstKey: string
  /** The same under former privacy keys, each with what its holder is made of. */
  readonly formerFirsts: readonly FirstKey[]
  readonly deadline: number
  /** Whether an operator has switched greylisting off for the attempt, so that no first attempt is kept. */
  readonly isOff: boolean
  /** Whether the attempt passes whatever the verdict is, so that its sender need not come back. */
  readonly isObserved: boolean
  /** What collects the findings, if the attempt is only tried out. */
  readonly trial: Trial | undefined
  /** The network that counts as one among several. */
  readonly counted: string
}

/** A key that may mark a first attempt, and what the holder in its entry is made of. */
interface FirstKey {
  readonly key: string
  readonly form: string
  readonly recipient: Address | undefined
}

/** A key of a triplet, and the name of the client in it. */
interface NamedKey {
  readonly name: string
  readonly key: string
}

/** What the store knows of an attempt. */
interface Known {
  /**
   * The entries under the question's keys, and behind them those under its former keys. That of the network may be in
   * `first` instead.
   */
  readonly found: ReadonlyArray<Entry | undefined>
  /** Whether nothing is known but the wait of another machine of the client's provider (held.ts). */
  readonly isSisters: boolean
  /** The error of a part of the store that is away, if it may have one of these entries, and none was found. */
  readonly unread: Error | undefined
  /** The entry that marks the first attempt of the sender to the recipient, from whichever network. */
  readonly first: Entry | undefined
  /** The names under which the client can prove that it retries. */
  readonly names: readonly string[]
  readonly evidence: Evidence
  /** The name whose tally tells of a crowd. */
  readonly crowd: string
  /** A listing of the client that holds. */
  readonly listing: Listing | undefined
  /** Milliseconds since the listing was last extended. */
  readonly listedFor: number
  readonly isExpected: boolean
  /** Whether the recipient has written to the sender. */
  readonly isWrittenTo: boolean
}

/** The times of an attempt and the room for it, which depend on the clients around it. */
interface Terms {
  readonly times: Times
  /** Whether strangers crowd the client's network. */
  readonly isCrowded: boolean
  /** The names under which no further first attempt is kept. */
  readonly full: readonly string[]
}

type Deferral = Extract<Decision, { verdict: 'tempfail' }>

type Judgement = Omit<Outcome, 'attempt' | 'identity' | 'ref'>

function exempted(attempt: Attempt, exemption: Exemption, identity?: Identity): Outcome {
  const known = identity ? { identity: identity.id } : {}
  return { attempt, verdict: 'pass', ...exemption, ...known, waited: 0, retryIn: 0 }
}
