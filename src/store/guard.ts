// A circuit breaker with time-outs around a store, and the only one: stores report what they notice, and whether they
// can be used is decided here. The first failure, time-out or lost connection opens the circuit: waiting and new
// operations are refused at once, until a probe in the background succeeds. Probes follow each other with backoff; a
// store that has reconnected is probed at once. After a failed write, as on a full disk, reads still go to the store
// until one fails too. Operations are counted, and results are passed on unchanged. What mail gets while the store is
// down is the caller's decision.
//
// A store may have parts that fail one by one, such as the nodes of a Cluster. Each part has a circuit of its own, and
// a read of keys of several parts is split, so that one part that is away keeps nobody from the others.

import { Chain, type Member, UNCHAINED } from '../chain.ts'
import { Breaker } from './breaker.ts'
import { UnreadableEntry } from './encoding.ts'
import type { Entry } from './entry.ts'
import type { Learnt } from './merge.ts'
import {
  type Look,
  lookByEach,
  PartlyAnswered,
  type SharedStore,
  StoreFull,
  StoreUnusable,
  type UnguardedStore,
  type Write,
  type Written,
  writeByEach,
} from './store.ts'

/** The operations that are counted. */
export const OPERATIONS = ['find', 'add', 'pass', 'count', 'counts', 'forget', 'merge', 'check'] as const
export type OperationName = (typeof OPERATIONS)[number]
/** How an operation ended; `refused`: not started or no longer awaited, as the store was known to be down. */
export const OPERATION_RESULTS = ['ok', 'error', 'timeout', 'refused'] as const
export type OperationResult = (typeof OPERATION_RESULTS)[number]

/** Callbacks for each operation and for each change between up and down. */
export interface StoreWatch {
  /** `took` is the time until the answer, the error or the time-out, in milliseconds; absent for `refused`. */
  onOperation(operation: OperationName, result: OperationResult, took?: number): void
  /** Called when the store comes up, also for the first time. */
  onUp(): void
  /**
   * Called when the store goes down; `problem` says why. While it `isReadable`, only writes are refused, as when it is
   * full.
   */
  onDown(problem: string, isReadable: boolean): void
  /** Called when a store that was down for writes can no longer be read either. */
  onUnreadable?(problem: string): void
  /**
   * Called when a part goes down while the store is down because of others; `part` is '' when the connection to all of
   * them is lost. Also called for each part that is still away when that connection is back.
   */
  onPartDown?(part: string, problem: string): void
  /** Called when a part comes up while others are still down. */
  onPartUp?(part: string): void
}

/** Whether a store is up, and since when. */
export interface StoreState {
  readonly up: boolean
  /** Why the store is down; absent while it is up, and until it has first answered or failed. */
  readonly problem?: string
  readonly since: Date
}

/** The part of a store that has no parts, and the circuit of the connection to one that has. */
const WHOLE = ''

/** Operations that the store has not answered yet. Some are asked for, and answered, together. */
interface Pending extends Member<Pending> {
  readonly operations: readonly OperationName[]
  readonly part: string
  /** Whether it goes on while the circuit is open. */
  readonly isProbe: boolean
  /** Instants of performance.now(). */
  readonly startedAt: number
  deadline: number
  readonly reject: (error: Error) => void
}

/** The operations as which a look is counted. */
const LOOK: readonly OperationName[] = ['find', 'counts']

/** A store behind the circuit breaker. Its operations reject with the store's own error or with why it is down. */
export class GuardedStore implements SharedStore {
  readonly #store: UnguardedStore
  #timeout: number
  readonly #watch: StoreWatch
  /** In order of deadline, as all have the same time-out; so one timer, set for the first, serves all. */
  readonly #pending = new Chain<Pending>()
  #deadlineTimer: NodeJS.Timeout | undefined
  #state: StoreState = { up: false, since: new Date() }
  /** The circuits by part; that of a part is made at its first operation. */
  readonly #breakers = new Map<string, Breaker>()
  /** Those of `downParts` of which the watch knows. */
  #toldParts: readonly string[] = []
  #isClosed = false

