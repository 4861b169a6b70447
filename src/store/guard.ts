// A store whose operations take a bounded time, are counted, and show whether the store is up. A store that is down
// costs one failure, not one for each who asks: from then on whoever asks is refused at once, and so is whoever waits
// already, until a probe in the background finds the store well again. Where it is a write that fails, as on a full disk,
// reads are asked all the same, until one of them fails too. Else who asks gets the store's own answer.

import { UnreadableEntry } from './encoding.ts'
import type { Entry } from './entry.ts'
import type { Learnt } from './merge.ts'
import type { SharedStore } from './store.ts'

export type Operation = 'find' | 'add' | 'pass' | 'count' | 'forget' | 'merge' | 'check'
/** `refused`: not asked, or not waited for any longer, as the store was known to be down. */
export type OperationResult = 'ok' | 'error' | 'timeout' | 'refused'

export interface StoreWatch {
  onOperation(operation: Operation, result: OperationResult): void
  /** Only when it changes; `problem` says why it is down. */
  onUp(): void
  onDown(problem: string): void
}

/** Whether a store is up, and since when that is so. */
export interface StoreState {
  readonly up: boolean
  /** Why it is down; absent also as long as it has neither answered nor failed. */
  readonly problem?: string
  readonly since: Date
}

/** Times between probes of a store that is down, in milliseconds: growing at first, then steady. */
const FIRST_PROBE = 250
const LONGEST_PROBE = 2000

/** A store that goes down again sooner than this is probed as seldom as before: it shall not go up and down all the time. */
const STEADY = 10_000

/** An operation that was not answered yet. */
interface Pending {
  readonly operation: Operation
  endsAt: number
  readonly reject: (error: Error) => void
}

export class GuardedStore implements SharedStore {
  readonly #store: SharedStore
  #timeout: number
  readonly #watch: StoreWatch
  /** In the order of their ends, as all have the same time: one timer, for the first, does for all of them. */
  readonly #pending = new Set<Pending>()
  #timer: NodeJS.Timeout | undefined
  #state: StoreState = { up: false, since: new Date() }
  /** Whether a store that is down is asked for what is in it: it answered, though only to say that it cannot write. */
  #isReadable = false
  #changedAt = Number.NEGATIVE_INFINITY
  #probeIn = FIRST_PROBE
  #probeTimer: NodeJS.Timeout | undefined
  #isProbing = false
  #isClosed = false

  /** `timeout` in milliseconds, for each operation. */
  constructor(store: SharedStore, timeout: number, watch: StoreWatch) {
    this.#store = store
    this.#timeout = timeout
    this.#watch = watch
  }

  get state(): StoreState {
    return this.#state
  }

  find(keys: readonly string[]): Promise<Array<Entry | undefined>> {
    return this.#refusal('find') ?? this.#bounded('find', this.#store.find(keys))
  }

  add(key: string, retryWindow: number, age?: number): Promise<boolean> {
    return this.#refusal('add') ?? this.#bounded('add', this.#store.add(key, retryWindow, age))
  }

  pass(key: string, lifetime: number): Promise<void> {
    return this.#refusal('pass') ?? this.#bounded('pass', this.#store.pass(key, lifetime))
  }

  count(key: string, window: number): Promise<number> {
    return this.#refusal('count') ?? this.#bounded('count', this.#store.count(key, window))
  }

  forget(key: string): Promise<void> {
    return this.#refusal('forget') ?? this.#bounded('forget', this.#store.forget(key))
  }

  merge(key: string, learnt: Learnt): Promise<void> {
    return this.#refusal('merge') ?? this.#bounded('merge', this.#store.merge(key, learnt))
  }

