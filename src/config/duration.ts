// Durations as settings write them ("4m", "2d", "1.5h") ⇄ milliseconds.

const UNITS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const

export const DURATION_FORM = 'a number and ms, s, m, h, d or w'

/** Whole milliseconds; `undefined` when `text` is not `DURATION_FORM`. */
export function parseDuration(text: string): number | undefined {
  const [, number, unit] = /^(\d+(?:\.\d+)?) ?(ms|s|m|h|d|w)$/.exec(text) ?? []
  if (number === undefined || !isUnit(unit)) return undefined
  return Math.round(Number(number) * UNITS[unit])
}

/** The shortest exact form in one unit: 240000 → `4m`, 90000 → `90s`. */
export function formatDuration(milliseconds: number): string {
  const [unit, size] =
    Object.entries(UNITS)
      .reverse()
      .find(([, candidate]) => milliseconds >= candidate && milliseconds % candidate === 0) ??
    (['ms', 1] as const)
  return `${milliseconds / size}${unit}`
}

function isUnit(unit: string | undefined): unit is keyof typeof UNITS {
  return unit !== undefined && Object.hasOwn(UNITS, unit)
}
