// How a client stands to the sender's domain, by SPF: asked of the DNS within a bounded time, and cached for as long as
// all answers that it was made of. What a stranger can make us evaluate is shared: among client networks, and for DNS
// questions also among the domains that somebody has registered.

import { LRUCache } from 'lru-cache'
import { type Address, normalDomain } from '../../address.ts'
import type { Asker, Dns } from '../../dns.ts'
import type { IpAddress } from '../../ip.ts'
import { customerNetwork } from '../../ranges.ts'
import { OpenShares } from '../../shares.ts'
import { Turns } from '../../turns.ts'
import { isHostName } from '../host.ts'
import { organisationOf } from '../organisation.ts'
import { checkHost, type SpfAnswer, type SpfQuestion, type Voucher } from './evaluate.ts'
import { Lookups } from './lookups.ts'

/**
 * - `pass`: the domain's record names the client as one of its own;
 * - `open`: the record passes the client, as it passes nearly everyone, so that it vouches for nobody;
 * - `fail`: the domain has a record, and that does not pass the client, or has a mistake in it;
 * - `none`: the domain has no record;
 * - `unknown`: nothing could be asked, or DNS did not say;
 * - `unasked`: the operator's settings need no answer.
 */
export type SpfStanding = 'pass' | 'open' | 'fail' | 'none' | 'unknown' | 'unasked'

export interface SpfIdentity {
  readonly standing: SpfStanding
  /** The domain in question: that of the sender, for the null sender that of HELO; absent where there is none. */
  readonly domain?: string
}

/** Answers that are kept, by client and domain. */
const MAX_ANSWERS = 20_000

/** Evaluations at once. */
const EVALUATIONS = { all: 512, each: 32 }

const UNKNOWN: SpfIdentity = { standing: 'unknown' }

/**
 * In how many states a domain's record may be on one day and still vouch for its clients, or in how many networks the
 * clients may be that pass by the addresses of its hosts: one that passes for somebody else each time that it is asked
 * passes for anyone in the end. Addresses of load balancers come in some variety.
 */
const MAX_STATES = 16
const DAY = 86_400_000

interface Cached {
  readonly standing: SpfStanding
  readonly expiresAt: number
}

type SpfDns = Pick<Dns, 'ask' | 'withTimeout' | 'refund'>

export class SpfStandings {
  readonly #dns: SpfDns
  /** By domain and client; for domains without record, by domain alone. */
  readonly #cache = new LRUCache<string, Cached>({ max: MAX_ANSWERS })
  /** What was seen within a day of a domain's record: its states, by family, and the networks that its hosts were in. */
  readonly #states = new LRUCache<string, Set<string>>({ max: MAX_ANSWERS, ttl: DAY, noUpdateTTL: true })
  readonly #evaluations = new OpenShares(EVALUATIONS)
  readonly #turns = new Turns()

  constructor(dns: SpfDns) {
    this.#dns = dns
  }

  /**
   * Takes DNS_TIMEOUT at most, and never rejects. `isWanted` tells whether anybody still waits for it: nothing more is
   * asked when nobody does.
   */
  async of(
    client: IpAddress,
    sender: Address,
    helo: string | undefined,
    isWanted: () => boolean,
  ): Promise<SpfIdentity> {
    // RFC 7208 section 2.4. Anything may stand in HELO, also what would be another question's key.
    const heloDomain = normalDomain(helo ?? '')
    const domain = sender.text === '' ? heloDomain : sender.domain
    if (!isHostName(domain)) return UNKNOWN
    const cached = this.#cached(`${domain} ${client.text}`) ?? this.#cached(domain)
    if (cached) return { standing: cached, domain }
    const network = customerNetwork(client)
    if (!this.#evaluations.take([network])) return { standing: 'unknown', domain }
    const organisation = organisationOf(domain)
    const asker: Asker = { purpose: 'spf', network, organisation, extraQuestions: 0 }
    const local = sender.text === '' || sender.local === '' ? 'postmaster' : sender.local
    const evaluation = this.#evaluate({ client, domain, local, helo: heloDomain }, asker, isWanted).finally(
      () => this.#evaluations.giveBack([network]),
    )
    // Not by the organisation alone: names of the client's choice, as in HELO, can make its record slow for this client.
    const standing = await this.#dns.withTimeout(`spf ${network} ${organisation}`, evaluation)
    return { standing: standing ?? 'unknown', domain }
  }

  #cached(key: string): SpfStanding | undefined {
    const cached = this.#cache.get(key)
    return cached && cached.expiresAt > performance.now() ? cached.standing : undefined
  }

  async #evaluate(question: SpfQuestion, asker: Asker, isWanted: () => boolean): Promise<SpfStanding> {
    const lookups = new Lookups((name, type, isFirst) => this.#dns.ask(name, type, asker, isFirst), isWanted)
    const answer = await checkHost(
      question,
      lookups,
      () => new Promise((resolve) => this.#turns.wait(resolve)),
    )
    const { domain, client } = question
    const standing = standingOf(answer.result, this.#isSteady(question, answer.voucher))
    if (standing === 'pass') this.#dns.refund(asker)
    if (standing !== 'unknown' && answer.isForAllSenders) {
      const key = standing === 'none' ? domain : `${domain} ${client.text}`
      this.#cache.set(key, { standing, expiresAt: lookups.expiresAt })
    }
    return standing
  }

  /** Whether there is a voucher, and the domain does not vouch for others all the time. */
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
