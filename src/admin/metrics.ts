// Collects the metrics that Prometheus reads. Their names and labels are a promise to operators; serving them is left
// to server.ts. Source: Prometheus text exposition format, through prom-client.

import { Counter, collectDefaultMetrics, Gauge, type Metric, Registry } from 'prom-client'
import { type ReturnCounts, Returns, SENDER_KINDS } from '../operator/returns.ts'
import { type Outcome, VERDICTS } from '../outcome.ts'
import { OPERATION_RESULTS, OPERATIONS } from '../store/guard.ts'
import type { KeyCounts } from '../store/store.ts'

/** Seconds, from an in-memory decision to the longest that a decision may take. */
const DECISION_BUCKETS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2,
]
/** Seconds, from the shortest sensible delay to the longest known retry schedule of an MTA. */
const RETRY_BUCKETS = [60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 172800]

/** Seconds, from an operation on the same machine to the longest `store_timeout` that does any good. */
const STORE_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1]
/** Seconds, from a resolver's cached answer to the last retransmission. */
const DNS_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]

/** Gauges of Node's that prom-client names like counters, and that stand beside better ones. */
const MISNAMED = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
]

/** Labels whose values are known elsewhere. */
interface LabelValues {
  readonly protocolErrors: readonly string[]
  readonly dns: readonly string[]
}

