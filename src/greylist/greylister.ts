// One attempt → its outcome: exempt? whose key? what is remembered? what follows? what is kept? Knows nothing of
// milter; whoever asks (the filter, the command line) gets the same answer. A store that fails has its configured one,
// and so has one that takes too long: a decision takes LONGEST_DECISION at most, DNS included.
//
// Nothing is asked on behalf of a stranger before there is a recipient for whom the answer matters.

import type { Address } from '../address.ts'
import type { Attempt } from '../attempt.ts'
import type { Exempt, Exemption } from '../exempt/exempt.ts'
import type { Identity } from '../identity/identity.ts'
import { organisationOf } from '../identity/organisation.ts'
import type { SpfStanding } from '../identity/spf/standing.ts'
import { formatNetwork, type IpAddress, networkOf } from '../ip.ts'
import { messageOf } from '../message.ts'
import type { Outcome } from '../outcome.ts'
import { CUSTOMER_PREFIX, isPrivate } from '../ranges.ts'
import type { Entry } from '../store/entry.ts'
import type { Store } from '../store/store.ts'
import { type Decision, decide, isDue, strongest, type Times } from './decide.ts'
import type { Findings, Investigate } from './investigate.ts'
import { senderForm } from './sender.ts'
import {
  attemptRef,
  hostsInNetwork,
  loopKey,
  loopNetworkKey,
  tripletKey,
  whitelistKeys,
  witnessKeys,
} from './triplet.ts'

export interface GreylistSettings {
  readonly times: Times
  /** Whether a client may be known by the sender's domain. */
  readonly widensBySpf: boolean
  /** Leading bits that a client and its neighbours share. */
  readonly prefixes: Readonly<Record<IpAddress['kind'], number>>
  /** Whether senders that differ only by what is made up for each message are one sender. */
  readonly normalizeSender: boolean
  /** Absent when turned off. */
  readonly autoWhitelist?: AutoWhitelist
  /**
   * Deferrals of a sender form to a recipient within the retry window, a delay apart and from three networks or more,
   * until the next attempt passes; of a sender form, where keys have no recipient; 0 for never.
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
   * `inquiry` is that of the transaction, if there is one. Answers by `deadline`, a time of performance.now(), which is
   * LONGEST_DECISION away by default. Never rejects.
   */
  judge(attempt: Attempt, inquiry?: Inquiry, deadline?: number): Promise<Outcome>
}

/** Longest time for one decision, in milliseconds: a store that answers each of several operations slowly is slow too. */
export const LONGEST_DECISION = 2000
/** So much of it is left for the local store when the other has taken too long. */
const LOCAL_SHARE = 200

/** A client whose name says nothing, or that it is anybody's, has to complete so many first passes at least. */
const PASSES_OF_UNNAMED = 5

/** Networks, and senders' domains, of which a host's domain needs first passes before it is whitelisted itself. */
const WITNESSES = 3

/** Networks that the attempts have to come from at least before the loop breaker lets one through. */
const LOOP_NETWORKS = 3

/**
 * How SPF may stand to an attempt that the loop breaker counts. Where it fails, a stranger forges the domain. Where DNS
 * does not say, a stranger may have seen to that. Neither takes back what was counted, or a stranger with one forged mail
 * could keep an honest sender from getting through.
 */
const COUNTED_STANDINGS: ReadonlySet<SpfStanding> = new Set(['pass', 'open', 'none', 'unasked'])

/** A greylister that learns all the same, and defers nothing. */
export function observing({ prepare, judge }: Greylister): Greylister {
  return {
    prepare,
    async judge(attempt, inquiry, deadline) {
      const outcome = await judge(attempt, inquiry, deadline)
      if (outcome.verdict === 'pass') return outcome
      return { ...outcome, verdict: 'pass', reason: 'observe', would: outcome.reason }
    },
  }
}

