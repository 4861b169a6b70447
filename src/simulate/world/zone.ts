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
  /** Records by name. A wildcard's name begins with `*.`. */
  readonly #names = new Map<string, Map<RecordType, readonly unknown[]>>()
  /** All names that have records, and all names above them. */
  readonly #existing = new Set<string>()

  /** Every name that has records, wildcards included. */
  get names(): ReadonlyMap<string, ReadonlyMap<RecordType, readonly unknown[]>> {
    return this.#names
  }

  has(name: string, type: RecordType): boolean {
    return this.#names.get(name)?.has(type) ?? false
  }

  /** Sets what a name has of one type; a name that begins with `*.` is a wildcard (RFC 4592). */
  set(name: string, type: RecordType, values: readonly unknown[]): void {
    const records = this.#names.get(name) ?? new Map<RecordType, readonly unknown[]>()
    this.#names.set(name, records.set(type, values))
    for (let rest = name; rest !== '' && !this.#existing.has(rest); rest = parentOf(rest))
      this.#existing.add(rest)
  }

  /** Sets an SPF record. */
  setSpf(name: string, terms: readonly string[]): void {
    // A TXT record is a list of strings.
    this.set(name, 'TXT', [[`v=spf1 ${terms.join(' ')} -all`]])
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
    const exists = this.#existing.has(name)
    const records = exists ? this.#names.get(name) : this.#names.get(`*.${this.#closestEncloser(name)}`)
    if (!exists && !records) return { error: NO_SUCH_NAME, expiresAt: now + NEGATIVE_TTL }
    const value = records?.get(type as RecordType)
    if (!value) return { error: NO_SUCH_RECORD, expiresAt: now + NEGATIVE_TTL }
    return { value, expiresAt: now + ANSWER_TTL }
  }

  /** The longest name above `name` that exists; a wildcard stands for names directly below that one alone. */
  #closestEncloser(name: string): string {
    let encloser = parentOf(name)
    while (encloser !== '' && !this.#existing.has(encloser)) encloser = parentOf(encloser)
    return encloser
  }
}

/** The name without its first label; `''` for a name of one label. */
function parentOf(name: string): string {
  const dot = name.indexOf('.')
  return dot === -1 ? '' : name.slice(dot + 1)
}
