// Writes the answer to a call that is a stream: NDJSON, a line for each item, and a last line that tells whether it is
// complete. The event loop goes round between batches, so that mail does not wait for a long stream.

import type { ServerResponse } from 'node:http'
import { setImmediate as turn } from 'node:timers/promises'

/** Lines are written together once they have this many characters, or after this many milliseconds of work. */
const BATCH_LENGTH = 16 * 1024
const TIME_SLICE = 2

/** How long an operator may leave a stream unread, such as in a pager, in milliseconds. */
const READER_TIMEOUT = 15 * 60_000

/**
 * Writes all items and `{"end":{"items":COUNT}}`. Returns early when the reader goes. Rejects with the error of `items`,
 * which the caller writes as the last line.
 */
export async function writeItems(response: ServerResponse, items: AsyncIterable<unknown>): Promise<void> {
  let lines = ''
  let count = 0
  let deadline = performance.now() + TIME_SLICE
  const write = () => {
    const text = lines
    lines = ''
    if (text !== '' && !response.destroyed) response.write(text)
  }
  try {
    for await (const item of items) {
      if (response.destroyed) return
      // What waits is written before the event loop goes round, also if no further item comes for a long time.
      if (lines === '') setImmediate(write)
      lines += `${JSON.stringify({ item })}\n`
      count += 1
      if (lines.length < BATCH_LENGTH && performance.now() < deadline) continue
      write()
      await turn()
      if (response.writableNeedDrain) await drained(response)
      deadline = performance.now() + TIME_SLICE
    }
  } finally {
    write()
  }
  if (!response.destroyed) response.end(`${JSON.stringify({ end: { items: count } })}\n`)
}

/** Resolves when the reader has read on or is gone; one that does neither for too long is cut off. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => response.destroy(), READER_TIMEOUT)
    const end = () => {
      clearTimeout(timer)
      response.off('drain', end).off('close', end)
      resolve()
    }
    response.once('drain', end).once('close', end)
  })
}
