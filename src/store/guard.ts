// A circuit breaker with time-outs around a store, and the only one: stores report what they notice, and whether they
// can be used is decided here. The first failure, time-out or lost connection opens the circuit: waiting and new
// operations are refused at once, until a probe in the background succeeds. Probes follow each other with backoff; a
// store that has reconnected is probed at once. After a failed write, as on a full disk, reads still go to the store
// until one fails too. Operations are counted, and results are passed on unchanged. What mail gets while the store is
// down is the caller's decision.

import { UnreadableEntry } from './encoding.ts'
import type { Entry } from './entry.ts'
import type { Learnt } from './merge.ts'
import { type SharedStore, StoreUnusable, type UnguardedStore } from './store.ts'

/** The operations that are counted. */
export type OperationName = 'find' | 'add' | 'pass' | 'count' | 'counts' | 'forget' | 'merge' | 'check'
/** How an operation ended; `refused`: not started or no longer awaited, as the store was known to be down. */
export type OperationResult = 'ok' | 'error' | 'timeout' | 'refused'

/** Callbacks for each operation and for each change between up and down. */
export interface StoreWatch {
  onOperation(operation: OperationName, result: OperationResult): void
  /** Called when the store comes up, also for the first time. */
  onUp(): void
  /** Called when the store goes down; `problem` says why. */
  onDown(problem: string): void
}

/** Whether a store is up, and since when. */
export interface StoreState {
  readonly up: boolean
  /** Why the store is down; absent while it is up, and until it has first answered or failed. */
  readonly problem?: string
  readonly since: Date
}

/** Backoff between probes of a store that is down, in milliseconds: doubles from the first bound to the second. */
const MIN_PROBE_DELAY = 250
const MAX_PROBE_DELAY = 2000

/** A store that goes down again within this time, in milliseconds, continues its backoff, so that it flaps less. */
const RELAPSE_WINDOW = 10_000

/** An operation that the store has not answered yet. */
interface Pending {
  readonly operation: OperationName
  deadline: number
  readonly reject: (error: Error) => void
}

/** A store behind the circuit breaker. Its operations reject with the store's own error or with why it is down. */
export class GuardedStore implements SharedStore {
  readonly #store: UnguardedStore
  #timeout: number
  readonly #watch: StoreWatch
  /** In order of deadline, as all have the same time-out; so one timer, set for the first, serves all. */
  readonly #pending = new Set<Pending>()
  #deadlineTimer: NodeJS.Timeout | undefined
  #state: StoreState = { up: false, since: new Date() }
  /** Whether reads go to the store while it is down: its last failure was an answer to a write. */
  #isReadable = false
  /** When the store last went down or came back; not when it came up for the first time. */
  #changedAt = Number.NEGATIVE_INFINITY
  #probeDelay = MIN_PROBE_DELAY
  #probeTimer: NodeJS.Timeout | undefined
  #isProbing = false
  #isClosed = false

  /** `timeout` is that of each operation, in milliseconds. The state is known once the caller's first `check` ends. */
  constructor(store: UnguardedStore, timeout: number, watch: StoreWatch) {
    this.#store = store
    this.#timeout = timeout
    this.#watch = watch
    store.watch({
      onReady: () => void this.#probe(),
      onLost: (problem) => this.#markDown(problem, false),
    })
  }

  /** The state now. */
  get state(): StoreState {
    return this.#state
  }

  find(keys: readonly string[]): Promise<Array<Entry | undefined>> {
    return this.#refusal('find') ?? this.#withDeadline('find', this.#store.find(keys))
  }

  add(key: string, retryWindow: number, age?: number): Promise<boolean> {
    return this.#refusal('add') ?? this.#withDeadline('add', this.#store.add(key, retryWindow, age))
  }

  pass(key: string, lifetime: number): Promise<void> {
    return this.#refusal('pass') ?? this.#withDeadline('pass', this.#store.pass(key, lifetime))
  }

  count(key: string, window: number, by?: number): Promise<number> {
    return this.#refusal('count') ?? this.#withDeadline('count', this.#store.count(key, window, by))
  }

  counts(keys: readonly string[]): Promise<number[]> {
    return this.#refusal('counts') ?? this.#withDeadline('counts', this.#store.counts(keys))
  }

  forget(key: string): Promise<void> {
    return this.#refusal('forget') ?? this.#withDeadline('forget', this.#store.forget(key))
  }

  merge(key: string, learnt: Learnt): Promise<void> {
    return this.#refusal('merge') ?? this.#withDeadline('merge', this.#store.merge(key, learnt))
  }