export function createGreylister({ settings, exempt, investigate, stores }: GreylisterParts): Greylister {
  const { times, autoWhitelist, maxDeferrals } = settings
  /** The first attempt is the first of them. No two networks together can reach it. */
  const deferralsNeeded = Math.max(maxDeferrals, LOOP_NETWORKS)
  const shareOfNetwork = Math.floor((deferralsNeeded - 1) / (LOOP_NETWORKS - 1))

  async function judge(
    attempt: Attempt,
    inquiry: Inquiry = { isOver: false },
    deadline = performance.now() + LONGEST_DECISION,
  ): Promise<Outcome> {
    const exemption = exempt(attempt)
    if (exemption) return exempted(attempt, exemption)
    const found = await findingsOf(attempt, inquiry)
    if (found.exemption) return exempted(attempt, found.exemption, found.identity)
    const { identity } = found
    // Mail submitted on the MTA's own host comes over no network; there is nobody who could retry from elsewhere.
    if (!identity) return exempted(attempt, { reason: 'exempt-client', rule: 'no-address' })
    const form = formOf(attempt)
    const keys = tripletKeys(form, attempt, identity)
    const subject = { attempt, identity: identity.id, ref: attemptRef(form, attempt.recipient) }
    const question = { attempt, form, identity, keys }
    const { store, local } = stores
    const fallback = settings.onStoreError === 'local' ? local : undefined
    try {
      const storeDeadline = fallback ? deadline - LOCAL_SHARE : deadline
      return { ...subject, ...(await weigh({ ...question, store, deadline: storeDeadline })) }
    } catch (error) {
      return { ...subject, ...(await weighWithout(messageOf(error), { ...question, deadline }, fallback)) }
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
  function tripletKeys(form: string, { recipient }: Attempt, { id, network }: Identity): string[] {
    const key = tripletKey(id, form, recipient)
    return id === network ? [key] : [key, tripletKey(network, form, recipient)]
  }

  function formOf({ sender, recipient }: Attempt): string {
    return settings.normalizeSender ? senderForm(sender, recipient) : sender.normal
  }

  /** Rejects when the store fails, or has not said at `deadline` what there is to know. */
  async function weigh(question: Question): Promise<Judgement> {
    const { attempt, identity, keys, store, deadline } = question
    const listings = autoWhitelist ? listingKeys(identity) : []
    const found = await withDeadline(store.find([...keys, ...listings]), deadline)
    const entries = found.slice(0, keys.length)
    const listed = found.slice(keys.length).findIndex((entry) => entry?.passed)
    if (autoWhitelist && listed !== -1) {
      const isKept = isDue(found[keys.length + listed]?.age ?? 0, autoWhitelist.lifetime)
      const listing = listings.slice(listed, listed + 1)
      await untilWritten([isKept && keepPassed(store, listing, autoWhitelist.lifetime)], deadline)
      return { verdict: 'pass', reason: 'auto-whitelist', waited: 0, retryIn: 0 }
    }
    const decision = decide(strongest(entries), times)
    if (decision.verdict === 'tempfail') return withDeadline(defer(question, entries, decision), deadline)
    const { verdict, reason, waited, keep } = decision
    // What only one of the keys knew, the other knows from now on.
    const isKept = keep || entries.some((entry) => !entry?.passed)
    const writes = [
      isKept && keepPassed(store, keys, times.lifetime),
      reason === 'retry' && countPass(store, attempt, identity),
    ]
    await untilWritten(writes, deadline)
    return { verdict, reason, waited, retryIn: 0 }
  }

  /** Writes down a first attempt, or one that came too early, unless the loop breaker lets it through. */
  async function defer(
    question: Question,
    entries: ReadonlyArray<Entry | undefined>,
    { reason, waited, retryIn }: Deferral,
  ): Promise<Judgement> {
    const { attempt, form, identity, keys, store } = question
    const missing = keys.filter((_, index) => !entries[index])
    const [isThrough, ...added] = await Promise.all([
      reason === 'new' && mayLoop(attempt) && countAttempt(question),
      ...missing.map((key) => store.add(key, times.retryWindow, waited)),
    ])
    if (isThrough) {
      await Promise.all([keepPassed(store, keys, times.lifetime), endLoop(store, form, attempt.recipient)])
      const hint = hintFor(attempt, identity)
      const pass = { verdict: 'pass', reason: 'max-deferrals', waited, retryIn: 0 } as const
      return { ...pass, deferrals: deferralsNeeded, ...(hint === undefined ? {} : { hint }) }
    }
    const wasFirst = !added.includes(false) // else another frontend was, a moment ago
    return { verdict: 'tempfail', reason: wasFirst ? reason : 'early', waited, retryIn }
  }

  // The loop breaker. A sender whose every retry comes from a network that nobody has seen would be deferred until it
  // gives up. It looks just like strangers who forge one sender, so that it counts only what is like a queue that retries.
  // An attempt of a client that is waiting already is not counted: the wait of its own goes on.

  /**
   * Whether the loop breaker looks at attempts of the sender. Bounces have the same sender form for everybody, and nothing
   * that several networks could share but a name or SPF; by these, a retry from a sister host is known as it is.
   */
  function mayLoop({ sender }: Attempt): boolean {
    return maxDeferrals > 0 && sender.text !== ''
  }

  /**
   * Counts an attempt that is to be deferred, and says whether it has to pass instead. Until a delay after the first
   * attempt, nothing is counted, and then one attempt in each delay.
   */
  async function countAttempt(question: Question): Promise<boolean> {
    const { attempt, form, identity, store } = question
    const { client, recipient } = attempt
    if (!client.address || !COUNTED_STANDINGS.has(identity.spf)) return false
    const firstKey = loopKey('first', form, recipient)
    if (await store.add(firstKey, times.retryWindow)) return false
    const [first] = await store.find([firstKey])
    if (!first || first.age < times.delay) return false
    // Before the spacing: a network that has had its share must not keep others from being counted.
    const networkKey = loopNetworkKey(countedNetwork(client.address), form, recipient)
    const ofNetwork = await store.count(networkKey, times.retryWindow)
    if (ofNetwork > shareOfNetwork) return false
    if (!(await store.add(loopKey('spacing', form, recipient), times.delay))) return false
    return (await store.count(loopKey('counted', form, recipient), times.retryWindow)) >= deferralsNeeded
  }

  /** What counts as one network where several are asked for: no less than the operator takes for one client. */
  function countedNetwork(address: IpAddress): string {
    const { kind } = address
    return formatNetwork(networkOf(address, Math.min(CUSTOMER_PREFIX[kind], settings.prefixes[kind])))
  }

  /** The next attempt is the first again. */
  async function endLoop(store: Store, form: string, recipient: Address | undefined): Promise<void> {
    const keys = [loopKey('first', form, recipient), loopKey('counted', form, recipient)]
    await Promise.all(keys.map((key) => store.forget(key).catch(() => undefined)))
  }

  /**
   * The setting with which the sender would not have been deferred so often; none where it is not proven who sends: the
   * operator would exempt whom a stranger names.
   */
  function hintFor({ sender }: Attempt, { spf, host }: Identity): string | undefined {
    if (spf === 'pass' && !settings.widensBySpf) return 'greylist.client.spf_domain'
    const isHosts = host !== undefined && organisationOf(sender.domain) === host.domain
    return spf === 'pass' || isHosts ? `exempt.senders: ${sender.domain}` : undefined
  }

  /** The wait is over whether or not it can be written down; the next attempt writes it again. */
  async function keepPassed(store: Store, keys: readonly string[], lifetime: number): Promise<void> {
    await Promise.all(keys.map((key) => store.pass(key, lifetime).catch(() => undefined)))
  }

  // The auto-whitelist. What a host has proven holds for the hosts of its domain in its network. The domain is often
  // that of a provider with strangers for customers, so that it is whitelisted elsewhere only after passes of several
  // networks and of several senders' domains, each of which SPF vouches for: anybody can write a sender. It is then
  // whitelisted for hosts whose names say that they handle mail, as the domain's owner gives names. Other hosts of such
  // a domain need one first pass in their network.

  /** Where to look whether the client is whitelisted. */
  function listingKeys({ id, network, host }: Identity): string[] {
    if (!id.startsWith('host:')) return [whitelistKeys(id).listed]
    const inNetwork = whitelistKeys(hostsInNetwork(id, network)).listed
    return host?.isMail ? [inNetwork, whitelistKeys(id).listed] : [inNetwork]
  }

  /** Counts a first pass towards the auto-whitelist. What the store cannot count is lost: the mail passes all the same. */
  async function countPass(store: Store, { client, sender }: Attempt, identity: Identity): Promise<void> {
    // Behind a private address there can be anybody: it is that of a proxy, or of a container's gateway.
    if (!autoWhitelist || !client.address || isPrivate(client.address)) return
    const { host, spf } = identity
    const witnesses = [countedNetwork(client.address), organisationOf(sender.domain)] as const
    const counted = [countForIdentity(store, identity, autoWhitelist)]
    if (host && spf === 'pass')
      counted.push(countForDomain(store, `host:${host.domain}`, witnesses, autoWhitelist))
    // The guard around the store counts and logs what fails.
    await Promise.all(counted).catch(() => undefined)
  }

  async function countForIdentity(
    store: Store,
    { id, network, isNamed }: Identity,
    whitelist: AutoWhitelist,
  ): Promise<void> {
    const needed = isNamed ? whitelist.after : Math.max(whitelist.after, PASSES_OF_UNNAMED)
    if (!id.startsWith('host:')) return countFor(store, id, needed, whitelist)
    const [domain] = await store.find([whitelistKeys(id).listed])
    return countFor(store, hostsInNetwork(id, network), domain?.passed ? 1 : needed, whitelist)
  }

  async function countFor(
    store: Store,
    id: string,
    needed: number,
    { spacing, lifetime }: AutoWhitelist,
  ): Promise<void> {
    const keys = whitelistKeys(id)
    if (!(await store.add(keys.spacing, spacing))) return
    if ((await store.count(keys.passes, lifetime)) >= needed) await store.pass(keys.listed, lifetime)
  }

  /** Whitelists the domain of a host once there are passes of enough networks and of enough senders' domains. */
  async function countForDomain(
    store: Store,
    id: string,
    [network, sender]: readonly [network: string, sender: string],
    { spacing, lifetime }: AutoWhitelist,
  ): Promise<void> {
    const { listed, spacing: spacingKey } = whitelistKeys(id)
    // Bounces, and senders without a domain of their own, name nobody.
    if (sender === '' || !(await store.add(spacingKey, spacing))) return
    const kinds = [witnessKeys(id, 'networks', network), witnessKeys(id, 'senders', sender)]
    const isMore = await Promise.all(
      kinds.map(async ({ witness, count, enough }) => {
        if (!(await store.add(witness, lifetime))) return false
        if ((await store.count(count, lifetime)) < WITNESSES) return false
        await store.pass(enough, lifetime)
        return true
      }),
    )
    if (!isMore.includes(true)) return
    const enough = await store.find(kinds.map((keys) => keys.enough))
    if (enough.every((entry) => entry?.passed)) await store.pass(listed, lifetime)
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
  /** What stands for the sender. */
  readonly form: string
  readonly identity: Identity
  readonly keys: readonly string[]
  readonly deadline: number
}

type Deferral = Extract<Decision, { verdict: 'tempfail' }>

type Judgement = Omit<Outcome, 'attempt' | 'identity' | 'ref'>

function exempted(attempt: Attempt, exemption: Exemption, identity?: Identity): Outcome {
  const known = identity ? { identity: identity.id } : {}
  return { attempt, verdict: 'pass', ...exemption, ...known, waited: 0, retryIn: 0 }
}

/** What `promise` gives, or a rejection at `deadline`, by performance.now(). */
function withDeadline<T>(promise: Promise<T>, deadline: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`the store took too long: a decision takes ${LONGEST_DECISION}ms at most`)),
      deadline - performance.now(),
    )
    promise.then(resolve, reject).then(() => clearTimeout(timer))
  })
}

/** Waits until `writes` of a decision that stands are done, or until `deadline`. Never rejects. */
async function untilWritten(writes: ReadonlyArray<Promise<void> | false>, deadline: number): Promise<void> {
  if (!writes.some(Boolean)) return
  await withDeadline(Promise.all(writes), deadline).catch(() => undefined)
}
