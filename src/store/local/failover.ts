// A shared store with a local one beside it, which goes on alone while the shared one is away and gives it what it
// learnt when that is back. While both are there, the local one is told of everything that the shared one says, so
// that it knows who had passed; and what it has learnt and not yet given over counts like what the shared one says.
//
// `find` rejects when the shared store fails: whoever asks goes on with `local`, and knows then that the answer is that
// of one host. What is written while the shared store fails is learnt locally, so that it is not lost.

import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../../message.ts'
import { UnreadableEntry } from '../encoding.ts'
import type { Entry } from '../entry.ts'
import type { SharedStore, Store } from '../store.ts'
import type { LocalStore, Unmerged } from './local.ts'

export interface Merge {
  /** How many keys the shared store has taken in. */
  readonly merged: number
  /** Keys under which it has something that cannot be read, and which it keeps. */
  readonly unreadable: number
}

export interface FailoverWatch {
  /** Once all is merged that was learnt. */
  onMerged(merge: Merge): void
  /** The store is up and yet does not take it; said once until it does. */
  onMergeFailed(problem: string): void
}

/** So many keys are merged at once, and then none for so many milliseconds: mail comes first. */
const BATCH = 100
const PAUSE = 10

/** How often it is looked for what is to be merged, in milliseconds. */
const LOOK_EVERY = 1000

export class FailoverStore implements Store {
  readonly local: LocalStore
  readonly #shared: SharedStore
  readonly #isUp: () => boolean
  readonly #watch: FailoverWatch
  readonly #timer: NodeJS.Timeout
  #isMerging = false
  #isClosed = false
  #hasFailed = false
  #merged = 0
  #unreadable = 0

  constructor(shared: SharedStore, isUp: () => boolean, local: LocalStore, watch: FailoverWatch) {
    this.#shared = shared
    this.#isUp = isUp
    this.local = local
    this.#watch = watch
    this.#timer = setInterval(() => void this.merge(), LOOK_EVERY).unref()
  }

  async find(keys: readonly string[]): Promise<Array<Entry | undefined>> {
    const found = await this.#shared.find(keys)
    return keys.map((key, index) => this.local.heard(key, found[index]))
  }

  async add(key: string, retryWindow: number, age?: number): Promise<boolean> {
    try {
      const isNew = await this.#shared.add(key, retryWindow, age)
      if (isNew) this.local.added(key, retryWindow, age)
      return isNew
    } catch {
      return this.local.add(key, retryWindow, age)
    }
  }

  async pass(key: string, lifetime: number): Promise<void> {
    try {
      await this.#shared.pass(key, lifetime)
      this.local.passed(key, lifetime)
    } catch {
      await this.local.pass(key, lifetime)
    }
  }

  async count(key: string, window: number): Promise<number> {
    try {
      return this.local.counted(key, await this.#shared.count(key, window), window)
    } catch {
      return this.local.count(key, window)
    }
  }

  async forget(key: string): Promise<void> {
    await Promise.all([this.local.forget(key), this.#shared.forget(key)])
  }

  check(): Promise<void> {
    return this.#shared.check()
  }

  /** Ends the merging; the two stores are closed by whoever opened them. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
  }

  /**
   * Gives the shared store what was learnt without it, as far as it takes it; what is left comes with the next try.
   * Never rejects.
   */
  async merge(): Promise<void> {
    if (this.#isMerging || this.local.unmergedSize === 0 || !this.#isUp()) return
    this.#isMerging = true
    try {
      await this.#mergeAll()
      this.#hasFailed = false
      if (this.#merged > 0) this.#watch.onMerged({ merged: this.#merged, unreadable: this.#unreadable })
      this.#merged = 0
      this.#unreadable = 0
    } catch (error) {
      if (this.#isUp() && !this.#hasFailed) {
        this.#hasFailed = true
        this.#watch.onMergeFailed(messageOf(error))
      }
    } finally {
      this.#isMerging = false
    }
  }

  async #mergeAll(): Promise<void> {
    for (;;) {
      const batch = this.local.unmerged(BATCH)
      if (this.#isClosed) return
      // All of a batch, even after a failure: what was taken in shall not be given again.
      const results = await Promise.allSettled(batch.map((unmerged) => this.#mergeOne(unmerged)))
      for (const result of results) if (result.status === 'rejected') throw result.reason
      if (batch.length < BATCH) return
      await sleep(PAUSE)
    }
  }

  async #mergeOne({ key, kept, learnt }: Unmerged): Promise<void> {
    try {
      await this.#shared.merge(key, learnt)
      this.#merged += 1
    } catch (error) {
      if (!(error instanceof UnreadableEntry)) throw error
      this.#unreadable += 1
    }
    await this.local.merged(key, kept)
  }
}
