// The entries in one LMDB environment: what is done to it, a batch at a time, each batch in one transaction. Runs in
// the process that lmdb.ts starts for it.
//
// LMDB knows no expiry: each value begins with the instant at which the entry ends, by the clock of whoever asks (which
// must go on across restarts), and writes sweep a little as they go, so that no cleaner is needed and none can stall.
// The key `version` says whose entries these are and how they are kept; theirs have a colon in them.

import { mkdirSync } from 'node:fs'
import { open, type RootDatabase } from 'lmdb'
import type { Entry } from '../greylist/entry.ts'
import { messageOf } from '../message.ts'
import {
  ageEntry,
  decodeCount,
  decodeEntry,
  encodeCount,
  encodeEntry,
  isStored,
  UnreadableEntry,
} from './encoding.ts'
import { type Learnt, mergeEntry } from './merge.ts'

/** One operation of a store, with its arguments. */
export type Operation =
  | readonly ['find', keys: readonly string[]]
  | readonly ['add', key: string, retryWindow: number, age: number]
  | readonly ['pass', key: string, lifetime: number]
  | readonly ['count', key: string, window: number]
  | readonly ['forget', key: string]
  | readonly ['merge', key: string, learnt: Learnt]
  | readonly ['check']

/** What came of an operation; `isUnreadable` where the store is well and one entry is not. */
export type Answer =
  | { readonly value: Found[] | boolean | number }
  | { readonly error: string; readonly isUnreadable: boolean }

/** `null` for what is not there. */
export type Found = Entry | null

/**
 * Why an environment cannot be opened: it is damaged or none of ours, and can be moved out of the way; something that
 * passes by itself, such as a full disk; or something that somebody has to see to.
 */
export type Obstacle = 'damage' | 'passing' | 'lasting'

export class CannotOpen extends Error {
  readonly obstacle: Obstacle

  constructor(obstacle: Obstacle, problem: string, cause?: unknown) {
    super(problem, { cause })
    this.obstacle = obstacle
  }
}

/** So many entries are looked at for expiry with every so many writes: all of them in a quarter as many writes. */
const SWEEP_EVERY = 64
const SWEEP_BATCH = 256

/** The environment holds mail addresses. */
const PRIVATE = 0o700

const VERSION_KEY = 'version'
const VERSION = '1'
const CHECK_KEY = 'check'

/** After a write that failed, none is tried for so long, in milliseconds: on a full disk some do succeed. */
const REST = 2000

/** How long an environment is read through when it is opened, in milliseconds. */
const LOOK_THROUGH = 500

/** Of an environment without version, so many entries show whether they are ours. */
const SAMPLE = 16

/** lmdb.h: PAGE_NOTFOUND, CORRUPTED, VERSION_MISMATCH, INVALID, INCOMPATIBLE; and EISDIR. */
const DAMAGE = new Set([-30797, -30796, -30794, -30793, -30784, 21])
/** EIO (which is also how LMDB calls a write that a full disk cut short), EAGAIN, ENOMEM, ENFILE, EMFILE, ENOSPC, EDQUOT. */
const PASSING = new Set([5, 11, 12, 23, 24, 28, 122])

export class LmdbFile {
  readonly #database: RootDatabase<string, string>
  #failed = { problem: '', until: 0 }
  #writes = 0
  #sweptTo = ''

  /** Throws `CannotOpen`. What is damaged may end this process instead: LMDB maps the file, and trusts what it reads. */
  constructor(directory: string) {
    try {
      mkdirSync(directory, { recursive: true, mode: PRIVATE })
      this.#database = open({ path: directory, noSubdir: false, encoding: 'string' })
      this.#lookThrough()
      this.#claim()
    } catch (error) {
      if (error instanceof CannotOpen) throw error
      throw new CannotOpen(obstacleOf(error), messageOf(error), error)
    }
  }

  /** How many entries take up room, ended ones among them. */
  get size(): number {
    return this.#database.getKeysCount() - 1
  }

