// Detects that all SMTP clients come with one address, as behind a container's gateway or a proxy. Greylisting then
// takes them for one client, and lets every stranger pass once a few clients have retried. Nothing else tells the
// operator.
//
// A private address that hands in mail of many sender domains is a gateway or a relay, since no client from outside has
// such an address. A public address may belong to a busy sender, or to a spammer who makes up sender domains: it is
// reported only when it has nearly all attempts for at least a day. Memory is bounded, whatever strangers send. Showing
// the warnings is left to the log, `greymx check` and the admin server.

import type { Outcome } from '../outcome.ts'
import { isLoopback, isPrivate } from '../ranges.ts'

/** Number of sender domains within a day by which a private address is that of a gateway, a proxy or a relay. */
const PRIVATE_DOMAINS = 10

/**
 * A public address is reported when, over at least a day, it has mail of this many sender domains and there are this
 * many attempts, of which other addresses have at most this share.
 */
const PUBLIC_DOMAINS = 50
const MIN_ATTEMPTS = 200
const MAX_SHARE_OF_OTHERS = 0.05

/** Largest number of private addresses that are watched at once; the least recently used one is dropped. */
const MAX_PRIVATE = 64
/** Largest number of addresses that are reported. */
const MAX_FOUND = 5

const DAY = 86_400_000

const REMEDY =
  'expected an MTA that sees its clients: behind a proxy, the PROXY protocol (smtpd_upstream_proxy_protocol = haproxy); in ' +
  'docker, network_mode: host, or userland-proxy: false; a relay of your own belongs in trusted_relays'

/** An address that seems to be that of all clients. */
export interface FoundAddress {
  readonly client: string
  /** Text for the operator: what is wrong, what happens to mail, and what to do. */
  readonly warning: string
}

interface PrivateClient {
  readonly domains: Set<string>
  readonly since: number
}

/** The address that may have nearly all attempts: all attempts since it was chosen, and those of other addresses. */
interface Candidate {
  readonly client: string
  readonly since: number
  readonly domains: Set<string>
  attempts: number
  others: number
}

/** Takes all outcomes and reports addresses that seem to be those of all clients. */
export class OneAddressWatch {
  readonly #now: () => number
  readonly #onFound: (found: FoundAddress) => void
  /** Private addresses in the order of their last use. */
  readonly #private = new Map<string, PrivateClient>()
  readonly #found = new Map<string, { readonly warning: string; seenAt: number }>()
  #candidate: Candidate | undefined

  /**
   * `now` is a monotonic clock in milliseconds. `onFound` is called once for an address, and for MAX_FOUND addresses.
   */
  constructor(now: () => number, onFound: (found: FoundAddress) => void) {
    this.#now = now
    this.#onFound = onFound
  }

  /** Warnings on the addresses found that have handed in mail within the last day. */
  get warnings(): string[] {
    const since = this.#now() - DAY
    return [...this.#found.values()].filter(({ seenAt }) => seenAt > since).map(({ warning }) => warning)
  }

  take({ attempt, reason, rule }: Outcome): void {
    const { address } = attempt.client
    if (!address) return
    // Loopback is exempt by default, so that with a proxy on the MTA's own machine every client passes at once.
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
    if (entry.domains.size >= PRIVATE_DOMAINS) {
      const what = `mail of ${PRIVATE_DOMAINS} sender domains came from ${client}, which is a private address`
      this.#find(client, `${what}: ${asOneClient(client)}`, now)
      return
    }
    this.#private.set(client, entry)
    const [oldest] = this.#private.keys()
    if (this.#private.size > MAX_PRIVATE && oldest !== undefined) this.#private.delete(oldest)
  }

  /** Counts an attempt of any client; `exemptBy` is the rule by which it is exempt, if it is. */
  #takeAny(client: string, domain: string, now: number, exemptBy: string | undefined): void {
    const candidate = this.#candidateFor(client, now)
    candidate.attempts += 1
    if (client === candidate.client) {
      if (domain !== '' && candidate.domains.size < PUBLIC_DOMAINS) candidate.domains.add(domain)
    } else candidate.others += 1
    const isLongEnough = candidate.attempts >= MIN_ATTEMPTS && now - candidate.since >= DAY
    if (client !== candidate.client || !isLongEnough || candidate.domains.size < PUBLIC_DOMAINS) return
    this.#candidate = undefined
    const { attempts, others } = candidate
    const what = `of the last ${attempts} attempts, ${attempts - others} came from ${client}, with mail of ${PUBLIC_DOMAINS} sender domains or more`
    const becomes = exemptBy === undefined ? asOneClient(client) : asExempt(client, exemptBy)
    this.#find(client, `${what}: ${becomes}`, now)
  }

  /** Returns the candidate; `client` replaces it once other addresses have more than MAX_SHARE_OF_OTHERS. */
  #candidateFor(client: string, now: number): Candidate {
    const candidate = this.#candidate
    if (candidate) {
      const others = candidate.others + (client === candidate.client ? 0 : 1)
      if (others <= MAX_SHARE_OF_OTHERS * Math.max(candidate.attempts + 1, MIN_ATTEMPTS)) return candidate
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
    `a gateway or proxy seems to hand in the mail of all clients, which all appear as ${client}: neither SPF nor host ` +
    `names tell them apart, a retry by one counts for all, and so does what one has earned; ${REMEDY}`
  )
}

function asExempt(client: string, rule: string): string {
  return (
    `a proxy seems to hand in the mail of all clients as ${client}, which ${rule} in exempt.clients exempts, so that nothing ` +
    `is greylisted; ${REMEDY}`
  )
}

/** Tells whether an outcome counts: exempt clients do not, since the operator knows them and they gain no pass. */
function isJudged(reason: Outcome['reason']): boolean {
  return !reason.startsWith('exempt-') && reason !== 'authenticated' && reason !== 'not-greylisted'
}
