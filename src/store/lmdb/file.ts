// One LMDB environment, with the entries of a store or with the texts of a local store's journal: what is done to it, a
// batch at a time, each batch in one transaction. Runs in the process that client.ts starts for it.
//
// LMDB knows no expiry: an entry's value begins with the instant at which it ends, by the clock of whoever asks (which
// must go on across restarts), and writes sweep a little as they go, so that no cleaner is needed and none can stall.
// That clock is the date, which somebody may set back: an entry of which more is left than it was set with begins anew
// by the new date, and so do the windows of counts.
// The key `version` says whose environment it is and how it is kept; the keys of entries have a colon in them.

import { mkdirSync } from 'node:fs'
import type { RootDatabase } from 'lmdb'
import { messageOf } from '../../message.ts'
import { require } from '../../require.ts'
import {
  ageEntry,
  decodeCount,
  decodeEntry,
  encodeCount,
  encodeEntry,
  hasTooMuchLeft,
  isStored,
  ttlOf,
  UnreadableEntry,
} from '../encoding.ts'
import type { Entry } from '../entry.ts'
import type { Text } from '../local/journal.ts'
import { type Learnt, mergeEntry } from '../merge.ts'

const { open } = require('lmdb') as typeof import('lmdb')

/** What is in an environment: the entries of a store, or texts under keys, whose ends somebody else minds. */
export type Contents = 'entries' | 'texts'

/** One operation, with its arguments: those of a store, and of a journal `load`, `put` and `remove`. */
export type Operation =
  | readonly ['find', keys: readonly string[]]
  | readonly ['add', key: string, retryWindow: number, age: number]
  | readonly ['pass', key: string, lifetime: number]
  | readonly ['count', key: string, window: number]
  | readonly ['forget', key: string]
  | readonly ['merge', key: string, learnt: Learnt]
  | readonly ['check']
  | readonly ['load', after: string, most: number]
  | readonly ['put', key: string, text: string]
  | readonly ['remove', key: string]

/** What came of an operation; `isUnreadable` where the store is well and one entry is not. */
export type Answer = { readonly value: Value } | { readonly error: string; readonly isUnreadable: boolean }

