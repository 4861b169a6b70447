// A clock that a test moves, for a process of its own: all its clocks, the monotonic one included, go on from where the
// test has set them, ten times slower than real time. A machine that stands still for a second or two is thus no reason
// for a time-out in the process. libfaketime reads the offset from a file each time it is asked.

import { execFile } from 'node:child_process'
import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { endWith } from './scratch.ts'

export interface MovedClock {
  /** The environment of the process that goes by this clock. */
  readonly env: NodeJS.ProcessEnv
  /** Moves the clock forward to `at`, in milliseconds since it was made, unless it is beyond that already. */
  moveTo(at: number): void
  /** What it shows, in milliseconds since it was made. */
  now(): number
}

/** Seconds of this clock in a second of real time. */
const RATE = 0.1
/** Characters of the file: the offset in seconds and the rate, padded, so that no reader finds a part of it. */
const WIDTH = 24

export async function moveableClock(dir: string): Promise<MovedClock> {
  const { stdout } = await promisify(execFile)('sh', ['-c', 'ls /usr/lib/*/faketime/libfaketime.so.1'])
  const file = join(dir, 'clock')
  const descriptor = openSync(file, 'w')
  endWith(dir, async () => closeSync(descriptor))
  const madeAt = performance.now()
  let offset = 0
  const write = () => writeSync(descriptor, `+${(offset / 1000).toFixed(3)} x${RATE}`.padEnd(WIDTH), 0)
  write()
  const now = () => (performance.now() - madeAt) * RATE + offset
  return {
    env: {
      LD_PRELOAD: stdout.trim(),
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '0',
    },
    moveTo(at) {
      if (at <= now()) return
      offset += Math.ceil(at - now())
      write()
    },
    now,
  }
}
