// Converts sizes as settings write them ("64KiB", "1.5MiB") to bytes, and back.

import { formatQuantity, parseQuantity } from './quantity.ts'

const SIZE_UNITS = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }

/** Describes a size in error messages. */
export const SIZE_FORM = 'a number and B, KiB, MiB or GiB'

/** Returns whole bytes, or `undefined` when `text` is not `SIZE_FORM`. */
export function parseSize(text: string): number | undefined {
  return parseQuantity(text, SIZE_UNITS)
}

/** Returns the shortest exact form in one unit: 65536 → `64KiB`, 1000 → `1000B`. */
export function formatSize(bytes: number): string {
  return formatQuantity(bytes, SIZE_UNITS)
}