  /** `timeout` is that of each operation, in milliseconds. The state is known once the caller's first `check` ends. */
  constructor(store: UnguardedStore, timeout: number, watch: StoreWatch) {
    this.#store = store
    this.#timeout = timeout
    this.#watch = watch
    store.watch({
      onReady: () => {
        for (const breaker of this.#breakers.values()) void breaker.probe()
      },
      onLost: (problem) => this.#markDown(WHOLE, problem, false),
    })
  }

  /** The state now. */
  get state(): StoreState {
    return this.#state
  }

  /** The parts that are down and why; one that is '' while the connection to all is lost, or when there are no parts. */
  get downParts(): ReadonlyArray<readonly [part: string, problem: string]> {
    const open: Array<readonly [string, string]> = []
    for (const [part, { problem }] of this.#breakers) if (problem !== undefined) open.push([part, problem])
    const whole = open.find(([part]) => part === WHOLE)
    return whole ? [whole] : open
  }

  find(keys: readonly string[]): Promise<Array<Entry | undefined>> {
    return this.#read('find', keys, undefined, (some) => this.#store.find(some))
  }

  add(key: string, retryWindow: number, age?: number, holder?: string): Promise<boolean> {
    return this.#ask('add', this.#partOf(key), () => this.#store.add(key, retryWindow, age, holder))
  }

  pass(key: string, lifetime: number): Promise<void> {
    return this.#ask('pass', this.#partOf(key), () => this.#store.pass(key, lifetime))
  }

  count(key: string, window: number, by?: number): Promise<number> {
    return this.#ask('count', this.#partOf(key), () => this.#store.count(key, window, by))
  }

  counts(keys: readonly string[]): Promise<number[]> {
    return this.#read('counts', keys, 0, (some) => this.#store.counts(some))
  }

  forget(key: string): Promise<void> {
    return this.#ask('forget', this.#partOf(key), () => this.#store.forget(key))
  }

  look(entryKeys: readonly string[], countKeys: readonly string[]): Promise<Look> {
    const store = this.#store
    if (!store.look || store.partOf) return lookByEach(this, entryKeys, countKeys)
    const problem = this.#problemOf('find', WHOLE)
    if (problem === undefined) return this.#withDeadline(LOOK, WHOLE, store.look(entryKeys, countKeys))
    this.#refused(LOOK)
    return Promise.reject(problem)
  }

  write(writes: readonly Write[]): Promise<Written[]> {
    const store = this.#store
    if (!store.write || store.partOf) return writeByEach(this, writes)
    const operations = writes.map(({ kind }) => kind)
    const problem = this.#problemOf('add', WHOLE)
    if (problem !== undefined) {
      this.#refused(operations)
      return Promise.resolve(writes.map(() => problem))
    }
    const written = store.write(writes)
    return new Promise((resolve) => {
      const pending = this.#await(operations, WHOLE, false, (error) => resolve(writes.map(() => error)))
      void written.then((results) => {
        if (!this.#pending.delete(pending)) return
        const took = performance.now() - pending.startedAt
        resolve(
          results.map((result, index) => {
            const operation = operations[index] ?? 'add' // there is one for each result
            if (result instanceof Error) return this.#failed(operation, WHOLE, result, took)
            this.#succeeded(operation, WHOLE, took)
            return result
          }),
        )
      })
    })
  }

  merge(key: string, learnt: Learnt): Promise<void> {
    return this.#ask('merge', this.#partOf(key), () => this.#store.merge(key, learnt))
  }

  /** Rejects when a part cannot be used. */
  async check(): Promise<void> {
    const parts = this.#store.parts?.() ?? []
    if (parts.length === 0) return this.#checkPart(WHOLE)
    const results = await Promise.allSettled(parts.map((part) => this.#checkPart(part)))
    for (const result of results) if (result.status === 'rejected') throw result.reason
    // Parts that have gone since, as when another node has taken over, are away no more.
    for (const [part, breaker] of this.#breakers) if (!parts.includes(part)) void breaker.probe()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#deadlineTimer)
    for (const breaker of this.#breakers.values()) breaker.end()
    await this.#store.close()
  }

  /** Changes the time-out of later operations; waiting ones get it only where it brings their deadline forward. */
  useTimeout(timeout: number): void {
    if (timeout === this.#timeout) return
    this.#timeout = timeout
    const deadline = performance.now() + timeout
    for (const pending of this.#pending.members()) pending.deadline = Math.min(pending.deadline, deadline)
    clearTimeout(this.#deadlineTimer)
    this.#rejectOverdue()
  }

  #partOf(key: string): string {
    return this.#store.partOf?.(key) ?? WHOLE
  }

  #breakerOf(part: string): Breaker {
    const known = this.#breakers.get(part)
    if (known) return known
    const breaker = new Breaker(() => this.#probe(part))
    if (this.#isClosed) breaker.end()
    this.#breakers.set(part, breaker)
    return breaker
  }

  /** Probes a part whose circuit is open. A part that is there no more is forgotten. */
  async #probe(part: string): Promise<void> {
    const parts = this.#store.parts?.() ?? []
    if (part === WHOLE && parts.length > 0) return this.#probeAny(parts)
    await this.#sendProbe(part)
    if (part === WHOLE || this.#store.parts?.().includes(part)) return
    this.#breakers.get(part)?.end()
    this.#breakers.delete(part)
  }

  /** Probes the connection to a store with `parts`: it is there as soon as one of them answers. */
  async #probeAny(parts: readonly string[]): Promise<void> {
    await Promise.any(
      parts.map(async (part) => {
        const breaker = this.#breakerOf(part)
        if (breaker.problem === undefined) return this.#sendProbe(part)
        await breaker.probe()
        if (breaker.problem !== undefined) throw new Error(breaker.problem)
      }),
    )
  }

  #sendProbe(part: string): Promise<void> {
    return this.#withDeadline(['check'], part, this.#store.check(part), true)
  }

  /** Whether a part of the store can be used. */
  #isAnyPartUp(): boolean {
    if (this.#breakers.get(WHOLE)?.problem !== undefined) return false
    return [...this.#breakers].some(([part, { problem }]) => part !== WHOLE && problem === undefined)
  }

  #checkPart(part: string): Promise<void> {
    return this.#ask('check', part, () => this.#store.check(part))
  }

  /** Opens the circuit of a part, or changes why it is open. */
  #markDown(part: string, problem: string, isReadable: boolean): void {
    if (this.#isClosed) return
    const breaker = this.#breakerOf(part)
    const wasReadable = breaker.problem !== undefined && breaker.isReadable
    breaker.open(problem, isReadable)
    const isFirst = this.#state.problem === undefined
    this.#state = isFirst ? { up: false, problem, since: new Date() } : { ...this.#state, problem }
    if (isFirst) this.#watch.onDown(problem, isReadable)
    else if (wasReadable && !isReadable) this.#watch.onUnreadable?.(problem)
    this.#tellParts(isFirst)
    for (const pending of this.#pending.members()) {
      const { operations, reject } = pending
      const [operation = 'check'] = operations // those of one pending are all reads, or none is
      if (pending.isProbe || this.#problemOf(operation, pending.part) === undefined) continue
      if (!this.#pending.delete(pending)) continue
      this.#refused(operations)
      reject(isReadable ? new StoreFull(problem) : new Error(problem))
    }
  }

  /** Closes the circuit of a part. The store is up once no circuit is open. */
  #markUp(part: string): void {
    this.#breakerOf(part).close()
    if (part !== WHOLE) this.#breakers.get(WHOLE)?.close() // the connection is there
    if (this.#state.up) return
    for (const { problem } of this.#breakers.values()) {
      if (problem === undefined) continue
      this.#state = { ...this.#state, problem }
      this.#tellParts()
      return
    }
    this.#state = { up: true, since: new Date() }
    this.#toldParts = []
    this.#watch.onUp()
  }

  /** Tells which parts have gone down or come up since the last call, unless they are `told` of already. */
  #tellParts(told = false): void {
    const before = this.#toldParts
    const down = this.downParts
    this.#toldParts = down.map(([part]) => part)
    if (told) return
    for (const [part, problem] of down) if (!before.includes(part)) this.#watch.onPartDown?.(part, problem)
    if (this.#toldParts.includes(WHOLE)) return
    for (const part of before)
      if (part !== WHOLE && !this.#toldParts.includes(part)) this.#watch.onPartUp?.(part)
  }

  /** Why calls to `operation` are refused; `undefined` while they are not. */
  #problemOf(operation: OperationName, part: string): Error | undefined {
    const isReading = isRead(operation)
    for (const name of part === WHOLE ? [WHOLE] : [WHOLE, part]) {
      const breaker = this.#breakers.get(name)
      if (breaker?.problem === undefined) continue
      if (!breaker.isReadable) return new Error(breaker.problem)
      if (!isReading) return new StoreFull(breaker.problem)
    }
    return undefined
  }

  /** Asks the store, unless the circuit of the part is open. */
  #ask<T>(operation: OperationName, part: string, ask: () => Promise<T>): Promise<T> {
    const problem = this.#problemOf(operation, part)
    if (problem === undefined) return this.#withDeadline([operation], part, ask())
    this.#refused([operation])
    return Promise.reject(problem)
  }

  /** Reads `keys`. `unknown` stands for what could not be read. */
  #read<T>(
    operation: 'find' | 'counts',
    keys: readonly string[],
    unknown: T,
    read: (keys: readonly string[]) => Promise<T[]>,
  ): Promise<T[]> {
    if (this.#store.partOf) return this.#readParts(operation, keys, unknown, read)
    return this.#ask(operation, WHOLE, () => read(keys))
  }

  /** Reads `keys`, those of each part by themselves. */
  async #readParts<T>(
    operation: 'find' | 'counts',
    keys: readonly string[],
    unknown: T,
    read: (keys: readonly string[]) => Promise<T[]>,
  ): Promise<T[]> {
    const byPart = new Map<string, number[]>()
    for (const [index, key] of keys.entries()) {
      const part = this.#partOf(key)
      const indexes = byPart.get(part)
      if (indexes) indexes.push(index)
      else byPart.set(part, [index])
    }
    if (byPart.size === 1 && byPart.has(WHOLE)) return this.#ask(operation, WHOLE, () => read(keys))
    const answers = keys.map(() => unknown)
    const away = new Set<number>()
    const problems: Error[] = []
    const reads = [...byPart].map(async ([part, indexes]) => {
      try {
        const found = await this.#ask(operation, part, () => read(indexes.map((index) => keys[index] ?? '')))
        for (const [order, index] of indexes.entries()) answers[index] = found[order] ?? unknown
      } catch (error) {
        problems.push(error as Error) // the store rejects with nothing else
        for (const index of indexes) away.add(index)
      }
    })
    await Promise.all(reads)
    const [problem] = problems
    if (problem === undefined) return answers
    const unreadable = problems.find((error) => error instanceof UnreadableEntry)
    if (unreadable) throw unreadable
    if (!this.#isAnyPartUp()) throw problem
    throw new PartlyAnswered(problem.message, answers, away)
  }

  #withDeadline<T>(
    operations: readonly OperationName[],
    part: string,
    answer: Promise<T>,
    isProbe = false,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const pending = this.#await(operations, part, isProbe, reject)
      answer.then(
        (value) => {
          if (!this.#pending.delete(pending)) return
          const took = performance.now() - pending.startedAt
          for (const operation of operations) this.#succeeded(operation, part, took)
          resolve(value)
        },
        (error: Error) => {
          if (!this.#pending.delete(pending)) return
          const took = performance.now() - pending.startedAt
          const [told = error] = operations.map((operation) => this.#failed(operation, part, error, took))
          reject(told)
        },
      )
    })
  }

  /** Has `reject` called unless the caller deletes what this returns from what is pending, within the time-out. */
  #await(
    operations: readonly OperationName[],
    part: string,
    isProbe: boolean,
    reject: (error: Error) => void,
  ): Pending {
    const startedAt = performance.now()
    const deadline = startedAt + this.#timeout
    const pending: Pending = { operations, part, isProbe, startedAt, deadline, reject, ...UNCHAINED }
    this.#pending.add(pending)
    this.#deadlineTimer ??= this.#rejectOverdueIn(this.#timeout)
    return pending
  }

  #succeeded(operation: OperationName, part: string, took: number): void {
    this.#watch.onOperation(operation, 'ok', took)
    // Only a probe, which writes, closes the circuit: on a full disk, a read succeeds as well.
    if (this.#breakers.get(part)?.problem === undefined || operation === 'check') this.#markUp(part)
  }

  /** The error for the caller. */
  #failed(operation: OperationName, part: string, error: Error, took: number): Error {
    this.#watch.onOperation(operation, 'error', took)
    if (!isOutage(operation, error)) return error
    const isReadable = isReadableAfter(operation, error)
    this.#markDown(part, error.message, isReadable)
    return isReadable ? new StoreFull(error.message) : error
  }

  #refused(operations: readonly OperationName[]): void {
    for (const operation of operations) this.#watch.onOperation(operation, 'refused')
  }

  /** Waits one more turn of the event loop, so that answers that arrived while this process was blocked still count. */
  #rejectOverdueIn(milliseconds: number): NodeJS.Timeout {
    return setTimeout(() => setImmediate(() => this.#rejectOverdue()), milliseconds)
  }

  #rejectOverdue(): void {
    this.#deadlineTimer = undefined
    const oldest = this.#pending.first
    if (!oldest) return
    const left = oldest.deadline - performance.now()
    if (left > 0) {
      this.#deadlineTimer = this.#rejectOverdueIn(Math.ceil(left))
      return
    }
    this.#pending.delete(oldest)
    const who = oldest.part === WHOLE ? 'the store' : `the store's node ${oldest.part}`
    const [operation = 'check', ...others] = oldest.operations
    const problem = `${who} did not answer ${operation} within ${this.#timeout}ms`
    this.#watch.onOperation(operation, 'timeout', this.#timeout)
    this.#refused(others)
    this.#markDown(oldest.part, problem, false)
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
