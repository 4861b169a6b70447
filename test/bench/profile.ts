// Reads a CPU profile of Node.js (--cpu-prof).

import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'

interface CpuProfile {
  readonly nodes: ReadonlyArray<{
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }>
  readonly samples: readonly number[]
  /** Microseconds before each sample. */
  readonly timeDeltas: readonly number[]
}

/** The `count` functions with the most time of their own in the largest profile of `dir`, as lines of a table. */
export async function dearestFunctions(dir: string, count: number): Promise<string[]> {
  const texts = await Promise.all(
    (await readdir(dir))
      .filter((name) => name.endsWith('.cpuprofile'))
      .map((name) => readFile(join(dir, name), 'utf8')),
  )
  const [largest] = texts.toSorted((one, other) => other.length - one.length)
  if (largest === undefined) throw new Error(`${dir} has no CPU profile`)
  const { nodes, samples, timeDeltas }: CpuProfile = JSON.parse(largest)
  const names = new Map(
    nodes.map(({ id, callFrame: { functionName, url, lineNumber } }) => {
      const place = url === '' ? '' : ` ${basename(url)}:${lineNumber + 1}`
      return [id, `${functionName || '(anonymous)'}${place}`]
    }),
  )
  const times = new Map<string, number>()
  let busy = 0
  for (const [index, id] of samples.entries()) {
    const name = names.get(id) ?? ''
    if (name === '(idle)' || name === '(root)') continue
    const time = timeDeltas[index] ?? 0
    busy += time
    times.set(name, (times.get(name) ?? 0) + time)
  }
  return [...times]
    .sort(([, one], [, other]) => other - one)
    .slice(0, count)
    .map(([name, time]) => `${((time / busy) * 100).toFixed(1).padStart(5)} %  ${name}`)
}
