// Sizes as settings write them ("64KiB", "1.5MiB") ⇄ bytes.

const UNITS = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const

export const SIZE_FORM = 'a number and B, KiB, MiB or GiB'

/** Whole bytes; `undefined` when `text` is not `SIZE_FORM`. */
export function parseSize(text: string): number | undefined {
  const [, number, unit] = /^(\d+(?:\.\d+)?) ?(B|KiB|MiB|GiB)$/.exec(text) ?? []
  if (number === undefined || !isUnit(unit)) return undefined
  return Math.round(Number(number) * UNITS[unit])
}

/** The shortest exact form in one unit: 65536 → `64KiB`, 1000 → `1000B`. */
export function formatSize(bytes: number): string {
  const [unit, size] =
    Object.entries(UNITS)
      .reverse()
      .find(([, candidate]) => bytes >= candidate && bytes % candidate === 0) ?? (['B', 1] as const)
  return `${bytes / size}${unit}`
}

function isUnit(unit: string | undefined): unit is keyof typeof UNITS {
  return unit !== undefined && Object.hasOwn(UNITS, unit)
}
