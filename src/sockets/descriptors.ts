// For how many connections the process has file descriptors. When they run out, libuv accepts each further connection
// and closes it at once: a crowd that held all descriptors would keep every MTA out, and no log line would tell it.
// Source: proc(5), /proc/self/limits.

import { readFileSync } from 'node:fs'

/** Descriptors kept for everything else: stores, DNS, list files, admin requests. */
const RESERVED_DESCRIPTORS = 64

/** How many of `descriptors` may serve connections: all but the reserved ones, and at least half. */
export function connectionsWithin(descriptors: number): number {
  return Math.max(descriptors - RESERVED_DESCRIPTORS, Math.floor(descriptors / 2))
}

/** How many descriptors this process may have open (Node raises it to the hard limit); `Infinity` except on Linux. */
export function descriptorLimit(): number {
  try {
    const limit = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1]
    return limit === undefined ? Number.POSITIVE_INFINITY : Number(limit)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
