// What processes have cost so far.

import { readFile } from 'node:fs/promises'

const CLOCK_TICKS = 100 // sysconf(_SC_CLK_TCK), which is 100 on every Linux that Node runs on

/** User and system time of the processes so far: proc(5), fields 14 and 15 of stat. */
export async function cpuSeconds(pids: readonly number[]): Promise<number> {
  const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, 'latin1')))
  const ticks = stats.map((stat) => {
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return Number(fields[11]) + Number(fields[12])
  })
  return ticks.reduce((sum, count) => sum + count, 0) / CLOCK_TICKS
}
