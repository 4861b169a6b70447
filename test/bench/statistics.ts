// What is said of many measurements.

export function median(numbers: readonly number[]): number {
  return quantile(numbers, 0.5)
}

/** `share` from 0 (the least) to 1 (the greatest); NaN of nothing. */
export function quantile(numbers: readonly number[], share: number): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
