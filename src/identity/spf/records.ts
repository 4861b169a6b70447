// Finds the SPF records of one evaluation in DNS and parses them, within a budget of text. It prefetches what their
// terms will need, so that an evaluation waits for its longest chain of includes instead of for one term after another.
// evaluate.ts gives the terms their meaning.
// Source: RFC 7208 sections 4.4 and 4.5.

import { LRUCache } from 'lru-cache'
import type { AddressType } from './hosts.ts'
import type { Lookups } from './lookups.ts'
import { type DomainSpec, expandStatic } from './macro.ts'
import { isSpfRecord, parseRecord, type SpfRecord } from './record.ts'
import { run, type Steps, settled } from './steps.ts'

/**
 * The result of an evaluation that ends before a mechanism matches; `unknown` if a budget was used up or the caller
 * stopped waiting.
 */
export type EndResult = 'temperror' | 'permerror' | 'unknown'

export type Found<T> =
  | { readonly kind: 'found'; readonly value: T }
  | { readonly kind: 'end'; readonly end: EndResult }

/**
 * Limit of all records of an evaluation, in characters. RFC 7208 section 3.4 wants a record to fit into 512; flattened
 * ones in use have two thousand.
 */
const MAX_TEXT = 8192

/**
 * Limits of the questions that are prefetched, before the evaluation gets to the terms that need them. Those for
 * addresses have a limit of their own: an answer with thousands of addresses costs more than any other, and ends the
 * evaluation.
 */
const MAX_PREFETCHED = 10
const MAX_PREFETCHED_HOSTS = 2

/** Limit of the records whose terms are cached, in characters. In memory, terms take some ten times as much. */
const MAX_CACHED_TEXT = 2 * 1024 * 1024
/** A record longer than this, in characters, waits for a turn before it is parsed, as parsing blocks the event loop. */
const LONG_TEXT = 512

/** Cache of parsed records by their text; `invalid` stands for a record with a mistake. */
const parsed = new LRUCache<string, SpfRecord | 'invalid'>({ maxSize: MAX_CACHED_TEXT })

/** Resolves when the evaluation may use the CPU. */
export type TakeTurn = () => Promise<void>

/** The record of a domain, or why there is no result; `undefined` if it has no SPF record or DNS cannot have it. */
export type MaybeRecord = Found<SpfRecord> | undefined

export class Records {
  readonly #lookups: Lookups
  readonly #addressType: AddressType
  readonly #senderDomain: string
  readonly #takeTurn: TakeTurn
  readonly #found = new Map<string, MaybeRecord | Promise<MaybeRecord>>()
  #text = 0
  #prefetched = 0
  #prefetchedHosts = 0
  /** Domains whose records have been prefetched for. */
  readonly #hasPrefetched = new Set<string>()

  constructor(lookups: Lookups, addressType: AddressType, senderDomain: string, takeTurn: TakeTurn) {
    this.#lookups = lookups
    this.#addressType = addressType
    this.#senderDomain = senderDomain
    this.#takeTurn = takeTurn
  }

  /** The record of a domain, at once if all that it takes is known. */
  of(domain: string): MaybeRecord | Promise<MaybeRecord> {
    if (this.#found.has(domain)) return this.#found.get(domain)
    const record = isCheckableDomain(domain) ? run(this.#find(domain)) : undefined
    this.#found.set(domain, record)
    return record
  }

  /** Asks what the terms of a record and of its includes will need, save for names that depend on the client. */
  prefetch({ mechanisms, redirect }: SpfRecord, domain: string): void {
    if (this.#hasPrefetched.has(domain)) return
    this.#hasPrefetched.add(domain)
    for (const mechanism of mechanisms) {
      if (mechanism.kind === 'all') return
      if (mechanism.kind === 'ip' || mechanism.kind === 'ptr' || mechanism.name?.isOfClient) continue
      void run(this.#prefetchFor(mechanism.kind, this.nameIn(mechanism.name, domain)))
    }
    if (redirect && !redirect.isOfClient)
      void run(this.#prefetchFor('include', this.nameIn(redirect, domain)))
  }

  /** Asks for the addresses of a host, within the limits. */
  prefetchHost(host: string, type: AddressType): void {
    if (this.#prefetched >= MAX_PREFETCHED || this.#prefetchedHosts >= MAX_PREFETCHED_HOSTS) return
    this.#prefetched += 1
    this.#prefetchedHosts += 1
    void this.#lookups.ask(host, type)
  }

  /** The name in a term of the domain's record, which has to be the same for all clients of one family. */
  nameIn(name: DomainSpec | undefined, domain: string): string {
    if (!name) return domain
    const isIpv4 = this.#addressType === 'A'
    return expandStatic(name, { domain, senderDomain: this.#senderDomain, isIpv4 })
  }

  *#prefetchFor(kind: 'a' | 'mx' | 'exists' | 'include', target: string): Steps<void> {
    if (kind === 'a') return this.prefetchHost(target, this.#addressType)
    if (kind === 'exists') return this.prefetchHost(target, 'A')
    if (this.#prefetched >= MAX_PREFETCHED) return
    this.#prefetched += 1
    if (kind === 'mx') {
      void this.#lookups.ask(target, 'MX')
      return
    }
    const found = yield* settled(this.of(target))
    if (found?.kind === 'found') this.prefetch(found.value, target)
  }

  *#find(domain: string): Steps<MaybeRecord> {
    const lookup = yield* settled(this.#lookups.ask(domain, 'TXT'))
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
      if (text.length > LONG_TEXT) yield this.#takeTurn()
      record = parseRecord(text) ?? 'invalid'
      parsed.set(text, record, { size: text.length })
    }
    return record === 'invalid' ? { kind: 'end', end: 'permerror' } : { kind: 'found', value: record }
  }
}

/** Whether DNS can have `name` as the domain of a sender (section 4.3): two labels or more, none too long or empty. */
export function isCheckableDomain(name: string): boolean {
  const labels = name.split('.')
  return (
    name.length <= 253 && labels.length > 1 && labels.every((label) => label !== '' && label.length <= 63)
  )
}

/** The text of a TXT record, whose strings are its pieces (section 3.3). */
function joined(strings: unknown): string {
  return Array.isArray(strings) ? strings.join('') : ''
}
