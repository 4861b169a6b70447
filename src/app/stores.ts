// Opens the stores that the settings name, and exchanges them on reload. A new store is opened beside the old one and
// replaces it only when it can be used; the old one is closed when the last decision that began with it has ended. How
// a store keeps entries is left to store/.

import { isDeepStrictEqual } from 'node:util'
import type { LocalFigures, Metrics } from '../admin/metrics.ts'
import type { Change } from '../change.ts'
import type { Config } from '../config/schema.ts'
import { DECISION_TIMEOUT } from '../greylist/deadline.ts'
import { KEY_KINDS } from '../greylist/keys.ts'
import type { Log } from '../log/log.ts'
import { Census } from '../store/census.ts'
import { GuardedStore, type StoreState } from '../store/guard.ts'
import { FailoverStore, type FailoverWatch, type StandInReason } from '../store/local/failover.ts'
import type { LocalStore } from '../store/local/local.ts'
import { createLocalStore, formatStoreSpec, openLocalStore, openStore } from '../store/open.ts'
import type { RecordStore } from '../store/records.ts'
import type { Store } from '../store/store.ts'

/** Returns the opened stores. Rejects when one cannot be opened; an unreachable Redis is retried instead. */
export async function openStores(config: Config, log: Log, metrics: Metrics): Promise<Stores> {
  const reports = new Reports()
  reports.begin()
  const local = isLocalUsed(config) ? await openLocal(config, log, reports) : undefined
  try {
    return new Stores(config, log, metrics, await openShared(config, log, metrics, reports), local)
  } catch (error) {
    await local?.close()
    throw error
  }
}

/** The shared store and the local one, as the settings in use have them. */
export class Stores {
  readonly #log: Log
  readonly #metrics: Metrics
  /** The settings in use. */
  #config: Config
  #shared: SharedStore
  /** Joined with the overflow when no local store is in use, also for what that has from before a reload. */
  #failover: FailoverStore
  /** What the shared store had no room for, with `on_store_full: local`, where there is no local store otherwise. */
  readonly #overflow: LocalStore
  /** Stores that were replaced: a timer each, and the function that it calls to close one. */
  readonly #retiring = new Map<NodeJS.Timeout, () => Promise<void>>()