/** All metrics of the process; `exposition` returns them, the other methods record events. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #registers = [this.#registry]
  readonly #decisionSeconds = new Distribution(this.#registry, {
    name: 'greymx_decision_seconds',
    help: 'Time that a decision took, with DNS and store',
    buckets: DECISION_BUCKETS,
  })
  readonly #retryDelay = new Distribution(this.#registry, {
    name: 'greymx_retry_delay_seconds',
    help: 'Time that triplets had waited when they first passed',
    buckets: RETRY_BUCKETS,
  })
  readonly #storeUp = new Gauge({
    name: 'greymx_store_up',
    help: '1 while the store answers, 0 while it does not',
    registers: this.#registers,
  })
  readonly #storeOutages = new Counter({
    name: 'greymx_store_outages_total',
    help: 'Number of times that the store went down',
    registers: this.#registers,
  })
  readonly #localDecisions = new Counter({
    name: 'greymx_local_decisions_total',
    help: 'Outcomes that the local store decided while the store was down',
    registers: this.#registers,
  })
  readonly #merged = new Counter({
    name: 'greymx_local_merged_total',
    help: 'Keys that this host learnt while the store was down or full, and that the store has taken in since',
    registers: this.#registers,
  })
  readonly #protocolErrors = new Counter({
    name: 'greymx_protocol_errors_total',
    help: 'Faults of connections: a broken milter protocol, an exceeded limit, or a failure to accept',
    labelNames: ['kind'],
    registers: this.#registers,
  })
  readonly #storeSeconds = new Distribution(this.#registry, {
    name: 'greymx_store_seconds',
    help: 'Time that operations on the store took, by operation; those that were refused took none',
    label: { name: 'operation', values: OPERATIONS },
    buckets: STORE_BUCKETS,
  })
  readonly #dnsUp = new Gauge({
    name: 'greymx_dns_up',
    help: '1 while DNS answers, 0 while it is silent',
    registers: this.#registers,
  })
  readonly #dnsQuestions = new Counter({
    name: 'greymx_dns_questions_total',
    help: 'Questions to DNS that the cache could not answer, by result',
    labelNames: ['result'],
    registers: this.#registers,
  })
  readonly #dnsSeconds = new Distribution(this.#registry, {
    name: 'greymx_dns_seconds',
    help: 'Time until DNS answered a question, or until it was given up',
    buckets: DNS_BUCKETS,
  })
  readonly #adminCalls = new Counter({
    name: 'greymx_admin_calls_total',
    help: 'Calls of operators, by result: ok, refused as they could not be done, or failed',
    labelNames: ['call', 'result'],
    registers: this.#registers,
  })
  readonly #reloadSuccessful = new Gauge({
    name: 'greymx_config_last_reload_successful',
    help: '1 if the last reading of the configuration succeeded, 0 if it was refused',
    registers: this.#registers,
  })
  readonly #reloadTime = new Gauge({
    name: 'greymx_config_last_reload_success_timestamp_seconds',
    help: 'When the configuration in use was read, in seconds since 1970',
    registers: this.#registers,
  })
  /** Counted for every RCPT, so that the library gets them only at a scrape. */
  readonly #decisions = new Tally()
  readonly #storeOperations = new Tally()
  readonly #returns = new Returns()
  #openConnections = 0

  /** Every series whose labels are known is there from the start, at 0. */
  constructor(version: string, labels: LabelValues) {
    new Gauge({
      name: 'greymx_build_info',
      help: 'Always 1; the labels say which greymx runs on which Node.js',
      labelNames: ['version', 'node_version'],
      registers: this.#registers,
    }).set({ version, node_version: process.version }, 1)
    for (const [reason, verdicts] of Object.entries(VERDICTS))
      for (const verdict of verdicts) this.#decisions.count(verdict, reason, 0)
    for (const operation of OPERATIONS) {
      for (const result of OPERATION_RESULTS) this.#storeOperations.count(operation, result, 0)
    }
    for (const kind of labels.protocolErrors) this.#protocolErrors.inc({ kind }, 0)
    for (const result of labels.dns) this.#dnsQuestions.inc({ result }, 0)
    this.#dnsUp.set(1)
    this.#decisions.register(this.#registry, {
      name: 'greymx_decisions_total',
      help: 'Outcomes by verdict and reason',
      labelNames: ['verdict', 'reason'],
    })
    this.#storeOperations.register(this.#registry, {
      name: 'greymx_store_operations_total',
      help: 'Operations on the store, by result: ok, error, timeout, or refused as the store was known to be down',
      labelNames: ['operation', 'result'],
    })
    this.#countBySender({
      name: 'greymx_first_deferrals_total',
      help: 'First attempts that this host deferred; they may return to any host that shares its store',
      count: 'deferred',
    })
    this.#countBySender({
      name: 'greymx_returns_total',
      help: 'Messages that came back to this host and passed; any host that shares its store may have deferred them',
      count: 'returned',
    })
    const openConnections = () => this.#openConnections
    new Gauge({
      name: 'greymx_mta_connections',
      help: 'Open connections of MTAs',
      registers: this.#registers,
      collect() {
        this.set(openConnections())
      },
    })
    collectDefaultMetrics({ register: this.#registry })
    for (const name of MISNAMED) this.#registry.removeSingleMetric(name)
  }

  /** Adds a counter of what is known of aligned senders and of others. */
  #countBySender({ name, help, count }: SenderCounter): void {
    const { counts } = this.#returns
    new Counter({
      name,
      help,
      labelNames: ['sender'],
      registers: this.#registers,
      collect() {
        this.reset()
        for (const sender of SENDER_KINDS) this.inc({ sender }, counts[sender][count])
      },
    })
  }

  /** Records one outcome; `took` is the time of its decision in milliseconds. */
  outcome(outcome: Outcome, took: number): void {
    const { verdict, reason, waited, store } = outcome
    this.#returns.take(outcome)
    this.#decisions.count(verdict, reason)
    this.#decisionSeconds.observe(took / 1000)
    if (store === 'local') this.#localDecisions.inc()
    if (reason === 'retry') this.#retryDelay.observe(waited / 1000)
  }

  /** Records one operation; `took` is its time in milliseconds, absent when it was refused. */
  storeOperation(operation: string, result: string, took?: number): void {
    this.#storeOperations.count(operation, result)
    if (took !== undefined) this.#storeSeconds.observe(took / 1000, operation)
  }

  /** Records one question to DNS; `took` is its time in milliseconds, absent when it was not asked. */
  dnsQuestion(result: string, took?: number): void {
    this.#dnsQuestions.inc({ result })
    if (took !== undefined) this.#dnsSeconds.observe(took / 1000)
  }

  /** Begins the series of these calls, at 0. */
  adminCalls(calls: readonly string[], results: readonly string[]): void {
    for (const call of calls) for (const result of results) this.#adminCalls.inc({ call, result }, 0)
  }

  adminCall(call: string, result: string): void {
    this.#adminCalls.inc({ call, result })
  }

  dnsUp(isUp: boolean): void {
    this.#dnsUp.set(isUp ? 1 : 0)
  }

  /** Records that the configuration was read, and whether it is in use now. */
  reloaded(isInUse: boolean): void {
    this.#reloadSuccessful.set(isInUse ? 1 : 0)
    if (isInUse) this.#reloadTime.setToCurrentTime()
  }

  merged(keys: number): void {
    this.#merged.inc(keys)
  }

  /**
   * Adds the metrics of the local store, which `current` gives at each scrape: `undefined` while there is none. `limit`
   * gives the number of entries that it may have.
   */
  localStore(current: () => LocalFigures | undefined, limit: () => number): void {
    new Gauge({
      name: 'greymx_local_max_entries',
      help: 'Most entries that the local store of this host may have: the setting local_entries',
      registers: this.#registers,
      collect() {
        this.set(limit())
      },
    })
    new Gauge({
      name: 'greymx_local_entries',
      help: 'Entries of the local store: copies of entries of the store, and entries that are not merged into it yet',
      labelNames: ['kind'],
      registers: this.#registers,
      collect() {
        const local = current()
        this.reset()
        if (!local) return
        this.set({ kind: 'copy' }, local.size - local.unmergedSize)
        this.set({ kind: 'unmerged' }, local.unmergedSize)
      },
    })
    new Counter({
      name: 'greymx_local_full_total',
      help: 'Entries that the local store had no room for, as it was full of entries that are not merged yet',
      registers: this.#registers,
      collect() {
        this.reset()
        this.inc(current()?.refused ?? 0)
      },
    })
  }

  /**
   * Adds the number of keys in the store by kind, which `current` gives at each scrape: `undefined` while it is unknown,
   * and no series then. `words` has the label's value for each kind of key; all others are counted as `other`.
   */
  storeEntries(words: Readonly<Record<string, string>>, current: () => Promise<KeyCounts | undefined>): void {
    new Gauge({
      name: 'greymx_store_entries',
      help: 'Keys in the store by kind, as counted within the last minutes; of Redis an estimate by a sample',
      labelNames: ['kind'],
      registers: this.#registers,
      async collect() {
        const counts = await current()
        this.reset()
        if (!counts) return
        for (const word of [...Object.values(words), 'other']) this.set({ kind: word }, 0)
        for (const [kind, keys] of counts) this.inc({ kind: words[kind] ?? 'other' }, keys)
      },
    })
  }

  connections(open: number): void {
    this.#openConnections = open
  }

  storeUp(): void {
    this.#storeUp.set(1)
  }

  storeDown(): void {
    this.#storeUp.set(0)
    this.#storeOutages.inc()
  }

  protocolError(kind: string): void {
    this.#protocolErrors.inc({ kind })
  }

  /** The metrics in Prometheus's text format, with their content type. */
  async exposition(): Promise<{ readonly type: string; readonly text: string }> {
    return { type: this.#registry.contentType, text: await this.#registry.metrics() }
  }
}

