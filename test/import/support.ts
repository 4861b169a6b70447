// What the tests of import/ share: exports as bytes, and imports of bytes into a store.

import { exportLines } from '../../src/import/export.ts'
import type { Found } from '../../src/import/piece.ts'
import { readExport } from '../../src/import/read.ts'
import type { NotTaken } from '../../src/import/remembered.ts'
import { emptySummary, importAll, type Summary, type Target } from '../../src/import/write.ts'
import type { RecordStore } from '../../src/store/records.ts'

const { signal: NEVER } = new AbortController()

/** The export of a store by the clock `now`, in milliseconds since 1970. */
export async function exported(store: RecordStore, now: () => number): Promise<string> {
  let text = ''
  for await (const part of exportLines(store, '0.2.0', now, NEVER)) text += part.text
  return text
}

export interface Imported {
  readonly summary: Summary
  readonly notTaken: readonly NotTaken[]
}

/** What became of an import of `source`. */
export async function importFound(
  source: AsyncIterable<Found>,
  target: Target | undefined,
): Promise<Imported> {
  const summary = emptySummary()
  const notTaken: NotTaken[] = []
  const watch = { onNotTaken: (each: NotTaken) => notTaken.push(each), onPiece() {}, onProgress() {} }
  await importAll(source, target, summary, watch, NEVER)
  return { summary, notTaken }
}

/** What became of an import of an export, which comes in chunks of `size` bytes. */
export function imported(
  bytes: Uint8Array | string,
  target: Target | undefined,
  now: () => number,
  size = 64 * 1024,
): Promise<Imported> {
  const buffer = Buffer.from(bytes as Uint8Array)
  async function* chunks() {
    for (let start = 0; start < buffer.length; start += size) yield buffer.subarray(start, start + size)
  }
  return importFound(readExport(chunks(), now), target)
}
