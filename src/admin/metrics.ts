// Collects the metrics that Prometheus reads. Their names and labels are a promise to operators; serving them is left
// to server.ts. Source: Prometheus text exposition format, through prom-client.

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Outcome } from '../outcome.ts'

/** Seconds, from an in-memory decision to the longest that a decision may take. */
const DECISION_BUCKETS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2,
]
/** Seconds, from the shortest sensible delay to the longest known retry schedule of an MTA. */
const RETRY_BUCKETS = [60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400, 172800]

/** All metrics of the process; `exposition` returns them, the other methods record events. */
export class Metrics {
  readonly #registry = new Registry()
  readonly #registers = [this.#registry]
  readonly #decisionSeconds = new Histogram({
    name: 'greymx_decision_seconds',
    help: 'Time that a decision took, with DNS and store',
    buckets: DECISION_BUCKETS,
    registers: this.#registers,
  })
  readonly #retryDelay = new Histogram({
    name: 'greymx_retry_delay_seconds',
    help: 'Time that triplets had waited when they first passed',
    buckets: RETRY_BUCKETS,
    registers: this.#registers,
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
    help: 'Keys that this host learnt while the store was down, and that the store has taken in since',
    registers: this.#registers,
  })
  readonly #protocolErrors = new Counter({
    name: 'greymx_protocol_errors_total',
    help: 'Faults of connections: a broken milter protocol, an exceeded limit, or a failure to accept',
    labelNames: ['kind'],
    registers: this.#registers,
  })
  /** Counted for every RCPT, so that the library gets them only at a scrape. */
  readonly #decisions = new Tally()
  readonly #storeOperations = new Tally()
  #openConnections = 0

  constructor() {
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
  }

  /** Records one outcome; `took` is the time of its decision in milliseconds. */
  outcome({ verdict, reason, waited, store }: Outcome, took: number): void {
    this.#decisions.count(verdict, reason)
    this.#decisionSeconds.observe(took / 1000)
    if (store === 'local') this.#localDecisions.inc()
    if (reason === 'retry') this.#retryDelay.observe(waited / 1000)
  }

  storeOperation(operation: string, result: string): void {
    this.#storeOperations.count(operation, result)
  }

  merged(keys: number): void {
    this.#merged.inc(keys)
  }

  /** Adds the metrics of the local store, which `current` gives at each scrape: `undefined` while there is none. */
  localStore(current: () => LocalFigures | undefined): void {
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

interface TallyDescription {
  readonly name: string
  readonly help: string
  readonly labelNames: [string, string]
}

/** A counter with two labels that costs next to nothing until a scrape. */
class Tally {
  readonly #counts = new Map<string, Map<string, number>>()

  count(first: string, second: string): void {
    const counts = this.#counts.get(first) ?? new Map<string, number>()
    counts.set(second, (counts.get(second) ?? 0) + 1)
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
