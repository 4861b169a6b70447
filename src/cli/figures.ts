// Lays out figures in columns that fit the terminal: a row for each figure, a column for each host. Columns that do not
// fit stand below, with the labels once more.

const GAP = '  '

/** A row: what it is, and a cell for each column; none under a heading of rows. */
export interface Line {
  readonly label: string
  readonly cells: readonly string[]
}

/** The rows below the names of columns, in lines of at most `width` characters if one column fits. */
export function formatColumns(names: readonly string[], rows: readonly Line[], width: number): string {
  const labelWidth = Math.max(...rows.map(({ label }) => label.length))
  const widths = names.map((name, column) =>
    Math.max(name.length, ...rows.map(({ cells }) => cells[column]?.length ?? 0)),
  )
  const blocks: string[] = []
  for (let start = 0; start < names.length; ) {
    const end = endOfBlock(widths, start, width - labelWidth)
    const line = ({ label, cells }: Line) =>
      `${label.padEnd(labelWidth)}${cells
        .slice(start, end)
        .map((cell, index) => GAP + cell.padStart(widths[start + index] ?? 0))
        .join('')}`.trimEnd()
    blocks.push([{ label: '', cells: names }, ...rows].map((row) => `${line(row)}\n`).join(''))
    start = end
  }
  return blocks.join('\n')
}

/** The column behind the last one that fits beside `start`, which always does. */
function endOfBlock(widths: readonly number[], start: number, width: number): number {
  let used = 0
  let end = start
  do {
    used += GAP.length + (widths[end] ?? 0)
    end += 1
  } while (end < widths.length && used + GAP.length + (widths[end] ?? 0) <= width)
  return end
}

/** Two lists beside each other where they fit, else the second below the first. Each has a title. */
export function formatBeside(one: readonly string[], other: readonly string[], width: number): string {
  const left = Math.max(...one.map(({ length }) => length))
  const right = Math.max(...other.map(({ length }) => length))
  if (left + 2 * GAP.length + right > width) return [...one, '', ...other].map((line) => `${line}\n`).join('')
  const lines = Math.max(one.length, other.length)
  return Array.from({ length: lines }, (_, index) => {
    const beside = other[index] ?? ''
    return `${`${(one[index] ?? '').padEnd(left)}${GAP}${GAP}${beside}`.trimEnd()}\n`
  }).join('')
}

/** The text, with its end cut if it has more than `length` characters. */
export function cut(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`
}

/** A whole number with a comma between thousands. */
export function formatCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',')
}
