// A shared store with a local one as fallback. While the shared store works, the local one caches its answers, so that
// it knows who has passed. While the shared store fails, writes go to the local one, and are merged into the shared one
// once that is back; until then they count like its own entries.
//
// A shared store may be readable and take no writes, as when it is full. Then it goes on deciding on all that it knows,
// and only what it has no room for is kept here.
//
// When only a part of the shared store is away, such as a node of a Cluster, the local one stands in for its keys.
// Otherwise `find` rejects when the shared store fails. The caller then asks `local`, and so knows that the answer is
// that of one host only. Whether the shared store is up, guard.ts decides.

import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../../errors.ts'
import { UnreadableEntry } from '../encoding.ts'
import type { Entry } from '../entry.ts'
import {
  type Look,
  lookByEach,
  lookIn,
  onlyOf,
  PartlyAnswered,
  readReachable,
  type SharedStore,
  type Store,
  StoreFull,
  type Write,
  type Written,
  writeTo,
} from '../store.ts'
import type { LocalStore, Unmerged } from './local.ts'

/** The result of a completed merge. */
export interface Merge {
  /** Number of keys that were merged into the shared store. */
  readonly merged: number
  /** Number of keys whose value in the shared store cannot be read; that value is kept. */
  readonly unreadable: number
}

/** Why the local store stood in for the shared one: that was away, or could only be read. */
export type StandInReason = 'away' | 'full'

/** Callbacks for the merging. */
export interface FailoverWatch {
  /** Called when everything that was learnt is merged; `reasons` is empty when it was learnt before this object was made. */
  onMerged(merge: Merge, reasons: ReadonlySet<StandInReason>): void
  /** Called when the shared store is up and a merge fails; not again until one has succeeded. */
  onMergeFailed(problem: string): void
}

/** When the local store stands in for the shared one: while that is away, while it can only be read, or both. */
export interface FailoverUse {
  /** If false, the local store caches nothing, and has only what the shared store had no room for. */
  readonly whenAway: boolean
  readonly whenFull: boolean
}

/** A read of both stores. */
interface Reading<T> {
  /** The answers of the shared store. */
  readonly asked: Promise<T[]>
  /** The answer with what the local store has of `key`. */
  readonly overlay: (key: string, answer: T) => T
  /** The answers of the local store. */
  readonly known: () => Promise<T[]>
}

/** Number of keys that are merged at once, and the pause after them in milliseconds, so that mail comes first. */
const MERGE_BATCH = 100
const MERGE_PAUSE = 10

/** Time between attempts to merge, in milliseconds. */
const MERGE_INTERVAL = 1000

/** The shared store with its fallback. Writes reject only when the local store is full too; `forget` needs both. */
export class FailoverStore implements Store {
  /** The fallback, for callers whose `find` was rejected. */
  readonly local: LocalStore
  readonly #shared: SharedStore
  readonly #isUp: () => boolean
  readonly #watch: FailoverWatch
  readonly #use: FailoverUse
  readonly #timer: NodeJS.Timeout
  #isMerging = false
  /** Whether the shared store was up a `MERGE_INTERVAL` ago. */
  #wasUp = false
  #isClosed = false
  #hasFailed = false
  #merged = 0
  #unreadable = 0
  /** Why the local store has stood in since the last merge began. */
  #reasons = new Set<StandInReason>()
  /** The same of before, for what was being learnt while that merge began. */
  #formerReasons: ReadonlySet<StandInReason> = new Set()

  constructor(
    shared: SharedStore,
    isUp: () => boolean,
    local: LocalStore,
    watch: FailoverWatch,
    use: FailoverUse = { whenAway: true, whenFull: true },
  ) {
    this.#use = use
    this.#shared = shared
    this.#isUp = isUp
    this.local = local
    this.#watch = watch
    this.#timer = setInterval(() => this.#mergeOnceSettled(), MERGE_INTERVAL).unref()
  }

