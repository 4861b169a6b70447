// One LMDB environment, with the entries of a store or the texts of a local store's journal. It performs batches of
// operations, each batch in one transaction. It runs in the process that client.ts starts and restarts.
//
// LMDB knows no expiry. The value of an entry therefore begins with the instant at which it expires, by the caller's
// clock (which has to go on across restarts), and writes sweep a little, so that no cleaner is needed that could stall.
// The clock is the date, which the operator may set back: when more is left of an entry than it was set with, its
// window restarts by the new date, and so does that of a count.
//
// The fields of records, and the records themselves, have keys of their own (records.ts).
//
// The key `version` tells whose environment it is and in which format. Keys of entries contain a colon.

import { existsSync, lstatSync, mkdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { RootDatabase } from 'lmdb'
import { messageOf } from '../../errors.ts'
import { require } from '../../require.ts'
import {
  ageEntry,
  decodeCount,
  decodeEntry,
  encodeCount,
  encodeEntry,
  hasTooMuchLeft,
  isStored,
  type Kept,
  readKept,
  ttlOf,
  UnreadableEntry,
} from '../encoding.ts'
import type { Entry } from '../entry.ts'
import type { RecordFields, RecordPage } from '../fields.ts'
import type { Text } from '../local/journal.ts'
import { addedBy, isCount, type Learnt, mergeEntry } from '../merge.ts'
import { RECORD_KIND } from '../records.ts'
import { kindOf } from '../store.ts'
import { LOCK_FILE } from './aside.ts'
import { isWrite, type Operation } from './operation.ts'
import { AFTER_RECORDS, LmdbRecords } from './records.ts'

const { open } = require('lmdb') as typeof import('lmdb')

/** What is in an environment: entries, which expire here, or texts, whose expiry is the matter of the local store. */
export type Contents = 'entries' | 'texts'

/** The result of an operation; `isUnreadable` when only this entry cannot be read and the store works. */
export type Answer = { readonly value: Value } | { readonly error: string; readonly isUnreadable: boolean }

type Value =
  | Found[]
  | Text[]
  | number[]
  | boolean
  | number
  | string
  | Tally
  | Scan
  | RecordPage
  | RecordFields
  | null

/** Number of keys of one kind that follow each other, and the key from which to go on. */
export type Tally = readonly [kind: string, keys: number, next: string]

/** What was found of the keys of mail in a part of the environment, and the key from which to go on, if there is more. */
export interface Scan {
  readonly found: ReadonlyArray<readonly [key: string, value: Kept, left: number]>
  readonly next?: string
}

/** An entry, or `null` where there is none (answers travel as JSON, which has no `undefined`). */
export type Found = Entry | null

/**
 * The kind of problem that keeps an environment from being opened. `damage`: it is damaged or not greymx's, and can be
 * moved aside. `passing`: it ends by itself, such as a full disk. `taken-pid`: another process with the PID of this one,
 * in another PID namespace, has it open or had it. `lasting`: the operator has to mend it.
 */
export type Obstacle = 'damage' | 'passing' | 'taken-pid' | 'lasting'

/** The two parts of a value: the instant at which it expires, and what is kept until then. */
interface Parts {
  readonly expiresAt: number
  readonly text: string
}

/** The environment cannot be opened, or cannot be used any more. */
export class CannotOpen extends Error {
  readonly obstacle: Obstacle

  constructor(obstacle: Obstacle, problem: string, cause?: unknown) {
    super(problem, { cause })
    this.obstacle = obstacle
  }
}

/**
 * Every 64 writes, 256 entries are checked for expiry, so that n entries take n/4 writes. What is counted under a key
 * that is there already makes nothing grow, and is not counted as a write.
 */
const SWEEP_EVERY = 64
const SWEEP_BATCH = 256

/** Only greymx's user may read the environment, as it holds mail addresses. */
const DIRECTORY_MODE = 0o700

/** Number of keys that are counted in one operation, which takes LMDB about a millisecond. */
const TALLY_BATCH = 5000

/** Number of keys that are read in one operation of a scan, which takes LMDB about a millisecond. */
const SCAN_BATCH = 500

const VERSION_KEY = 'version'
const STATE_VERSION = 1
/** The prefix of the version, and the setting that names the directory. */
const STATE_CONTENTS = {
  entries: { prefix: '', setting: 'store' },
  texts: { prefix: 'texts ', setting: 'local_store' },
} as const
const CHECK_KEY = 'check'

/** Time without writes after one has failed, in milliseconds, as on a full disk some would still succeed. */
const WRITE_BACKOFF = 2000

/** Longest scan of an environment when it is opened, in milliseconds. */
const SCAN_TIME_LIMIT = 500

/** Number of entries that are examined to tell whether an environment without version is greymx's. */
const CLAIM_SAMPLE = 16

/** lmdb.h: PAGE_NOTFOUND, CORRUPTED, VERSION_MISMATCH, INVALID, INCOMPATIBLE; and EISDIR. */
const DAMAGE = new Set([-30797, -30796, -30794, -30793, -30784, 21])
/**
 * CURSOR_FULL, PAGE_FULL, BAD_TXN, BAD_DBI, PROBLEM: what LMDB makes of pages that are none. In a transaction that
 * writes, they may follow from a full disk as well.
 */
const DAMAGE_WHERE_READ = new Set([-30787, -30786, -30782, -30780, -30779])
/** EIO (LMDB's error also for a write that a full disk cut short), EAGAIN, ENOMEM, ENFILE, EMFILE, ENOSPC, EDQUOT. */
const PASSING = new Set([5, 11, 12, 23, 24, 28, 122])

/** An open environment. */
export class LmdbFile {
  readonly #database: RootDatabase<string, string>
  #failed = { problem: '', until: 0 }
  #writes = 0
  #sweptTo = ''
  readonly #records: LmdbRecords
  /** Keys of entries that were found with more time left than they were set with. */
  readonly #overlong = new Set<string>()

  /** Throws `CannotOpen`. A damaged file may kill this process instead, as LMDB maps the file and trusts it. */
  constructor(directory: string, contents: Contents) {
    try {
      makeDirectory(directory)
      this.#database = open({ path: directory, noSubdir: false, encoding: 'string' })
      this.#records = new LmdbRecords(this.#database, (key, value, now) => this.#write(key, value, now))
      this.#refuseTakenPid()
      this.#scan()
      this.#examine(contents)
    } catch (error) {
      if (error instanceof CannotOpen) throw error
      const isDamage = DAMAGE_WHERE_READ.has(codeOf(error))
      throw new CannotOpen(isDamage ? 'damage' : obstacleOf(error), messageOf(error), error)
    }
    try {
      this.#claim(contents)
    } catch (error) {
      throw new CannotOpen(obstacleOf(error), messageOf(error), error)
    }
  }

  /** Number of entries in the file, including expired ones that are not swept yet. */
  get size(): number {
    return this.#database.getKeysCount() - 1
  }

  /**
   * The answers in the order of `operations`, once the writes are on their way to disk; `now` is in milliseconds since
   * the epoch. Rejects with `CannotOpen` when it finds damage.
   */
  async perform(operations: readonly Operation[], now: number): Promise<Answer[]> {
    // An older read transaction would hide what other processes have written since, and would keep freed pages in use.
    this.#database.resetReadTxn()
    const writes = operations.some(isWrite)
    if (!writes || performance.now() >= this.#failed.until) {
      const answers: Answer[] = []
      const failure = await this.#run(writes, () => {
        for (const operation of operations) answers.push(this.#answer(operation, now))
        if (writes) this.#restartWindows(now)
      })
      if (failure === undefined) {
        if (this.#overlong.size > 0) await this.#restartWindowsAfterReads(now)
        return answers
      }
      if (!writes) throw new CannotOpen('damage', messageOf(failure), failure)
      this.#writeFailed(failure)
    }
    const failed = { error: this.#failed.problem, isUnreadable: false }
    const answers = operations.map((operation) =>
      isWrite(operation) ? failed : this.#answer(operation, now),
    )
    this.#overlong.clear()
    return answers
  }

  async close(): Promise<void> {
    await this.#database.close()
  }

  /** Restarts windows after a batch of reads, which has no transaction. After a failed write, the next find retries. */
  async #restartWindowsAfterReads(now: number): Promise<void> {
    if (performance.now() < this.#failed.until) {
      this.#overlong.clear()
      return
    }
    const failure = await this.#run(true, () => this.#restartWindows(now))
    if (failure !== undefined) this.#writeFailed(failure)
  }

  /** Restarts the windows of `#overlong` now. Reads each entry again, as another process may have written it since. */
  #restartWindows(now: number): void {
    for (const key of this.#overlong) {
      const value = this.#database.get(key)
      if (value === undefined) continue
      const parts = partsOf(value)
      const ttl = excessiveTtl(parts, now)
      if (ttl !== undefined) this.#replace(key, parts.text, now + ttl)
    }
    this.#overlong.clear()
  }

  #writeFailed(failure: unknown): void {
    this.#overlong.clear()
    const problem = messageOf(failure)
    if (obstacleOf(failure) === 'damage') throw new CannotOpen('damage', problem, failure)
    this.#failed = { problem, until: performance.now() + WRITE_BACKOFF }
  }

  /** Calls `run`, in a transaction if asked to. Returns what went wrong, in which case none of it is done. */
  async #run(isTransaction: boolean, run: () => void): Promise<unknown> {
    try {
      // The transaction holds the write lock, so that only one of two concurrent attempts adds a key.
      if (isTransaction) await this.#database.transaction(run)
      else run()
      return undefined
    } catch (error) {
      // lmdb gives the reason of a failed commit in a separate promise.
      if (!(error instanceof Error && 'commitError' in error)) return error
      return Promise.resolve(error.commitError).then(
        () => error,
        (reason: unknown) => reason,
      )
    }
  }

  /** Performs `operation`. An unreadable entry is its answer; an error of LMDB is thrown. */
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
        const [, key, retryWindow, age, holder] = operation
        if (this.#alive(key, now)) return false
        const pending = { passed: false, ttl: retryWindow }
        const entry = holder === undefined ? pending : { ...pending, holder }
        this.#put(key, encodeEntry(entry), now + retryWindow - age, now)
        return true
      }
      case 'pass': {
        const [, key, lifetime] = operation
        this.#put(key, encodeEntry({ passed: true, ttl: lifetime }), now + lifetime, now)
        return true
      }
      case 'count': {
        const [, key, window, by] = operation
        const found = this.#read(key, now)
        const sum = (found ? decodeCount(key, found.text) : 0) + by
        if (found) this.#replace(key, encodeCount(sum), Math.min(found.expiresAt, now + window))
        else this.#put(key, encodeCount(sum), now + window, now)
        return sum
      }
      case 'counts':
        return operation[1].map((key) => {
          const found = this.#read(key, now)
          return found ? decodeCount(key, found.text) : 0
        })
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
      case 'tally':
        return this.#tally(operation[1])
      case 'scan':
        return this.#scanFrom(operation[1], now)
      case 'record':
        return this.#records.page(operation[1], operation[2], now)
      case 'record whole':
        return this.#records.whole(operation[1], now)
      case 'revision':
        return this.#records.revisionOf(operation[1], now)
      case 'change record': {
        const [, name, changes, revision, lifetime] = operation
        this.#records.change(name, changes, revision, lifetime, now)
        return true
      }
      case 'add to record': {
        const [, name, by, lifetime] = operation
        this.#records.add(name, by, lifetime, now)
        return true
      }
      case 'load':
        return this.#load(operation[1], operation[2])
      case 'put':
        void this.#database.put(operation[1], operation[2])
        return true
    }
  }

  #merge(key: string, learnt: Learnt, now: number): void {
    const found = this.#alive(key, now)
    if (isCount(learnt)) {
      const count = found ? decodeCount(key, found.text) : 0
      const by = addedBy(learnt, count)
      const expiresAt = Math.min(found?.expiresAt ?? Infinity, now + learnt.left)
      if (by > 0) this.#put(key, encodeCount(count + by), expiresAt, now)
      return
    }
    const entry = mergeEntry(
      found && { ...decodeEntry(key, found.text), left: found.expiresAt - now },
      learnt,
    )
    if (entry) this.#put(key, encodeEntry(entry), now + entry.left, now)
  }

  #find(key: string, now: number): Found {
    const found = this.#read(key, now)
    if (!found) return null
    const entry = decodeEntry(key, found.text)
    const left = found.expiresAt - now
    if (hasTooMuchLeft(left, entry.ttl)) this.#overlong.add(key)
    return ageEntry(entry, left)
  }

  /** Counts keys of the kind of the first one at or after `from`, without reading them; `null` when there is none. */
  #tally(from: string): Tally | null {
    const [first] = this.#database.getKeys({ start: from, limit: 1 })
    if (first === undefined) return null
    const kind = kindOf(first)
    if (kind === RECORD_KIND) {
      const { records, next } = this.#records.tally(first)
      return [kind, records, next]
    }
    if (!first.startsWith(`${kind}:`)) return [kind, first === VERSION_KEY ? 0 : 1, `${first} `]
    const range = { start: first, end: `${kind};` } // ; follows : in ASCII
    const [next] = this.#database.getKeys({ ...range, offset: TALLY_BATCH, limit: 1 })
    if (next !== undefined) return [kind, TALLY_BATCH, next]
    return [kind, this.#database.getKeysCount(range), range.end]
  }

  /** The keys of mail from `from` on, with what is under them; without those that have expired or cannot be read. */
  #scanFrom(from: string, now: number): Scan {
    const found: Array<readonly [key: string, value: Kept, left: number]> = []
    let last: string | undefined
    let count = 0
    for (const { key, value } of this.#database.getRange({ start: from, limit: SCAN_BATCH })) {
      count += 1
      last = key
      if (kindOf(key) === RECORD_KIND) return { found, next: AFTER_RECORDS }
      const { expiresAt, text } = partsOf(value)
      const kept = expiresAt > now && key !== VERSION_KEY ? readKept(text, expiresAt - now) : undefined
      if (kept !== undefined) found.push([key, kept.value, kept.left])
    }
    if (count < SCAN_BATCH || last === undefined) return { found }
    return { found, next: `${last}\u0001` }
  }

  #load(after: string, limit: number): Text[] {
    const others = new Set([after, VERSION_KEY])
    const range = this.#database.getRange({ start: after, limit: limit + others.size })
    const texts = [...range].filter(({ key }) => !others.has(key))
    return texts.slice(0, limit).map(({ key, value }) => [key, value])
  }

  /**
   * What is under `key` unless it has expired. A value whose expiry cannot be read counts as alive, and is refused when
   * it is decoded.
   */
  #read(key: string, now: number): Parts | undefined {
    const value = this.#database.get(key)
    const parts = value === undefined ? undefined : partsOf(value)
    return parts && parts.expiresAt <= now ? undefined : parts
  }

  /** As `#read`. The window of an entry with too much time left restarts now; `perform` writes that down. */
  #alive(key: string, now: number): Parts | undefined {
    const found = this.#read(key, now)
    const ttl = found && excessiveTtl(found, now)
    if (!found || ttl === undefined) return found
    this.#overlong.add(key)
    return { expiresAt: now + ttl, text: found.text }
  }

  /** Call this only within a transaction, whose commit tells whether the writes succeeded. */
  #put(key: string, text: string, expiresAt: number, now: number): void {
    this.#write(key, `${expiresAt} ${text}`, now)
  }

  /** As `#put`, where something is under the key already. */
  #replace(key: string, text: string, expiresAt: number): void {
    void this.#database.put(key, `${expiresAt} ${text}`)
  }

  #write(key: string, value: string, now: number): void {
    void this.#database.put(key, value)
    this.#writes += 1
    if (this.#writes % SWEEP_EVERY === 0) this.#sweepSome(now)
  }

  #sweepSome(now: number): void {
    const batch = [...this.#database.getRange({ start: this.#sweptTo, limit: SWEEP_BATCH })]
    for (const { key, value } of batch) {
      const parts = partsOf(value)
      // An unreadable value stays, so that the operator can examine it; it fails only operations on its own key.
      if (this.#records.isOrphan(key, now)) void this.#database.remove(key)
      else if (key !== VERSION_KEY && parts.expiresAt <= now) void this.#database.remove(key)
      else if (excessiveTtl(parts, now) !== undefined) this.#overlong.add(key)
    }
    this.#sweptTo = batch.length < SWEEP_BATCH ? '' : (batch.at(-1)?.key ?? '')
  }

  /**
   * Throws when a reader in LMDB's table has the PID of this process, which has not read yet. LMDB tells processes apart
   * by their PIDs, and in containers they often have the same. The other may also have been killed.
   */
  #refuseTakenPid(): void {
    // A heading, then a line for each reader: PID, thread, transaction (mdb_reader_list of lmdb.h).
    const pids = this.#database
      .readerList()
      .split('\n')
      .map((line) => Number.parseInt(line, 10))
    if (!pids.includes(process.pid)) return
    throw new CannotOpen(
      'taken-pid',
      `processes of other containers have it open, and the same PIDs as those of this one (${process.pid}): expected a directory for each container, or Redis`,
    )
  }

  /** Finds damage now rather than at the first mail: a file that was cut short kills this process by SIGBUS. */
  #scan(): void {
    const deadline = performance.now() + SCAN_TIME_LIMIT
    let count = 0
    for (const _ of this.#database.getRange()) {
      count += 1
      if (count % 1000 === 0 && performance.now() > deadline) return
    }
  }

  /** Accepts an environment that is greymx's or empty, and throws `CannotOpen` for any other. */
  #examine(contents: Contents): void {
    const version = this.#database.get(VERSION_KEY)
    if (version === versionOf(contents)) return
    const stranger = version === undefined ? undefined : strangerIn(version, contents)
    if (stranger !== undefined) throw new CannotOpen('lasting', stranger)
    const sample = [...this.#database.getRange({ limit: CLAIM_SAMPLE })]
    if (version !== undefined || !sample.every(({ value }) => isOurs(value, contents))) {
      throw new CannotOpen('damage', 'it is the environment of another program')
    }
  }

  /** Writes the version where there is none, which also shows at the start whether the environment takes writes. */
  #claim(contents: Contents): void {
    if (this.#database.get(VERSION_KEY) !== undefined) return
    this.#database.transactionSync(() => this.#database.put(VERSION_KEY, versionOf(contents)))
  }
}

