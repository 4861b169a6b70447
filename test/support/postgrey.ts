// Debian's Postgrey, which debian.ts unpacks and does not install: its list files, and the program, which tests start in
// a folder of their own.

import { closeSync, openSync, writeSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { startDaemon } from './daemon.ts'
import { LIBFAKETIME } from './libfaketime.ts'
import { connectPolicy, isListening, type PolicyClient } from './policy.ts'
import { endWith } from './scratch.ts'

/** The folder with the unpacked Debian package of Postgrey, below the root of the repository. */
export const postgreyRoot = join(process.cwd(), 'node_modules/.cache/greymx/postgrey')
export const postgreyClients = join(postgreyRoot, 'usr/share/postgrey/whitelist_clients')
export const postgreyRecipients = join(postgreyRoot, 'usr/share/postgrey/whitelist_recipients')

export interface PostgreyOptions {
  /** A folder of `scratch`, with Postgrey's database and socket; Postgrey ends before the folder does. */
  readonly dir: string
  /** The list of clients; Debian's by default. */
  readonly clients?: string
  /** What its clock shows until `setTime` is called, in seconds. */
  readonly time: number
  /** Whether the databases in `dir` can be read by others at any time, as those of a real Postgrey. */
  readonly isReadable?: boolean
  /** More options, such as `--privacy`. */
  readonly options?: readonly string[]
}

export interface Postgrey extends PolicyClient {
  /** Sets the clock, which stands still otherwise. Decisions go by the request's `policy_test_time`, cleaning by this. */
  setTime(seconds: number): void
}

/** Starts Postgrey with the settings of Debian's package, in UTC, and resolves when it listens. */
export async function startPostgrey({
  dir,
  clients = postgreyClients,
  time,
  isReadable = false,
  options = [],
}: PostgreyOptions): Promise<Postgrey> {
  const socket = join(dir, 'postgrey.sock')
  const clockFile = join(dir, 'clock')
  const clock = openSync(clockFile, 'w')
  // All times have as many characters, so that none is ever read half.
  const setTime = (seconds: number) =>
    void writeSync(clock, `${new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ')}\n`, 0)
  setTime(time)
  // Berkeley DB would wait for the disk with each decision.
  if (!isReadable) await writeFile(join(dir, 'DB_CONFIG'), 'set_flags DB_TXN_NOSYNC\n')
  const daemon = await startDaemon({
    command: 'perl',
    args: [
      ...['-T', join(postgreyRoot, 'usr/sbin/postgrey'), `--unix=${socket}`, `--dbdir=${dir}`],
      ...['--user=root', '--group=root', '--quiet'],
      ...[`--whitelist-clients=${clients}`, `--whitelist-recipients=${postgreyRecipients}`],
      ...options,
    ],
    cwd: dir,
    env: {
      ...process.env,
      TZ: 'UTC',
      ...LIBFAKETIME, // not by faketime(1), which knows no file with the time
      FAKETIME_TIMESTAMP_FILE: clockFile,
      FAKETIME_NO_CACHE: '1',
    },
    ready: () => isListening(socket),
  })
  endWith(dir, async () => closeSync(clock))
  endWith(dir, () => daemon.stop('SIGKILL'))
  return { ...(await connectPolicy(dir, socket)), setTime }
}