  /**
   * The answers in the order of `operations`, once they are on their way to disk; `now` in milliseconds. Rejects with
   * `CannotOpen` when it comes upon damage.
   */
  async perform(operations: readonly Operation[], now: number): Promise<Answer[]> {
    // Reads of before would hide what others have written since, and hold on to pages that are free by now.
    this.#database.resetReadTxn()
    const writes = operations.some(isWrite)
    if (!writes || performance.now() >= this.#failed.until) {
      const answers: Answer[] = []
      const failure = await this.#run(writes, () => {
        for (const operation of operations) answers.push(this.#answer(operation, now))
      })
      if (failure === undefined) return answers
      const problem = messageOf(failure)
      if (!writes || obstacleOf(failure) === 'damage') throw new CannotOpen('damage', problem, failure)
      this.#failed = { problem, until: performance.now() + REST }
    }
    const failed = { error: this.#failed.problem, isUnreadable: false }
    return operations.map((operation) => (isWrite(operation) ? failed : this.#answer(operation, now)))
  }

  async close(): Promise<void> {
    await this.#database.close()
  }

  /** In a transaction where `isTransaction`; what went wrong, then none of it was done. */
  async #run(isTransaction: boolean, run: () => void): Promise<unknown> {
    try {
      // One at a time has the write lock: of two attempts at once, one adds.
      if (isTransaction) await this.#database.transaction(run)
      else run()
      return undefined
    } catch (error) {
      // Of a commit that failed, lmdb gives the reason in a promise of its own.
      if (!(error instanceof Error && 'commitError' in error)) return error
      return Promise.resolve(error.commitError).then(
        () => error,
        (reason: unknown) => reason,
      )
    }
  }

  /** Throws what LMDB says; what is wrong with one entry is the answer of that operation. */
  #answer(operation: Operation, now: number): Answer {
    try {
      return { value: this.#do(operation, now) }
    } catch (error) {
      if (!(error instanceof UnreadableEntry)) throw error
      return { error: error.message, isUnreadable: true }
    }
  }

  #do(operation: Operation, now: number): Found[] | boolean | number {
    switch (operation[0]) {
      case 'find':
        return operation[1].map((key) => this.#find(key, now))
      case 'add': {
        const [, key, retryWindow, age] = operation
        if (this.#alive(key, now)) return false
        this.#put(key, encodeEntry({ passed: false, ttl: retryWindow }), now + retryWindow - age, now)
        return true
      }
      case 'pass': {
        const [, key, lifetime] = operation
        this.#put(key, encodeEntry({ passed: true, ttl: lifetime }), now + lifetime, now)
        return true
      }
      case 'count': {
        const [, key, window] = operation
        const found = this.#alive(key, now)
        const sum = (found ? decodeCount(key, found.text) : 0) + 1
        this.#put(key, encodeCount(sum), found?.endsAt ?? now + window, now)
        return sum
      }
      case 'forget':
        void this.#database.remove(operation[1])
        return true
      case 'merge': {
        const [, key, learnt] = operation
        this.#merge(key, learnt, now)
        return true
      }
      case 'check':
        void this.#database.put(CHECK_KEY, String(now))
        void this.#database.remove(CHECK_KEY)
        return true
    }
  }

  #merge(key: string, learnt: Learnt, now: number): void {
    const found = this.#alive(key, now)
    if ('counted' in learnt) {
      const sum = (found ? decodeCount(key, found.text) : 0) + learnt.counted
      this.#put(key, encodeCount(sum), found?.endsAt ?? now + learnt.left, now)
      return
    }
    const entry = mergeEntry(found && { ...decodeEntry(key, found.text), left: found.endsAt - now }, learnt)
    if (entry) this.#put(key, encodeEntry(entry), now + entry.left, now)
  }

  #find(key: string, now: number): Found {
    const found = this.#alive(key, now)
    return found ? ageEntry(decodeEntry(key, found.text), found.endsAt - now) : null
  }

  /** What has no end that could be read is alive, and refused by whoever decodes it. */
  #alive(key: string, now: number): { readonly endsAt: number; readonly text: string } | undefined {
    const value = this.#database.get(key)
    if (value === undefined) return undefined
    const endsAt = Number.parseInt(value, 10)
    return endsAt <= now ? undefined : { endsAt, text: textOf(value) }
  }

  /** Only within a transaction, which tells whether all of it could be done. */
  #put(key: string, text: string, endsAt: number, now: number): void {
    void this.#database.put(key, `${endsAt} ${text}`)
    this.#writes += 1
    if (this.#writes % SWEEP_EVERY === 0) this.#sweepSome(now)
  }

  #sweepSome(now: number): void {
    const batch = [...this.#database.getRange({ start: this.#sweptTo, limit: SWEEP_BATCH })]
    for (const { key, value } of batch) {
      // What cannot be read stays, for whoever looks into why; it fails only attempts of its own key.
      if (key !== VERSION_KEY && Number.parseInt(value, 10) <= now) void this.#database.remove(key)
    }
    this.#sweptTo = batch.length < SWEEP_BATCH ? '' : (batch.at(-1)?.key ?? '')
  }

  /** Comes upon what is damaged now, and not with the first mail: a file cut short ends this process by SIGBUS. */
  #lookThrough(): void {
    const endsAt = performance.now() + LOOK_THROUGH
    let count = 0
    for (const _ of this.#database.getRange()) {
      count += 1
      if (count % 1000 === 0 && performance.now() > endsAt) return
    }
  }

  /** Takes over an environment that is ours, or nobody's. */
  #claim(): void {
    const version = this.#database.get(VERSION_KEY)
    if (version === VERSION) return
    if (version !== undefined && Number(version) > Number(VERSION)) {
      throw new CannotOpen(
        'lasting',
        `it was written by a later version of greymx (its format is ${version}, this one knows ${VERSION}): ` +
          'expected that version, or another directory in the setting store',
      )
    }
    const sample = [...this.#database.getRange({ limit: SAMPLE })]
    if (version !== undefined || !sample.every(({ value }) => isStored(textOf(value)))) {
      throw new CannotOpen('damage', 'it is the environment of another program')
    }
    // Not only to write it: a store that cannot be written to is told at the start.
    this.#database.transactionSync(() => this.#database.put(VERSION_KEY, VERSION))
  }
}

function isWrite([name]: Operation): boolean {
  return name !== 'find'
}

/** Without the instant at which it ends. */
function textOf(value: string): string {
  return value.slice(value.indexOf(' ') + 1)
}

function obstacleOf(error: unknown): Obstacle {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (typeof code !== 'number') return 'lasting'
  if (DAMAGE.has(code)) return 'damage'
  return PASSING.has(code) ? 'passing' : 'lasting'
}
