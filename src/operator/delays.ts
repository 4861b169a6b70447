// A histogram of delays in buckets on a logarithmic scale, which can be added up field by field in a store. One bound
// is exactly an hour, so that the number of delays over an hour is exact.

const HOUR = 3_600_000

/** Buckets for each doubling. The middle of a bucket is within 7.2 % of every delay in it. */
const PER_DOUBLING = 5

/** The first bucket has all delays up to a second, the last one all that are longer than 200 days. */
const FIRST = -59
const LAST = 61

/** The bucket of a delay in milliseconds: a whole number, which is above 0 if the delay is over an hour. */
export function bucketOf(delay: number): number {
  // The logarithm of a whole hour is exactly 0, and every bucket has its upper bound.
  const bucket = Math.ceil(PER_DOUBLING * Math.log2(Math.max(delay, 1) / HOUR))
  return Math.min(Math.max(bucket, FIRST), LAST)
}

/** The number of delays in each bucket. */
export type DelayCounts = ReadonlyMap<number, number>

/** The number of delays. */
export function delaysIn(counts: DelayCounts): number {
  let sum = 0
  for (const count of counts.values()) sum += count
  return sum
}

/** The number of delays over an hour. */
export function delaysOverAnHour(counts: DelayCounts): number {
  let sum = 0
  for (const [bucket, count] of counts) if (bucket > 0) sum += count
  return sum
}

/** Delays that were longer than the bar before, and at most `upTo` milliseconds long. */
export interface DelayBar {
  /** Absent on the last bar, which has all that are longer than every other. */
  readonly upTo?: number
  readonly count: number
}

/** Upper bounds of the bars of `barsOf`, in milliseconds: each is twice the one before, from 3 m 45 s to 32 h. */
const BAR_BOUNDS = [-4, -3, -2, -1, 0, 1, 2, 3, 4, 5].map((doublings) => HOUR * 2 ** doublings)

/** The delays in a few bars, for people. Their bounds are bounds of buckets, so that the numbers are exact. */
export function barsOf(counts: DelayCounts): DelayBar[] {
  const sums = Array.from({ length: BAR_BOUNDS.length + 1 }, () => 0)
  for (const [bucket, count] of counts) {
    const above = BAR_BOUNDS.filter((bound) => bucket > PER_DOUBLING * Math.log2(bound / HOUR)).length
    sums[above] = (sums[above] ?? 0) + count
  }
  return sums.map((count, index) => {
    const upTo = BAR_BOUNDS[index]
    return upTo === undefined ? { count } : { upTo, count }
  })
}

/**
 * The delay, in milliseconds, that this share of delays does not exceed, to within 10 %; `undefined` when there are
 * none. `share` is above 0, and 1 at most.
 */
export function quantileOf(counts: DelayCounts, share: number): number | undefined {
  const rank = Math.ceil(share * delaysIn(counts))
  let below = 0
  for (const [bucket, count] of [...counts].sort(([one], [other]) => one - other)) {
    below += count
    if (below >= rank && count > 0) return Math.round(HOUR * 2 ** ((bucket - 0.5) / PER_DOUBLING))
  }
  return undefined
}
