// The SPF records that one evaluation needs: found in the DNS, parsed, and within a budget of text. What their terms will
// need is asked ahead, so that an evaluation waits as long as for its longest chain of includes, and not for one term after
// another.
// Source: RFC 7208 sections 4.4 and 4.5.

import { LRUCache } from 'lru-cache'
import type { Lookups } from './lookups.ts'
import { type DomainSpec, expandStatic } from './macro.ts'
import { isSpfRecord, parseRecord, type SpfRecord } from './record.ts'

/** Why an evaluation ends before a mechanism matches. `unknown`: a budget was used up, or nobody waits any more. */
export type End = 'temperror' | 'permerror' | 'unknown'

export type Found<T> =
  | { readonly kind: 'found'; readonly value: T }
  | { readonly kind: 'end'; readonly end: End }

/**
 * Characters of all records of an evaluation. RFC 7208 section 3.4 wants a record to fit into 512; flattened ones in use
 * have two thousand.
 */
const MAX_TEXT = 8192

/**
 * Questions that are asked ahead, before the evaluation comes to the terms that need them; and those for addresses among
 * them, as an answer with thousands of addresses costs more than any other, and one of these ends the evaluation.
 */
const MAX_PREFETCHED = 10
const MAX_PREFETCHED_HOSTS = 2

/** Characters of records whose terms are cached. In memory, terms take some ten times as much. */
const MAX_CACHED_TEXT = 2 * 1024 * 1024
/** A record of so many characters takes its turn before it is parsed: others wait for the event loop, too. */
const LONG_TEXT = 512

/** `invalid` for a record with a mistake in it. */
const parsed = new LRUCache<string, SpfRecord | 'invalid'>({ maxSize: MAX_CACHED_TEXT })

/** Resolves when it is the evaluation's turn to use the CPU. */
export type TakeTurn = () => Promise<void>

export class Records {
  readonly #lookups: Lookups
  readonly #addressType: 'A' | 'AAAA'
  readonly #senderDomain: string
  readonly #takeTurn: TakeTurn
  readonly #found = new Map<string, Promise<Found<SpfRecord> | undefined>>()
  #text = 0
  #prefetched = 0
  #prefetchedHosts = 0
  /** Domains whose terms were asked ahead for. */
  readonly #hasPrefetched = new Set<string>()

  constructor(lookups: Lookups, addressType: 'A' | 'AAAA', senderDomain: string, takeTurn: TakeTurn) {
    this.#lookups = lookups
    this.#addressType = addressType
    this.#senderDomain = senderDomain
    this.#takeTurn = takeTurn
  }

  /** `undefined` where the domain has no SPF record, or the DNS cannot have the domain. */
  of(domain: string): Promise<Found<SpfRecord> | undefined> {
    let record = this.#found.get(domain)
    if (!record) {
      record = isDomain(domain) ? this.#find(domain) : Promise.resolve(undefined)
      this.#found.set(domain, record)
    }
    return record
  }

  /** Asks for what the terms of a record, and of those that it includes, will need; names made of the client are left out. */
  prefetch({ mechanisms, redirect }: SpfRecord, domain: string): void {
    if (this.#hasPrefetched.has(domain)) return
    this.#hasPrefetched.add(domain)
    for (const mechanism of mechanisms) {
      if (mechanism.kind === 'all') return
      if (mechanism.kind === 'ip' || mechanism.kind === 'ptr' || mechanism.name?.isOfClient) continue
      void this.#prefetchFor(mechanism.kind, this.nameIn(mechanism.name, domain))
    }
    if (redirect && !redirect.isOfClient) void this.#prefetchFor('include', this.nameIn(redirect, domain))
  }

  prefetchHost(host: string, type: 'A' | 'AAAA'): void {
    if (this.#prefetched >= MAX_PREFETCHED || this.#prefetchedHosts >= MAX_PREFETCHED_HOSTS) return
    this.#prefetched += 1
    this.#prefetchedHosts += 1
    void this.#lookups.ask(host, type)
  }

  /** The name that a term of the domain's record means, where it is the same for all clients of one family. */
  nameIn(name: DomainSpec | undefined, domain: string): string {
    if (!name) return domain
    const isIpv4 = this.#addressType === 'A'
    return expandStatic(name, { domain, senderDomain: this.#senderDomain, isIpv4 })
  }

  async #prefetchFor(kind: 'a' | 'mx' | 'exists' | 'include', target: string): Promise<void> {
    if (kind === 'a') return this.prefetchHost(target, this.#addressType)
    if (kind === 'exists') return this.prefetchHost(target, 'A')
    if (this.#prefetched >= MAX_PREFETCHED) return
    this.#prefetched += 1
    if (kind === 'mx') {
      void this.#lookups.ask(target, 'MX')
      return
    }
    const found = await this.of(target)
    if (found?.kind === 'found') this.prefetch(found.value, target)
  }

  async #find(domain: string): Promise<Found<SpfRecord> | undefined> {
    const lookup = await this.#lookups.ask(domain, 'TXT')
    if (lookup.kind === 'void') return undefined
    if (lookup.kind !== 'found')
      return { kind: 'end', end: lookup.kind === 'error' ? 'temperror' : 'unknown' }
    const [text, second] = lookup.values.map(joined).filter(isSpfRecord)
    if (text === undefined) return undefined
    if (second !== undefined) return { kind: 'end', end: 'permerror' }
    this.#text += text.length
    if (this.#text > MAX_TEXT) return { kind: 'end', end: 'unknown' }
    let record = parsed.get(text)
    if (!record) {
      if (text.length > LONG_TEXT) await this.#takeTurn()
      record = parseRecord(text) ?? 'invalid'
      parsed.set(text, record, { size: text.length })
    }
    return record === 'invalid' ? { kind: 'end', end: 'permerror' } : { kind: 'found', value: record }
  }
}

/** Whether the DNS can have it as the domain of a sender (section 4.3): labels that it can hold, two at least. */
export function isDomain(name: string): boolean {
  const labels = name.split('.')
  return (
    name.length <= 253 && labels.length > 1 && labels.every((label) => label !== '' && label.length <= 63)
  )
}

/** A TXT record's strings are its text in pieces (section 3.3). */
function joined(strings: unknown): string {
  return Array.isArray(strings) ? strings.join('') : ''
}
