// Opens the store of a daemon for a command that works beside it, whether or not the daemon runs. Redis serves any number
// of processes. LMDB does so on one machine, where its locks let one of them write at a time. What is in the memory of
// the daemon is out of reach.

import { statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileProblemOf } from '../errors.ts'
import type { Owner } from './lmdb/client.ts'
import { openLmdbStore } from './lmdb/lmdb.ts'
import { openStore, type StoreEvents, type StoreSpec } from './open.ts'
import type { RecordStore } from './records.ts'
import type { UnguardedStore } from './store.ts'

/** The file in which LMDB keeps an environment. */
const DATA_FILE = 'data.mdb'

/**
 * The open store. Rejects when a command cannot reach it. A directory of LMDB must have been in use before: a command
 * makes none, as it may run elsewhere and as another user than the daemon.
 */
export async function openBeside(
  spec: StoreSpec,
  events: StoreEvents,
): Promise<UnguardedStore & RecordStore> {
  switch (spec.kind) {
    case 'memory':
      throw new Error(
        'what store: memory has ends with the daemon, and no command reaches it: expected lmdb:DIR or redis://HOST:PORT/DB',
      )
    case 'lmdb':
      return openLmdbStore(spec.directory, Date.now, events, ownerOf(spec.directory))
    case 'redis':
      return openStore(spec, events)
  }
}

/**
 * The user to whom the environment belongs, for a command that root runs: the daemon could not open what root has made.
 * `undefined` for any other user, who has only its own rights.
 */
function ownerOf(directory: string): Owner | undefined {
  const file = join(resolve(directory), DATA_FILE)
  try {
    const { uid, gid } = statSync(file)
    const isRoot = process.getuid?.() === 0
    return isRoot && uid !== 0 ? { uid, gid } : undefined
  } catch (error) {
    throw new Error(
      `${file}: ${fileProblemOf(error)}: expected the directory that the daemon uses, in which it has made this file; ` +
        'a relative directory is relative to where a command runs',
    )
  }
}
