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
import { checkHost, type SpfAnswer } from './evaluate.ts'
import { Lookups } from './lookups.ts'

/**
 * - `pass`: the domain's record names the client as one of its own;
 * - `open`: the record passes the client, as it passes nearly everyone, so that it vouches for nobody;
 * - `fail`: the domain has a record, and that does not pass the client, or has a mistake in it;
 * - `none`: the domain has no record;
 * - `unknown`: nothing was asked, or DNS did not say.
 */
export type SpfStanding = 'pass' | 'open' | 'fail' | 'none' | 'unknown'

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
 * What a domain's record may come to on one day and still vouch for its clients: one that passes for somebody else each
 * time that it is asked passes for anyone in the end. Addresses of load balancers come in some variety.
 */
const MAX_COVERAGES = 16
const DAY = 86_400_000

interface Cached {
  readonly standing: SpfStanding
  readonly expiresAt: number
}

export class SpfStandings {
  readonly #dns: Pick<Dns, 'ask' | 'within'>
  /** By domain and client; for domains without record, by domain alone. */
  readonly #cache = new LRUCache<string, Cached>({ max: MAX_ANSWERS })
  /** Digests of what records came to within a day, by domain and family. */
  readonly #coverages = new LRUCache<string, Set<number>>({ max: MAX_ANSWERS, ttl: DAY, noUpdateTTL: true })
  readonly #evaluations = new OpenShares(EVALUATIONS)
  readonly #turns = new Turns()

  constructor(dns: Pick<Dns, 'ask' | 'within'>) {
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
    const asker: Asker = { purpose: 'spf', shares: [network, organisation] }
    const local = sender.text === '' || sender.local === '' ? 'postmaster' : sender.local
    const evaluation = this.#evaluate({ client, domain, local, helo: heloDomain }, asker, isWanted).finally(
      () => this.#evaluations.giveBack([network]),
    )
    const standing = await this.#dns.within(`spf ${organisation}`, evaluation)
    return { standing: standing ?? 'unknown', domain }
  }

  #cached(key: string): SpfStanding | undefined {
    const cached = this.#cache.get(key)
    return cached && cached.expiresAt > performance.now() ? cached.standing : undefined
  }

  async #evaluate(
    question: Parameters<typeof checkHost>[0],
    asker: Asker,
    isWanted: () => boolean,
  ): Promise<SpfStanding> {
    const lookups = new Lookups((name, type, isFirst) => this.#dns.ask(name, type, asker, isFirst), isWanted)
    const answer = await checkHost(
      question,
      lookups,
      () => new Promise((resolve) => this.#turns.wait(resolve)),
    )
    const { domain, client } = question
    const isVouched = answer.vouched && this.#isSteady(`${domain} ${client.kind}`, answer.vouched.digest)
    const standing = standingOf(answer.result, isVouched ?? false)
    if (standing !== 'unknown' && answer.isForAllSenders) {
      const key = standing === 'none' ? domain : `${domain} ${client.text}`
      this.#cache.set(key, { standing, expiresAt: lookups.expiresAt })
    }
    return standing
  }

  #isSteady(key: string, digest: number): boolean {
    const coverages = this.#coverages.get(key) ?? new Set()
    if (coverages.has(digest)) return true
    if (coverages.size >= MAX_COVERAGES) return false
    this.#coverages.set(key, coverages.add(digest))
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