/**
 * Makes `directory` and its parents, where they are missing; throws where it cannot. `mkdirSync` with `recursive` does
 * not end on a file system that has no such name and makes none, such as /proc.
 */
function makeDirectory(directory: string): void {
  const found = statSync(directory, { throwIfNoEntry: false })
  if (found?.isDirectory()) {
    const lock = lstatSync(join(directory, LOCK_FILE), { throwIfNoEntry: false })
    if (lock && !lock.isFile()) throw new CannotOpen('damage', `its ${LOCK_FILE} is not a file`)
    return
  }
  if (found) throw new CannotOpen('lasting', 'it is not a directory')
  const parent = dirname(directory)
  if (!existsSync(parent)) makeDirectory(parent)
  try {
    mkdirSync(directory, { mode: DIRECTORY_MODE })
  } catch (error) {
    const isMadeByAnother = statSync(directory, { throwIfNoEntry: false })?.isDirectory()
    if (!isMadeByAnother) throw error
  }
}

/** The version of an environment with these contents. */
function versionOf(contents: Contents): string {
  return STATE_CONTENTS[contents].prefix + STATE_VERSION
}

/** Why greymx cannot use an environment of its own with this `version`; `undefined` when it can. */
function strangerIn(version: string, contents: Contents): string | undefined {
  const [, prefix, digits] = /^(texts )?(\d+)$/.exec(version) ?? []
  if (digits === undefined) return undefined
  const found = prefix === undefined ? 'entries' : 'texts'
  const { setting } = STATE_CONTENTS[contents]
  if (found !== contents) {
    return `it belongs to the setting ${STATE_CONTENTS[found].setting}: expected another directory in the setting ${setting}`
  }
  if (Number(digits) <= STATE_VERSION) return undefined
  return (
    `it was written by a later version of greymx (its format is ${digits}, this one knows ${STATE_VERSION}): ` +
    `expected that version, or another directory in the setting ${setting}`
  )
}

/** Whether a value has the form of `contents`, for environments from before there was a version. */
function isOurs(value: string, contents: Contents): boolean {
  const words = value.split(' ')
  return words.length === (contents === 'entries' ? 2 : 3) && isStored(words.at(-1) ?? '')
}

/** The TTL that an entry was set with, in milliseconds, when more is left of it than that; `undefined` otherwise. */
function excessiveTtl({ expiresAt, text }: Parts, now: number): number | undefined {
  const ttl = ttlOf(text)
  return ttl !== undefined && hasTooMuchLeft(expiresAt - now, ttl) ? ttl : undefined
}

/** The parts of a value; an expiry that cannot be read is NaN. */
function partsOf(value: string): Parts {
  return { expiresAt: Number.parseInt(value, 10), text: value.slice(value.indexOf(' ') + 1) }
}

function obstacleOf(error: unknown): Obstacle {
  const code = codeOf(error)
  if (DAMAGE.has(code)) return 'damage'
  return PASSING.has(code) ? 'passing' : 'lasting'
}

/** The number of an error of LMDB or of the system; NaN for any other. */
function codeOf(error: unknown): number {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'number' ? code : Number.NaN
}
