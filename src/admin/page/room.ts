// The bound on what a view has: an address may have hundreds of characters, and rules and changes are many. A list is cut
// where the view would become too large, and says where the rest is.

import type { Html } from './layout.ts'

/** Room for the rows of a view, in bytes: with its frame and forms it stays below 60 kB. */
export const ROOM = 45_000

/** The rows of as many of `items` as there is room for, in their order; of one at least. */
export async function fitting<T>(
  items: readonly T[],
  row: (item: T) => Html,
  room = ROOM,
): Promise<readonly Html[]> {
  const rows: Html[] = []
  let size = 0
  for (const item of items) {
    const made = await row(item)
    size += sizeOf(made)
    if (size > room && rows.length > 0) break
    rows.push(made)
  }
  return rows
}

/** The size of a part of a view, in bytes. */
export function sizeOf(part: { toString(): string }): number {
  return Buffer.byteLength(String(part))
}
