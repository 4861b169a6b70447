// A trial: the greylister judges an attempt as it would be judged now or later, and nothing is written. It collects what
// was found on the way, for `greymx explain`.

import type { RuntimeRule } from '../exempt/runtime-rules.ts'
import type { Entry } from '../store/entry.ts'
import type { Store } from '../store/store.ts'
import type { Times } from './decide.ts'
import type { Evidence } from './evidence.ts'
import type { Findings } from './investigate.ts'

/** What a trial found. What was not looked at, because an earlier rule had decided, is absent. */
export interface Trial {
  /** How much later the attempt is made than now, in milliseconds. */
  readonly later: number
  rule?: RuntimeRule
  findings?: Findings
  /** The sender form. */
  form?: string
  /** The keys of the triplet under all names of the client, and then those of earlier versions. */
  entries?: ReadonlyArray<{ readonly name: string; readonly key: string; readonly entry: Entry | undefined }>
  /** The first attempt of the sender to the recipient, from whichever network. */
  first?: { readonly key: string; readonly entry: Entry | undefined }
  /** What the names of the client have shown, its carriers included. */
  evidence?: Evidence
  /** The name whose tally tells of a crowd, and whether there is one. */
  crowd?: { readonly name: string; readonly isCrowded: boolean }
  /** The listing by which the attempt need not wait. */
  listing?: string | undefined
  /** The times that are in force for the client. */
  times?: Times
}

/** A view of a store in which `later` milliseconds more have gone by, and in which writes leave nothing. */
export class TrialStore implements Store {
  readonly #store: Store
  readonly #later: number
  readonly #times: Times

  /** Entries are taken to expire by `times`, as a store does not tell how long one is kept. */
  constructor(store: Store, later: number, times: Times) {
    this.#store = store
    this.#later = later
    this.#times = times
  }

  async find(keys: readonly string[]): Promise<Array<Entry | undefined>> {
    if (this.#later === 0) return this.#store.find(keys)
    const { retryWindow, lifetime } = this.#times
    return (await this.#store.find(keys)).map((entry) => {
      if (!entry) return undefined
      const age = entry.age + this.#later
      return age < (entry.passed ? lifetime : retryWindow) ? { ...entry, age } : undefined
    })
  }

  counts(keys: readonly string[]): Promise<number[]> {
    return this.#store.counts(keys)
  }

  async count(key: string, _window: number, by = 1): Promise<number> {
    const [count = 0] = await this.#store.counts([key])
    return count + by
  }

  async add(key: string): Promise<boolean> {
    const [entry] = await this.find([key])
    return entry === undefined
  }

  async pass(): Promise<void> {}

  async forget(): Promise<void> {}

  check(): Promise<void> {
    return this.#store.check()
  }

  async close(): Promise<void> {}
}
