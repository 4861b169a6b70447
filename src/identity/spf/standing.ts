// Finds a client's standing with the sender's domain by SPF, within a bounded time, and caches it until the first of
// its answers expires, for all clients that the evaluation could not have told apart. Evaluations that strangers cause
// are shared among client networks; dns.ts shares the questions also among registered domains. identity.ts and
// greylist/investigate.ts decide what follows from a standing.

import { LRUCache } from 'lru-cache'
import { type Address, normalDomain } from '../../address.ts'
import type { Asker, Dns } from '../../dns.ts'
import type { IpAddress } from '../../ip.ts'
import { customerNetwork } from '../../ranges.ts'
import { OpenShares } from '../../shares.ts'
import { Turns } from '../../turns.ts'
import { isHostName } from '../host.ts'
import { organisationOf } from '../organisation.ts'
import { DecisionTree } from './decision-tree.ts'
import { checkHost, type SpfAnswer, type SpfQuestion, type Voucher } from './evaluate.ts'
import { Lookups } from './lookups.ts'

/**
 * - `pass`: the domain's record names the client as one of its own;
 * - `open`: the record passes the client, as it passes nearly everyone, so that it vouches for nobody;
 * - `fail`: the domain has a record that does not pass the client or has a mistake in it;
 * - `none`: the domain has no record;
 * - `unknown`: no question could be asked, or DNS did not answer;
 * - `unasked`: the operator's settings need no answer.
 */
export type SpfStanding = 'pass' | 'open' | 'fail' | 'none' | 'unknown' | 'unasked'

export interface SpfIdentity {
  readonly standing: SpfStanding
  /** The domain that was evaluated: the sender's, or HELO's for the null sender; absent if there is none. */
  readonly domain?: string
  /** The registrable domain of `domain`; absent if nothing was evaluated. */
  readonly organisation?: string
  /** The registrable domains of others whose records the domain includes, and which pass the client by themselves. */
  readonly carriers: readonly string[]
}

/**
 * Limit of what is cached, in comparisons and answers, and what each tree adds to them. They take 70 bytes each, and
 * 270 where the addresses of hosts are IPv6.
 */
const MAX_CACHED = 150_000
const TREE_OVERHEAD = 4
/**
 * Longest path of comparisons in a tree for all clients. The large providers' records have 20 to 130, and hostile ones
 * thousands, with which few mails would drive out what is known of others.
 */
const MAX_PATH = 200
/**
 * Limit of one such tree, beyond which it begins anew. In an included record, each client in a block that does not pass
 * has its own copy of all comparisons that follow, by which an author could multiply them.
 */
const MAX_TREE = 2000

/** Evaluations that may run at once. */
const EVALUATION_CAPACITY = { all: 512, each: 32 }

const NO_CARRIERS: readonly string[] = []
const UNKNOWN: SpfIdentity = { standing: 'unknown', carriers: NO_CARRIERS }

/**
 * Limit of the states in which a domain's record may be in one day and still vouch for its clients, and of the networks
 * whose clients pass by the addresses of its hosts. A record that passes for somebody else each time passes for anyone
 * in the end; the addresses of load balancers vary a little.
 */
const MAX_STATES = 16
const MAX_DOMAINS_WITH_STATES = 20_000
const DAY = 86_400_000

interface Known {
  readonly found: SpfIdentity
  /** The earliest expiry of the answers of DNS by which it was found. */
  readonly expiresAt: number
}

/** Asks on behalf of a client about the domain of an organisation. */
interface SpfAsker extends Asker {
  readonly organisation: string
}

/** What standings need of DNS. The `expiresAt` of its answers is by the clock of the standings. */
export interface SpfDns extends Pick<Dns, 'ask' | 'refund'> {
  withTimeout<T>(subject: string, answer: Promise<T>): Promise<T | undefined>
}

export class SpfStandings {
  readonly #dns: SpfDns
  readonly #now: () => number
  /**
   * By family and domain. By client and domain, as a tree of an answer alone, where the answer is for no other client:
   * it depends on more than comparisons, or its path is long.
   */
  readonly #cache = new LRUCache<string, DecisionTree<Known>>({ maxSize: MAX_CACHED })
  /** States of each domain's record within a day, by family, and the networks of clients that passed by its hosts. */
  readonly #states: LRUCache<string, Set<string>>
  readonly #evaluations = new OpenShares(EVALUATION_CAPACITY)
  readonly #turns = new Turns()

  /** `now` is a monotonic clock in milliseconds, which is never 0. */
  constructor(dns: SpfDns, now: () => number = () => performance.now()) {
    this.#dns = dns
    this.#now = now
    // With a resolution, the cache would go by a timer of the process for a while instead of by this clock. An instant
    // of 0 means to the cache that nothing expires.
    const clock = { perf: { now }, ttlResolution: 0 }
    this.#states = new LRUCache({ max: MAX_DOMAINS_WITH_STATES, ttl: DAY, noUpdateTTL: true, ...clock })
  }

