// Writes how long something takes or is ago, for people.

const [SECOND, MINUTE] = [1000, 60_000]

const UNITS = [
  ['d', 24 * 60 * MINUTE],
  ['h', 60 * MINUTE],
  ['min', MINUTE],
] as const

/** A time in the largest unit of which it has at least two, such as `90 s` or `4 min`; a negative one is `0 s`. */
export function formatElapsed(milliseconds: number): string {
  const [unit, length] = UNITS.find(([, time]) => milliseconds >= 2 * time) ?? ['s', SECOND]
  return `${Math.floor(Math.max(milliseconds, 0) / length)} ${unit}`
}
