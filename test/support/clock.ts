// A clock that a test moves, for a daemon of its own. It stands still in between, so that every answer of the daemon is
// of the instant that the test has set, however slow the machine is. The daemon reads it from a file each time.

import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { endWith } from './scratch.ts'

export interface MovedClock {
  /** The environment of the daemon that goes by this clock. */
  readonly env: NodeJS.ProcessEnv
  /** Moves the clock to `at`, in milliseconds since it was made. */
  moveTo(at: number): void
}

/** A module of this folder that the daemon loads before its own. */
const PRELOAD = fileURLToPath(new URL('moved-clock.js', import.meta.url))

export function moveableClock(dir: string): MovedClock {
  const file = join(dir, 'clock')
  const descriptor = openSync(file, 'w')
  endWith(dir, async () => closeSync(descriptor))
  const moveTo = (at: number) => {
    const text = Buffer.alloc(Float64Array.BYTES_PER_ELEMENT)
    text.writeDoubleLE(at)
    writeSync(descriptor, text, 0, text.length, 0)
  }
  moveTo(0)
  return { env: { NODE_OPTIONS: `--import=${PRELOAD}`, MOVED_CLOCK: file }, moveTo }
}
