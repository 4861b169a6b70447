// Everything that is read from log files, in forms that tests compare.

import type { Note } from '../../../src/simulate/replay/findings.ts'
import type { LoggedAttempt } from '../../../src/simulate/replay/logged.ts'
import { readLogs } from '../../../src/simulate/replay/read.ts'

export interface ReadAll {
  readonly attempts: readonly LoggedAttempt[]
  readonly notes: readonly Note[]
}

export async function readAll(...paths: readonly string[]): Promise<ReadAll> {
  const reading = await readLogs(paths, { nat64Prefixes: [] })
  const attempts: LoggedAttempt[] = []
  for await (const logged of reading.attempts) attempts.push(logged)
  return { attempts, notes: reading.notes() }
}

/** An attempt in short: `AT CLIENT NAME SENDER RECIPIENT VERDICT`. */
export function summary({ at, attempt, logged }: LoggedAttempt): string {
  const { client, sender, recipient, authenticated } = attempt
  const parts = [
    at,
    client.address?.text,
    client.name ?? '-',
    `<${sender.text}>`,
    `<${recipient?.text ?? '-'}>`,
  ]
  return [...parts, logged?.verdict ?? '-', ...(authenticated ? ['authenticated'] : [])].join(' ')
}

export function summaries({ attempts }: ReadAll): string[] {
  return attempts.map(summary)
}

/** The counts of what was found, by kind. */
export function counts(notes: readonly Note[]): Readonly<Record<string, number>> {
  return Object.fromEntries(notes.map(({ kind, count }) => [kind, count]))
}
