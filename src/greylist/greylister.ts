// The greylister: takes an attempt, returns its outcome. It joins the exemptions, the identity, the keys, the store and
// the decision, and knows nothing of milter: every door and the command line get the same outcome. A store that fails
// or is slow gives the configured answer. A decision takes DECISION_TIMEOUT at most, DNS included.
//
// Nothing is asked on behalf of a stranger before there is a recipient for whom the answer matters.

import type { Address } from '../address.ts'
import type { Attempt } from '../attempt.ts'
import { messageOf } from '../errors.ts'
import type { Exempt, Exemption } from '../exempt/exempt.ts'
import type { Identity } from '../identity/identity.ts'
import { organisationOf } from '../identity/organisation.ts'
import type { SpfStanding } from '../identity/spf/standing.ts'
import { formatNetwork, type IpAddress, networkOf } from '../ip.ts'
import type { Outcome } from '../outcome.ts'
import { CUSTOMER_PREFIX, isPrivate } from '../ranges.ts'
import type { Entry } from '../store/entry.ts'
import type { Store } from '../store/store.ts'
import { type Decision, decide, isExtensionDue, strongest, type Times } from './decide.ts'
import type { Findings, Investigate } from './investigate.ts'
import { type SenderForms, senderForms } from './sender.ts'
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
  /** Whether the sender's domain may stand for a client. */
  readonly widensBySpf: boolean
  /** Leading bits that a client and its neighbours share. */
  readonly prefixes: Readonly<Record<IpAddress['kind'], number>>
  /** Whether senders that differ only in what varies with the message are one sender. */
  readonly normalizeSender: boolean
  /** Absent if the auto-whitelist is off. */
  readonly autoWhitelist?: AutoWhitelist
  /**
   * Number of deferrals of a sender form to a recipient, or of a sender form if keys have no recipient, after which the
   * loop breaker lets the next attempt pass. They count within the retry window, a delay apart, from three networks or
   * more; 0 turns the loop breaker off.
   */
  readonly maxDeferrals: number
  /** The answer when the store fails; `local` without a local store is accept. */
  readonly onStoreError: 'accept' | 'tempfail' | 'local'
}

/** When an identity need not wait any more; times in milliseconds. */
export interface AutoWhitelist {
  /** Number of first passes that an identity has to complete. */
  readonly after: number
  /** First passes closer together than this count as one. */
  readonly spacing: number
  /** How long an identity stays whitelisted after its last use. */
  readonly lifetime: number
}

export interface GreylisterParts {
  readonly settings: GreylistSettings
  readonly exempt: Exempt
  readonly investigate: Investigate
  readonly stores: GreylisterStores
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
  findings?: Promise<Findings>
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
}

/**
 * Longest time for one decision, in milliseconds. It bounds all store operations together, as several answers may be
 * slow though none of them exceeds the store's own time-out.
 */
export const DECISION_TIMEOUT = 2000
/** Part of the decision's time that is kept for the local store, in milliseconds. */
const LOCAL_STORE_RESERVE = 200

/** Least number of first passes before a client without a telling name is whitelisted. */
const MIN_UNNAMED_PASSES = 5

/** Networks, and also senders' domains, from which a host's domain needs first passes before it is whitelisted. */
const MIN_WITNESSES = 3

/** How long a retry from another network is awaited, in milliseconds. */
const ELSEWHERE_WINDOW = 12 * 3_600_000

/** Senders' domains whose mail has to come back through a carrier before the carrier vouches for others. */
const MIN_CARRIED = 2

/** Networks from which attempts have to come before the loop breaker lets one through. */
const MIN_LOOP_NETWORKS = 3

/**
 * The SPF standings of attempts that the loop breaker counts. With `fail`, a stranger forges the domain; with
 * `unknown`, a stranger may have silenced DNS. Neither resets the count, or one forged mail could keep an honest sender
 * out.
 */
const COUNTED_STANDINGS: ReadonlySet<SpfStanding> = new Set(['pass', 'open', 'none', 'unasked'])

/** A greylister that learns like the given one and defers nothing; `would` has the reason for a deferral. */
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

