// Tells how lines have to look for what reads an output: the journal of systemd takes a priority, a person at a
// terminal or in a file needs the time, and whatever reads a pipe, as docker does, stamps lines itself.
// Source: systemd.exec(5), $JOURNAL_STREAM; sd-daemon(3), SD_ERR and its neighbours; syslog(3).

import { fstatSync } from 'node:fs'
import { isatty } from 'node:tty'

/** `journal`: with a priority. `stamped`: with the time. `plain`: with neither. */
export type LineForm = 'journal' | 'stamped' | 'plain'

/** The priorities that sd-daemon(3) takes at the beginning of a line. */
export const PRIORITIES = { debug: '<7>', info: '<6>', warn: '<4>', error: '<3>' } as const

/** The form for the open descriptor `fd`. */
export function formOf(fd: number, environment: NodeJS.ProcessEnv = process.env): LineForm {
  const stat = fstatSync(fd, { bigint: true })
  if (environment.JOURNAL_STREAM === `${stat.dev}:${stat.ino}`) return 'journal'
  return stat.isFile() || isatty(fd) ? 'stamped' : 'plain'
}
