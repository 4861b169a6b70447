// check_host(): evaluates whether a domain's SPF record passes a client, and whether that says anything of the client.
// standing.ts decides what follows and caches it. The work for a hostile record is bounded: text, addresses and
// questions each have a budget for the whole evaluation. Beyond a budget the result is `unknown`, and nothing follows
// from it.
// Source: RFC 7208 section 4; section 5 for the mechanisms, section 4.6.4 for the limits.

import { ADDRESS_BITS, haveSamePrefix, type IpAddress } from '../../ip.ts'
import { coverageOf } from './coverage.ts'
import type { Comparison } from './decision-tree.ts'
import {
  type AddressType,
  addressesIn,
  addressTypeOf,
  exchangesIn,
  MAX_ADDRESSES,
  MAX_HOSTS,
  withoutFinalDot,
} from './hosts.ts'
import type { Lookup, Lookups } from './lookups.ts'
import { type DomainSpec, expand, type MacroValues, reverseName } from './macro.ts'
import { MAX_ASKING_TERMS, passingBlocks } from './passing.ts'
import type { AddressBlock, Mechanism, SpfRecord } from './record.ts'
import { type EndResult, type Found, Records, type TakeTurn } from './records.ts'
import { isSteps, run, type Steps, settled } from './steps.ts'

export interface SpfQuestion {
  readonly client: IpAddress
  /** The sender's domain, or HELO's for the null sender (section 2.4), in lower case, without a final dot. */
  readonly domain: string
  /** The local part of the sender, or `postmaster` if it has none (section 4.3). */
  readonly local: string
  /** The name that the client gave in HELO. */
  readonly helo: string
}

export type SpfResult = 'none' | 'neutral' | 'pass' | 'fail' | 'softfail' | 'temperror' | 'permerror'

export interface SpfAnswer {
  /** `unknown` if a budget was used up or the caller stopped waiting. */
  readonly result: SpfResult | 'unknown'
  /**
   * Evidence that the client is one of the domain's own. It is present if the client passed by its own address and the
   * record covers no more than the largest senders have.
   */
  readonly voucher?: Voucher
  /**
   * The domains of the records that were included, or to which a record redirects, and that passed the client by
   * themselves, the outermost first.
   */
  readonly includes: readonly string[]
  /** Whether any other sender of the domain, with any HELO name, gets the same answer. */
  readonly isForAllSenders: boolean
  /** Whether any other client of the family for which `comparisons` come out the same gets the same answer. */
  readonly isForAllClients: boolean
  /** The blocks with which the client's address was compared, in order. */
  readonly comparisons: readonly Comparison[]
}

/** What passed the client: a block that the records name, or the address of a host that they name. */
export type Voucher =
  /** `digest` is a hash of the addresses that the records name. */
  { readonly kind: 'named'; readonly digest: number } | { readonly kind: 'host' }

/** Limit of questions that find nothing (section 4.6.4). */
const MAX_VOID_LOOKUPS = 2
/** Limit of a local part and of a HELO name, in characters. Some mailers exceed RFC 5321 section 4.5.3.1 (64, 255). */
const MAX_MACRO_VALUE = 512

/**
 * What a client matched by: its address in a block that a record names, the address of a host, or something that a
 * client can choose or cause, such as its name or a name made of its address.
 */
type MatchedBy = 'named' | 'host' | 'other'

type Match =
  | { readonly kind: 'no match' }
  | { readonly kind: 'match'; readonly by: MatchedBy; readonly includes: readonly string[] }
  | { readonly kind: 'end'; readonly end: EndResult }

interface Verdict {
  readonly result: SpfAnswer['result']
  readonly by: MatchedBy
  /** Included domains through which the client matched. */
  readonly includes: readonly string[]
}

const NO_MATCH: Match = { kind: 'no match' }
const NO_INCLUDES: readonly string[] = []

/**
 * The result of check_host() with its voucher, at once if DNS need not be waited for. Never rejects, and asks nothing
 * once `lookups` refuses.
 */
export function checkHost(
  question: SpfQuestion,
  lookups: Lookups,
  takeTurn: TakeTurn,
): SpfAnswer | Promise<SpfAnswer> {
  return run(answerTo(question, lookups, takeTurn))
}

function* answerTo(question: SpfQuestion, lookups: Lookups, takeTurn: TakeTurn): Steps<SpfAnswer> {
  const evaluation = new Evaluation(question, lookups, takeTurn)
  const { result, by, includes } = yield* evaluation.check(question.domain)
  const isForAllSenders = !evaluation.asksForSender
  const isForAllClients = !evaluation.asksForClient
  const { comparisons } = evaluation
  const bare = { result, includes: NO_INCLUDES, isForAllSenders, isForAllClients, comparisons }
  if (evaluation.lacksAnswers) return { ...bare, result: 'unknown' }
  if (result !== 'pass' || by === 'other') return bare
  const passing = yield* evaluation.passing()
  if (!passing) return { ...bare, result: 'unknown' }
  const passed = { ...bare, isForAllClients: isForAllClients && passing.isWhole }
  const { kind } = question.client
  if (coverageOf([...passing.named, ...passing.ofHosts], kind).isTooMuch) return passed
  const voucher: Voucher =
    by === 'host' ? { kind: by } : { kind: by, digest: coverageOf(passing.named, kind).digest }
  return { ...passed, voucher, includes }
}

