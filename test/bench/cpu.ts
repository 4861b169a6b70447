// Measures the CPU time of processes.

import { readdir, readFile } from 'node:fs/promises'

/**
 * The user and system time that the processes' threads have used so far, in seconds, to the nanosecond; proc(5)'s stat
 * counts hundredths of a second only. Source: Linux Documentation/scheduler/sched-stats.rst ("/proc/<pid>/schedstat").
 */
export async function cpuSeconds(pids: readonly number[]): Promise<number> {
  const times = await Promise.all(pids.map(cpuOf))
  return times.reduce((sum, time) => sum + time, 0) / 1e9
}

async function cpuOf(pid: number): Promise<number> {
  const threads = await readdir(`/proc/${pid}/task`)
  const times = await Promise.all(
    threads.map(async (thread) => {
      const schedstat = await readFile(`/proc/${pid}/task/${thread}/schedstat`, 'latin1')
      return Number(schedstat.split(' ')[0])
    }),
  )
  return times.reduce((sum, time) => sum + time, 0)
}
