// A store whose operations take a bounded time, are counted, and show whether the store is up. It changes nothing
// else: who asks gets the store's own answer or error.

import type { Entry, FoundEntry } from '../greylist/entry.ts'
import { UnreadableEntry } from './encoding.ts'
import type { Store } from './store.ts'

export type OperationResult = 'ok' | 'error' | 'timeout'

export interface StoreWatch {
  onOperation(operation: string, result: OperationResult): void
  /** Only when it changes; `problem` says why it is down. */
  onUp(): void
  onDown(problem: string): void
}

export class GuardedStore implements Store {
  readonly #store: Store
  readonly #timeout: number
  readonly #watch: StoreWatch
  #up: boolean | undefined

  /** `timeout` in milliseconds, for each operation. */
  constructor(store: Store, timeout: number, watch: StoreWatch) {
    this.#store = store
    this.#timeout = timeout
    this.#watch = watch
  }

  getOrAdd(key: string, retryWindow: number): Promise<FoundEntry> {
    return this.#bounded('get_or_add', this.#store.getOrAdd(key, retryWindow))
  }

  pass(key: string, lifetime: number): Promise<void> {
    return this.#bounded('pass', this.#store.pass(key, lifetime))
  }

  get(key: string): Promise<Entry | undefined> {
    return this.#bounded('get', this.#store.get(key))
  }

  forget(key: string): Promise<void> {
    return this.#bounded('forget', this.#store.forget(key))
  }

  check(): Promise<void> {
    return this.#bounded('check', this.#store.check())
  }

  close(): Promise<void> {
    return this.#store.close()
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

  #bounded<T>(operation: string, answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const problem = `the store did not answer ${operation} within ${this.#timeout}ms`
        this.#failed(operation, 'timeout', problem)
        reject(new Error(problem))
      }, this.#timeout)
      answer.then(
        (value) => {
          clearTimeout(timer)
          this.#watch.onOperation(operation, 'ok')
          this.markUp()
          resolve(value)
        },
        (error: Error) => {
          clearTimeout(timer)
          if (error instanceof UnreadableEntry) this.#watch.onOperation(operation, 'error')
          else this.#failed(operation, 'error', error.message)
          reject(error)
        },
      )
    })
  }

  #failed(operation: string, result: OperationResult, problem: string): void {
    this.#watch.onOperation(operation, result)
    this.markDown(problem)
  }
}
