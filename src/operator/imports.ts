// Whether the store has keys that only an import makes (greylist/imported.ts). Each MX has a copy of the record that tells
// it, so that attempts are looked up under these keys while there may be any, and cost nothing otherwise.

import type { RecordStore } from '../store/records.ts'
import { RecordCopy } from './record-copy.ts'

const RECORD = 'imports'

/** The field with the instant until which keys of imports are kept, in milliseconds since the epoch. */
const UNTIL = 'until'

export interface ImportsParts {
  /** The store in use; called anew for each look. */
  readonly records: () => RecordStore
  /** Milliseconds since the epoch, by the clock of the store. */
  readonly now: () => number
  /** Called when the record cannot be read, once for each reason. */
  readonly onProblem: (problem: string) => void
}

export class Imports {
  readonly #copy: RecordCopy<number>
  readonly #now: () => number

  constructor({ records, now, onProblem }: ImportsParts) {
    this.#now = now
    this.#copy = new RecordCopy({ name: RECORD, records, read: untilIn, initial: 0, onProblem })
  }

  /** Whether there may be keys of an import, by the copy that this host has. */
  readonly hasAny = (): boolean => this.#copy.current > this.#now()

  /** Reads the record, and from then on whenever it has changed. Never rejects. */
  start(): Promise<void> {
    return this.#copy.start()
  }

  close(): void {
    this.#copy.close()
  }
}

/** Tells all hosts within a second that keys of an import are kept until an instant. */
export async function noteImport(
  records: Pick<RecordStore, 'readRecord' | 'changeRecord'>,
  until: number,
  now: number,
): Promise<void> {
  const latest = Math.max(until, untilIn(await records.readRecord(RECORD)))
  await records.changeRecord(RECORD, new Map([[UNTIL, String(latest)]]), latest - now)
}

function untilIn(fields: ReadonlyMap<string, string>): number {
  const until = Number(fields.get(UNTIL) ?? 0)
  return Number.isFinite(until) ? until : 0
}
