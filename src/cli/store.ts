// Opens the store that the settings name for a command that works beside the daemon.

import { getPriority, setPriority } from 'node:os'
import { messageOf } from '../errors.ts'
import { openBeside } from '../store/beside.ts'
import { formatStoreSpec, type StoreSpec } from '../store/open.ts'
import type { RecordStore } from '../store/records.ts'
import type { UnguardedStore } from '../store/store.ts'
import { complain } from './output.ts'

/** The nice value of a command that works on the whole store, and of its process for LMDB: mail comes first. */
const NICE = 5

/**
 * Returns the store, or `undefined` after the reason why it cannot be used was printed. One that is to be written to has
 * taken a write. One that is full can still be read.
 */
export async function openForCommand(
  spec: StoreSpec,
  use: 'read' | 'write',
): Promise<(UnguardedStore & RecordStore) | undefined> {
  const name = formatStoreSpec(spec)
  // Only root may lower a nice value that is higher already, as by nice(1).
  setPriority(Math.max(NICE, getPriority()))
  let store: Awaited<ReturnType<typeof openBeside>> | undefined
  try {
    store = await openBeside(spec, use, {
      onWarning: (warning) => complain(`${name}: ${warning}\n`, 'warn'),
      onMovedAside: (problem, movedTo) =>
        complain(`${name}: ${problem}; the damaged file was moved to ${movedTo}\n`, 'warn'),
    })
    if (use === 'write') await store.check()
    return store
  } catch (error) {
    await store?.close()
    complain(`Cannot use the store ${name}: ${messageOf(error)}\n`)
    return undefined
  }
}