  constructor(
    config: Config,
    log: Log,
    metrics: Metrics,
    shared: SharedStore,
    local: LocalStore | undefined,
  ) {
    this.#log = log
    this.#metrics = metrics
    this.#config = config
    this.#shared = shared
    this.#overflow = createLocalStore(config.local.entries, config.greylist.times)
    this.#failover = this.#join(local)
    shared.begin()
    metrics.localStore(
      () => this.localFigures,
      () => this.#config.local.entries,
    )
    metrics.storeEntries(KEY_KINDS, () => this.#shared.census.counts())
  }

  /** The store by which attempts are judged: the shared one, with the local one or the overflow beside it. */
  get store(): Store {
    return this.#failover
  }

  /** The local store, which decides while the shared store is away, with `on_store_error: local`. */
  get local(): LocalStore | undefined {
    const { local } = this.#failover
    return local === this.#overflow ? undefined : local
  }

  /** The local store or else the overflow, with its name, for monitoring; absent while neither has anything to tell. */
  get localFigures(): (LocalFigures & { readonly name: string }) | undefined {
    const { size, unmergedSize, refused } = this.#failover.local
    if (!this.local && size === 0 && refused === 0) return undefined
    const spec = this.local ? this.#config.local.store : ({ kind: 'memory' } as const)
    return { name: formatStoreSpec(spec), size, unmergedSize, refused }
  }

  /** The records of the shared store, past the circuit breaker. */
  get records(): RecordStore {
    return this.#shared.records
  }

  get name(): string {
    return formatStoreSpec(this.#config.store)
  }

  get state(): StoreState {
    return this.#shared.guarded.state
  }

  /** Asks the shared store; rejects when it cannot be used. */
  check(): Promise<void> {
    return this.#shared.guarded.check()
  }

  /** Opens the stores that `next` needs. When one cannot be used, it rejects and changes nothing. */
  async prepare(next: Config): Promise<Change> {
    const keepsLocal = isDeepStrictEqual(localSpecOf(next), localSpecOf(this.#config))
    const unmerged = this.#failover.local.unmergedSize
    if (!keepsLocal && unmerged > 0) {
      const problem = `Cannot change on_store_error or local_store while not all that this host learnt is merged into ${this.name}`
      throw new Error(`${problem} (unmerged: ${unmerged}): expected a reload once it is, or a restart`)
    }
    const reports = new Reports()
    const opened: Array<() => Promise<void>> = []
    const abandon = async () => {
      for (const close of opened.splice(0)) await close()
    }
    try {
      let shared = this.#shared
      if (!isDeepStrictEqual(next.store, this.#config.store)) {
        shared = await openShared(next, this.#log, this.#metrics, reports)
        opened.push(() => shared.close())
        const { up, problem } = shared.guarded.state
        if (!up) throw new Error(`Cannot use store ${formatStoreSpec(next.store)}: ${problem}`)
      }
      let local = this.local
      if (!keepsLocal) {
        local = isLocalUsed(next) ? await openLocal(next, this.#log, reports) : undefined
        opened.push(async () => local?.close())
      }
      const apply = async () => {
        reports.begin()
        this.#use(next, shared, local)
      }
      return { apply, abandon }
    } catch (error) {
      await abandon()
      throw error
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#retiring.keys()].map((timer) => this.#end(timer)))
    await this.#failover.close()
    await this.#shared.close()
    await this.local?.close()
  }

  #use(config: Config, shared: SharedStore, local: LocalStore | undefined): void {
    const [lastShared, lastLocal] = [this.#shared, this.local]
    const last = this.#config
    this.#config = config
    shared.guarded.useTimeout(config.storeTimeout)
    local?.use(config.local.entries, config.greylist.times)
    this.#overflow.use(config.local.entries, config.greylist.times)
    const isSameUse = config.greylist.onStoreFull === last.greylist.onStoreFull
    if (shared === lastShared && local === lastLocal && isSameUse) return
    void this.#failover.close() // ends its merging; decisions that began with it are still answered
    this.#shared = shared
    this.#failover = this.#join(local)
    if (shared !== lastShared) {
      lastShared.end()
      shared.begin()
      this.#retire(() => lastShared.close())
    }
    if (local !== lastLocal) this.#retire(async () => lastLocal?.close())
  }

  #retire(close: () => Promise<void>): void {
    const timer: NodeJS.Timeout = setTimeout(() => void this.#end(timer), DECISION_TIMEOUT)
    this.#retiring.set(timer, close)
  }

  async #end(timer: NodeJS.Timeout): Promise<void> {
    clearTimeout(timer)
    const close = this.#retiring.get(timer)
    this.#retiring.delete(timer)
    await close?.()
  }

  #join(local: LocalStore | undefined): FailoverStore {
    const use = { whenAway: local !== undefined, whenFull: this.#config.greylist.onStoreFull === 'local' }
    const { guarded } = this.#shared
    const watch: FailoverWatch = {
      onMerged: ({ merged, unreadable }, reasons) => {
        this.#metrics.merged(merged)
        this.#log.event('info', `the store has taken in what this host ${learntWhen(reasons)}`, {
          merged,
          unreadable: unreadable || undefined,
        })
      },
      onMergeFailed: (problem) =>
        this.#log.event(
          'error',
          'the store does not take in what this host has learnt by itself: it is kept here, and offered again',
          { problem },
        ),
    }
    return new FailoverStore(guarded, () => guarded.state.up, local ?? this.#overflow, watch, use)
  }
}

/** Holds back what stores report, until they are in use, as a reload may still be refused after they were opened. */
class Reports {
  #held: Array<() => void> | undefined = []

  /** Calls `write`, once the stores are in use. */
  report(write: () => void): void {
    if (this.#held) this.#held.push(write)
    else write()
  }

  begin(): void {
    const held = this.#held ?? []
    this.#held = undefined
    for (const write of held) write()
  }
}

/** A shared store. Its state is logged and counted between `begin` and `end` only. */
interface SharedStore {
  readonly guarded: GuardedStore
  /** No mail waits for these. */
  readonly records: RecordStore
  /** Counts keys past the circuit breaker: no mail depends on them. */
  readonly census: Census
  begin(): void
  end(): void
  close(): Promise<void>
}

async function openShared(
  config: Config,
  log: Log,
  metrics: Metrics,
  reports: Reports,
): Promise<SharedStore> {
  const name = formatStoreSpec(config.store)
  const store = await openStore(config.store, {
    onWarning: (warning) =>
      reports.report(() =>
        log.event('warn', 'the store is in use, but is not set up as it should be', { store: name, warning }),
      ),
    onMovedAside: (problem, movedTo) =>
      log.event(
        'error',
        'damaged state was moved aside: the store begins empty, and known senders wait once more',
        {
          store: name,
          problem,
          moved_to: movedTo,
        },
      ),
  })
  let isInUse = false
  let wasReadable = false
  const up = () => {
    metrics.storeUp()
    log.event('info', 'store is up', { store: name })
  }
  const down = (problem: string, isReadable: boolean) => {
    metrics.storeDown()
    const event = isReadable
      ? 'store takes no writes: what it knows still counts, and on_store_full decides on other mail'
      : 'store is down'
    log.event('error', event, { store: name, problem })
  }
  const partDown = (part: string, problem: string) => {
    if (part === '') log.event('error', 'store is down', { store: name, problem })
    else log.event('error', 'a node of the store is down', { store: name, node: part, problem })
  }
  const guarded = new GuardedStore(store, config.storeTimeout, {
    onOperation: (operation, result, took) => metrics.storeOperation(operation, result, took),
    onUp: () => isInUse && up(),
    onUnreadable: (problem) => isInUse && log.event('error', 'store is down', { store: name, problem }),
    onPartDown: (part, problem) => isInUse && partDown(part, problem),
    onPartUp: (part) =>
      isInUse && log.event('info', 'a node of the store is up, others are down', { store: name, node: part }),
    onDown: (problem, isReadable) => {
      wasReadable = isReadable
      if (isInUse) down(problem, isReadable)
    },
  })
  await guarded.check().catch(() => undefined) // a failure shows in `state`, and mail flows while it is retried
  const census = new Census(store, () => performance.now())
  return {
    guarded,
    records: store,
    census,
    begin() {
      isInUse = true
      if (guarded.state.up) up()
      const [first, ...others] = guarded.downParts
      if (first) down(first[1], wasReadable)
      for (const other of others) partDown(...other)
    },
    end() {
      isInUse = false
    },
    close() {
      census.close()
      return guarded.close()
    },
  }
}

function learntWhen(reasons: ReadonlySet<StandInReason>): string {
  if (reasons.size === 2) return 'learnt while it was down or took no writes'
  if (reasons.has('full')) return 'learnt while it took no writes'
  return reasons.has('away') ? 'learnt while it was down' : 'had learnt before it was started or reloaded'
}

function openLocal({ local, greylist }: Config, log: Log, reports: Reports): Promise<LocalStore> {
  const store = formatStoreSpec(local.store)
  return openLocalStore(local.store, local.entries, greylist.times, {
    onWritten: () =>
      reports.report(() => log.event('info', 'local_store is written to disk again', { store })),
    onUnwritten: (problem) =>
      reports.report(() =>
        log.event(
          'error',
          'local_store cannot be written to disk: greymx goes on in memory, and a restart now would forget it',
          { store, problem },
        ),
      ),
    onMovedAside: (problem, movedTo) =>
      log.event('error', 'damaged local_store was moved aside', { store, problem, moved_to: movedTo }),
  })
}

function isLocalUsed({ greylist }: Config): boolean {
  return greylist.onStoreError === 'local'
}

function localSpecOf(config: Config): unknown {
  return isLocalUsed(config) && config.local.store
}
