// Adds numbers to records of a store, each exactly once. What the store has not taken waits here, and is offered again.
//
// A write whose answer is lost may have been done or not. So each write also adds 1 to a field that nobody else writes,
// a mark: before the same numbers are offered again, the mark tells whether they were taken.

import type { RecordStore } from '../store/records.ts'
import { ANSWER_TIMEOUT, within } from './within.ts'

/** Most records for which numbers wait; beyond it, those that wait longest are given up. Hours of ten days. */
const MAX_RECORDS = 256
/** Most fields of one record that wait; beyond it, no further field is taken up. */
const MAX_FIELDS = 1000

/** A record is looked at for superfluous fields after so many new fields of this process. */
const LOOK_AFTER = 100

/** The marks of processes begin with this. */
const MARK = 'm:'
/** Most marks that are kept in a record. Only of processes that still write to it does the mark matter. */
const MAX_MARKS = 32

interface Outgoing {
  /** The field that counts the writes. A record that was given up and taken up again has another one. */
  readonly mark: string
  /** When the record expires, by the clock of the outbox. */
  readonly expiresAt: number
  /** What was added since the last write. */
  unsent: Map<string, number>
  /** What the last write had, until it is known that the store has taken it. */
  sent: Map<string, number> | undefined
  /** How many writes the store has taken. */
  taken: number
  /** The fields that this process has written since the record was looked at; absent until it was first looked at. */
  written: Set<string> | undefined
}

export class Outbox {
  readonly #process: string
  #marks = 0
  readonly #now: () => number
  readonly #superfluous: (fields: ReadonlyMap<string, string>) => readonly string[]
  readonly #records = new Map<string, Outgoing>()
  #writing: Promise<void> | undefined

  /**
   * `process` is a name that no other process has. `now` returns milliseconds since 1970. `superfluous` names the fields
   * that a record can do without, since fields may be named by strangers.
   */
  constructor(
    process: string,
    now: () => number,
    superfluous: (fields: ReadonlyMap<string, string>) => readonly string[],
  ) {
    this.#process = process
    this.#now = now
    this.#superfluous = superfluous
  }

  /** Adds to a field of a record, which is kept until `expiresAt`. Nothing is added to one that has expired. */
  add(record: string, expiresAt: number, field: string, by: number): void {
    if (expiresAt <= this.#now()) return
    let outgoing = this.#records.get(record)
    if (!outgoing) {
      if (this.#records.size >= MAX_RECORDS) this.#giveUpOne()
      this.#marks += 1
      const mark = `${MARK}${this.#process}.${this.#marks}`
      outgoing = { mark, expiresAt, unsent: new Map(), sent: undefined, taken: 0, written: undefined }
      this.#records.set(record, outgoing)
    }
    const { unsent } = outgoing
    const sum = unsent.get(field)
    if (sum === undefined && unsent.size >= MAX_FIELDS) return
    unsent.set(field, (sum ?? 0) + by)
  }

  /** Whether nothing waits. */
  get isEmpty(): boolean {
    for (const { unsent, sent } of this.#records.values()) if (unsent.size > 0 || sent) return false
    return true
  }

  /** What waits for a record: what the store has not taken, as far as is known. */
  waiting(record: string): Map<string, string> {
    const { unsent, sent } = this.#records.get(record) ?? {}
    const sums = new Map(unsent)
    for (const [field, by] of sent ?? []) sums.set(field, (sums.get(field) ?? 0) + by)
    return new Map([...sums].map(([field, sum]) => [field, String(sum)]))
  }

  /** Writes all that waits. Rejects at the first failure; what the store has not taken goes on waiting. */
  write(store: RecordStore): Promise<void> {
    this.#writing ??= this.#writeAll(store).finally(() => {
      this.#writing = undefined
    })
    return this.#writing
  }

  async #writeAll(store: RecordStore): Promise<void> {
    for (const [record, outgoing] of [...this.#records]) {
      if (outgoing.expiresAt <= this.#now()) this.#records.delete(record)
      else await this.#writeOne(store, record, outgoing)
    }
  }

  async #writeOne(store: RecordStore, record: string, outgoing: Outgoing): Promise<void> {
    if (outgoing.sent) await this.#askForMark(store, record, outgoing)
    if (outgoing.sent) await this.#send(store, record, outgoing, outgoing.sent)
    if (outgoing.unsent.size === 0) return
    const sent = outgoing.unsent.set(outgoing.mark, 1)
    outgoing.unsent = new Map()
    outgoing.sent = sent
    await this.#send(store, record, outgoing, sent)
  }

  /** Finds out whether the store has taken the last write. */
  async #askForMark(store: RecordStore, record: string, outgoing: Outgoing): Promise<void> {
    const fields = await within(ANSWER_TIMEOUT, store.readRecord(record))
    const taken = Number(fields.get(outgoing.mark) ?? 0)
    if (taken <= outgoing.taken) return
    outgoing.taken = taken
    outgoing.sent = undefined
  }

  async #send(
    store: RecordStore,
    record: string,
    outgoing: Outgoing,
    sent: ReadonlyMap<string, number>,
  ): Promise<void> {
    const lifetime = outgoing.expiresAt - this.#now()
    await within(ANSWER_TIMEOUT, store.addToRecord(record, sent, lifetime))
    outgoing.taken += 1
    outgoing.sent = undefined
    for (const field of sent.keys()) outgoing.written?.add(field)
    if (outgoing.written && outgoing.written.size < LOOK_AFTER) return
    await this.#removeSuperfluous(store, record, outgoing.mark, lifetime)
    outgoing.written = new Set()
  }

  async #removeSuperfluous(
    store: RecordStore,
    record: string,
    mark: string,
    lifetime: number,
  ): Promise<void> {
    const fields = await within(ANSWER_TIMEOUT, store.readRecord(record))
    const marks = [...fields.keys()].filter((field) => field.startsWith(MARK) && field !== mark)
    const removed = [...this.#superfluous(fields), ...(marks.length > MAX_MARKS ? marks : [])]
    if (removed.length === 0) return
    const changes = new Map(removed.map((field) => [field, undefined]))
    await within(ANSWER_TIMEOUT, store.changeRecord(record, changes, lifetime))
  }

  /** Makes room for one record: one for which nothing waits, or else the oldest. */
  #giveUpOne(): void {
    let [given] = this.#records.keys()
    for (const [record, { unsent, sent }] of this.#records) {
      if (unsent.size > 0 || sent) continue
      given = record
      break
    }
    if (given !== undefined) this.#records.delete(given)
  }
}
