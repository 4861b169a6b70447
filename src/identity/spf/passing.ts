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
import type { Found, Records } from './records.ts'

/** Blocks of the client's family: those that records name, and those around addresses of hosts. */
export interface Passing {
  readonly named: readonly AddressBlock[]
  readonly ofHosts: readonly AddressBlock[]
}

/** Longest wait for answers that the evaluation did not need, in milliseconds; mail waits meanwhile. */
const WALK_TIMEOUT = 500

/** Limit of the terms that ask DNS (section 4.6.4). */
export const MAX_ASKING_TERMS = 10

/** The blocks for which the record of `domain` passes, or `undefined` if a budget was used up. */
export async function passingBlocks(
  family: IpAddress['kind'],
  domain: string,
  records: Records,
  lookups: Lookups,
): Promise<Passing | undefined> {
  let timer: NodeJS.Timeout | undefined
  const timedOut = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), WALK_TIMEOUT)
  })
  const walk = new Walk(family, records, lookups, timedOut)
  await walk.visit(domain, 0)
  clearTimeout(timer)
  return walk.passing
}

class Walk {
  readonly #family: IpAddress['kind']
  readonly #records: Records
  readonly #lookups: Lookups
  readonly #timedOut: Promise<undefined>
  readonly #named: AddressBlock[] = []
  readonly #ofHosts: AddressBlock[] = []
  /** The least `asked` of each domain's visits. */
  readonly #visited = new Map<string, number>()
  #isKnown = true

  constructor(family: IpAddress['kind'], records: Records, lookups: Lookups, timedOut: Promise<undefined>) {
    this.#family = family
    this.#records = records
    this.#lookups = lookups
    this.#timedOut = timedOut
  }

  get passing(): Passing | undefined {
    return this.#isKnown ? { named: this.#named, ofHosts: this.#ofHosts } : undefined
  }

  /**
   * Adds the blocks of a domain's record. `asked` is the number of terms that have asked DNS before it in every
   * evaluation that gets there. Terms within included records do not count, as such a record can end early.
   */
  async visit(domain: string, asked: number): Promise<void> {
    const before = this.#visited.get(domain)
    if (before !== undefined && before <= asked) return
    this.#visited.set(domain, asked)
    const found = await this.#withTimeout(this.#records.of(domain))
    const record = this.#recordIn(found)
    if (!record) return
    this.#records.prefetch(record, domain)
    let count = asked
    for (const mechanism of record.mechanisms) {
      if (mechanism.kind === 'all') return
      if (mechanism.kind !== 'ip') count += 1
      if (count > MAX_ASKING_TERMS) return
      const asking = mechanism.qualifier === 'pass' ? this.#add(mechanism, domain, count) : undefined
      if (asking) await asking
    }
    const { redirect } = record
    if (redirect && !redirect.isOfClient && count < MAX_ASKING_TERMS)
      await this.visit(this.#records.nameIn(redirect, domain), count + 1)
  }

  #recordIn(found: Found<SpfRecord> | undefined): SpfRecord | undefined {
    if (found?.kind === 'found') return found.value
    if (found?.end === 'unknown') this.#isKnown = false
    return undefined
  }

  /**
   * Adds the blocks of a mechanism, in a promise if DNS has to be asked for them. A mechanism that matches by something
   * else than the client's address vouches for nobody.
   */
  #add(mechanism: Mechanism, domain: string, asked: number): Promise<void> | undefined {
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
  async #addHosts(kind: 'a' | 'mx', name: string, prefix: number): Promise<void> {
    for (const host of await this.#hostsOf(kind, name)) {
      const lookup = await this.#ask(host, addressTypeOf(this.#family))
      for (const bytes of addressesIn(valuesOf(lookup))) this.#ofHosts.push({ bytes, prefix })
      if (this.#ofHosts.length > MAX_ADDRESSES) this.#isKnown = false
      if (!this.#isKnown) return
    }
  }

  /** The hosts of an `a` or `mx`; an `mx` with too many hosts passes nobody (section 4.6.4) and has none. */
  async #hostsOf(kind: 'a' | 'mx', name: string): Promise<readonly string[]> {
    if (kind === 'a') return [name]
    const hosts = exchangesIn(valuesOf(await this.#ask(name, 'MX')))
    return hosts.length > MAX_HOSTS ? [] : hosts
  }

  async #ask(name: string, type: AddressType | 'MX'): Promise<Lookup | undefined> {
    const lookup = await this.#withTimeout(this.#lookups.ask(name, type))
    if (lookup?.kind === 'refused') this.#isKnown = false
    return lookup
  }

  /** The answer, or `undefined` once the time-out has passed; an answer that is there already is returned even then. */
  #withTimeout<T>(answer: Promise<T>): Promise<T | undefined> {
    return Promise.race([answer, this.#timedOut])
  }
}