  /**
   * The standing of a client, at once if it is cached. Takes DNS_TIMEOUT at most, and never rejects. `isWanted` says
   * whether the caller still waits; once it does not, DNS is not asked.
   */
  of(
    client: IpAddress,
    sender: Address,
    helo: string | undefined,
    isWanted: () => boolean,
  ): SpfIdentity | Promise<SpfIdentity> {
    // The null sender is judged by HELO (RFC 7208 section 2.4), in which a client may write even a text with a space,
    // which could be another question's key in the cache.
    const domain = sender.text === '' ? normalDomain(helo ?? '') : sender.domain
    if (!isHostName(domain)) return UNKNOWN
    // An answer for all clients comes first: that for one may be of a record that DNS did not have whole.
    const cached = this.#cached(client.kind, domain, client) ?? this.#cached(client.text, domain, client)
    if (cached) return cached
    const local = sender.text === '' || sender.local === '' ? 'postmaster' : sender.local
    return this.#ask({ client, domain, local, helo: normalDomain(helo ?? '') }, isWanted)
  }

  /** The standing that the cache has for a client; `by` is the client's family, or its address as text. */
  #cached(by: string, domain: string, { bytes }: IpAddress): SpfIdentity | undefined {
    const known = this.#cache.get(`${by} ${domain}`)?.find(bytes)
    return known && known.expiresAt > this.#now() ? known.found : undefined
  }

  #ask(question: SpfQuestion, isWanted: () => boolean): SpfIdentity | Promise<SpfIdentity> {
    const { client, domain } = question
    const network = customerNetwork(client)
    if (!this.#evaluations.hasRoomFor([network])) return { ...UNKNOWN, domain }
    const organisation = organisationOf(domain)
    const asker: SpfAsker = { purpose: 'spf', network, organisation, extraQuestions: 0 }
    const evaluation = this.#evaluate(question, asker, isWanted)
    if (!(evaluation instanceof Promise)) return evaluation
    this.#evaluations.take([network])
    const ending = evaluation.finally(() => this.#evaluations.giveBack([network]))
    // The subject has the network, too, as a client can choose names, as in HELO, that make the record slow for itself.
    return this.#dns
      .withTimeout(`spf ${network} ${organisation}`, ending)
      .then((found) => found ?? { ...UNKNOWN, domain })
  }

  #evaluate(
    question: SpfQuestion,
    asker: SpfAsker,
    isWanted: () => boolean,
  ): SpfIdentity | Promise<SpfIdentity> {
    const lookups = new Lookups((name, type, isFirst) => this.#dns.ask(name, type, asker, isFirst), isWanted)
    const answer = checkHost(question, lookups, this.#takeTurn)
    return answer instanceof Promise
      ? answer.then((got) => this.#found(question, asker, lookups, got))
      : this.#found(question, asker, lookups, answer)
  }

  readonly #takeTurn = (): Promise<void> => new Promise((resolve) => this.#turns.wait(resolve))

  /** The standing that follows from `answer`; it is cached. */
  #found(question: SpfQuestion, asker: SpfAsker, lookups: Lookups, answer: SpfAnswer): SpfIdentity {
    const { domain } = question
    const standing = standingOf(answer.result, this.#isSteady(question, answer.voucher))
    const carriers = standing === 'pass' ? carriersOf(domain, answer.includes) : NO_CARRIERS
    if (standing === 'pass') this.#dns.refund(asker)
    const found = { standing, carriers, domain, organisation: asker.organisation }
    if (standing !== 'unknown' && answer.isForAllSenders)
      this.#keep(question, answer, { found, expiresAt: lookups.expiresAt })
    return found
  }

  #keep(
    { client, domain }: SpfQuestion,
    { comparisons, isForAllClients, voucher }: SpfAnswer,
    known: Known,
  ): void {
    // Whether a host vouches for a client depends on the client's network, too.
    const isShared = isForAllClients && voucher?.kind !== 'host' && comparisons.length <= MAX_PATH
    const path = isShared ? comparisons : []
    const key = `${isShared ? client.kind : client.text} ${domain}`
    const before = this.#cache.get(key)
    const goesOn = before !== undefined && before.size + path.length < MAX_TREE
    const tree = goesOn ? before : new DecisionTree<Known>()
    tree.add(path, known)
    this.#cache.set(key, tree, { size: TREE_OVERHEAD + tree.size })
  }

  /** Whether there is a voucher from a domain that does not vouch for ever new clients. */
  #isSteady({ domain, client }: SpfQuestion, voucher: Voucher | undefined): boolean {
    if (!voucher) return false
    const isNamed = voucher.kind === 'named'
    const key = isNamed ? `${domain} ${client.kind}` : domain
    const state = isNamed ? String(voucher.digest) : customerNetwork(client)
    const states = this.#states.get(key) ?? new Set()
    if (states.has(state)) return true
    if (states.size >= MAX_STATES) return false
    this.#states.set(key, states.add(state))
    return true
  }
}

/** The organisations of included domains, but for the domain's own. */
function carriersOf(domain: string, includes: readonly string[]): readonly string[] {
  if (includes.length === 0) return NO_CARRIERS
  const own = organisationOf(domain)
  return [...new Set(includes.map(organisationOf))].filter((carrier) => carrier !== own)
}

function standingOf(result: SpfAnswer['result'], isVouched: boolean): SpfStanding {
  switch (result) {
    case 'pass':
      return isVouched ? 'pass' : 'open'
    case 'none':
      return 'none'
    case 'temperror':
    case 'unknown':
      return 'unknown'
    default:
      return 'fail'
  }
}
