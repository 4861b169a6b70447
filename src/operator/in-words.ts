// Times in words, for operators.

/** A time in the two units that matter: `3m`, `1h 20m`, `2d 4h`. */
export function inWords(time: number): string {
  const seconds = Math.round(time / 1000)
  const units = [
    [86_400, 'd'],
    [3600, 'h'],
    [60, 'm'],
    [1, 's'],
  ] as const
  const at = units.findIndex(([size]) => seconds >= size)
  if (at < 0) return '0s'
  let rest = seconds
  const parts = units.slice(at, at + 2).map(([size, unit]) => {
    const count = Math.floor(rest / size)
    rest -= count * size
    return count === 0 ? '' : `${count}${unit}`
  })
  return parts.filter(Boolean).join(' ')
}
