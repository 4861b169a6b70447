// The contract of all stores. A store keeps entries and counts under keys and knows no rule of greylisting.
//
// - Each operation is one round trip and atomic for each key. When several hosts call `add` for one key at once, one of
//   them adds it; when they call `count`, each gets a different sum.
// - The store tells the age of an entry by its own clock, so that the clocks of two hosts are never compared. Only a
//   look may know less of it (`LookedEntry`).
// - An expired entry is absent, whether or not it has been swept.
// - When more time is left of an entry than it was set with, as after the store's clock was set back, its window
//   restarts now, if it was found and not only looked at. The window of a count does so at its next `count`.
// - An operation rejects with a message that names the cause when something outside of this process fails it: Redis is
//   gone, the disk is full, or a value was not written by greymx. `UnreadableEntry` (encoding.ts) concerns one value,
//   `StoreUnusable` every operation. After any other error of a write, reads may still succeed.
// - Time-outs, the circuit breaker and its probes are around a store, in guard.ts, and not in it.

import type { Entry } from './entry.ts'
import type { Learnt } from './merge.ts'

export interface Store {
  /**
   * The entry under each of `keys`, in their order; at least one key. Adds nothing. Rejects with `PartlyAnswered` when
   * some of the keys are in a part of the store that is away, as `counts` does.
   */
  find(keys: readonly string[]): Promise<Array<Entry | undefined>>
  /**
   * Makes `key` pending for `retryWindow` milliseconds if nothing is under it, and tells whether it did. `age` is the
   * part of that window that has passed already, in milliseconds: less than the whole, 0 by default. `holder`, 16 digits
   * that begin with 1 to 8, is kept with the entry. The fallback of a shared store keeps no holder: given one, it adds
   * the entry without it and resolves to false.
   */
  add(key: string, retryWindow: number, age?: number, holder?: string): Promise<boolean>
  /** Sets `key` to passed for `lifetime` milliseconds from now, whatever entry is under it. */
  pass(key: string, lifetime: number): Promise<void>
  /**
   * Adds `by`, 1 or more and 1 by default, to the count under `key` and returns the sum. A count expires `window` milliseconds after
   * its first.
   */
  count(key: string, window: number, by?: number): Promise<number>
  /** The count under each of `keys`, in their order, and 0 where there is none; at least one key. */
  counts(keys: readonly string[]): Promise<number[]>
  /** Removes the entry or the count under `key`. */
  forget(key: string): Promise<void>
  /** As `find` and `counts` together, in one round trip. Callers use `lookIn`, as not every store has it. */
  look?(entryKeys: readonly string[], countKeys: readonly string[]): Promise<Look>
  /** As one or several of `add`, `pass` and `count` together. Callers use `writeTo`, as not every store has it. */
  write?(writes: readonly Write[]): Promise<Written[]>
  /** Resolves when the store can be reached and written to, and rejects otherwise. */
  check(): Promise<void>
  close(): Promise<void>
}

/** A store that can merge what another store has learnt while this one could not be reached. */
export interface SharedStore extends Store {
  /**
   * Merges `learnt` into what is under `key`. The earlier first attempt and the later pass remain, and a pass outweighs
   * any wait. Where only one of two waits has a holder, or each has another one, the one in the store remains, as nobody
   * else's wait is the holder's. What was counted adds up, and of counts that were seen elsewhere the larger one remains.
   * Merging anything but what was counted twice has the same effect as merging it once.
   */
  merge(key: string, learnt: Learnt): Promise<void>
}

/** An error that concerns every operation: the store cannot be used for now, not even to read. */
export class StoreUnusable extends Error {}

/**
 * An error of a read of which some or all keys are in a part of the store that is away, while another part is not.
 * `answers` has what was found, in the order of the keys, and nothing under the keys at the indexes in `away`.
 */
export class PartlyAnswered<T> extends Error {
  readonly answers: readonly T[]
  readonly away: ReadonlySet<number>

  constructor(message: string, answers: readonly T[], away: ReadonlySet<number>) {
    super(message)
    this.answers = answers
    this.away = away
  }
}

/** What could be read of a store, and the indexes of keys in parts of it that are away, with the `error` that says so. */
export interface Reading<T> {
  readonly answers: readonly T[]
  readonly away: ReadonlySet<number>
  readonly error?: Error
}

/** Of a store of which no part is away. */
export const NONE_AWAY: ReadonlySet<number> = new Set()

/** The answers to a read of `promise`, also if parts of the store are away. */
export async function readReachable<T>(promise: Promise<T[]>): Promise<Reading<T>> {
  try {
    return { answers: await promise, away: NONE_AWAY }
  } catch (error) {
    if (!(error instanceof PartlyAnswered)) throw error
    return { answers: error.answers, away: error.away, error }
  }
}

