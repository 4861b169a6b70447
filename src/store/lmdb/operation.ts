// The operations that the process of an LMDB environment performs, as client.ts sends them. What they do is in file.ts,
// which loads LMDB.

import type { Learnt } from '../merge.ts'
import type { RecordChanges } from './records.ts'

/** An operation with its arguments: those of a store, and `load`, `put` and `remove` of a journal. */
export type Operation =
  | readonly ['find', keys: readonly string[]]
  | readonly ['add', key: string, retryWindow: number, age: number, holder?: string]
  | readonly ['pass', key: string, lifetime: number]
  | readonly ['count', key: string, window: number, by: number]
  | readonly ['counts', keys: readonly string[]]
  | readonly ['forget', key: string]
  | readonly ['merge', key: string, learnt: Learnt]
  | readonly ['check']
  | readonly ['tally', from: string]
  | readonly ['scan', from: string]
  | readonly ['record', name: string, from: string]
  | readonly ['record whole', name: string]
  | readonly ['revision', name: string]
  | readonly [
      'change record',
      name: string,
      changes: RecordChanges,
      revision: string,
      lifetime: number | null,
    ]
  | readonly ['add to record', name: string, by: ReadonlyArray<readonly [string, number]>, lifetime: number]
  | readonly ['load', after: string, limit: number]
  | readonly ['put', key: string, text: string]
  | readonly ['remove', key: string]

const READS: ReadonlySet<Operation[0]> = new Set([
  ...(['find', 'counts', 'tally', 'scan', 'load'] as const),
  ...(['record', 'record whole', 'revision'] as const),
])

/** Whether an operation looks up what a decision is based on. It may overtake writes, which are of other decisions. */
export function isLookUp([name]: Operation): boolean {
  return name === 'find' || name === 'counts'
}

/** Whether an operation changes anything, and so takes a transaction. */
export function isWrite([name]: Operation): boolean {
  return !READS.has(name)
}
