// check_host(): whether a domain's SPF record passes a client, and whether that says anything of the client. No record,
// however hostile, costs more than a bounded amount of work: text, addresses and questions each have a budget for the
// whole evaluation. What is beyond a budget is not known, and nothing follows from it.
// Source: RFC 7208 section 4; section 5 for the mechanisms, section 4.6.4 for the limits.

import { LRUCache } from 'lru-cache'
import { type IpAddress, parseBytes } from '../../ip.ts'
import { type Coverage, coverageOf } from './coverage.ts'
import type { Lookup, Lookups } from './lookups.ts'
import { type DomainSpec, expand, type MacroValues, reverseName } from './macro.ts'
import { type AddressBlock, isSpfRecord, type Mechanism, parseRecord, type SpfRecord } from './record.ts'

export interface SpfQuestion {
  readonly client: IpAddress
  /** The domain of the sender, for the null sender that of HELO (section 2.4); in lower case, without a final dot. */
  readonly domain: string
  /** The local part of the sender; `postmaster` where it has none (section 4.3). */
  readonly local: string
  /** What the client called itself in HELO. */
  readonly helo: string
}

export type SpfResult = 'none' | 'neutral' | 'pass' | 'fail' | 'softfail' | 'temperror' | 'permerror'

export interface SpfAnswer {
  /** `unknown` where a budget was used up, or nobody waited any more. */
  readonly result: SpfResult | 'unknown'
  /**
   * What the record passes for by address. Present where the client passed by its own address, and the record passes for
   * no more than the largest senders have: then the client is one of the domain's own.
   */
  readonly vouched?: Coverage
  /** Whether another sender of the domain, or another HELO name, gets the same answer. */
  readonly isForAllSenders: boolean
}

/** Terms that ask the DNS, and questions of theirs that find nothing (section 4.6.4). */
const MAX_ASKING_TERMS = 10
const MAX_VOID_LOOKUPS = 2
/** Hosts of an `mx`, and names of a client (section 4.6.4). */
const MAX_HOSTS = 10
/**
 * Characters of all records of an evaluation. Section 3.4 wants a record to fit into 512; flattened ones in use have two
 * thousand.
 */
const MAX_TEXT = 8192
/** Addresses of all hosts that are compared with the client. Section 5.3 sets no limit; large farms have a hundred. */
const MAX_ADDRESSES = 1000
/** Characters of a local part and of a HELO name; some mailers exceed the 64 and 255 of RFC 5321 section 4.5.3.1. */
const MAX_MACRO_VALUE = 512
/**
 * Questions that are asked ahead, before the evaluation comes to the terms that need them; and those for addresses among
 * them, as an answer with thousands of addresses costs more than any other, and one of these ends the evaluation.
 */
const MAX_PREFETCHED = 10
const MAX_PREFETCHED_HOSTS = 2

/** Characters of records whose terms are kept. In memory, terms take some ten times as much. */
const MAX_CACHED_TEXT = 2 * 1024 * 1024
/** A record of so many characters takes its turn before it is parsed: others wait for the event loop, too. */
const LONG_TEXT = 512

/** `invalid` for a record with a mistake in it. */
const parsed = new LRUCache<string, SpfRecord | 'invalid'>({ maxSize: MAX_CACHED_TEXT })

/** Why an evaluation ends before a mechanism matches. */
type End = 'temperror' | 'permerror' | 'unknown'

type Found<T> = { readonly kind: 'found'; readonly value: T } | { readonly kind: 'end'; readonly end: End }

type Match =
  | { readonly kind: 'no match' }
  /** `isByAddress`: because of the client's address alone, and not of a name that a client can choose or cause. */
  | { readonly kind: 'match'; readonly isByAddress: boolean }
  | { readonly kind: 'end'; readonly end: End }

interface Verdict {
  readonly result: SpfAnswer['result']
  readonly isByAddress: boolean
}

const NO_MATCH: Match = { kind: 'no match' }

/** Resolves when it is the evaluation's turn to use the CPU. */
export type TakeTurn = () => Promise<void>