class Evaluation {
  readonly #question: SpfQuestion
  readonly #lookups: Lookups
  readonly #records: Records
  readonly #addressType: AddressType
  #askingTerms = 0
  #voidLookups = 0
  #addresses = 0
  readonly #comparisons: Comparison[] = []
  #asksForSender = false
  #asksForClient = false
  #lacksAnswers = false

  constructor(question: SpfQuestion, lookups: Lookups, takeTurn: TakeTurn) {
    this.#question = question
    this.#lookups = lookups
    this.#addressType = addressTypeOf(question.client.kind)
    this.#records = new Records(lookups, this.#addressType, question.domain, takeTurn)
  }

  /** Whether the evaluation expanded a name that depends on the sender or on HELO. */
  get asksForSender(): boolean {
    return this.#asksForSender
  }

  /** Whether the evaluation asked for more of the client than how its address compares with blocks. */
  get asksForClient(): boolean {
    return this.#asksForClient
  }

  get comparisons(): readonly Comparison[] {
    return this.#comparisons
  }

  /** Whether the result is useless: a question was refused for which the RFC treats a failure like an empty answer. */
  get lacksAnswers(): boolean {
    return this.#lacksAnswers
  }

  /** The blocks for which the sender's domain passes by address. */
  passing() {
    const { client, domain } = this.#question
    return passingBlocks(client.kind, domain, this.#records, this.#lookups)
  }

  *check(domain: string): Steps<Verdict> {
    const found = yield* settled(this.#records.of(domain))
    if (!found) return unmatched('none')
    if (found.kind === 'end') return unmatched(found.end)
    const { mechanisms, redirect } = found.value
    for (const mechanism of mechanisms) {
      const answer = this.#match(mechanism, domain, found.value)
      // Records may have dozens of networks, which are compared without steps.
      const match = isSteps(answer) ? yield* answer : answer
      if (match.kind === 'end') return unmatched(match.end)
      if (match.kind === 'match') return { ...match, result: mechanism.qualifier }
    }
    if (!redirect) return unmatched('neutral')
    if (!this.#countTerm()) return unmatched('permerror')
    this.#records.prefetch(found.value, domain)
    const target = yield* this.#expand(redirect, domain)
    const verdict = yield* this.check(target)
    // A target without record is a mistake of this record (section 6.1).
    if (verdict.result === 'none') return unmatched('permerror')
    return {
      ...verdict,
      by: redirect.isOfClient ? 'other' : verdict.by,
      includes: [target, ...verdict.includes],
    }
  }

  #match(mechanism: Mechanism, domain: string, record: SpfRecord): Match | Steps<Match> {
    if (mechanism.kind === 'all') return matchedBy('other')
    if (mechanism.kind === 'ip') return this.#isClientIn(mechanism.block) ? matchedBy('named') : NO_MATCH
    if (!this.#countTerm()) return { kind: 'end', end: 'permerror' }
    this.#records.prefetch(record, domain)
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

  /** Matches an `include` by the table of results in section 5.2. */
  *#matchInclude(name: DomainSpec, domain: string): Steps<Match> {
    const target = yield* this.#expand(name, domain)
    const { result, by, includes } = yield* this.check(target)
    switch (result) {
      case 'pass':
        return { kind: 'match', by: name.isOfClient ? 'other' : by, includes: [target, ...includes] }
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

  *#matchExists(name: DomainSpec, domain: string): Steps<Match> {
    const lookup = yield* this.#lookup(yield* this.#expand(name, domain), 'A')
    if (lookup.kind === 'end') return lookup
    return lookup.value.length > 0 ? matchedBy('other') : NO_MATCH
  }

  *#matchHosts(mechanism: Extract<Mechanism, { kind: 'a' | 'mx' }>, domain: string): Steps<Match> {
    const { client } = this.#question
    const hosts = yield* this.#hostsOf(mechanism, domain)
    if (hosts.kind === 'end') return hosts
    const prefix = mechanism.prefixes[client.kind]
    for (const host of hosts.value) {
      const addresses = yield* this.#addressesOf(host)
      if (addresses.kind === 'end') return addresses
      if (addresses.value.some((bytes) => this.#isClientIn({ bytes, prefix })))
        return matchedBy(mechanism.name?.isOfClient ? 'other' : 'host')
    }
    return NO_MATCH
  }

  #isClientIn(block: AddressBlock): boolean {
    const { bytes } = this.#question.client
    if (bytes.length !== block.bytes.length) return false
    const isInside = haveSamePrefix(bytes, block.bytes, block.prefix)
    this.#comparisons.push({ block, isInside })
    return isInside
  }

  /** The names of the hosts whose addresses an `a` or `mx` compares. */
  *#hostsOf(
    mechanism: Extract<Mechanism, { kind: 'a' | 'mx' }>,
    domain: string,
  ): Steps<Found<readonly string[]>> {
    const target = mechanism.name ? yield* this.#expand(mechanism.name, domain) : domain
    if (mechanism.kind === 'a') return { kind: 'found', value: [target] }
    const lookup = yield* this.#lookup(target, 'MX')
    if (lookup.kind === 'end') return lookup
    const hosts = exchangesIn(lookup.value)
    if (hosts.length > MAX_HOSTS) return { kind: 'end', end: 'permerror' }
    for (const host of hosts) this.#records.prefetchHost(host, this.#addressType)
    return { kind: 'found', value: hosts }
  }

  *#addressesOf(host: string): Steps<Found<ReadonlyArray<readonly number[]>>> {
    const lookup = yield* this.#lookup(host, this.#addressType)
    if (lookup.kind === 'end') return lookup
    this.#addresses += lookup.value.length
    if (this.#addresses > MAX_ADDRESSES) return { kind: 'end', end: 'unknown' }
    return { kind: 'found', value: addressesIn(lookup.value) }
  }

  /** Matches a `ptr` by a name of the client's address that leads back to the address (section 5.5). */
  *#matchPtr(name: DomainSpec | undefined, domain: string): Steps<Match> {
    const target = name ? yield* this.#expand(name, domain) : domain
    for (const host of yield* this.#clientNames()) {
      if (isBelow(host, target) && (yield* this.#isNameOfClient(host))) return matchedBy('other')
    }
    return NO_MATCH
  }

  /** The names of the client's address, none if DNS fails (section 5.5). */
  *#clientNames(): Steps<readonly string[]> {
    this.#asksForClient = true
    const lookup = yield* settled(this.#lookups.ask(reverseName(this.#question.client), 'PTR'))
    this.#lacksAnswers ||= lookup.kind === 'refused'
    if (lookup.kind !== 'found') return []
    return lookup.values.slice(0, MAX_HOSTS).map((name) => withoutFinalDot(String(name).toLowerCase()))
  }

  *#isNameOfClient(host: string): Steps<boolean> {
    const lookup = yield* settled(this.#lookups.ask(host, this.#addressType))
    this.#lacksAnswers ||= lookup.kind === 'refused'
    if (lookup.kind !== 'found') return false
    const { bytes, kind } = this.#question.client
    const addresses = addressesIn(lookup.values.slice(0, MAX_ADDRESSES))
    return addresses.some((address) => haveSamePrefix(bytes, address, ADDRESS_BITS[kind]))
  }

  /** The value of `%{p}`: the domain itself, else a name below it, else any name of the client (section 7.3). */
  *#findClientName(domain: string): Steps<string> {
    const names = yield* this.#clientNames()
    const byPreference = [
      ...names.filter((name) => name === domain),
      ...names.filter((name) => name !== domain && isBelow(name, domain)),
      ...names.filter((name) => !isBelow(name, domain)),
    ]
    for (const name of byPreference) if (yield* this.#isNameOfClient(name)) return name
    return 'unknown'
  }

  /** The records under a name, none for a void look-up; too many void look-ups end the evaluation. */
  *#lookup(name: string, type: AddressType | 'MX'): Steps<Found<readonly unknown[]>> {
    const lookup: Lookup = yield* settled(this.#lookups.ask(withoutFinalDot(name), type))
    switch (lookup.kind) {
      case 'found':
        return { kind: 'found', value: lookup.values }
      case 'error':
        return { kind: 'end', end: 'temperror' }
      case 'refused':
        return { kind: 'end', end: 'unknown' }
      case 'void':
        // A host without an IPv6 address is no mistake of the record, so it does not count.
        if (!(lookup.isName && type === 'AAAA')) this.#voidLookups += 1
        if (this.#voidLookups > MAX_VOID_LOOKUPS) return { kind: 'end', end: 'permerror' }
        return { kind: 'found', value: [] }
    }
  }

  #countTerm(): boolean {
    this.#askingTerms += 1
    return this.#askingTerms <= MAX_ASKING_TERMS
  }

  *#expand(spec: DomainSpec, domain: string): Steps<string> {
    const { client, local, domain: senderDomain, helo } = this.#question
    this.#asksForSender ||= spec.isOfSender
    this.#asksForClient ||= spec.isOfClient
    const values: MacroValues = {
      client,
      local: local.slice(0, MAX_MACRO_VALUE),
      senderDomain,
      helo: helo.slice(0, MAX_MACRO_VALUE),
      domain,
      clientName: spec.needsClientName ? yield* this.#findClientName(domain) : '',
    }
    return expand(spec, values).toLowerCase()
  }
}

function unmatched(result: Verdict['result']): Verdict {
  return { result, by: 'other', includes: NO_INCLUDES }
}

function matchedBy(by: MatchedBy): Match {
  return { kind: 'match', by, includes: NO_INCLUDES }
}

function isBelow(name: string, domain: string): boolean {
  return name === domain || name.endsWith(`.${domain}`)
}
