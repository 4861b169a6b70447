// Counts outcomes for the statistics of this MX: in this process for some seconds, then in the store, in a record for
// each hour and one for each day. What the figures mean is left to stats.ts.
//
// The path of an answer costs a few increments: the names of fields are made when a count is handed over. Strangers
// choose names, so that only the busiest are kept, and long ones are left out.

import { formatNetwork, ipFromBytes } from '../ip.ts'
import { type Outcome, type Reason, VERDICTS } from '../outcome.ts'
import { CUSTOMER_PREFIX } from '../ranges.ts'
import type { RecordStore } from '../store/records.ts'
import { BusiestNames } from './busiest.ts'
import {
  delayField,
  type NameList,
  nameField,
  observedField,
  RETURNED_FIELD,
  superfluousNames,
  verdictField,
} from './counts.ts'
import { bucketOf } from './delays.ts'
import { Directory } from './directory.ts'
import { Outbox } from './outbox.ts'
import { expiryOf, labelOf, startOf, UNITS, type Unit } from './periods.ts'

/** Names that come more often than this share of all are found: one in so many. */
const NAME_CAPACITY = 256
/** Most names of a list that one write has; others wait for the next one, until the hour ends. */
const NAMES_PER_WRITE = 30

/** Longest sender address of which the domain is counted, and longest domain, in characters. */
const MAX_ADDRESS = 320
const MAX_DOMAIN = 60
/** What stands for the null sender among domains. */
export const NULL_SENDER = '<>'