/** Never rejects. Asks nothing once `lookups` refuses. */
export async function checkHost(
  question: SpfQuestion,
  lookups: Lookups,
  takeTurn: TakeTurn,
): Promise<SpfAnswer> {
  if (!isDomain(question.domain)) return { result: 'none', isForAllSenders: true }
  const evaluation = new Evaluation(question, lookups, takeTurn)
  const { result, isByAddress } = await evaluation.check(question.domain)
  const coverage = result === 'pass' && isByAddress ? await evaluation.coverage() : undefined
  const isForAllSenders = !evaluation.asksForSender
  return coverage && !coverage.isTooMuch
    ? { result, vouched: coverage, isForAllSenders }
    : { result, isForAllSenders }
}

class Evaluation {
  readonly #question: SpfQuestion
  readonly #lookups: Lookups
  readonly #takeTurn: TakeTurn
  readonly #records = new Map<string, Promise<Found<SpfRecord> | undefined>>()
  #askingTerms = 0
  #voidLookups = 0
  #text = 0
  #addresses = 0
  #prefetched = 0
  #prefetchedHosts = 0
  /** Domains for whose records that was done. */
  readonly #hasPrefetched = new Set<string>()
  #clientName: Promise<string> | undefined
  #asksForSender = false

  constructor(question: SpfQuestion, lookups: Lookups, takeTurn: TakeTurn) {
    this.#question = question
    this.#lookups = lookups
    this.#takeTurn = takeTurn
  }

  /** Whether a name was asked for in which the sender or the HELO name stands. */
  get asksForSender(): boolean {
    return this.#asksForSender
  }