type Value = Found[] | Text[] | boolean | number

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
const VERSION = 1
/** What stands before the version, and the setting that names the directory. */
const KINDS = {
  entries: { prefix: '', setting: 'store' },
  texts: { prefix: 'texts ', setting: 'local_store' },
} as const
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
  /** Keys of entries that were found with more left than they were set with. */
  readonly #ahead = new Set<string>()

  /** Throws `CannotOpen`. What is damaged may end this process instead: LMDB maps the file, and trusts what it reads. */
  constructor(directory: string, contents: Contents) {
    try {
      mkdirSync(directory, { recursive: true, mode: PRIVATE })
      this.#database = open({ path: directory, noSubdir: false, encoding: 'string' })
      this.#lookThrough()
      this.#claim(contents)
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
        if (writes) this.#beginAnew(now)
      })
      if (failure === undefined) {
        if (this.#ahead.size > 0) await this.#beginAnewLater(now)
        return answers
      }
      if (!writes) throw new CannotOpen('damage', messageOf(failure), failure)
      this.#writeFailed(failure)
    }
    const failed = { error: this.#failed.problem, isUnreadable: false }
    const answers = operations.map((operation) =>
      isWrite(operation) ? failed : this.#answer(operation, now),
    )
    this.#ahead.clear()
    return answers
  }

  async close(): Promise<void> {
    await this.#database.close()
  }

  /** After reads, which have no transaction. Where it cannot be written, as on a full disk, the next find tries again. */
  async #beginAnewLater(now: number): Promise<void> {
    if (performance.now() < this.#failed.until) {
      this.#ahead.clear()
      return
    }
    const failure = await this.#run(true, () => this.#beginAnew(now))
    if (failure !== undefined) this.#writeFailed(failure)
  }

  /** Has time go by for what was found ahead of the clock. Looks again: others may have written since. */
  #beginAnew(now: number): void {
    for (const key of this.#ahead) {
      const value = this.#database.get(key)
      const ttl = value === undefined ? undefined : excessiveTtl(value, now)
      if (value !== undefined && ttl !== undefined)
        void this.#database.put(key, `${now + ttl} ${textOf(value)}`)
    }
    this.#ahead.clear()
  }

  #writeFailed(failure: unknown): void {
    this.#ahead.clear()
    const problem = messageOf(failure)
    if (obstacleOf(failure) === 'damage') throw new CannotOpen('damage', problem, failure)
    this.#failed = { problem, until: performance.now() + REST }
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

  #do(operation: Operation, now: number): Value {
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
        this.#put(key, encodeCount(sum), Math.min(found?.endsAt ?? Infinity, now + window), now)
        return sum
      }
      case 'forget':
      case 'remove':
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
      case 'load':
        return this.#load(operation[1], operation[2])
      case 'put':
        void this.#database.put(operation[1], operation[2])
        return true
    }
  }

  #merge(key: string, learnt: Learnt, now: number): void {
    const found = this.#alive(key, now)
    if ('counted' in learnt) {
      const sum = (found ? decodeCount(key, found.text) : 0) + learnt.counted
      this.#put(key, encodeCount(sum), Math.min(found?.endsAt ?? Infinity, now + learnt.left), now)
      return
    }
    const entry = mergeEntry(found && { ...decodeEntry(key, found.text), left: found.endsAt - now }, learnt)
    if (entry) this.#put(key, encodeEntry(entry), now + entry.left, now)
  }

  #find(key: string, now: number): Found {
    const found = this.#alive(key, now)
    return found ? ageEntry(decodeEntry(key, found.text), found.endsAt - now) : null
  }

  #load(after: string, most: number): Text[] {
    const others = new Set([after, VERSION_KEY])
    const range = this.#database.getRange({ start: after, limit: most + others.size })
    const texts = [...range].filter(({ key }) => !others.has(key))
    return texts.slice(0, most).map(({ key, value }) => [key, value])
  }

  /**
   * What has no end that could be read is alive, and refused by whoever decodes it. An entry that is ahead of the clock
   * ends as if it began now, which is written down by the end of `perform`.
   */
  #alive(key: string, now: number): { readonly endsAt: number; readonly text: string } | undefined {
    const value = this.#database.get(key)
    if (value === undefined) return undefined
    const endsAt = Number.parseInt(value, 10)
    if (endsAt <= now) return undefined
    const ttl = excessiveTtl(value, now)
    if (ttl === undefined) return { endsAt, text: textOf(value) }
    this.#ahead.add(key)
    return { endsAt: now + ttl, text: textOf(value) }
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
      else if (excessiveTtl(value, now) !== undefined) this.#ahead.add(key)
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
  #claim(contents: Contents): void {
    const ours = KINDS[contents].prefix + VERSION
    const version = this.#database.get(VERSION_KEY)
    if (version === ours) return
    const stranger = version === undefined ? undefined : strangerIn(version, contents)
    if (stranger !== undefined) throw new CannotOpen('lasting', stranger)
    const sample = [...this.#database.getRange({ limit: SAMPLE })]
    if (version !== undefined || !sample.every(({ value }) => isOurs(value, contents))) {
      throw new CannotOpen('damage', 'it is the environment of another program')
    }
    // Not only to write it: a store that cannot be written to is told at the start.
    this.#database.transactionSync(() => this.#database.put(VERSION_KEY, ours))
  }
}

function isWrite([name]: Operation): boolean {
  return name !== 'find' && name !== 'load'
}

/** Why somebody has to see to an environment of greymx's with another version than ours, if so. */
function strangerIn(version: string, contents: Contents): string | undefined {
  const [, prefix, digits] = /^(texts )?(\d+)$/.exec(version) ?? []
  if (digits === undefined) return undefined
  const found = prefix === undefined ? 'entries' : 'texts'
  const { setting } = KINDS[contents]
  if (found !== contents) {
    return `it is that of the setting ${KINDS[found].setting}: expected another directory in the setting ${setting}`
  }
  if (Number(digits) <= VERSION) return undefined
  return (
    `it was written by a later version of greymx (its format is ${digits}, this one knows ${VERSION}): ` +
    `expected that version, or another directory in the setting ${setting}`
  )
}

/** Whether a value looks like one of those, of what was written before there were versions. */
function isOurs(value: string, contents: Contents): boolean {
  const words = value.split(' ')
  return words.length === (contents === 'entries' ? 2 : 3) && isStored(words.at(-1) ?? '')
}

/** The time that an entry was set with, in milliseconds, where more is left of it than that. */
function excessiveTtl(value: string, now: number): number | undefined {
  const ttl = ttlOf(textOf(value))
  if (ttl === undefined) return undefined
  return hasTooMuchLeft(Number.parseInt(value, 10) - now, ttl) ? ttl : undefined
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
