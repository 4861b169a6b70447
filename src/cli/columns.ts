// Lays rows of texts out in columns that fit the terminal.

/** Width where the output is no terminal, in characters. */
const DEFAULT_WIDTH = 100

/** Least width of a column that has to give way, in characters. */
const MIN_COLUMN = 8

const GAP = '  '

/** Number of characters in a line of the terminal. */
export function terminalWidth(): number {
  return knownWidth() ?? DEFAULT_WIDTH
}

/** Number of characters in a line of the terminal; `undefined` where the output is none, and `COLUMNS` is not set. */
export function knownWidth(): number | undefined {
  const columns = process.stdout.columns || Number(process.env.COLUMNS)
  return columns > 0 ? columns : undefined
}

/**
 * The rows as lines, with `heads` above. Where they are wider than `width`, the widest columns give way, and their texts
 * go on in further lines.
 */
export function columns(
  heads: readonly string[],
  rows: ReadonlyArray<readonly string[]>,
  width: number = terminalWidth(),
): string {
  const widths = heads.map((head, index) =>
    Math.max(head.length, ...rows.map((row) => (row[index] ?? '').length)),
  )
  const excess = () => widths.reduce((sum, each) => sum + each, GAP.length * (widths.length - 1)) - width
  while (excess() > 0) {
    const most = Math.max(...widths)
    if (most <= MIN_COLUMN) break
    widths[widths.indexOf(most)] = most - 1
  }
  const line = (cells: readonly string[]) =>
    widths
      .map((size, index) => (cells[index] ?? '').padEnd(size))
      .join(GAP)
      .trimEnd()
  return [heads, ...rows]
    .flatMap((row) => {
      const cells = row.map((cell, index) => folded(cell, widths[index] ?? 0))
      const height = Math.max(1, ...cells.map(({ length }) => length))
      return Array.from({ length: height }, (_, at) => `${line(cells.map((each) => each[at] ?? ''))}\n`)
    })
    .join('')
}

/** The text in lines of at most `size` characters: whole words, unless one is longer. */
function folded(text: string, size: number): string[] {
  const lines: string[] = []
  for (let rest = text; rest !== ''; ) {
    const end = rest.length <= size ? rest.length : endOfLine(rest, size)
    lines.push(rest.slice(0, end))
    rest = rest.slice(end).trimStart()
  }
  return lines
}

function endOfLine(text: string, size: number): number {
  const space = text.lastIndexOf(' ', size)
  if (space > 0) return space
  // A character of two code units is not cut in two.
  return isLowSurrogate(text.charCodeAt(size)) && size > 1 ? size - 1 : size
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff
}
