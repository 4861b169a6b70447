// Opens the store of a daemon for a command that works beside it, whether or not the daemon runs. Redis serves any number
// of processes. LMDB does so on one machine, where its locks let one of them write at a time. What is in the memory of
// the daemon is out of reach.

import { statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import type { Owner } from './lmdb/client.ts'
import { openLmdbStore } from './lmdb/lmdb.ts'
import { openStore, type StoreEvents, type StoreSpec } from './open.ts'
import type { RecordStore } from './records.ts'
import type { UnguardedStore } from './store.ts'

/** The file in which LMDB keeps an environment. */
const DATA_FILE = 'data.mdb'

/**
 * The open store. Rejects when a command cannot reach it. A directory of LMDB that is to be read must have been in use
 * before. One that is to be written to is made, for the user to whom the folder around it belongs.
 */
export async function openBeside(
  spec: StoreSpec,
  use: 'read' | 'write',
  events: StoreEvents,
): Promise<UnguardedStore & RecordStore> {
  switch (spec.kind) {
    case 'memory':
      throw new Error(
        'what store: memory has ends with the daemon, and no command reaches it: expected lmdb:DIR or redis://HOST:PORT/DB',
      )
    case 'lmdb':
      return openLmdbStore(spec.directory, Date.now, events, ownerOf(spec.directory, use))
    case 'redis':
      return openStore(spec, events)
  }
}

/**
 * The user to whom the environment belongs or will belong, for a command that root runs: the daemon could not open what
 * root has made. `undefined` for any other user, who has only its own rights.
 */
function ownerOf(directory: string, use: 'read' | 'write'): Owner | undefined {
  const file = join(resolve(directory), DATA_FILE)
  let found = statSync(file, { throwIfNoEntry: false })
  if (!found && use === 'read')
    throw new Error(
      `${file}: no such file: expected the directory that the daemon uses; a relative one is relative to where a command runs`,
    )
  for (let path = resolve(directory); !found; path = dirname(path))
    found = statSync(path, { throwIfNoEntry: false })
  const { uid, gid } = found
  return process.getuid?.() === 0 && uid !== 0 ? { uid, gid } : undefined
}
