// Loaded by a daemon before its own modules: its monotonic clock shows what the test has written to a file, plus what it
// showed when it began, in whole milliseconds, so that differences are exact. Timers run ten times slower, so that a
// machine that stands still for a second or two is no reason for a time-out.

import { openSync, readSync } from 'node:fs'

const TIMER_FACTOR = 10

const descriptor = openSync(process.env.MOVED_CLOCK ?? '', 'r')
const bytes = Buffer.alloc(Float64Array.BYTES_PER_ELEMENT)
const startedAt = Math.ceil(performance.now())
performance.now = () => {
  readSync(descriptor, bytes, 0, bytes.length, 0)
  return startedAt + bytes.readDoubleLE()
}

const { setTimeout: startTimer } = globalThis
globalThis.setTimeout = Object.assign(
  (callback: (...args: unknown[]) => void, delay = 0, ...args: unknown[]) =>
    startTimer(callback, delay * TIMER_FACTOR, ...args),
  startTimer,
)