/** An entry as a look finds it. */
export interface LookedEntry extends Omit<Entry, 'age'> {
  /**
   * As in `Entry`. `undefined` for a wait of which `find` has yet to tell it. That of a pass may be too long, as far as
   * its whole lifetime, where the store keeps no account of when it was last extended.
   */
  readonly age: number | undefined
}

/** What a look finds, in the order of the keys. */
export interface Look {
  readonly entries: Reading<LookedEntry | undefined>
  readonly counts: Reading<number>
}

/** What is under both kinds of keys, at least one of each. Rejects when the whole store is away. */
export function lookIn(
  store: Store,
  entryKeys: readonly string[],
  countKeys: readonly string[],
): Promise<Look> {
  return store.look ? store.look(entryKeys, countKeys) : lookByEach(store, entryKeys, countKeys)
}

/** As `lookIn`, by `find` and `counts`. */
export async function lookByEach(
  store: Store,
  entryKeys: readonly string[],
  countKeys: readonly string[],
): Promise<Look> {
  const [entries, counts] = await Promise.all([
    readReachable(store.find(entryKeys)),
    readReachable(store.counts(countKeys)),
  ])
  return { entries, counts }
}

/** One write, with the arguments of the operation of its name. */
export type Write =
  | {
      readonly kind: 'add'
      readonly key: string
      readonly retryWindow: number
      readonly age?: number | undefined
      readonly holder?: string | undefined
    }
  | { readonly kind: 'pass'; readonly key: string; readonly lifetime: number }
  | {
      readonly kind: 'count'
      readonly key: string
      readonly window: number
      readonly by?: number | undefined
    }

/** What became of a write: what its operation resolves to, or its error. */
export type Written = boolean | number | undefined | Error

/** Does all `writes`, in no order, and tells what became of each. Never rejects. */
export function writeTo(store: Store, writes: readonly Write[]): Promise<Written[]> {
  if (writes.length === 0) return Promise.resolve([])
  return store.write ? store.write(writes) : writeByEach(store, writes)
}

/** As `writeTo`, by `add`, `pass` and `count`. */
export function writeByEach(store: Store, writes: readonly Write[]): Promise<Written[]> {
  return Promise.all(writes.map((write) => performOn(store, write).catch((error: Error) => error)))
}

function performOn(store: Store, write: Write): Promise<Written> {
  switch (write.kind) {
    case 'add': {
      const { key, retryWindow, age, holder } = write
      return holder === undefined
        ? store.add(key, retryWindow, age)
        : store.add(key, retryWindow, age, holder)
    }
    case 'pass':
      return store.pass(write.key, write.lifetime) as Promise<undefined>
    case 'count':
      return store.count(write.key, write.window, write.by)
  }
}

/** The result of the only write in `written`; rejects if that is an error. For a store that does all by `write`. */
export async function onlyOf<T extends Written>(written: Promise<Written[]>): Promise<T> {
  const [result] = await written
  if (result instanceof Error) throw result
  return result as T // the caller names what its operation resolves to
}

/** An error of a write while the store can be read, as when it is full. */
export class StoreFull extends Error {}

/** Callbacks for the connection of a store to the server or process that keeps its entries. */
export interface ConnectionWatch {
  /** Called when the connection is established, so that a check is worthwhile at once. */
  onReady(): void
  /** Called when the connection is lost or cannot be established; `problem` says why, for the operator. */
  onLost(problem: string): void
}

/** A watch that does nothing. */
export const UNWATCHED: ConnectionWatch = { onReady() {}, onLost() {} }

/** A shared store as it is opened, for the circuit breaker that is put around it. */
export interface UnguardedStore extends SharedStore {
  /** The part of the store that has `key`, such as a node of a Cluster. Absent when it has no parts. */
  partOf?(key: string): string
  /** The parts that there are now, which fail one by one. */
  parts?(): readonly string[]
  /** As in `Store`; with a part, examines that one only, and resolves when there is no such part any more. */
  check(part?: string): Promise<void>
  /** Calls `watch` from now on, in place of an earlier one. Whether the store is connected by now, `check` tells. */
  watch(watch: ConnectionWatch): void
}

/** Number of keys by kind (`kindOf`). */
export type KeyCounts = ReadonlyMap<string, number>

/** The kind of a key: the letters before its first colon, or `other`. */
export function kindOf(key: string): string {
  return /^[a-z]+(?=:)/.exec(key)?.[0] ?? 'other'
}

/** A store whose keys can be counted while it serves mail. */
export interface CountedStore {
  /**
   * About how many keys of each kind there are, with expired ones that are not swept yet. Takes its time, so that mail
   * does not wait. Resolves with `undefined` when the operator lets greymx have no look at the keys; rejects when the
   * store cannot be read, and may do so once `signal` is aborted.
   */
  countKeys(signal: AbortSignal): Promise<KeyCounts | undefined>
}