/** Figures of the local store: its entries, those not merged yet, and how many it refused because it was full. */
export interface LocalFigures {
  readonly size: number
  readonly unmergedSize: number
  readonly refused: number
}

interface SenderCounter {
  readonly name: string
  readonly help: string
  readonly count: keyof ReturnCounts
}

interface TallyDescription {
  readonly name: string
  readonly help: string
  readonly labelNames: [string, string]
}

/** A counter with two labels that costs next to nothing until a scrape. */
class Tally {
  readonly #counts = new Map<string, Map<string, number>>()

  count(first: string, second: string, by = 1): void {
    const counts = this.#counts.get(first) ?? new Map<string, number>()
    counts.set(second, (counts.get(second) ?? 0) + by)
    this.#counts.set(first, counts)
  }

  register(registry: Registry, description: TallyDescription): void {
    const counts = this.#counts
    new Counter({
      ...description,
      registers: [registry],
      collect() {
        this.reset()
        for (const [first, bySecond] of counts) {
          for (const [second, count] of bySecond) this.labels(first, second).inc(count)
        }
      },
    })
  }
}

interface DistributionDescription {
  readonly name: string
  readonly help: string
  /** Upper bounds in ascending order. */
  readonly buckets: readonly number[]
  /** The label and all its values, each of which is a series; without one there is one series. */
  readonly label?: { readonly name: string; readonly values: readonly string[] }
}

/**
 * A histogram that costs next to nothing until a scrape. The library's own checks and hashes the labels with each
 * observation, and a decision makes several.
 */
class Distribution {
  readonly #description: DistributionDescription
  /** By the label's value: how many observations are in each bucket and beyond the last, and the sum of all. */
  readonly #series: ReadonlyMap<string, { readonly counts: number[]; sum: number }>

  constructor(registry: Registry, description: DistributionDescription) {
    const { name, buckets, label } = description
    this.#description = description
    this.#series = new Map(
      (label?.values ?? ['']).map((value) => [value, { counts: [...buckets, 0].fill(0), sum: 0 }]),
    )
    // Of a metric, the registry reads no more than its name and what `get` gives.
    registry.registerMetric({ name, get: async () => this.#export() } as unknown as Metric)
  }

  observe(value: number, labelled = ''): void {
    const series = this.#series.get(labelled)
    if (!series) return
    const { buckets } = this.#description
    let index = 0
    while (index < buckets.length && value > (buckets[index] ?? 0)) index += 1
    series.counts[index] = (series.counts[index] ?? 0) + 1
    series.sum += value
  }

  #export() {
    const { name, help, buckets, label } = this.#description
    const values = [...this.#series].flatMap(([value, { counts, sum }]) => {
      const labels = label ? { [label.name]: value } : {}
      let count = 0
      const cumulative = [...buckets, '+Inf'].map((le, index) => {
        count += counts[index] ?? 0
        return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count }
      })
      return [
        ...cumulative,
        { metricName: `${name}_sum`, labels, value: sum },
        { metricName: `${name}_count`, labels, value: count },
      ]
    })
    return { name, help, type: 'histogram', values }
  }
}
