// Moves the files of a damaged LMDB environment aside, where they are kept, so that the next one begins empty. It runs
// in the process that opens the environment, as calls to a disk that hangs do not return.

import { lstatSync, readdirSync, renameSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'

const DATA_FILE = 'data.mdb'
export const LOCK_FILE = 'lock.mdb'

/** Number of damaged files that are kept; older ones are deleted. */
const MAX_MOVED_ASIDE = 3

/** With less free disk space than this, apparent damage is taken for a full disk, where a mapped file cannot grow. */
const MIN_FREE_BYTES = 128 * 1024

/** What an earlier process found out about the environment. */
export interface Damage {
  /** For the operator. */
  readonly problem: string
  /** Inode of the data file that the process had opened; absent if there was none. */
  readonly file?: number
  /** Milliseconds since the epoch, for the new name. */
  readonly at: number
}

/**
 * Moves the files in `directory` aside and returns the new name of the data file. Returns `undefined` and does nothing
 * when the data file is not the damaged one, as then another process has moved that. Throws when it cannot move them.
 */
export function moveAside(directory: string, { file, at }: Damage): string | undefined {
  const data = join(directory, DATA_FILE)
  if (inodeOfData(directory) !== file) return undefined
  const suffix = `.damaged-${new Date(at).toISOString().replace(/[-:]/g, '')}`
  for (const name of [DATA_FILE, LOCK_FILE]) {
    const path = join(directory, name)
    if (lstatSync(path, { throwIfNoEntry: false })) renameSync(path, path + suffix)
  }
  dropOldest(directory)
  return data + suffix
}

/** Whether the disk of `directory` is so full that a mapped file cannot grow. */
export function isFull(directory: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(directory)
    return bavail * bsize < MIN_FREE_BYTES
  } catch {
    return false // there is no such directory yet
  }
}

/** The inode of the data file in `directory`; `undefined` where there is none. */
export function inodeOfData(directory: string): number | undefined {
  try {
    return lstatSync(join(directory, DATA_FILE)).ino
  } catch {
    return undefined
  }
}

function dropOldest(directory: string): void {
  for (const name of [DATA_FILE, LOCK_FILE]) {
    const aside = readdirSync(directory).filter((other) => other.startsWith(`${name}.damaged-`))
    for (const old of aside.sort().slice(0, -MAX_MOVED_ASIDE)) {
      rmSync(join(directory, old), { recursive: true, force: true })
    }
  }
}