/** Matches what can be shown as a domain; other texts are not counted. */
const DOMAIN = /^(?:[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?|\[[a-z0-9.:]+\])$/

/** Who counts: `mx` is the name of the host, and `process` one that no other process has. */
export interface Counting {
  readonly mx: string
  readonly process: string
  /** Milliseconds since 1970. It may go back. */
  readonly now: () => number
}

/** Counters of one reason. */
interface Verdicts {
  pass: number
  tempfail: number
  /** As the reason that an attempt would have had, with the reason `observe` or `off`. */
  observed: number
}

/** The counters of one MX. */
export class Statistics {
  readonly #mx: string
  readonly #now: () => number
  readonly #outbox: Outbox
  readonly #directory: Directory
  /** The hour that is counted, and its end. */
  #hour = 0
  #hourEnd = 0
  readonly #verdicts = new Map<Reason, Verdicts>()
  readonly #delays = new Map<number, number>()
  /** Returns, by the start of the hour in which the first attempt was deferred. */
  readonly #returned = new Map<number, number>()
  readonly #networks = new BusiestNames<number>(NAME_CAPACITY)
  readonly #deferredNetworks = new BusiestNames<number>(NAME_CAPACITY)
  readonly #domains = new BusiestNames<string>(NAME_CAPACITY)
  readonly #deferredDomains = new BusiestNames<string>(NAME_CAPACITY)

  constructor({ mx, process, now }: Counting) {
    this.#mx = mx
    this.#now = now
    this.#outbox = new Outbox(process, now, superfluousNames)
    this.#directory = new Directory(mx)
    for (const reason of Object.keys(VERDICTS) as Reason[])
      this.#verdicts.set(reason, { pass: 0, tempfail: 0, observed: 0 })
  }

  /** Counts one outcome. */
  take({ attempt, verdict, reason, would, waited }: Outcome): void {
    const now = this.#now()
    if (now >= this.#hourEnd || now < this.#hour) this.#begin(now)
    const verdicts = this.#verdicts.get(reason)
    if (verdicts) verdicts[verdict] += 1
    if (would !== undefined) this.#noteObserved(would)
    if (reason === 'retry') this.#noteReturn(now, waited)
    const isDeferred = verdict === 'tempfail'
    const { address } = attempt.client
    if (address) {
      const network = numberOf(address.bytes)
      this.#networks.count(network)
      if (isDeferred) this.#deferredNetworks.count(network)
    }
    const { text, domain } = attempt.sender
    if (text.length > MAX_ADDRESS || domain.length > MAX_DOMAIN) return
    const name = text === '' ? NULL_SENDER : domain
    if (name === '') return
    this.#domains.count(name)
    if (isDeferred) this.#deferredDomains.count(name)
  }

  #noteObserved(would: Reason): void {
    const verdicts = this.#verdicts.get(would)
    if (verdicts) verdicts.observed += 1
  }

  /** Counts a first pass, and a return where the first attempt was counted, by its hour. */
  #noteReturn(now: number, waited: number): void {
    const bucket = bucketOf(waited)
    this.#delays.set(bucket, (this.#delays.get(bucket) ?? 0) + 1)
    const hour = startOf('hour', now - waited)
    this.#returned.set(hour, (this.#returned.get(hour) ?? 0) + 1)
  }

  /**
   * Writes to the store what was counted since. Rejects when the store fails; what it has not taken is offered again
   * with the next call, and nothing is counted twice.
   */
  async write(store: RecordStore): Promise<void> {
    const now = this.#now()
    if (now >= this.#hourEnd || now < this.#hour) this.#begin(now)
    else this.#handOver()
    if (this.#outbox.isEmpty) return
    // A reader finds the records of this MX by the directory, so that it comes first.
    await this.#directory.enter(store, now)
    await this.#outbox.write(store)
  }

  /** What the store has not taken of an hour or a day, as fields of its record. */
  unwritten(unit: Unit, start: number): ReadonlyMap<string, string> {
    this.#handOver()
    return this.#outbox.waiting(recordOf(unit, start, this.#mx))
  }

  /** Ends the hour that was counted, and begins the one that `now` is in. */
  #begin(now: number): void {
    this.#handOver()
    const hour = startOf('hour', now)
    // What an hour's last write had no room for is not the next hour's.
    for (const names of [this.#networks, this.#deferredNetworks, this.#domains, this.#deferredDomains]) {
      if (startOf('day', hour) === startOf('day', this.#hour)) names.dropFresh()
      else names.clear()
    }
    this.#hour = hour
    this.#hourEnd = hour + UNITS.hour.length
  }

  /** Hands all counters over to the outbox, and begins at 0. */
  #handOver(): void {
    for (const [reason, verdicts] of this.#verdicts) {
      const take = (field: string, by: number) => by > 0 && this.#add(this.#hour, field, by)
      take(verdictField('pass', reason), verdicts.pass)
      take(verdictField('tempfail', reason), verdicts.tempfail)
      take(observedField(reason), verdicts.observed)
      Object.assign(verdicts, { pass: 0, tempfail: 0, observed: 0 })
    }
    for (const [bucket, count] of this.#delays) this.#add(this.#hour, delayField(bucket), count)
    this.#delays.clear()
    for (const [hour, count] of this.#returned) this.#add(hour, RETURNED_FIELD, count)
    this.#returned.clear()
    this.#handOverNames('networks', this.#networks, formatNumber)
    this.#handOverNames('deferredNetworks', this.#deferredNetworks, formatNumber)
    this.#handOverNames('domains', this.#domains, shownDomain)
    this.#handOverNames('deferredDomains', this.#deferredDomains, shownDomain)
  }

  #handOverNames<Name extends string | number>(
    list: NameList,
    names: BusiestNames<Name>,
    format: (name: Name) => string | undefined,
  ): void {
    for (const [name, count] of names.takeFresh(NAMES_PER_WRITE)) {
      const text = format(name)
      if (text !== undefined) this.#add(this.#hour, nameField(list, text), count)
    }
  }

  /** Adds to the record of an hour, and to that of its day. */
  #add(hour: number, field: string, by: number): void {
    for (const unit of Object.keys(UNITS) as Unit[]) {
      const start = startOf(unit, hour)
      this.#outbox.add(recordOf(unit, start, this.#mx), expiryOf(unit, start), field, by)
    }
  }
}

/** The record of an hour or a day at one MX, such as `stats:h:2026-11-27T01:mx1.example.com`. */
export function recordOf(unit: Unit, start: number, mx: string): string {
  return `stats:${unit.charAt(0)}:${labelOf(unit, start)}:${encodeURIComponent(mx)}`
}

const BYTE = 256
const [IPV4_BYTES, IPV6_BYTES] = [CUSTOMER_PREFIX.ipv4 / 8, CUSTOMER_PREFIX.ipv6 / 8]

/** The network around an address, in which one stranger may have every address, as a number: text costs more. */
function numberOf(bytes: readonly number[]): number {
  const isIpv4 = bytes.length === 4
  // The number of an IPv6 network has a higher byte in front, so that it differs from that of any IPv4 network.
  let number = isIpv4 ? 0 : 1
  const length = isIpv4 ? IPV4_BYTES : IPV6_BYTES
  for (let index = 0; index < length; index += 1) number = number * BYTE + (bytes[index] ?? 0)
  return number
}

/** The network of a number, as text. */
function formatNumber(number: number): string {
  const isIpv4 = number < BYTE ** IPV4_BYTES
  const bytes = new Array<number>(isIpv4 ? 4 : 16).fill(0)
  let rest = number
  for (let index = (isIpv4 ? IPV4_BYTES : IPV6_BYTES) - 1; index >= 0; index -= 1) {
    bytes[index] = rest % BYTE
    rest = Math.floor(rest / BYTE)
  }
  const address = ipFromBytes(bytes)
  return formatNetwork({ address, prefix: CUSTOMER_PREFIX[address.kind] })
}

/** The domain, if it can be shown. */
function shownDomain(domain: string): string | undefined {
  return domain === NULL_SENDER || DOMAIN.test(domain) ? domain : undefined
}
