// Chance that repeats itself. A simulation draws numbers in two ways: from a stream, where a whole part of the world is
// made at once, and from a seed and a place, where what is drawn must not depend on what was drawn before. So the retries
// of a message come at the same times whatever a judge has decided elsewhere.
// Sources: Tommy Ettinger's mulberry32; the finaliser of Austin Appleby's MurmurHash3; Fowler, Noll and Vo's FNV-1a.

/** A stream of numbers from 0 to below 1. */
export type Random = () => number

const GOLDEN = 0x9e3779b9

/** A seed, 32 bits, made of all parts; other parts make another seed. */
export function seedOf(...parts: ReadonlyArray<string | number>): number {
  const text = parts.join('\0')
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index += 1)
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  return mix(hash)
}

/** The stream of a seed. */
export function randomOf(seed: number): Random {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A number from 0 to below 1 that depends on the seed and the place alone. */
export function unitAt(seed: number, place: number): number {
  return mix(seed + Math.imul(place + 1, GOLDEN)) / 2 ** 32
}

function mix(value: number): number {
  let mixed = value ^ (value >>> 16)
  mixed = Math.imul(mixed, 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

/** A whole number from 0 to below `count`. */
export function below(random: Random, count: number): number {
  return Math.floor(random() * count)
}

/** One of the items. */
export function pick<T>(random: Random, items: readonly T[]): T {
  return items[below(random, items.length)] as T // callers have at least one
}

/** A whole number, `mean` on average: the whole part of it, and one more with the chance of the rest. */
export function roundedBy(random: Random, mean: number): number {
  return Math.floor(mean) + (random() < mean % 1 ? 1 : 0)
}

/** A number with a log-normal distribution, by its mean and the standard deviation of its logarithm. */
export function logNormal(random: Random, mean: number, spread: number): number {
  // The method of Box and Muller; 1 - random() is never 0.
  const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
  return mean * Math.exp(spread * normal - spread ** 2 / 2)
}

/** A function that draws the index of one of the weights, each as often as its weight says. One at least is above 0. */
export function weighted(weights: readonly number[]): (random: Random) => number {
  const cumulative: number[] = []
  let sum = 0
  for (const weight of weights) {
    sum += weight
    cumulative.push(sum)
  }
  return (random) => firstAbove(cumulative, random() * sum)
}

/** Index of the first of ascending numbers that is above `value`, which is below the last. */
function firstAbove(numbers: readonly number[], value: number): number {
  let [low, high] = [0, numbers.length - 1]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((numbers[middle] ?? 0) > value) high = middle
    else low = middle + 1
  }
  return low
}
