// A host's copy of a record of the store. It asks twice a second whether the record has changed, so that no RCPT waits for
// the store, and what operators change takes effect on all hosts within a second. While the store cannot be read, the
// copy goes on counting.

import { messageOf } from '../errors.ts'
import type { RecordStore } from '../store/records.ts'

/** What a copy is of, and what is made of it. */
export interface RecordCopyParts<T> {
  readonly name: string
  /** The store in use; called anew each time, as a reload may change it. */
  readonly records: () => RecordStore
  /** What is made of the record, each time that it has changed. */
  readonly read: (fields: ReadonlyMap<string, string>) => T
  /** What counts until the record is first read. */
  readonly initial: T
  /** Called when the record cannot be read, once for each reason. */
  readonly onProblem: (problem: string) => void
}

/** How often each host looks whether the record has changed, in milliseconds. */
const POLL_INTERVAL = 500

export class RecordCopy<T> {
  readonly #parts: RecordCopyParts<T>
  #source: RecordStore | undefined
  #revision: string | undefined
  #timer: NodeJS.Timeout | undefined
  #problem = ''
  #current: T

  constructor(parts: RecordCopyParts<T>) {
    this.#parts = parts
    this.#current = parts.initial
  }

  /** What was made of the record when it was last read. */
  get current(): T {
    return this.#current
  }

  /** Reads the record, and from then on whenever it has changed. Never rejects. */
  async start(): Promise<void> {
    await this.refresh()
    if (this.#timer === undefined) this.#schedule()
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** Reads the record now, if it has changed. Never rejects. */
  async refresh(): Promise<void> {
    const { name, records, read, onProblem } = this.#parts
    try {
      const source = records()
      const revision = await source.revisionOf(name)
      if (source !== this.#source || revision !== this.#revision) {
        this.#current = read(await source.readRecord(name))
        this.#source = source
        this.#revision = revision
      }
      this.#problem = ''
    } catch (error) {
      const problem = messageOf(error)
      if (problem !== this.#problem) onProblem(problem)
      this.#problem = problem
    }
  }

  #schedule(): void {
    this.#timer = setTimeout(async () => {
      await this.refresh()
      if (this.#timer !== undefined) this.#schedule()
    }, POLL_INTERVAL)
    this.#timer.unref()
  }
}