  async check(domain: string): Promise<Verdict> {
    const found = await this.#record(domain)
    if (!found) return { result: 'none', isByAddress: false }
    if (found.kind === 'end') return { result: found.end, isByAddress: false }
    const { mechanisms, redirect } = found.value
    for (const mechanism of mechanisms) {
      const match = await this.#match(mechanism, domain, found.value)
      if (match.kind === 'end') return { result: match.end, isByAddress: false }
      if (match.kind === 'match') return { result: mechanism.qualifier, isByAddress: match.isByAddress }
    }
    if (!redirect) return { result: 'neutral', isByAddress: false }
    if (!this.#countTerm()) return { result: 'permerror', isByAddress: false }
    this.#prefetch(found.value, domain)
    const target = await this.#expand(redirect, domain)
    const verdict = isDomain(target)
      ? await this.check(target)
      : ({ result: 'none', isByAddress: false } as const)
    // Section 6.1: a target without record is a mistake of this record.
    if (verdict.result === 'none') return { result: 'permerror', isByAddress: false }
    return { ...verdict, isByAddress: verdict.isByAddress && !redirect.isOfClient }
  }

  /**
   * The addresses of the client's family for which the sender's domain passes; `undefined` where that is not known. Goes
   * through the same terms as an evaluation for a client that nothing matches, up to the first that would end it; those
   * behind pass nobody.
   */
  async coverage(): Promise<Coverage | undefined> {
    const { client, domain } = this.#question
    const blocks: AddressBlock[] = []
    this.#askingTerms = 0
    this.#voidLookups = 0
    this.#addresses = 0
    const end = await this.#cover(domain, blocks)
    return end === 'unknown' ? undefined : coverageOf(blocks, client.kind)
  }

  /** Adds to `blocks` what passes in the record of a domain; gives what would end an evaluation there. */
  async #cover(domain: string, blocks: AddressBlock[]): Promise<End | undefined> {
    const found = isDomain(domain) ? await this.#record(domain) : undefined
    if (!found) return 'permerror' // sections 5.2 and 6.1: it is included, or redirected to
    if (found.kind === 'end') return found.end
    this.#prefetch(found.value, domain)
    const { mechanisms, redirect } = found.value
    for (const mechanism of mechanisms) {
      if (mechanism.kind === 'all') return undefined
      const end = await this.#coverBy(mechanism, domain, blocks)
      if (end) return end
    }
    if (!redirect) return undefined
    if (!this.#countTerm()) return 'permerror'
    return redirect.isOfClient ? undefined : this.#cover(await this.#expand(redirect, domain), blocks)
  }

  async #coverBy(mechanism: Mechanism, domain: string, blocks: AddressBlock[]): Promise<End | undefined> {
    const isPass = mechanism.qualifier === 'pass'
    const { kind: family } = this.#question.client
    switch (mechanism.kind) {
      case 'all':
        return undefined
      case 'ip':
        if (isPass && isOfFamily(mechanism.block, family)) blocks.push(mechanism.block)
        return undefined
      case 'ptr':
      case 'exists':
        return this.#countTerm() ? undefined : 'permerror'
      case 'include': {
        if (!this.#countTerm()) return 'permerror'
        if (mechanism.name.isOfClient) return undefined
        // What an include with another qualifier matches does not pass; but its terms count.
        return this.#cover(await this.#expand(mechanism.name, domain), isPass ? blocks : [])
      }
      case 'a':
      case 'mx': {
        if (!this.#countTerm()) return 'permerror'
        if (!isPass || mechanism.name?.isOfClient) return undefined
        const hosts = await this.#hostsOf(mechanism, domain)
        if (hosts.kind === 'end') return hosts.end
        for (const host of hosts.value) {
          const addresses = await this.#addressesOf(host)
          if (addresses.kind === 'end') return addresses.end
          const prefix = mechanism.prefixes[family]
          for (const bytes of addresses.value) blocks.push({ bytes, prefix })
        }
        return undefined
      }
    }
  }

  async #match(mechanism: Mechanism, domain: string, record: SpfRecord): Promise<Match> {
    const { client } = this.#question
    if (mechanism.kind === 'all') return { kind: 'match', isByAddress: false }
    if (mechanism.kind === 'ip') {
      return isInBlock(client.bytes, mechanism.block) ? { kind: 'match', isByAddress: true } : NO_MATCH
    }
    if (!this.#countTerm()) return { kind: 'end', end: 'permerror' }
    this.#prefetch(record, domain)
    switch (mechanism.kind) {
      case 'include':
        return this.#matchInclude(mechanism.name, domain)
      case 'exists':
        return this.#matchExists(mechanism.name, domain)
      case 'ptr':
        return this.#matchPtr(mechanism.name, domain)
      default:
        return this.#matchHosts(mechanism, domain)
    }
  }

  /** Section 5.2, with the table of what the result of an included record means. */
  async #matchInclude(name: DomainSpec, domain: string): Promise<Match> {
    const target = await this.#expand(name, domain)
    if (!isDomain(target)) return { kind: 'end', end: 'permerror' }
    const { result, isByAddress } = await this.check(target)
    switch (result) {
      case 'pass':
        return { kind: 'match', isByAddress: isByAddress && !name.isOfClient }
      case 'fail':
      case 'softfail':
      case 'neutral':
        return NO_MATCH
      case 'none':
        return { kind: 'end', end: 'permerror' }
      default:
        return { kind: 'end', end: result }
    }
  }

  async #matchExists(name: DomainSpec, domain: string): Promise<Match> {
    const lookup = await this.#lookup(await this.#expand(name, domain), 'A')
    if (lookup.kind === 'end') return lookup
    return lookup.value.length > 0 ? { kind: 'match', isByAddress: false } : NO_MATCH
  }

