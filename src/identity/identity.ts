// What stands for the client in the key, so that a retry from a sister host is known again: the sender's domain where
// its SPF record passes for the client, else the domain of the client's confirmed host name, else its network. SPF
// widens the client here; it exempts nobody.

import { LRUCache } from 'lru-cache'
import { type Address, normalDomain } from '../address.ts'
import type { Client } from '../attempt.ts'
import type { Dns } from '../dns.ts'
import { formatNetwork, type IpAddress, networkOf } from '../ip.ts'
import { isHostName, readHostName } from './host.ts'
import { checkSpf, passesForAnyone, type SpfQuestion } from './spf.ts'

export interface IdentitySettings {
  readonly spfDomain: boolean
  readonly hostDomain: boolean
  /** Whether SPF is asked at all: also where it does not widen the client, exemptions may need it. */
  readonly asksSpf: boolean
  /** Leading bits that a client and its neighbours share. */
  readonly ipv4Prefix: number
  readonly ipv6Prefix: number
}

export interface Identity {
  /** `spf:example.org`, `host:example.org` or the network. */
  readonly id: string
  /** `network:198.51.100.0/24` */
  readonly network: string
  /** The domain whose SPF record passes for the client, and not for just anyone. */
  readonly spfDomain?: string | undefined
  /** Whether it has a confirmed host name that does not look like that of a dynamic address. */
  readonly isNamed: boolean
}

/** `undefined` for a client without address. Takes PATIENCE at most, and never rejects. */
export type Identify = (client: Client, sender: Address) => Promise<Identity | undefined>

/** How many answers are remembered, in clients and domains. */
const MOST_ANSWERS = 20_000

/** Macros for the sender, its local part, and the HELO name (RFC 7208 section 7.2). */
const SENDER_MACRO = /%\{[slh]/i

export function createIdentify(settings: IdentitySettings, dns: Dns): Identify {
  const spf = new SpfMemory(dns)
  return async (client, sender) => {
    const { address, name } = client
    if (!address) return undefined
    const prefix = address.kind === 'ipv4' ? settings.ipv4Prefix : settings.ipv6Prefix
    const network = `network:${formatNetwork(networkOf(address, prefix))}`
    const spfDomain = settings.asksSpf ? await spf.passingDomain(address, sender, client.helo) : undefined
    const host = name === undefined ? undefined : readHostName(name, address)
    const isNamed = host !== undefined && !host.isDynamic
    const hostDomain = settings.hostDomain && isNamed ? host.domain : undefined
    const wide =
      settings.spfDomain && spfDomain !== undefined ? `spf:${spfDomain}` : hostDomain && `host:${hostDomain}`
    return { id: wide ?? network, network, spfDomain, isNamed }
  }
}

interface Remembered<T> {
  readonly answer: T
  readonly endsAt: number
}

/** SPF answers, each for as long as all that it was made of may be used. */
class SpfMemory {
  readonly #dns: Dns
  /** Whether a domain passes for a client, by both; and domains without record, by domain alone. */
  readonly #passes = new LRUCache<string, Remembered<boolean>>({ max: MOST_ANSWERS })
  readonly #forAnyone = new LRUCache<string, Remembered<boolean>>({ max: MOST_ANSWERS })

  constructor(dns: Dns) {
    this.#dns = dns
  }

  /** RFC 7208 section 2.4: the domain of MAIL FROM, for the null sender that of HELO. */
  async passingDomain(
    client: IpAddress,
    sender: Address,
    helo: string | undefined,
  ): Promise<string | undefined> {
    const heloDomain = normalDomain(helo ?? '')
    const domain = sender.text === '' ? heloDomain : sender.domain
    // Anything may stand in HELO, also what would be another question's key.
    if (!isHostName(domain)) return undefined
    const known = this.#known(`${domain} ${client.text}`) ?? this.#known(domain)
    const passes =
      known ??
      (await this.#dns.within(
        `spf ${domain}`,
        this.#ask(domain, {
          client,
          sender: sender.text === '' ? `postmaster@${domain}` : sender.normal,
          helo: heloDomain,
        }),
      ))
    return passes ? domain : undefined
  }

  #known(key: string): boolean | undefined {
    const found = this.#passes.get(key)
    return found && found.endsAt > performance.now() ? found.answer : undefined
  }

  async #ask(domain: string, question: SpfQuestion): Promise<boolean> {
    const lookups = this.#lookups()
    const answer = await checkSpf(question, lookups.resolve)
    const passes = answer === 'pass' && !(await this.#isForAnyone(domain, question, lookups))
    const key = answer === 'none' ? domain : `${domain} ${question.client.text}`
    const isForAllSenders = lookups.haveAsked() && !lookups.nameSender()
    if (answer !== 'error' && isForAllSenders)
      this.#passes.set(key, { answer: passes, endsAt: lookups.endsAt() })
    return passes
  }

  async #isForAnyone(domain: string, question: SpfQuestion, lookups: Lookups): Promise<boolean> {
    const key = `${domain} ${question.client.kind}`
    const known = this.#forAnyone.get(key)
    if (known && known.endsAt > performance.now()) return known.answer
    const answer = await passesForAnyone(question, lookups.resolve)
    this.#forAnyone.set(key, { answer, endsAt: lookups.endsAt() })
    return answer
  }

  #lookups(): Lookups {
    let endsAt = Number.POSITIVE_INFINITY
    let nameSender = false
    return {
      endsAt: () => endsAt,
      haveAsked: () => endsAt < Number.POSITIVE_INFINITY,
      nameSender: () => nameSender,
      resolve: async (name, type) => {
        const answer = await this.#dns.ask(name, type)
        endsAt = Math.min(endsAt, answer.endsAt)
        if (answer.error) throw answer.error
        if (type === 'TXT') nameSender ||= SENDER_MACRO.test(String(answer.value))
        return answer.value
      },
    }
  }
}

/** DNS for one question, and what is known by then of its answers. */
interface Lookups {
  /** Until when all of them may be used. */
  readonly endsAt: () => number
  /** Not where the sender alone was enough for an answer: that says nothing of its domain. */
  readonly haveAsked: () => boolean
  /** Whether a record asks for the sender's local part, or the HELO name. */
  readonly nameSender: () => boolean
  readonly resolve: (name: string, type: string) => Promise<unknown>
}
