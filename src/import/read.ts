// Reads what `greymx export` has written (format.ts), a line at a time.

import { BadLine, type Header, readHeader, readLine } from './format.ts'
import { type Line, linesIn } from './lines.ts'
import type { Found } from './piece.ts'

/**
 * What the lines of an export say, with what is left of each thing when it is read. `now` is the clock of this host, in
 * milliseconds since 1970. Rejects when the first line does not say that it is an export that this greymx knows. A file without its last line is broken.
 */
export async function* readExport(chunks: AsyncIterable<Buffer>, now: () => number): AsyncGenerator<Found> {
  let header: Header | undefined
  let read = 0
  let end: number | undefined
  for await (const line of linesIn(chunks)) {
    if (header === undefined) {
      header = headerIn(line)
      continue
    }
    const found =
      end === undefined
        ? foundIn(line, elapsedSince(header, now()))
        : broken(line, 'expected nothing after the last line')
    if (found.kind !== 'end') {
      read += 1
      yield found
      continue
    }
    end = found.lines
    if (end !== read) yield broken(line, `expected ${end} lines before this one, found ${read}`)
  }
  if (header === undefined) throw new Error('it is empty: expected what greymx export has written')
  if (end === undefined)
    yield {
      kind: 'broken',
      where: 'its end',
      problem: 'the last line is missing, which begins with {"end": expected the whole file',
    }
}

/**
 * Time since the export began. The clock of the host that wrote it may be ahead of this one: then everything has as much
 * left as it had at the export.
 */
function elapsedSince({ at }: Header, now: number): number {
  return Math.max(0, now - at)
}

function headerIn({ text = '', problem }: Line): Header {
  try {
    if (problem !== undefined) throw new BadLine(problem)
    return readHeader(text)
  } catch (error) {
    if (!(error instanceof BadLine)) throw error
    throw new Error(`it is no export of greymx: line 1: ${error.message}`)
  }
}

function foundIn(line: Line, elapsed: number): Found | { readonly kind: 'end'; readonly lines: number } {
  try {
    if (line.text === undefined) return broken(line, line.problem ?? '')
    const found = readLine(line.text)
    if (found.kind !== 'key') return found
    const { key, learnt } = found
    const left = learnt.left - elapsed
    return left > 0 ? { kind: 'key', key, learnt: { ...learnt, left } } : { kind: 'expired' }
  } catch (error) {
    if (!(error instanceof BadLine)) throw error
    return broken(line, error.message)
  }
}

function broken({ number }: Line, problem: string) {
  return { kind: 'broken', where: String(number), problem } as const
}
