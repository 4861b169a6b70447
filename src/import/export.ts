// Exports what a store keeps, as lines that read.ts reads (format.ts). It goes through the store a batch
// at a time, beside mail, as `greymx list` does. What changes meanwhile is exported as it was or as it is.
//
// Of operators' records, the rules of `allow` and `off` and the recipients of `recipients: store` are exported, which hold
// for mail. The others stay: who serves is known anew within seconds, and the ledger of deferrals and the statistics are
// of hosts and of the store in which these noted them.

import type { RecordStore } from '../store/records.ts'
import { EXPORTED_RECORDS, endLine, fieldLine, headerLine, keyLine } from './format.ts'

/**
 * The lines of an export, in texts of some lines each. `now` is the clock of this host, in milliseconds since 1970.
 * Rejects when the store cannot be read, and once `signal` is aborted.
 */
export async function* exportLines(
  store: Pick<RecordStore, 'scanKeys' | 'readRecord'>,
  version: string,
  now: () => number,
  signal: AbortSignal,
): AsyncGenerator<{ readonly text: string; readonly lines: number }> {
  const startedAt = now()
  yield { text: headerLine(version, startedAt), lines: 0 }
  let lines = 0
  for await (const batch of store.scanKeys(signal)) {
    const since = now() - startedAt
    let text = ''
    let count = 0
    for (const kept of batch) {
      // A key without an expiry has nothing left, or is a count that has begun in this moment.
      if (kept.left <= 0 || !Number.isFinite(kept.left)) continue
      text += keyLine(kept, since)
      count += 1
    }
    lines += count
    if (count > 0) yield { text, lines: count }
  }
  for (const record of EXPORTED_RECORDS) {
    const fields = [...(await store.readRecord(record))]
    lines += fields.length
    if (fields.length > 0)
      yield {
        text: fields.map(([field, text]) => fieldLine(record, field, text)).join(''),
        lines: fields.length,
      }
  }
  yield { text: endLine(lines), lines: 0 }
}
