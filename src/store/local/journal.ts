// The journal from which a local store is restored after a restart, with a time-out and a circuit breaker. While it
// works, writes are awaited. When it fails, as on a full disk, or does not answer, the store goes on in memory without
// waiting, and a later retry writes everything down; only a restart in the meantime loses something. How the texts get
// to disk is the matter of lmdb/.

import { messageOf } from '../../errors.ts'
import type { ConnectionWatch } from '../store.ts'

/** A text and its key. */
export type Text = readonly [key: string, text: string]

/** A persistent map of texts that knows nothing of their meaning. Operations take effect in the order of the calls. */
export interface Journal {
  /** At most `limit` texts in the order of their keys, beginning with the first key after `after`. */
  load(after: string, limit: number): Promise<readonly Text[]>
  put(key: string, text: string): Promise<unknown>
  remove(key: string): Promise<unknown>
  /** Calls `watch` from now on, in place of an earlier one. */
  watch(watch: ConnectionWatch): void
  close(): Promise<void>
}

/** The store whose contents the journal keeps. */
export interface JournalSource {
  /** Whether the store has `key` in memory. */
  has(key: string): boolean
  /** All contents of the store. */
  texts(): Iterable<Text>
  /**
   * Restores what is still usable of the texts from before a restart. Returns whether it changed any of them, so that
   * all contents have to be written again.
   */
  take(found: readonly Text[]): boolean
}

/** Callbacks for each change between a journal that works and one that fails. */
export interface JournalWatch {
  /** Called when everything is written down again after a failure. */
  onWritten(): void
  /** Called at the first failure; `problem` says why nothing is written down. */
  onUnwritten(problem: string): void
}

/** Time-out for a journal that answers nothing, in milliseconds. */
const JOURNAL_TIMEOUT = 250

/** Time between retries of a journal that failed, in milliseconds. */
const JOURNAL_BACKOFF = 2000

/** Number of texts that are read or written at once. */
const JOURNAL_BATCH = 1000

/** A journal whose writes never reject and wait for `JOURNAL_TIMEOUT` at most. */
export class SteadyJournal {
  readonly #journal: Journal
  readonly #watch: JournalWatch
  #source: JournalSource | undefined
  /** While `behind`, single writes are skipped, as catching up will write everything. */
  #state: 'behind' | 'catching up' | 'up to date' = 'behind'
  #isCatchingUp = false
  #hasTaken = false
  #hasFailed = false
  /** Callbacks that let the callers of pending writes go on. */
  readonly #waiting = new Set<() => void>()
  #answerTimer: NodeJS.Timeout | undefined
  #retryTimer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(journal: Journal, watch: JournalWatch) {
    this.#journal = journal
    this.#watch = watch
    journal.watch({
      onReady: () => void this.#catchUp(),
      onLost: (problem) => this.#fail(problem),
    })
  }

  /** Restores `source` from the journal; while that cannot be read, resolves without it and retries later. */
  async begin(source: JournalSource): Promise<void> {
    this.#source = source
    await this.#catchUp()
  }

  /** Resolves once the text is written down, or cannot be for now. */
  put(key: string, text: string): Promise<void> {
    return this.#write(() => this.#journal.put(key, text))
  }

  /** Resolves once the text is removed, or cannot be for now. */
  remove(key: string): Promise<void> {
    return this.#write(() => this.#journal.remove(key))
  }

  /** Retries at once, as when the journal has just come back: reads what was not read, writes what was not written. */
  async #catchUp(): Promise<void> {
    const source = this.#source
    if (!source || this.#state !== 'behind' || this.#isCatchingUp || this.#isClosed) return
    clearTimeout(this.#retryTimer)
    this.#isCatchingUp = true
    try {
      const unknown = await this.#loadUnknown(source)
      const isChanged = !this.#hasTaken && source.take(unknown)
      this.#hasTaken = true
      this.#state = 'catching up'
      const useless = unknown.filter(([key]) => !source.has(key))
      await this.#inBatches(useless, ([key]) => this.#journal.remove(key))
      if (this.#hasFailed || isChanged)
        await this.#inBatches(source.texts(), (text) => this.#journal.put(...text))
      this.#caughtUp()
    } catch (error) {
      this.#fail(messageOf(error))
    }
    this.#isCatchingUp = false
    if (this.#isBehind()) this.#retryLater()
  }

  /** Opens the circuit. */
  #fail(problem: string): void {
    this.#clearAnswerTimer()
    for (const done of this.#waiting) done()
    this.#waiting.clear()
    this.#state = 'behind'
    if (!this.#hasFailed && !this.#isClosed) this.#watch.onUnwritten(problem)
    this.#hasFailed = true
    if (!this.#isCatchingUp) this.#retryLater()
  }

  /** Ends retries. Writes of before are still completed. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#state = 'behind'
    clearTimeout(this.#retryTimer)
    this.#clearAnswerTimer()
    await this.#journal.close()
  }

  #retryLater(): void {
    clearTimeout(this.#retryTimer)
    if (!this.#isClosed) this.#retryTimer = setTimeout(() => void this.#catchUp(), JOURNAL_BACKOFF).unref()
  }

  #caughtUp(): void {
    if (this.#isBehind()) return // a write of the meantime has failed
    this.#state = 'up to date'
    if (this.#hasFailed) this.#watch.onWritten()
    this.#hasFailed = false
  }

  async #loadUnknown(source: JournalSource): Promise<Text[]> {
    const unknown: Text[] = []
    let page: readonly Text[] = []
    do {
      page = await this.#journal.load(page.at(-1)?.[0] ?? '', JOURNAL_BATCH)
      unknown.push(...page.filter(([key]) => !source.has(key)))
    } while (page.length > 0)
    return unknown
  }

  async #inBatches(texts: Iterable<Text>, write: (text: Text) => Promise<unknown>): Promise<void> {
    let batch: Array<Promise<unknown>> = []
    for (const text of texts) {
      batch.push(write(text))
      if (batch.length < JOURNAL_BATCH) continue
      await Promise.all(batch)
      batch = []
      if (this.#isBehind()) return
    }
    await Promise.all(batch)
  }

  #isBehind(): boolean {
    return this.#state === 'behind'
  }

  #clearAnswerTimer(): void {
    clearTimeout(this.#answerTimer)
    this.#answerTimer = undefined
  }

  #write(write: () => Promise<unknown>): Promise<void> {
    if (this.#state === 'behind') return Promise.resolve()
    const written = write()
    if (this.#state === 'up to date') return this.#wait(written)
    written.catch((error: unknown) => this.#fail(messageOf(error)))
    return Promise.resolve()
  }

  #wait(written: Promise<unknown>): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.add(resolve)
      this.#answerTimer ??= setTimeout(
        () => this.#fail(`it did not answer within ${JOURNAL_TIMEOUT}ms`),
        JOURNAL_TIMEOUT,
      )
      written.then(
        () => {
          if (!this.#waiting.delete(resolve)) return
          if (this.#waiting.size > 0) this.#answerTimer?.refresh()
          else this.#clearAnswerTimer()
          resolve()
        },
        (error: unknown) => {
          if (this.#waiting.has(resolve)) this.#fail(messageOf(error))
        },
      )
    })
  }
}