  check(): Promise<void> {
    return this.#refusal('check') ?? this.#withDeadline('check', this.#store.check())
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#deadlineTimer)
    clearTimeout(this.#probeTimer)
    await this.#store.close()
  }

  /** Changes the time-out of later operations; waiting ones get it only where it brings their deadline forward. */
  useTimeout(timeout: number): void {
    if (timeout === this.#timeout) return
    this.#timeout = timeout
    const deadline = performance.now() + timeout
    for (const pending of this.#pending) pending.deadline = Math.min(pending.deadline, deadline)
    clearTimeout(this.#deadlineTimer)
    this.#rejectOverdue()
  }

  /** Half-open probe of a store that is down: closes the circuit, or comes again after the backoff. Never rejects. */
  async #probe(): Promise<void> {
    if (this.#isProbing || !this.#isDown || this.#isClosed) return
    clearTimeout(this.#probeTimer)
    this.#isProbing = true
    const isBack = await this.#withDeadline('check', this.#store.check()).then(
      () => true,
      () => false,
    )
    this.#isProbing = false
    if (isBack) return
    this.#probeDelay = Math.min(this.#probeDelay * 2, MAX_PROBE_DELAY)
    this.#probeLater()
  }

  #probeLater(): void {
    if (this.#isClosed) return
    this.#probeTimer = setTimeout(() => void this.#probe(), this.#probeDelay)
  }

  get #isDown(): boolean {
    return this.#state.problem !== undefined
  }

  /** Opens the circuit, or changes why it is open. */
  #markDown(problem: string, isReadable: boolean): void {
    this.#isReadable = isReadable
    if (this.#isDown) {
      this.#state = { ...this.#state, problem } // the latest problem is the most useful to the operator
    } else {
      const now = performance.now()
      const isRelapse = now - this.#changedAt < RELAPSE_WINDOW
      this.#probeDelay = isRelapse ? Math.min(this.#probeDelay * 2, MAX_PROBE_DELAY) : MIN_PROBE_DELAY
      this.#changedAt = now
      this.#state = { up: false, problem, since: new Date() }
      this.#watch.onDown(problem)
      this.#probeLater()
    }
    for (const pending of this.#pending) {
      const { operation, reject } = pending
      const isProbe = operation === 'check' && this.#isProbing
      if (this.#isAllowed(operation) || isProbe) continue
      this.#pending.delete(pending)
      this.#watch.onOperation(operation, 'refused')
      reject(new Error(problem))
    }
  }

  #markUp(): void {
    if (this.#state.up) return
    if (this.#isDown) this.#changedAt = performance.now()
    this.#state = { up: true, since: new Date() }
    this.#watch.onUp()
  }

  /** While this is false, calls to `operation` are refused. */
  #isAllowed(operation: OperationName): boolean {
    return !this.#isDown || (this.#isReadable && isRead(operation))
  }

  #refusal(operation: OperationName): Promise<never> | undefined {
    if (this.#isAllowed(operation)) return undefined
    this.#watch.onOperation(operation, 'refused')
    return Promise.reject(new Error(this.#state.problem))
  }

  #withDeadline<T>(operation: OperationName, answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const pending = { operation, deadline: performance.now() + this.#timeout, reject }
      this.#pending.add(pending)
      this.#deadlineTimer ??= this.#rejectOverdueIn(this.#timeout)
      answer.then(
        (value) => {
          if (!this.#pending.delete(pending)) return
          this.#watch.onOperation(operation, 'ok')
          // Only a probe, which writes, closes the circuit: on a full disk, a read succeeds as well.
          if (!this.#isDown || operation === 'check') this.#markUp()
          resolve(value)
        },
        (error: Error) => {
          if (!this.#pending.delete(pending)) return
          this.#watch.onOperation(operation, 'error')
          if (isOutage(operation, error)) this.#markDown(error.message, isReadableAfter(operation, error))
          reject(error)
        },
      )
    })
  }

  /** Waits one more turn of the event loop, so that answers that arrived while this process was blocked still count. */
  #rejectOverdueIn(milliseconds: number): NodeJS.Timeout {
    return setTimeout(() => setImmediate(() => this.#rejectOverdue()), milliseconds)
  }

  #rejectOverdue(): void {
    this.#deadlineTimer = undefined
    const [oldest] = this.#pending
    if (!oldest) return
    const left = oldest.deadline - performance.now()
    if (left > 0) {
      this.#deadlineTimer = this.#rejectOverdueIn(Math.ceil(left))
      return
    }
    this.#pending.delete(oldest)
    const problem = `the store did not answer ${oldest.operation} within ${this.#timeout}ms`
    this.#watch.onOperation(oldest.operation, 'timeout')
    this.#markDown(problem, false)
    oldest.reject(new Error(problem))
    this.#rejectOverdue()
  }
}

function isRead(operation: OperationName): boolean {
  return operation === 'find' || operation === 'counts'
}

/**
 * Whether an error opens the circuit. A refused merge does not, as when the Redis user may not run scripts; nor does
 * one unreadable entry.
 */
function isOutage(operation: OperationName, error: Error): boolean {
  return !(error instanceof UnreadableEntry) && operation !== 'merge'
}

/** Whether reads may still succeed: the store has answered, and the error does not concern them. */
function isReadableAfter(operation: OperationName, error: Error): boolean {
  return !isRead(operation) && !(error instanceof StoreUnusable)
}