  async #matchHosts(mechanism: Extract<Mechanism, { kind: 'a' | 'mx' }>, domain: string): Promise<Match> {
    const { client } = this.#question
    const hosts = await this.#hostsOf(mechanism, domain)
    if (hosts.kind === 'end') return hosts
    const prefix = mechanism.prefixes[client.kind]
    for (const host of hosts.value) {
      const addresses = await this.#addressesOf(host)
      if (addresses.kind === 'end') return addresses
      if (addresses.value.some((bytes) => isInBlock(client.bytes, { bytes, prefix })))
        return { kind: 'match', isByAddress: !mechanism.name?.isOfClient }
    }
    return NO_MATCH
  }

  /** The names whose addresses an `a` or `mx` is about. */
  async #hostsOf(
    mechanism: Extract<Mechanism, { kind: 'a' | 'mx' }>,
    domain: string,
  ): Promise<Found<readonly string[]>> {
    const target = mechanism.name ? await this.#expand(mechanism.name, domain) : domain
    if (mechanism.kind === 'a') return { kind: 'found', value: [target] }
    const lookup = await this.#lookup(target, 'MX')
    if (lookup.kind === 'end') return lookup
    // A null MX (RFC 7505) has no host.
    const hosts = lookup.value.map(exchangeOf).filter((host) => host !== '')
    if (hosts.length > MAX_HOSTS) return { kind: 'end', end: 'permerror' }
    for (const host of hosts) this.#prefetchHost(host, this.#addressType())
    return { kind: 'found', value: hosts }
  }

  async #addressesOf(host: string): Promise<Found<ReadonlyArray<readonly number[]>>> {
    const lookup = await this.#lookup(host, this.#addressType())
    if (lookup.kind === 'end') return lookup
    this.#addresses += lookup.value.length
    if (this.#addresses > MAX_ADDRESSES) return { kind: 'end', end: 'unknown' }
    return { kind: 'found', value: lookup.value.flatMap((text) => [parseBytes(String(text)) ?? []]) }
  }

  #addressType(): 'A' | 'AAAA' {
    return this.#question.client.kind === 'ipv4' ? 'A' : 'AAAA'
  }

  /** Section 5.5: by a name that the client's address leads to, and that leads back to the address. */
  async #matchPtr(name: DomainSpec | undefined, domain: string): Promise<Match> {
    const target = name ? await this.#expand(name, domain) : domain
    for (const host of await this.#clientNames()) {
      if (isBelow(host, target) && (await this.#isNameOfClient(host)))
        return { kind: 'match', isByAddress: false }
    }
    return NO_MATCH
  }

  /** What the client's address leads to; none where DNS fails (section 5.5). */
  async #clientNames(): Promise<readonly string[]> {
    const lookup = await this.#lookups.ask(reverseName(this.#question.client), 'PTR')
    if (lookup.kind !== 'found') return []
    return lookup.values.slice(0, MAX_HOSTS).map((name) => withoutFinalDot(String(name).toLowerCase()))
  }

  async #isNameOfClient(host: string): Promise<boolean> {
    const lookup = await this.#lookups.ask(host, this.#addressType())
    if (lookup.kind !== 'found') return false
    const { bytes } = this.#question.client
    const prefix = bytes.length * 8
    return lookup.values
      .slice(0, MAX_ADDRESSES)
      .some((text) => isInBlock(bytes, { bytes: parseBytes(String(text)) ?? [], prefix }))
  }

  /** `%{p}`: the domain itself, else a name below it, else any (section 7.3). */
  async #findClientName(domain: string): Promise<string> {
    const names = await this.#clientNames()
    const byPreference = [
      ...names.filter((name) => name === domain),
      ...names.filter((name) => name !== domain && isBelow(name, domain)),
      ...names.filter((name) => !isBelow(name, domain)),
    ]
    for (const name of byPreference) if (await this.#isNameOfClient(name)) return name
    return 'unknown'
  }

  /** What there is under a name, nothing for a void lookup; too many of these end the evaluation. */
  async #lookup(name: string, type: 'A' | 'AAAA' | 'MX'): Promise<Found<readonly unknown[]>> {
    const lookup: Lookup = await this.#lookups.ask(withoutFinalDot(name), type)
    switch (lookup.kind) {
      case 'found':
        return { kind: 'found', value: lookup.values }
      case 'error':
        return { kind: 'end', end: 'temperror' }
      case 'refused':
        return { kind: 'end', end: 'unknown' }
      case 'void':
        // Hosts without an IPv6 address are no mistake of the record: they do not count.
        if (!(lookup.isName && type === 'AAAA')) this.#voidLookups += 1
        if (this.#voidLookups > MAX_VOID_LOOKUPS) return { kind: 'end', end: 'permerror' }
        return { kind: 'found', value: [] }
    }
  }

  #countTerm(): boolean {
    this.#askingTerms += 1
    return this.#askingTerms <= MAX_ASKING_TERMS
  }

  async #expand(spec: DomainSpec, domain: string): Promise<string> {
    const { client, local, domain: senderDomain, helo } = this.#question
    this.#asksForSender ||= spec.isOfSender
    if (spec.needsClientName) this.#clientName ??= this.#findClientName(domain)
    const values: MacroValues = {
      client,
      local: local.slice(0, MAX_MACRO_VALUE),
      senderDomain,
      helo: helo.slice(0, MAX_MACRO_VALUE),
      domain,
      clientName: (await this.#clientName) ?? 'unknown',
    }
    return expand(spec, values).toLowerCase()
  }

  /** `undefined` where the domain has no SPF record. */
  #record(domain: string): Promise<Found<SpfRecord> | undefined> {
    let record = this.#records.get(domain)
    if (!record) {
      record = this.#findRecord(domain)
      this.#records.set(domain, record)
    }
    return record
  }

  /** Sections 4.4 and 4.5. */
  async #findRecord(domain: string): Promise<Found<SpfRecord> | undefined> {
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

  /**
   * Asks at once for what a record's terms will need, and for what those that it includes will: an evaluation waits as
   * long as for the longest chain of includes then, and not for one term after another.
   */
  #prefetch({ mechanisms, redirect }: SpfRecord, domain: string): void {
    if (this.#hasPrefetched.has(domain)) return
    this.#hasPrefetched.add(domain)
    for (const mechanism of mechanisms) {
      if (mechanism.kind === 'all') return
      if (mechanism.kind === 'ip' || mechanism.kind === 'ptr' || mechanism.name?.isOfClient) continue
      void this.#prefetchFor(mechanism.kind, mechanism.name, domain)
    }
    if (redirect && !redirect.isOfClient) void this.#prefetchFor('include', redirect, domain)
  }

  async #prefetchFor(
    kind: 'a' | 'mx' | 'exists' | 'include',
    name: DomainSpec | undefined,
    domain: string,
  ): Promise<void> {
    const target = name ? await this.#expand(name, domain) : domain
    if (kind === 'a') return this.#prefetchHost(target, this.#addressType())
    if (kind === 'exists') return this.#prefetchHost(target, 'A')
    if (this.#prefetched >= MAX_PREFETCHED) return
    this.#prefetched += 1
    if (kind === 'mx') {
      void this.#lookups.ask(withoutFinalDot(target), 'MX')
      return
    }
    const found = isDomain(target) ? await this.#record(target) : undefined
    if (found?.kind === 'found') this.#prefetch(found.value, target)
  }

  #prefetchHost(host: string, type: 'A' | 'AAAA'): void {
    if (this.#prefetched >= MAX_PREFETCHED || this.#prefetchedHosts >= MAX_PREFETCHED_HOSTS) return
    this.#prefetched += 1
    this.#prefetchedHosts += 1
    void this.#lookups.ask(withoutFinalDot(host), type)
  }
}

