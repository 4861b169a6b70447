// Finds the names that somebody who mistyped one may have meant: commands, options, settings. Which names exist is
// left to the caller.

/** Most names that one suggestion has; where more are equally near, the typed word says too little to suggest any. */
const MAX_NAMES = 3

/** Shortest word that is taken for the beginning of a name. */
const MIN_BEGINNING = 3

/**
 * Returns the names of `names` that are nearest to `typed`: with a third of their characters mistyped at most, or else
 * those that begin with it. Upper and lower case are the same. Empty when nothing is near.
 */
export function nearest(typed: string, names: readonly string[]): readonly string[] {
  const word = typed.toLowerCase()
  const distances = names.flatMap((name) => {
    const mistyped = distance(word, name.toLowerCase())
    return mistyped === undefined ? [] : [{ name, mistyped }]
  })
  const least = Math.min(...distances.map(({ mistyped }) => mistyped))
  const alike = distances.filter(({ mistyped }) => mistyped === least).map(({ name }) => name)
  const begun = word.length < MIN_BEGINNING ? [] : names.filter((name) => name.toLowerCase().startsWith(word))
  const found = alike.length > 0 ? alike : begun
  return found.length > MAX_NAMES ? [] : found
}

/** Returns ` (did you mean NAME?)`, to follow the mistyped name in a message, or `''` where no name is near. */
export function didYouMean(names: readonly string[]): string {
  return names.length === 0 ? '' : ` (did you mean ${names.join(' or ')}?)`
}

/**
 * Returns how many characters were left out, added, replaced or exchanged with their neighbour, or `undefined`
 * where that is more than a third of the shorter word. Source: optimal string alignment, a form of the
 * Damerau-Levenshtein distance.
 */
function distance(typed: string, name: string): number | undefined {
  const most = Math.max(1, Math.floor(Math.min(typed.length, name.length) / 3))
  // This also bounds the cost of a long word by the lengths of the names.
  if (Math.abs(typed.length - name.length) > most) return undefined
  let beforeLast: number[] = []
  let last = Array.from({ length: name.length + 1 }, (_, index) => index)
  for (let row = 1; row <= typed.length; row += 1) {
    const next = [row]
    for (let column = 1; column <= name.length; column += 1) {
      const isSame = typed[row - 1] === name[column - 1]
      const isSwapped = typed[row - 1] === name[column - 2] && typed[row - 2] === name[column - 1]
      next.push(
        Math.min(
          (last[column] ?? 0) + 1,
          (next[column - 1] ?? 0) + 1,
          (last[column - 1] ?? 0) + (isSame ? 0 : 1),
          row > 1 && column > 1 && isSwapped ? (beforeLast[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
        ),
      )
    }
    beforeLast = last
    last = next
  }
  const mistyped = last[name.length] ?? 0
  return mistyped > most ? undefined : mistyped
}
