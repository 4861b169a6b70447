// Converts numbers with a unit, as settings write them ("4m", "1.5 MiB"), to multiples of the smallest unit, and back.

/** Size of each unit in ascending order; the smallest is 1. */
export type Units = Readonly<Record<string, number>>

/** Returns a whole number of the smallest unit, or `undefined` when `text` is not a number and one of `units`. */
export function parseQuantity(text: string, units: Units): number | undefined {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?) ?([A-Za-z]+)$/.exec(text) ?? []
  const size = Object.hasOwn(units, unit) ? units[unit] : undefined
  return number === undefined || size === undefined ? undefined : Math.round(Number(number) * size)
}

/** Returns the shortest exact form in one unit. */
export function formatQuantity(quantity: number, units: Units): string {
  const [smallest = ''] = Object.keys(units)
  const [unit, size] = Object.entries(units)
    .reverse()
    .find(([, candidate]) => quantity >= candidate && quantity % candidate === 0) ?? [smallest, 1]
  return `${quantity / size}${unit}`
}
