// Collects the blocks of addresses for which a record passes: `ip4`, `ip6`, `a` and `mx`, through includes and
// redirects. coverage.ts judges whether they are too many.
//
// The author of a record must not be able to hide a part of it, so the walk never finds too few blocks. In an included
// record an evaluation can end early for one client and not for another, so the walk goes on behind everything that
// would end an evaluation. A term without an answer in time is left out: it can pass nobody before it is answered, and
// once it is answered, a walk includes it.
// Source: RFC 7208 section 4.6.4 for the terms that no evaluation reaches.

import type { IpAddress } from '../../ip.ts'
import {
  type AddressType,
  addressesIn,
  addressTypeOf,
  exchangesIn,
  MAX_ADDRESSES,
  MAX_HOSTS,
  valuesOf,
} from './hosts.ts'
import type { Lookup, Lookups } from './lookups.ts'
import type { AddressBlock, Mechanism, SpfRecord } from './record.ts'
import type { MaybeRecord, Records } from './records.ts'
import { type Steps, settled } from './steps.ts'

/** Blocks of the client's family: those that records name, and those around addresses of hosts. */
export interface Passing {
  readonly named: readonly AddressBlock[]
  readonly ofHosts: readonly AddressBlock[]
  /** Whether every term had an answer in time. */
  readonly isWhole: boolean
}

/** Longest wait for answers that the evaluation did not need, in milliseconds; mail waits meanwhile. */
const WALK_TIMEOUT = 500

/** Stands for an answer that has not come in time. */
const TOO_LATE = Symbol('too late')

/** Limit of the terms that ask DNS (section 4.6.4). */
export const MAX_ASKING_TERMS = 10

/** The blocks for which the record of `domain` passes, or `undefined` if a budget was used up. */
export function* passingBlocks(
  family: IpAddress['kind'],
  domain: string,
  records: Records,
  lookups: Lookups,
): Steps<Passing | undefined> {
  const walk = new Walk(family, records, lookups)
  yield* walk.visit(domain, 0)
  walk.end()
  return walk.passing
}

class Walk {
  readonly #family: IpAddress['kind']
  readonly #records: Records
  readonly #lookups: Lookups
  readonly #named: AddressBlock[] = []
  readonly #ofHosts: AddressBlock[] = []
  /** The least `asked` of each domain's visits. */
  readonly #visited = new Map<string, number>()
  #isKnown = true
  #isWhole = true
  #timer: NodeJS.Timeout | undefined
  /** Resolves WALK_TIMEOUT after the first wait. */
  #timedOut: Promise<typeof TOO_LATE> | undefined

  constructor(family: IpAddress['kind'], records: Records, lookups: Lookups) {
    this.#family = family
    this.#records = records
    this.#lookups = lookups
  }

  end(): void {
    clearTimeout(this.#timer)
  }

  get passing(): Passing | undefined {
    return this.#isKnown ? { named: this.#named, ofHosts: this.#ofHosts, isWhole: this.#isWhole } : undefined
  }

  /**
   * Adds the blocks of a domain's record. `asked` is the number of terms that have asked DNS before it in every
   * evaluation that gets there. Terms within included records do not count, as such a record can end early.
   */
  *visit(domain: string, asked: number): Steps<void> {
    const before = this.#visited.get(domain)
    if (before !== undefined && before <= asked) return
    this.#visited.set(domain, asked)
    const found = yield* this.#inTime(this.#records.of(domain))
    const record = this.#recordIn(found)
    if (!record) return
    this.#records.prefetch(record, domain)
    let count = asked
    for (const mechanism of record.mechanisms) {
      if (mechanism.kind === 'all') return
      if (mechanism.kind !== 'ip') count += 1
      if (count > MAX_ASKING_TERMS) return
      const asking = mechanism.qualifier === 'pass' ? this.#add(mechanism, domain, count) : undefined
      if (asking) yield* asking
    }
    const { redirect } = record
    if (redirect && !redirect.isOfClient && count < MAX_ASKING_TERMS)
      yield* this.visit(this.#records.nameIn(redirect, domain), count + 1)
  }

  #recordIn(found: MaybeRecord): SpfRecord | undefined {
    if (found?.kind === 'found') return found.value
    if (found?.end === 'unknown') this.#isKnown = false
    return undefined
  }

  /**
   * Adds the blocks of a mechanism, in steps if DNS has to be asked for them. A mechanism that matches by something
   * else than the client's address vouches for nobody.
   */
  #add(mechanism: Mechanism, domain: string, asked: number): Steps<void> | undefined {
    switch (mechanism.kind) {
      case 'ip':
        if (mechanism.block.bytes.length === (this.#family === 'ipv4' ? 4 : 16))
          this.#named.push(mechanism.block)
        return undefined
      case 'include':
        if (mechanism.name.isOfClient) return undefined
        return this.visit(this.#records.nameIn(mechanism.name, domain), asked)
      case 'a':
      case 'mx':
        if (mechanism.name?.isOfClient) return undefined
        return this.#addHosts(
          mechanism.kind,
          this.#records.nameIn(mechanism.name, domain),
          mechanism.prefixes[this.#family],
        )
      default:
        return undefined
    }
  }

  /** Adds the networks of the hosts of an `a` or `mx`. */
  *#addHosts(kind: 'a' | 'mx', name: string, prefix: number): Steps<void> {
    for (const host of yield* this.#hostsOf(kind, name)) {
      const lookup = yield* this.#ask(host, addressTypeOf(this.#family))
      for (const bytes of addressesIn(valuesOf(lookup))) this.#ofHosts.push({ bytes, prefix })
      if (this.#ofHosts.length > MAX_ADDRESSES) this.#isKnown = false
      if (!this.#isKnown) return
    }
  }

  /** The hosts of an `a` or `mx`; an `mx` with too many hosts passes nobody (section 4.6.4) and has none. */
  *#hostsOf(kind: 'a' | 'mx', name: string): Steps<readonly string[]> {
    if (kind === 'a') return [name]
    const hosts = exchangesIn(valuesOf(yield* this.#ask(name, 'MX')))
    return hosts.length > MAX_HOSTS ? [] : hosts
  }

  *#ask(name: string, type: AddressType | 'MX'): Steps<Lookup | undefined> {
    const lookup = yield* this.#inTime(this.#lookups.ask(name, type))
    if (lookup?.kind === 'refused') this.#isKnown = false
    return lookup
  }

  /** The answer, or `undefined` once the time-out has passed; an answer that is there already is returned even then. */
  *#inTime<T>(answer: T | Promise<T>): Steps<T | undefined> {
    if (!(answer instanceof Promise)) return answer
    this.#timedOut ??= new Promise((resolve) => {
      this.#timer = setTimeout(() => resolve(TOO_LATE), WALK_TIMEOUT)
    })
    const inTime = yield* settled(Promise.race([answer, this.#timedOut]))
    if (inTime !== TOO_LATE) return inTime
    this.#isWhole = false
    return undefined
  }
}
