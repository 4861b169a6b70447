// The contract for what operators' commands keep in a store beside the entries of mail, such as rules, statistics and
// who serves. No mail waits for these operations, so they go past the circuit breaker of guard.ts, and the store is not
// held to be down when one of them fails.

import type { Kept } from './encoding.ts'

/** The kind of the keys of records (`kindOf`), which no key of mail has. */
export const RECORD_KIND = 'r'

/** A key of mail with what is under it. */
export interface KeptKey {
  readonly key: string
  /** The entry, or the count. */
  readonly value: Kept
  /** Milliseconds that are left of it. An entry was set to be kept for this and its age. */
  readonly left: number
}

/**
 * A record is a map from fields to short texts. The operations reject when a name or a field is empty, has control
 * characters, or is longer than 1,800 bytes together with the other, and when a text is longer than 65,536 characters.
 */
export interface RecordStore {
  /**
   * All fields of a record, as they were at one moment; none where there is no record. Rejects when they have more than
   * 16 million characters, as no caller keeps so much.
   */
  readRecord(name: string): Promise<Map<string, string>>
  /**
   * A text that changes with each `changeRecord`, so that readers read again only what has changed; '' where there is
   * no record, or only one that was added to. No revision comes again.
   */
  revisionOf(name: string): Promise<string>
  /**
   * Sets fields, and removes those whose text is `undefined`, all at once. With a `lifetime`, the record expires that
   * many milliseconds after its last change; without one it is kept.
   */
  changeRecord(
    name: string,
    changes: ReadonlyMap<string, string | undefined>,
    lifetime?: number,
  ): Promise<void>
  /**
   * Adds to the whole numbers in fields, which are 0 where there is none, and keeps the record for `lifetime`
   * milliseconds from now. Leaves the revision as it is. Rejects when there is no whole number in a field; it may have
   * added to the others then.
   */
  addToRecord(name: string, by: ReadonlyMap<string, number>, lifetime: number): Promise<void>
  /**
   * All keys of mail that are wanted, or simply all, in any order, a batch at a time, so that neither the store nor this process stops for others
   * meanwhile. A key that changes meanwhile may come twice or not at all. Values that greymx has not written are left out.
   * Rejects when the store cannot be read, and once `signal` is aborted. The caller may end early, by leaving its loop.
   */
  scanKeys(signal: AbortSignal, isWanted?: (key: string) => boolean): AsyncIterable<readonly KeptKey[]>
  /** The store's clock less the clock of this host, in milliseconds, to within the time of a round trip. */
  clockOffset(): Promise<number>
}
