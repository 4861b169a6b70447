// Merges the lines of several files by time. A file is opened when the lines before it have been read, so that the
// files of one rotated log are never open together.

import type { LogLine } from './heads.ts'

/** A file that is opened when its time has come. */
export interface LogToMerge {
  /** Instant of its first line, in milliseconds since 1970. */
  readonly firstAt: number
  readonly open: () => AsyncGenerator<readonly LogLine[]>
}

/** The lines of all files in order of time, in batches; the lines of one file stay in their order. */
export async function* mergeLines(logs: readonly LogToMerge[]): AsyncGenerator<readonly LogLine[]> {
  const waiting = logs.toSorted((one, other) => one.firstAt - other.firstAt)
  const open: OpenLog[] = []
  for (;;) {
    open.sort((one, other) => one.nextAt - other.nextAt)
    const [earliest, second] = open
    const [next] = waiting
    if (next && (!earliest || next.firstAt < earliest.nextAt)) {
      waiting.shift()
      open.push(new OpenLog(next))
      continue
    }
    if (!earliest) return
    const until = Math.min(
      second?.nextAt ?? Number.POSITIVE_INFINITY,
      next?.firstAt ?? Number.POSITIVE_INFINITY,
    )
    if (!earliest.isEmpty) yield earliest.takeUntil(until)
    if (earliest.isEmpty && !(await earliest.fill())) open.splice(open.indexOf(earliest), 1)
  }
}

class OpenLog {
  readonly #batches: AsyncGenerator<readonly LogLine[]>
  #lines: readonly LogLine[] = []
  #taken = 0
  #lastAt: number

  constructor({ firstAt, open }: LogToMerge) {
    this.#batches = open()
    this.#lastAt = firstAt
  }

  get isEmpty(): boolean {
    return this.#taken >= this.#lines.length
  }

  /** The instant of the next line; that of the last one as long as the next is not read. */
  get nextAt(): number {
    return this.#lines[this.#taken]?.at ?? this.#lastAt
  }

  /** The next line, and those behind it that are not later than `until`. */
  takeUntil(until: number): readonly LogLine[] {
    let end = this.#taken + 1
    for (let line = this.#lines[end]; line && line.at <= until; line = this.#lines[end]) end += 1
    const lines = this.#lines.slice(this.#taken, end)
    this.#lastAt = lines.at(-1)?.at ?? this.#lastAt
    this.#taken = end
    return lines
  }

  /** Reads on; false at the end of the file. */
  async fill(): Promise<boolean> {
    for (;;) {
      const { done, value } = await this.#batches.next()
      if (done) return false
      if (value.length === 0) continue
      this.#lines = value
      this.#taken = 0
      return true
    }
  }
}
