// How many connections there are file descriptors for. What there is none for, libuv takes and closes at once: a crowd
// that held all of them would keep every MTA out, and nothing would be said of it.

import { readFileSync } from 'node:fs'

/** Descriptors that are left for everything else: stores, DNS, list files, whoever asks how we are. */
const OTHERS = 64

/** Of so many descriptors, those for connections: at least half. */
export function connectionsWithin(descriptors: number): number {
  return Math.max(descriptors - OTHERS, Math.floor(descriptors / 2))
}

/** What this process may have open, which Node raises to the hard limit when it starts. Linux alone says it. */
export function descriptorLimit(): number {
  try {
    const limit = /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1]
    return limit === undefined ? Number.POSITIVE_INFINITY : Number(limit)
  } catch {
    return Number.POSITIVE_INFINITY
  }
}
