// The table of greylisters whose memory greymx takes over: what each is called on the command line, what it has left
// behind, and the function that reads that.

import type { PeerReader } from '../remembered.ts'

/** A greylister that greymx takes over from. */
export interface Peer {
  /** Its name in `greymx import NAME SOURCE`. */
  readonly name: string
  /** What a source has to be, in words for messages, such as `the directory of Postgrey's databases`. */
  readonly reads: string
  /** Loads what it needs when it is called, as the command line loads this table. */
  readonly read: PeerReader
}

/** What greymx itself is called there: its exports are read by read.ts. */
export const OWN_NAME = 'greymx'

export const PEERS: readonly Peer[] = [
  {
    name: 'postgrey',
    reads: "the directory of Postgrey's databases, or what db_dump printed of one",
    read: lazily(async () => (await import('./postgrey.ts')).readPostgrey),
  },
  {
    name: 'sqlgrey',
    reads: "sqlgrey's SQLite file, or a dump of its database by sqlite3, mysqldump or pg_dump",
    read: lazily(async () => (await import('./sqlgrey.ts')).readSqlgrey),
  },
  {
    name: 'milter-greylist',
    reads: "milter-greylist's greylist.db",
    read: lazily(async () => (await import('./milter-greylist.ts')).readMilterGreylist),
  },
  {
    name: 'spamdb',
    reads: 'what spamdb printed',
    read: lazily(async () => (await import('./spamdb.ts')).readSpamdb),
  },
  {
    name: 'haraka',
    reads: 'the URL of the Redis of haraka-plugin-greylist, such as redis://127.0.0.1:6379/11',
    read: lazily(async () => (await import('./haraka.ts')).readHaraka),
  },
  {
    name: 'relaydelay',
    reads: 'a MySQL dump of the table relaytofrom',
    read: lazily(async () => (await import('./relaydelay.ts')).readRelaydelay),
  },
]

/** A reader that is loaded when it is called. */
function lazily(load: () => Promise<PeerReader>): PeerReader {
  return async function* (source, options) {
    yield* (await load())(source, options)
  }
}