/** The greylister that every door asks. */
export function createGreylister({ settings, exempt, investigate, stores }: GreylisterParts): Greylister {
  const { times, autoWhitelist, maxDeferrals } = settings
  /** Counted attempts before one passes; with `maxPerNetwork`, two networks together cannot reach it. */
  const deferralsNeeded = Math.max(maxDeferrals, MIN_LOOP_NETWORKS)
  const maxPerNetwork = Math.floor((deferralsNeeded - 1) / (MIN_LOOP_NETWORKS - 1))

  async function judge(
    attempt: Attempt,
    inquiry: Inquiry = { isOver: false },
    deadline = performance.now() + DECISION_TIMEOUT,
  ): Promise<Outcome> {
    const exemption = exempt(attempt)
    if (exemption) return exempted(attempt, exemption)
    const found = await findingsOf(attempt, inquiry)
    if (found.exemption) return exempted(attempt, found.exemption, found.identity)
    const { identity } = found
    // Mail without a client address was submitted on the MTA's own host; nobody could retry it from elsewhere.
    if (!identity) return exempted(attempt, { reason: 'exempt-client', rule: 'no-address' })
    const { form, former } = formsOf(attempt)
    const keys = tripletKeys(form, attempt, identity)
    const formerKeys = former === form ? [] : tripletKeys(former, attempt, identity)
    const subject = { attempt, identity: identity.id, ref: attemptRef(form, attempt.recipient) }
    const question = { attempt, form, identity, keys, formerKeys }
    const { store, local } = stores
    const fallback = settings.onStoreError === 'local' ? local : undefined
    try {
      const storeDeadline = fallback ? deadline - LOCAL_STORE_RESERVE : deadline
      return { ...subject, ...(await judgeByStore({ ...question, store, deadline: storeDeadline })) }
    } catch (error) {
      return {
        ...subject,
        ...(await judgeWithoutStore(messageOf(error), { ...question, deadline }, fallback)),
      }
    }
  }

  function findingsOf({ client, sender }: Attempt, inquiry: Inquiry): Promise<Findings> {
    inquiry.findings ??= investigate(client, sender, () => !inquiry.isOver)
    return inquiry.findings
  }

  /** The judgement after the store failed with `error`, by the fallback if there is one. Never rejects. */
  async function judgeWithoutStore(
    error: string,
    question: Omit<Question, 'store'>,
    fallback: Store | undefined,
  ): Promise<Judgement> {
    const verdict = settings.onStoreError === 'tempfail' ? 'tempfail' : 'pass'
    const unknown = { verdict, reason: 'store-error', waited: 0, retryIn: 0, error } as const
    if (!fallback) return unknown
    return judgeByStore({ ...question, store: fallback }).then(
      (judgement) => ({ ...judgement, store: 'local', error }),
      (failure) => ({ ...unknown, error: `${error}; ${messageOf(failure)}` }),
    )
  }

  /** The keys under all names of the client, so that a retry under any of them is the retry. */
  function tripletKeys(form: string, { recipient }: Attempt, { names }: Identity): string[] {
    return names.map((name) => tripletKey(name, form, recipient))
  }

  function formsOf({ sender, recipient }: Attempt): SenderForms {
    if (settings.normalizeSender) return senderForms(sender, recipient)
    return { form: sender.normal, former: sender.normal }
  }

  /** The judgement by what the store knows. Rejects if the store fails or has not answered by `deadline`. */
  async function judgeByStore(question: Question): Promise<Judgement> {
    const { attempt, identity, keys, formerKeys, store, deadline } = question
    const listings = autoWhitelist ? listingKeys(attempt, identity) : []
    const answers = await withDeadline(store.find([...keys, ...formerKeys, ...listings]), deadline)
    const entries = answers.slice(0, keys.length)
    const found = answers.slice(0, keys.length + formerKeys.length)
    const listingsFound = answers.slice(found.length)
    const listed = listingsFound.findIndex((entry) => entry?.passed)
    if (autoWhitelist && listed !== -1) {
      const isKept = isExtensionDue(listingsFound[listed]?.age ?? 0, autoWhitelist.lifetime)
      const listing = listings.slice(listed, listed + 1)
      await untilWritten([isKept && keepPassed(store, listing, autoWhitelist.lifetime)], deadline)
      return { verdict: 'pass', reason: 'auto-whitelist', waited: 0, retryIn: 0 }
    }
    const decision = decide(strongest(found), times)
    if (decision.verdict === 'tempfail') return withDeadline(defer(question, entries, decision), deadline)
    const { verdict, reason, waited, keep } = decision
    // A pass under one of the keys, or of the former ones, is written under all names.
    const isKept = keep || entries.some((entry) => !entry?.passed)
    const writes = [
      isKept && keepPassed(store, keys, times.lifetime),
      reason === 'retry' && countPass(store, attempt, identity),
    ]
    await untilWritten(writes, deadline)
    return { verdict, reason, waited, retryIn: 0 }
  }

  /** Records an attempt that is to be deferred, unless the loop breaker lets it through. */
  async function defer(
    question: Question,
    entries: ReadonlyArray<Entry | undefined>,
    { reason, waited, retryIn }: Deferral,
  ): Promise<Judgement> {
    const { attempt, form, identity, keys, store } = question
    const windows = identity.names.map((name) => windowOf(name, identity))
    const missing = keys.flatMap((key, index) =>
      entries[index] ? [] : [{ key, window: windows[index] ?? 0 }],
    )
    const [letsThrough, ...added] = await Promise.all([
      reason === 'new' && mayLoop(attempt) && countAttempt(question),
      ...missing.map(({ key, window }) => store.add(key, window, Math.min(waited, window - 1))),
    ])
    if (letsThrough) {
      await Promise.all([keepPassed(store, keys, times.lifetime), resetLoop(store, form, attempt.recipient)])
      const hint = hintFor(attempt, identity)
      const pass = { verdict: 'pass', reason: 'max-deferrals', waited, retryIn: 0 } as const
      return { ...pass, deferrals: deferralsNeeded, ...(hint === undefined ? {} : { hint }) }
    }
    const wasFirst = !added.includes(false) // false: another frontend added the key since `find`
    return { verdict: 'tempfail', reason: wasFirst ? reason : 'early', waited, retryIn }
  }

  /**
   * How long a retry under a name is awaited. One from another network has less time than one from the same network: a
   * sender of daily mail that never retries would take tomorrow's for the retry of today's.
   */
  function windowOf(name: string, { network }: Identity): number {
    if (name === network) return times.retryWindow
    return Math.max(
      Math.min(times.retryWindow, ELSEWHERE_WINDOW),
      Math.min(2 * times.delay, times.retryWindow),
    )
  }

  // The loop breaker lets an attempt pass if its sender's retries come from ever new networks, as such a sender would
  // be deferred until it gives up. Strangers who forge one sender look the same, so the loop breaker counts only
  // attempts that are spaced like the retries of a queue. It does not count attempts of a client that is waiting
  // already.

  /**
   * Whether the loop breaker counts attempts of the sender. It does not count bounces: everybody's have one sender
   * form, and a retry from a sister host is known anyway, by the host's name or SPF.
   */
  function mayLoop({ sender }: Attempt): boolean {
    return maxDeferrals > 0 && sender.text !== ''
  }

  /**
   * Counts an attempt that is to be deferred, and returns whether it has to pass instead. It counts nothing until a
   * delay after the first attempt, and then one attempt in each delay.
   */
  async function countAttempt(question: Question): Promise<boolean> {
    const { attempt, form, identity, store } = question
    const { client, recipient } = attempt
    if (!client.address || !COUNTED_STANDINGS.has(identity.spf)) return false
    const firstKey = loopKey('first', form, recipient)
    if (await store.add(firstKey, times.retryWindow)) return false
    const [first] = await store.find([firstKey])
    if (!first || first.age < times.delay) return false
    // The limit precedes the spacing, so that a network beyond its limit does not keep others from being counted.
    const networkKey = loopNetworkKey(countedNetwork(client.address), form, recipient)
    const ofNetwork = await store.count(networkKey, times.retryWindow)
    if (ofNetwork > maxPerNetwork) return false
    if (!(await store.add(loopKey('spacing', form, recipient), times.delay))) return false
    return (await store.count(loopKey('counted', form, recipient), times.retryWindow)) >= deferralsNeeded
  }

  /** The network that counts as one among several; it is at least as large as the one that stands for a client. */
  function countedNetwork(address: IpAddress): string {
    const { kind } = address
    return formatNetwork(networkOf(address, Math.min(CUSTOMER_PREFIX[kind], settings.prefixes[kind])))
  }

  /** Makes the next attempt the first one again. */
  async function resetLoop(store: Store, form: string, recipient: Address | undefined): Promise<void> {
    const keys = [loopKey('first', form, recipient), loopKey('counted', form, recipient)]
    await Promise.all(keys.map((key) => store.forget(key).catch(() => undefined)))
  }

  /**
   * The setting with which the sender would not have been deferred so often. There is none for an unproven sender, as
   * the operator would exempt a name that a stranger has forged.
   */
  function hintFor({ sender }: Attempt, { spf, host }: Identity): string | undefined {
    if (spf === 'pass' && !settings.widensBySpf) return 'greylist.client.spf_domain'
    const isHosts = host !== undefined && organisationOf(sender.domain) === host.domain
    return spf === 'pass' || isHosts ? `exempt.senders: ${sender.domain}` : undefined
  }

  /** Writes a pass. A failed write does not change the verdict, as the next attempt writes the pass again. */
  async function keepPassed(store: Store, keys: readonly string[], lifetime: number): Promise<void> {
    await Promise.all(keys.map((key) => store.pass(key, lifetime).catch(() => undefined)))
  }

  // The auto-whitelist. The first passes of a host count for all hosts of its domain in its network. The domain often
  // belongs to a provider with strangers for customers, so it is whitelisted elsewhere only after first passes from
  // several networks and several senders' domains, each with an SPF pass, as anybody can write a sender. Then it is
  // whitelisted for hosts whose names say that they handle mail, since the domain's owner gives the names. Other hosts
  // of such a domain need one first pass in their network.

  /** The keys that say whether the client is whitelisted. */
  function listingKeys(attempt: Attempt, identity: Identity): string[] {
    const { names, host, carriers } = identity
    const listed = names.flatMap((name) => {
      if (!name.startsWith('host:')) return [name]
      const proven = provenBy(name, attempt, identity)
      return host?.isMail ? [proven, name] : [proven]
    })
    return [...listed, ...carriers.map(carrierName)].map((name) => whitelistKeys(name).listed)
  }

  /**
   * What a client proves by a host's name: that the hosts of that domain in its network retry, if the name says that it
   * handles mail. Any other name may be one of a rented machine, whose neighbours belong to others, so that it proves
   * its own address alone. In IPv6, each machine has a network.
   */
  function provenBy(name: string, { client: { address } }: Attempt, { network, host }: Identity): string {
    return host?.isMail || address?.kind !== 'ipv4'
      ? hostsInNetwork(name, network)
      : `${name}+${address.text}`
  }

  /** Counts a first pass towards the auto-whitelist. A failed count is lost, and the mail passes all the same. */
  async function countPass(store: Store, attempt: Attempt, identity: Identity): Promise<void> {
    const { client, sender } = attempt
    // A private address may be that of a proxy or of a container's gateway, with anybody behind it.
    if (!autoWhitelist || !client.address || isPrivate(client.address)) return
    const { host, spf } = identity
    const witnesses = [countedNetwork(client.address), organisationOf(sender.domain)] as const
    const counted = [
      ...identity.names.map((name) => countForName(store, name, attempt, identity, autoWhitelist)),
      ...identity.carriers.map((carrier) =>
        countForCarrier(store, carrierName(carrier), organisationOf(sender.domain), autoWhitelist),
      ),
    ]
    if (host && spf === 'pass')
      counted.push(countForDomain(store, `host:${host.domain}`, witnesses, autoWhitelist))
    // The guard around the store counts and logs failures.
    await Promise.all(counted).catch(() => undefined)
  }

  async function countForName(
    store: Store,
    name: string,
    attempt: Attempt,
    identity: Identity,
    whitelist: AutoWhitelist,
  ): Promise<void> {
    const { id, network, isNamed } = identity
    if (name === network) {
      // Who has a wider name proves that name, and not its neighbours.
      if (name !== id) return
      const needed = isNamed ? whitelist.after : Math.max(whitelist.after, MIN_UNNAMED_PASSES)
      return countFor(store, name, needed, whitelist)
    }
    if (!name.startsWith('host:')) return countFor(store, name, whitelist.after, whitelist)
    const [domain] = await store.find([whitelistKeys(name).listed])
    const needed = domain?.passed ? 1 : whitelist.after
    return countFor(store, provenBy(name, attempt, identity), needed, whitelist)
  }

  /** Counts a first pass for a carrier, once for each sender's domain, and whitelists it after enough of them. */
  async function countForCarrier(
    store: Store,
    id: string,
    sender: string,
    { lifetime }: AutoWhitelist,
  ): Promise<void> {
    // A bounce, or a sender without a domain, is no witness.
    if (sender === '') return
    const { witness, count } = witnessKeys(id, 'senders', sender)
    if (!(await store.add(witness, lifetime))) return
    if ((await store.count(count, lifetime)) >= MIN_CARRIED)
      await store.pass(whitelistKeys(id).listed, lifetime)
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

  /** Counts a first pass for a host's domain, and whitelists it after enough networks and enough senders' domains. */
  async function countForDomain(
    store: Store,
    id: string,
    [network, sender]: readonly [network: string, sender: string],
    { spacing, lifetime }: AutoWhitelist,
  ): Promise<void> {
    const { listed, spacing: spacingKey } = whitelistKeys(id)
    // A bounce, or a sender without a domain, is no witness.
    if (sender === '' || !(await store.add(spacingKey, spacing))) return
    const kinds = [witnessKeys(id, 'networks', network), witnessKeys(id, 'senders', sender)]
    const isMore = await Promise.all(
      kinds.map(async ({ witness, count, enough }) => {
        if (!(await store.add(witness, lifetime))) return false
        if ((await store.count(count, lifetime)) < MIN_WITNESSES) return false
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

/** The name of a carrier in the auto-whitelist. */
function carrierName(carrier: string): string {
  return `carrier:${carrier}`
}

/** The question to a store for one attempt, with the deadline of the answer by performance.now(). */
interface Question {
  readonly store: Store
  readonly attempt: Attempt
  /** The sender form. */
  readonly form: string
  readonly identity: Identity
  readonly keys: readonly string[]
  /** The keys of earlier versions where these differ. Entries under them count, and nothing is written under them. */
  readonly formerKeys: readonly string[]
  readonly deadline: number
}

type Deferral = Extract<Decision, { verdict: 'tempfail' }>

type Judgement = Omit<Outcome, 'attempt' | 'identity' | 'ref'>

function exempted(attempt: Attempt, exemption: Exemption, identity?: Identity): Outcome {
  const known = identity ? { identity: identity.id } : {}
  return { attempt, verdict: 'pass', ...exemption, ...known, waited: 0, retryIn: 0 }
}

/** The value of `promise`, or a rejection at `deadline`, an instant of performance.now(). */
function withDeadline<T>(promise: Promise<T>, deadline: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`the store took too long: a decision takes ${DECISION_TIMEOUT}ms at most`)),
      deadline - performance.now(),
    )
    promise.then(resolve, reject).then(() => clearTimeout(timer))
  })
}

/**
 * Waits until the writes of a decision are done, or until `deadline`. The decision stands either way. Never rejects.
 */
async function untilWritten(writes: ReadonlyArray<Promise<void> | false>, deadline: number): Promise<void> {
  if (!writes.some(Boolean)) return
  await withDeadline(Promise.all(writes), deadline).catch(() => undefined)
}
