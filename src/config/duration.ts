// Converts durations as settings write them ("4m", "2d", "1.5h") to milliseconds, and back.

import { formatQuantity, parseQuantity } from './quantity.ts'

const DURATION_UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }

/** Describes a duration in error messages. */
export const DURATION_FORM = 'a number and ms, s, m, h, d or w'

/** Returns whole milliseconds, or `undefined` when `text` is not `DURATION_FORM`. */
export function parseDuration(text: string): number | undefined {
  return parseQuantity(text, DURATION_UNITS)
}

/** Returns the shortest exact form in one unit: 240000 → `4m`, 90000 → `90s`. */
export function formatDuration(milliseconds: number): string {
  return formatQuantity(milliseconds, DURATION_UNITS)
}
