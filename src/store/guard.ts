// A store whose operations take a bounded time, are counted, and show whether the store is up. It changes nothing
// else: who asks gets the store's own answer or error.

import type { Entry } from '../greylist/entry.ts'
import { UnreadableEntry } from './encoding.ts'
import type { Store } from './store.ts'

export type Operation = 'find' | 'add' | 'pass' | 'count' | 'forget' | 'check'
export type OperationResult = 'ok' | 'error' | 'timeout'

export interface StoreWatch {
  onOperation(operation: Operation, result: OperationResult): void
  /** Only when it changes; `problem` says why it is down. */
  onUp(): void
  onDown(problem: string): void
}

/** An operation that was not answered yet. */
interface Pending {
  readonly operation: Operation
  readonly endsAt: number
  readonly reject: (error: Error) => void
}

export class GuardedStore implements Store {
  readonly #store: Store
  readonly #timeout: number
  readonly #watch: StoreWatch
  /** In the order of their ends, as all have the same time: one timer, for the first, does for all of them. */
  readonly #pending = new Set<Pending>()
  #timer: NodeJS.Timeout | undefined
  #up: boolean | undefined

  /** `timeout` in milliseconds, for each operation. */
  constructor(store: Store, timeout: number, watch: StoreWatch) {
    this.#store = store
    this.#timeout = timeout
    this.#watch = watch
  }

  find(keys: readonly string[]): Promise<Array<Entry | undefined>> {
    return this.#bounded('find', this.#store.find(keys))
  }

  add(key: string, retryWindow: number, age?: number): Promise<boolean> {
    return this.#bounded('add', this.#store.add(key, retryWindow, age))
  }

  pass(key: string, lifetime: number): Promise<void> {
    return this.#bounded('pass', this.#store.pass(key, lifetime))
  }

  count(key: string, window: number): Promise<number> {
    return this.#bounded('count', this.#store.count(key, window))
  }

  forget(key: string): Promise<void> {
    return this.#bounded('forget', this.#store.forget(key))
  }

  check(): Promise<void> {
    return this.#bounded('check', this.#store.check())
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.#store.close()
  }

  /** Also for what a store reports by itself, such as a lost connection. */
  markUp(): void {
    if (this.#up === true) return
    this.#up = true
    this.#watch.onUp()
  }

  markDown(problem: string): void {
    if (this.#up === false) return
    this.#up = false
    this.#watch.onDown(problem)
  }

  #bounded<T>(operation: Operation, answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const pending = { operation, endsAt: performance.now() + this.#timeout, reject }
      this.#pending.add(pending)
      this.#timer ??= setTimeout(() => this.#endOverdue(), this.#timeout)
      answer.then(
        (value) => {
          if (!this.#pending.delete(pending)) return
          this.#watch.onOperation(operation, 'ok')
          this.markUp()
          resolve(value)
        },
        (error: Error) => {
          if (!this.#pending.delete(pending)) return
          this.#watch.onOperation(operation, 'error')
          if (!(error instanceof UnreadableEntry)) this.markDown(error.message)
          reject(error)
        },
      )
    })
  }

  #endOverdue(): void {
    this.#timer = undefined
    for (const pending of this.#pending) {
      const left = pending.endsAt - performance.now()
      if (left > 0) {
        this.#timer = setTimeout(() => this.#endOverdue(), Math.ceil(left))
        return
      }
      this.#pending.delete(pending)
      const problem = `the store did not answer ${pending.operation} within ${this.#timeout}ms`
      this.#watch.onOperation(pending.operation, 'timeout')
      this.markDown(problem)
      pending.reject(new Error(problem))
    }
  }
}
