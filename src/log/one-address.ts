// Finds out when all SMTP clients come with one address, as behind a container's gateway or a proxy: greylisting takes
// them for one client then, and lets everybody pass once a few have come back. Nothing else tells the operator.
//
// A private address that hands in mail of many sender domains is no client: nobody from outside has such an address. A
// public one may be a busy sender's, or that of a spammer who makes up sender domains: it has to have nearly all
// attempts, of a whole day at least. Memory is bounded, whoever sends what.

import type { Outcome } from '../outcome.ts'
import { isLoopback, isPrivate } from '../ranges.ts'

/** A private address with mail of so many sender domains within a day is that of a gateway, a proxy or a relay. */
const DOMAINS_OF_PRIVATE = 10

/** Of a public address, and of attempts, over a day at least. */
const DOMAINS_OF_PUBLIC = 50
const LEAST_ATTEMPTS = 200
const MAX_SHARE_OF_OTHERS = 0.05

/** Private addresses that are watched at once, those that were used last; and how many are told of. */
const MAX_PRIVATE = 64
const MAX_FOUND = 5

const DAY = 86_400_000

const MEND =
  'expected an MTA that sees its clients: behind a proxy, the PROXY protocol (smtpd_upstream_proxy_protocol = haproxy); in ' +
  'docker, network_mode: host, or userland-proxy: false; a relay of your own belongs in trusted_relays'

/** An address that seems to stand for all clients. */
export interface FoundAddress {
  readonly client: string
  /** For the operator: what is wrong, what becomes of mail, and what to do. */
  readonly warning: string
}

interface PrivateClient {
  readonly domains: Set<string>
  readonly since: number
}

/** The address that seems to have nearly all attempts, and what speaks against it. */
interface Candidate {
  readonly client: string
  readonly since: number
  readonly domains: Set<string>
  attempts: number
  others: number
}

export class OneAddressWatch {
  readonly #now: () => number
  readonly #onFound: (found: FoundAddress) => void
  /** The one that was used last is the last. */
  readonly #private = new Map<string, PrivateClient>()
  readonly #found = new Map<string, { readonly warning: string; seenAt: number }>()
  #candidate: Candidate | undefined

  /** `now` gives milliseconds that never go back. `onFound` is called once for an address, and for the first few only. */
  constructor(now: () => number, onFound: (found: FoundAddress) => void) {
    this.#now = now
    this.#onFound = onFound
  }

  /** What is to be told of now: addresses that have handed in mail within a day. */
  get warnings(): string[] {
    const since = this.#now() - DAY
    return [...this.#found.values()].filter(({ seenAt }) => seenAt > since).map(({ warning }) => warning)
  }

  take({ attempt, reason, rule }: Outcome): void {
    const { address } = attempt.client
    if (!address) return
    // Loopback is exempt by default, so that a proxy on the MTA's own machine has everybody pass at once.
    const isExemptLoopback = reason === 'exempt-client' && isLoopback(address)
    if (!isJudged(reason) && !isExemptLoopback) return
    const now = this.#now()
    const found = this.#found.get(address.text)
    if (found) {
      found.seenAt = now
      return
    }
    const { domain } = attempt.sender
    if (!isExemptLoopback && isPrivate(address)) this.#takePrivate(address.text, domain, now)
    this.#takeAny(address.text, domain, now, isExemptLoopback ? (rule ?? 'loopback') : undefined)
  }

  #takePrivate(client: string, domain: string, now: number): void {
    const known = this.#private.get(client)
    const entry = known && now - known.since < DAY ? known : { domains: new Set<string>(), since: now }
    this.#private.delete(client)
    if (domain !== '') entry.domains.add(domain)
    if (entry.domains.size >= DOMAINS_OF_PRIVATE) {
      const what = `mail of ${DOMAINS_OF_PRIVATE} sender domains came from ${client}, which is a private address`
      this.#find(client, `${what}: ${asOneClient(client)}`, now)
      return
    }
    this.#private.set(client, entry)
    const [oldest] = this.#private.keys()
    if (this.#private.size > MAX_PRIVATE && oldest !== undefined) this.#private.delete(oldest)
  }

  /** `exemptBy` is the rule by which it passes ungreylisted. */
  #takeAny(client: string, domain: string, now: number, exemptBy: string | undefined): void {
    const candidate = this.#candidateFor(client, now)
    candidate.attempts += 1
    if (client === candidate.client) {
      if (domain !== '' && candidate.domains.size < DOMAINS_OF_PUBLIC) candidate.domains.add(domain)
    } else candidate.others += 1
    const isLongEnough = candidate.attempts >= LEAST_ATTEMPTS && now - candidate.since >= DAY
    if (client !== candidate.client || !isLongEnough || candidate.domains.size < DOMAINS_OF_PUBLIC) return
    this.#candidate = undefined
    const { attempts, others } = candidate
    const what = `of the last ${attempts} attempts, ${attempts - others} came from ${client}, with mail of ${DOMAINS_OF_PUBLIC} sender domains or more`
    const becomes = exemptBy === undefined ? asOneClient(client) : asExempt(client, exemptBy)
    this.#find(client, `${what}: ${becomes}`, now)
  }

  /** Another one takes its place once the others have had more than their share. */
  #candidateFor(client: string, now: number): Candidate {
    const candidate = this.#candidate
    if (candidate) {
      const others = candidate.others + (client === candidate.client ? 0 : 1)
      if (others <= MAX_SHARE_OF_OTHERS * Math.max(candidate.attempts + 1, LEAST_ATTEMPTS)) return candidate
    }
    this.#candidate = { client, since: now, domains: new Set(), attempts: 0, others: 0 }
    return this.#candidate
  }

  #find(client: string, warning: string, now: number): void {
    if (this.#found.size >= MAX_FOUND) return
    this.#found.set(client, { warning, seenAt: now })
    this.#onFound({ client, warning })
  }
}

function asOneClient(client: string): string {
  return (
    `a gateway or proxy seems to hand in the mail of all clients, which are one client as ${client}: neither SPF nor a host ` +
    `name tells them apart, a retry by one is the retry of any, and what one earns, all have; ${MEND}`
  )
}

function asExempt(client: string, rule: string): string {
  return (
    `a proxy seems to hand in the mail of all clients, and nothing is greylisted, as exempt.clients has ${rule} for ` +
    `${client}; ${MEND}`
  )
}

/** Exempt clients are no evidence: the operator knows them, and they earn nothing. */
function isJudged(reason: Outcome['reason']): boolean {
  return !reason.startsWith('exempt-') && reason !== 'authenticated' && reason !== 'not-greylisted'
}
