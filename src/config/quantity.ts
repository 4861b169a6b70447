// Numbers with a unit as settings write them ("4m", "1.5 MiB") ⇄ how many of the smallest unit.

/** How large each unit is, from the smallest, which is 1. */
export type Units = Readonly<Record<string, number>>

/** Whole; `undefined` when `text` is no number and one of the units. */
export function parseQuantity(text: string, units: Units): number | undefined {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?) ?([A-Za-z]+)$/.exec(text) ?? []
  const size = Object.hasOwn(units, unit) ? units[unit] : undefined
  return number === undefined || size === undefined ? undefined : Math.round(Number(number) * size)
}

/** The shortest exact form in one unit. */
export function formatQuantity(quantity: number, units: Units): string {
  const [smallest = ''] = Object.keys(units)
  const [unit, size] = Object.entries(units)
    .reverse()
    .find(([, candidate]) => quantity >= candidate && quantity % candidate === 0) ?? [smallest, 1]
  return `${quantity / size}${unit}`
}