  find(keys: readonly string[]): Promise<Array<Entry | undefined>> {
    return this.#read(keys, {
      asked: this.#shared.find(keys),
      overlay: (key, entry) => (this.#hears(key) ? this.local.heard(key, entry) : entry),
      known: () => this.local.find(keys),
    })
  }

  add(key: string, retryWindow: number, age?: number, holder?: string): Promise<boolean> {
    return onlyOf(this.write([{ kind: 'add', key, retryWindow, age, holder }]))
  }

  pass(key: string, lifetime: number): Promise<void> {
    return onlyOf<undefined>(this.write([{ kind: 'pass', key, lifetime }]))
  }

  count(key: string, window: number, by?: number): Promise<number> {
    return onlyOf(this.write([{ kind: 'count', key, window, by }]))
  }

  /** That of the shared store alone, unless the local one has anything to say, or is to be told. */
  look(entryKeys: readonly string[], countKeys: readonly string[]): Promise<Look> {
    return this.#isAlone ? lookIn(this.#shared, entryKeys, countKeys) : lookByEach(this, entryKeys, countKeys)
  }

  async write(writes: readonly Write[]): Promise<Written[]> {
    const written = await writeTo(this.#shared, writes)
    if (this.#isAlone && !written.some((result) => result instanceof Error)) return written
    return Promise.all(
      writes.map((write, index) => {
        const result = written[index]
        return result instanceof Error ? this.#standIn(write, result) : this.#heard(write, result)
      }),
    )
  }

  counts(keys: readonly string[]): Promise<number[]> {
    return this.#read(keys, {
      asked: this.#shared.counts(keys),
      overlay: (key, sum) => this.local.heardCount(key, sum),
      known: () => this.local.counts(keys),
    })
  }

  async forget(key: string): Promise<void> {
    await Promise.all([this.local.forget(key), this.#shared.forget(key)])
  }

  check(): Promise<void> {
    return this.#shared.check()
  }

  /** Ends the merging. The caller that opened the two stores closes them. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
  }

  /** Whether the local store has nothing, and is told nothing while the shared one works. */
  get #isAlone(): boolean {
    return !this.#use.whenAway && this.local.size === 0
  }

  /** Tells the local store what came of a write to the shared one; returns what is true of both. */
  #heard(write: Write, result: boolean | number | undefined): boolean | number | undefined {
    const { kind, key } = write
    if (!this.#hears(key)) return result
    if (kind === 'add') {
      if (result === true) this.local.added(key, write.retryWindow, write.age, write.holder)
      return result
    }
    if (kind === 'count') return this.local.counted(key, result as number, write.window) // the sum
    this.local.passed(key, write.lifetime)
    return result
  }

  /** The result of a write in the local store, after the shared one has rejected it with `error`. */
  #standIn(write: Write, error: Error): Promise<Written> {
    const learnt = this.#learnt<Written>(error, async () => {
      const { kind, key } = write
      if (kind === 'pass') return this.local.pass(key, write.lifetime) as Promise<undefined>
      if (kind === 'add') {
        if (await this.#readWhileFull(error, () => this.#shared.find([key]))) return false
        return this.local.add(key, write.retryWindow, write.age, write.holder)
      }
      const sum = await this.#readWhileFull(error, () => this.#shared.counts([key]))
      // Nothing is awaited between the two, so that each caller gets a different sum.
      if (sum !== undefined) this.local.counted(key, sum, write.window)
      return this.local.count(key, write.window, write.by)
    })
    return learnt.catch((refusal: Error) => refusal)
  }

  /** Whether the local store is told what the shared one says of a key. */
  #hears(key: string): boolean {
    return this.#use.whenAway || this.local.has(key)
  }

  /**
   * What the shared store has `asked`, with what is not merged yet. For keys in a part of it that is away, the local
   * store stands in, or this rejects with `PartlyAnswered` as well.
   */
  async #read<T>(keys: readonly string[], { asked, overlay, known }: Reading<T>): Promise<T[]> {
    const reached = await readReachable(asked).catch((error: unknown) => {
      // The caller asks `local`, and teaches it.
      if (this.#use.whenAway && !(error instanceof UnreadableEntry)) this.#reasons.add('away')
      throw error
    })
    const { away } = reached
    if (away.size > 0 && this.#use.whenAway) this.#reasons.add('away')
    const standIns = away.size > 0 && this.#use.whenAway ? await known() : []
    const answers = keys.map((key, index) => {
      const answer = reached.answers[index] as T // there is one for each key
      return away.has(index) ? (standIns[index] ?? answer) : overlay(key, answer)
    })
    if (reached.error && !this.#use.whenAway) throw new PartlyAnswered(reached.error.message, answers, away)
    return answers
  }

  /**
   * What the local store makes of a write that the shared one has rejected with `error`, if it stands in. When the
   * shared store is full and the local one as well, this rejects with `StoreFull`, so that the caller does not take the
   * two for an outage.
   */
  async #learnt<T>(error: unknown, learn: () => Promise<T>): Promise<T> {
    const isFull = error instanceof StoreFull
    if (!(isFull ? this.#use.whenFull : this.#use.whenAway)) throw error
    this.#reasons.add(isFull ? 'full' : 'away')
    try {
      return await learn()
    } catch (refusal) {
      throw isFull ? new StoreFull(`${error.message}; ${messageOf(refusal)}`) : refusal
    }
  }

  /** The only answer of `read` if a write has failed with `error` because the shared store is full, and it answers. */
  async #readWhileFull<T>(error: unknown, read: () => Promise<T[]>): Promise<T | undefined> {
    if (!(error instanceof StoreFull)) return undefined
    const [answer] = await read().catch(() => []) // what is learnt here is merged all the same
    return answer
  }

  /**
   * Merges what was learnt locally into the shared store, if that is up. The next call retries what could not be
   * merged. Never rejects.
   */
  async merge(): Promise<void> {
    if (this.#isMerging || this.local.unmergedSize === 0 || !this.#isUp()) return
    this.#isMerging = true
    const reasons = this.#reasons.size > 0 ? this.#reasons : this.#formerReasons
    this.#formerReasons = reasons
    this.#reasons = new Set()
    try {
      await this.#mergeAll()
      this.#hasFailed = false
      if (this.#merged > 0)
        this.#watch.onMerged({ merged: this.#merged, unreadable: this.#unreadable }, reasons)
      this.#merged = 0
      this.#unreadable = 0
    } catch (error) {
      for (const reason of reasons) this.#reasons.add(reason)
      if (this.#isUp() && !this.#hasFailed) {
        this.#hasFailed = true
        this.#watch.onMergeFailed(messageOf(error))
      }
    } finally {
      this.#isMerging = false
    }
  }

  /** Merges when the shared store was up a while ago as well: what was begun on the local store has ended by then. */
  #mergeOnceSettled(): void {
    const wasUp = this.#wasUp
    this.#wasUp = this.#isUp()
    if (wasUp) void this.merge()
  }

  async #mergeAll(): Promise<void> {
    for (;;) {
      const batch = this.local.unmerged(MERGE_BATCH)
      if (this.#isClosed) return
      // The whole batch is awaited even after a failure, so that counts that were merged are not merged again.
      const results = await Promise.allSettled(batch.map((unmerged) => this.#mergeOne(unmerged)))
      for (const result of results) if (result.status === 'rejected') throw result.reason
      if (batch.length < MERGE_BATCH) return
      await sleep(MERGE_PAUSE)
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
    if (!this.#use.whenAway) await this.local.forgetCopy(key)
  }
}