/** Whether the DNS can have it as the domain of a sender (section 4.3): labels that it can hold, two at least. */
function isDomain(name: string): boolean {
  const labels = name.split('.')
  return (
    name.length <= 253 && labels.length > 1 && labels.every((label) => label !== '' && label.length <= 63)
  )
}

function isBelow(name: string, domain: string): boolean {
  return name === domain || name.endsWith(`.${domain}`)
}

function isOfFamily({ bytes }: AddressBlock, family: IpAddress['kind']): boolean {
  return bytes.length === (family === 'ipv4' ? 4 : 16)
}

/** Whether two addresses of one family have the same first bits. */
function isInBlock(bytes: readonly number[], block: AddressBlock): boolean {
  if (bytes.length !== block.bytes.length) return false
  const whole = block.prefix >> 3
  for (let index = 0; index < whole; index += 1) if (bytes[index] !== block.bytes[index]) return false
  const rest = block.prefix & 7
  if (rest === 0) return true
  return (((bytes[whole] ?? 0) ^ (block.bytes[whole] ?? 0)) & (0xff00 >> rest) & 0xff) === 0
}

/** A TXT record's strings are its text in pieces (section 3.3). */
function joined(strings: unknown): string {
  return Array.isArray(strings) ? strings.join('') : ''
}

function exchangeOf(record: unknown): string {
  const exchange =
    typeof record === 'object' && record !== null && 'exchange' in record ? record.exchange : ''
  return withoutFinalDot(String(exchange).toLowerCase())
}

function withoutFinalDot(name: string): string {
  return name.endsWith('.') ? name.slice(0, -1) : name
}
