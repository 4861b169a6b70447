// The DNS of a simulated world. It answers at once. The budgets that src/dns.ts has for strangers, its time-outs and its
// circuit breaker are no part of it.

import type { DnsAnswer } from '../../dns.ts'
import type { SpfDns } from '../../identity/spf/standing.ts'

/** How long answers may be kept, as src/dns.ts keeps those of which it knows no TTL, in milliseconds. */
const ANSWER_TTL = 300_000
const NEGATIVE_TTL = 60_000

const NO_SUCH_NAME = Object.assign(new Error('no such name'), { code: 'ENOTFOUND' })
const NO_SUCH_RECORD = Object.assign(new Error('no record of this type'), { code: 'ENODATA' })

/** The types that the records of a world have; values are what node:dns returns for them. */
export type RecordType = 'TXT' | 'A' | 'AAAA' | 'MX'

export class Zone {
  readonly #names = new Map<string, Map<RecordType, readonly unknown[]>>()
  readonly #wildcards = new Map<string, Map<RecordType, readonly unknown[]>>()

  /** Every name that has records, without wildcards. */
  get names(): ReadonlyMap<string, ReadonlyMap<RecordType, readonly unknown[]>> {
    return this.#names
  }

  has(name: string): boolean {
    return this.#names.has(name)
  }

  /** Sets what a name has of one type. */
  set(name: string, type: RecordType, values: readonly unknown[]): void {
    setIn(this.#names, name, type, values)
  }

  /** Sets what every name below `parent` has that has nothing of its own. */
  setBelow(parent: string, type: RecordType, values: readonly unknown[]): void {
    setIn(this.#wildcards, parent, type, values)
  }

  /** Sets an SPF record. */
  setSpf(name: string, terms: readonly string[]): void {
    this.set(name, 'TXT', spfOf(terms))
  }

  /** Sets an SPF record for every name below `parent` that has nothing of its own. */
  setSpfBelow(parent: string, terms: readonly string[]): void {
    this.setBelow(parent, 'TXT', spfOf(terms))
  }

  /** The resolver of this zone; `now` is the clock of the simulation. */
  resolver(now: () => number): SpfDns {
    return {
      ask: async (name, type) => this.#answer(name.toLowerCase(), type, now()),
      withTimeout: (_, answer) => answer,
      refund() {},
    }
  }

  #answer(name: string, type: string, now: number): DnsAnswer {
    const records = this.#names.get(name) ?? this.#wildcardOf(name)
    if (!records) return { error: NO_SUCH_NAME, expiresAt: now + NEGATIVE_TTL }
    const value = records.get(type as RecordType)
    if (!value) return { error: NO_SUCH_RECORD, expiresAt: now + NEGATIVE_TTL }
    return { value, expiresAt: now + ANSWER_TTL }
  }

  #wildcardOf(name: string): Map<RecordType, readonly unknown[]> | undefined {
    for (let dot = name.indexOf('.'); dot !== -1; dot = name.indexOf('.', dot + 1)) {
      const found = this.#wildcards.get(name.slice(dot + 1))
      if (found) return found
    }
    return undefined
  }
}

function setIn(
  names: Map<string, Map<RecordType, readonly unknown[]>>,
  name: string,
  type: RecordType,
  values: readonly unknown[],
): void {
  const records = names.get(name) ?? new Map<RecordType, readonly unknown[]>()
  names.set(name, records.set(type, values))
}

/** The value of a TXT record: a list of its strings. */
function spfOf(terms: readonly string[]): readonly unknown[] {
  return [[`v=spf1 ${terms.join(' ')} -all`]]
}