  check(): Promise<void> {
    return this.#refusal('check') ?? this.#bounded('check', this.#store.check())
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    clearTimeout(this.#probeTimer)
    await this.#store.close()
  }

  /** From now on, and for what is waited for already, where that shortens the wait. */
  useTimeout(timeout: number): void {
    if (timeout === this.#timeout) return
    this.#timeout = timeout
    const endsAt = performance.now() + timeout
    for (const pending of this.#pending) pending.endsAt = Math.min(pending.endsAt, endsAt)
    clearTimeout(this.#timer)
    this.#endOverdue()
  }

  /** Also for what a store reports by itself, such as a lost connection. */
  markDown(problem: string): void {
    this.#markDown(problem, false)
  }

  /** Finds out at once whether a store that is down is back, as when it has just connected again. */
  async probe(): Promise<void> {
    if (this.#isProbing || !this.#isDown) return
    clearTimeout(this.#probeTimer)
    this.#isProbing = true
    const isBack = await this.#bounded('check', this.#store.check()).then(
      () => true,
      () => false,
    )
    this.#isProbing = false
    if (isBack) return
    this.#probeIn = Math.min(this.#probeIn * 2, LONGEST_PROBE)
    this.#probeLater()
  }

  #probeLater(): void {
    if (this.#isClosed) return
    this.#probeTimer = setTimeout(() => void this.probe(), this.#probeIn)
  }

  get #isDown(): boolean {
    return this.#state.problem !== undefined
  }

  #markDown(problem: string, isReadable: boolean): void {
    this.#isReadable = isReadable
    if (this.#isDown) {
      this.#state = { ...this.#state, problem } // the latest says most
    } else {
      const now = performance.now()
      const isRelapse = now - this.#changedAt < STEADY
      this.#probeIn = isRelapse ? Math.min(this.#probeIn * 2, LONGEST_PROBE) : FIRST_PROBE
      this.#changedAt = now
      this.#state = { up: false, problem, since: new Date() }
      this.#watch.onDown(problem)
      this.#probeLater()
    }
    for (const pending of this.#pending) {
      const { operation, reject } = pending
      const isProbe = operation === 'check' && this.#isProbing
      if (this.#isAsked(operation) || isProbe) continue
      this.#pending.delete(pending)
      this.#watch.onOperation(operation, 'refused')
      reject(new Error(problem))
    }
  }

  #markUp(): void {
    if (this.#state.up) return
    this.#changedAt = performance.now()
    this.#state = { up: true, since: new Date() }
    this.#watch.onUp()
  }

  /** Of one that is not, whoever asks is refused. */
  #isAsked(operation: Operation): boolean {
    return !this.#isDown || (this.#isReadable && operation === 'find')
  }

  #refusal(operation: Operation): Promise<never> | undefined {
    if (this.#isAsked(operation)) return undefined
    this.#watch.onOperation(operation, 'refused')
    return Promise.reject(new Error(this.#state.problem))
  }

  #bounded<T>(operation: Operation, answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const pending = { operation, endsAt: performance.now() + this.#timeout, reject }
      this.#pending.add(pending)
      this.#timer ??= this.#endOverdueIn(this.#timeout)
      answer.then(
        (value) => {
          if (!this.#pending.delete(pending)) return
          this.#watch.onOperation(operation, 'ok')
          // A store that was down is well again when a probe says so, which writes; that it can be read says nothing.
          if (!this.#isDown || operation === 'check') this.#markUp()
          resolve(value)
        },
        (error: Error) => {
          if (!this.#pending.delete(pending)) return
          this.#watch.onOperation(operation, 'error')
          if (isOutage(operation, error)) this.#markDown(error.message, operation !== 'find')
          reject(error)
        },
      )
    })
  }

  /** A turn of the event loop later than its time: answers that came while this process was held up have come. */
  #endOverdueIn(milliseconds: number): NodeJS.Timeout {
    return setTimeout(() => setImmediate(() => this.#endOverdue()), milliseconds)
  }

  #endOverdue(): void {
    this.#timer = undefined
    const [oldest] = this.#pending
    if (!oldest) return
    const left = oldest.endsAt - performance.now()
    if (left > 0) {
      this.#timer = this.#endOverdueIn(Math.ceil(left))
      return
    }
    this.#pending.delete(oldest)
    const problem = `the store did not answer ${oldest.operation} within ${this.#timeout}ms`
    this.#watch.onOperation(oldest.operation, 'timeout')
    this.markDown(problem)
    oldest.reject(new Error(problem))
    this.#endOverdue()
  }
}

/** A merge that is refused, as by a Redis whose user may not run scripts, is no reason to go without the store. */
function isOutage(operation: Operation, error: Error): boolean {
  return !(error instanceof UnreadableEntry) && operation !== 'merge'
}
