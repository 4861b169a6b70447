// What a local store writes down, so that it knows it again after a restart. Who learns something does not depend on it:
// a journal that fails, as on a full disk, or stands still costs what a restart in the meantime would forget, and no more
// than one short wait. Once it can be written again, it is brought up to date.

import { messageOf } from '../../message.ts'

export type Text = readonly [key: string, text: string]

/** Keeps texts under keys, and minds nothing else. What is asked of it is done in that order. */
export interface Journal {
  /** So many texts at most, in the order of their keys, from the first key behind `after` on; none when there is none. */
  load(after: string, most: number): Promise<readonly Text[]>
  put(key: string, text: string): Promise<unknown>
  remove(key: string): Promise<unknown>
  close(): Promise<void>
}

/** What is to be written down. */
export interface Contents {
  has(key: string): boolean
  texts(): Iterable<Text>
  /**
   * Takes up what was written down before a restart, as far as it is of use. Says whether some of it has changed by
   * that, so that all is to be written down again.
   */
  take(found: readonly Text[]): boolean
}

export interface JournalWatch {
  /** Only when it changes; `problem` says why nothing is written down. */
  onWritten(): void
  onUnwritten(problem: string): void
}

/** Longest wait for a journal that answers nothing, in milliseconds. */
const PATIENCE = 250

/** Time between attempts to write to a journal that failed, in milliseconds. */
const RETRY = 2000

/** So many texts are read or written at once. */
const BATCH = 1000

export class SteadyJournal {
  readonly #journal: Journal
  readonly #watch: JournalWatch
  #contents: Contents | undefined
  /** `behind`: nothing is written, as all of it will be. */
  #state: 'behind' | 'catching up' | 'up to date' = 'behind'
  #isCatchingUp = false
  #hasTaken = false
  #hasFailed = false
  /** Who waits for a write. */
  readonly #waiting = new Set<() => void>()
  #silence: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(journal: Journal, watch: JournalWatch) {
    this.#journal = journal
    this.#watch = watch
  }

  /** Begins with what was written down before, or goes on without as long as that cannot be read. */
  async begin(contents: Contents): Promise<void> {
    this.#contents = contents
    await this.catchUp()
  }

  /** Resolves once it is written down, or cannot be for now. */
  put(key: string, text: string): Promise<void> {
    return this.#write(() => this.#journal.put(key, text))
  }

  remove(key: string): Promise<void> {
    return this.#write(() => this.#journal.remove(key))
  }

  /** Reads what was not read yet, and writes what was not written; at once, as when the journal has just come back. */
  async catchUp(): Promise<void> {
    const contents = this.#contents
    if (!contents || this.#state !== 'behind' || this.#isCatchingUp || this.#isClosed) return
    clearTimeout(this.#retry)
    this.#isCatchingUp = true
    try {
      const unknown = await this.#loadUnknown(contents)
      const isChanged = !this.#hasTaken && contents.take(unknown)
      this.#hasTaken = true
      this.#state = 'catching up'
      const useless = unknown.filter(([key]) => !contents.has(key))
      await this.#inBatches(useless, ([key]) => this.#journal.remove(key))
      if (this.#hasFailed || isChanged)
        await this.#inBatches(contents.texts(), (text) => this.#journal.put(...text))
      this.#caughtUp()
    } catch (error) {
      this.fail(messageOf(error))
    }
    this.#isCatchingUp = false
    if (this.#isBehind()) this.#retryLater()
  }

  /** Also for what the journal reports by itself. */
  fail(problem: string): void {
    this.#endSilence()
    for (const done of this.#waiting) done()
    this.#waiting.clear()
    this.#state = 'behind'
    if (!this.#hasFailed && !this.#isClosed) this.#watch.onUnwritten(problem)
    this.#hasFailed = true
    if (!this.#isCatchingUp) this.#retryLater()
  }

  /** What was written before is still written down. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#state = 'behind'
    clearTimeout(this.#retry)
    this.#endSilence()
    await this.#journal.close()
  }

  #retryLater(): void {
    clearTimeout(this.#retry)
    if (!this.#isClosed) this.#retry = setTimeout(() => void this.catchUp(), RETRY).unref()
  }

  #caughtUp(): void {
    if (this.#isBehind()) return // as something that was learnt meanwhile could not be written
    this.#state = 'up to date'
    if (this.#hasFailed) this.#watch.onWritten()
    this.#hasFailed = false
  }

  async #loadUnknown(contents: Contents): Promise<Text[]> {
    const unknown: Text[] = []
    let page: readonly Text[] = []
    do {
      page = await this.#journal.load(page.at(-1)?.[0] ?? '', BATCH)
      unknown.push(...page.filter(([key]) => !contents.has(key)))
    } while (page.length > 0)
    return unknown
  }

  async #inBatches(texts: Iterable<Text>, write: (text: Text) => Promise<unknown>): Promise<void> {
    let batch: Array<Promise<unknown>> = []
    for (const text of texts) {
      batch.push(write(text))
      if (batch.length < BATCH) continue
      await Promise.all(batch)
      batch = []
      if (this.#isBehind()) return
    }
    await Promise.all(batch)
  }

  #isBehind(): boolean {
    return this.#state === 'behind'
  }

  #endSilence(): void {
    clearTimeout(this.#silence)
    this.#silence = undefined
  }

  #write(write: () => Promise<unknown>): Promise<void> {
    if (this.#state === 'behind') return Promise.resolve()
    const written = write()
    if (this.#state === 'up to date') return this.#wait(written)
    written.catch((error: unknown) => this.fail(messageOf(error)))
    return Promise.resolve()
  }

  #wait(written: Promise<unknown>): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.add(resolve)
      this.#silence ??= setTimeout(() => this.fail(`it did not answer within ${PATIENCE}ms`), PATIENCE)
      written.then(
        () => {
          if (!this.#waiting.delete(resolve)) return
          if (this.#waiting.size > 0) this.#silence?.refresh()
          else this.#endSilence()
          resolve()
        },
        (error: unknown) => {
          if (this.#waiting.has(resolve)) this.fail(messageOf(error))
        },
      )
    })
  }
}
