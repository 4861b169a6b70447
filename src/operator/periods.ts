// The hours and days by which statistics are kept, in UTC, so that all hosts have the same ones and no day has 23 or 25
// hours.

/** An hour or a day. */
export type Unit = 'hour' | 'day'

const HOUR = 3_600_000
const DAY = 24 * HOUR

interface UnitRow {
  /** Its length in milliseconds. */
  readonly length: number
  /** How long the statistics of one are kept after its end, in milliseconds. */
  readonly kept: number
  /** Number of characters of the ISO form that name one: `2026-11-27T01` or `2026-11-27`. */
  readonly labelLength: number
}

export const UNITS: { readonly [unit in Unit]: UnitRow } = {
  hour: { length: HOUR, kept: 14 * DAY, labelLength: 13 },
  day: { length: DAY, kept: 400 * DAY, labelLength: 10 },
}

/** The start of the hour or day that `at` is in, in milliseconds since 1970. */
export function startOf(unit: Unit, at: number): number {
  const { length } = UNITS[unit]
  return Math.floor(at / length) * length
}

/** The name of the hour or day that `at` is in, such as `2026-11-27T01` or `2026-11-27`. */
export function labelOf(unit: Unit, at: number): string {
  return new Date(at).toISOString().slice(0, UNITS[unit].labelLength)
}

/** The starts of the last `count` hours or days, the one that `now` is in included, in their order. */
export function lastPeriods(unit: Unit, count: number, now: number): number[] {
  const last = startOf(unit, now)
  return Array.from({ length: count }, (_, index) => last - (count - 1 - index) * UNITS[unit].length)
}

/** When the statistics of the hour or day that starts at `start` expire, in milliseconds since 1970. */
export function expiryOf(unit: Unit, start: number): number {
  const { length, kept } = UNITS[unit]
  return start + length + kept
}
