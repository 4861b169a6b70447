// Lays rows of texts out in columns that fit the terminal.

/** Width where the output is no terminal, in characters. */
const DEFAULT_WIDTH = 100

/** Least width of a column that has to give way, in characters. */
const MIN_COLUMN = 8

const GAP = '  '

/** Number of characters in a line of the terminal. */
export function terminalWidth(): number {
  const columns = process.stdout.columns || Number(process.env.COLUMNS)
  return columns > 0 ? columns : DEFAULT_WIDTH
}

/**
 * The rows as lines, with `heads` above. Where they are wider than `width`, the widest columns are cut and end in `…`;
 * the last column is cut last, as it has what the operator goes on with.
 */
export function columns(
  heads: readonly string[],
  rows: ReadonlyArray<readonly string[]>,
  width: number = terminalWidth(),
): string {
  const widths = heads.map((head, index) =>
    Math.max(head.length, ...rows.map((row) => (row[index] ?? '').length)),
  )
  const total = () => widths.reduce((sum, each) => sum + each, GAP.length * (widths.length - 1))
  while (total() > width) {
    const first = widths.slice(0, -1)
    const widest = first.indexOf(Math.max(...first))
    const size = widths[widest] ?? 0
    if (widest < 0 || size <= MIN_COLUMN) break
    widths[widest] = Math.max(MIN_COLUMN, size - (total() - width))
  }
  const line = (cells: readonly string[]) =>
    widths
      .map((size, index) =>
        fitted(cells[index] ?? '', index === widths.length - 1 ? Number.POSITIVE_INFINITY : size),
      )
      .join(GAP)
      .trimEnd()
  return [heads, ...rows].map((cells) => `${line(cells)}\n`).join('')
}

function fitted(text: string, size: number): string {
  if (text.length > size) return `${text.slice(0, size - 1)}…`
  return Number.isFinite(size) ? text.padEnd(size) : text
}
