// Log files for the tests of replays.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Scope } from '../../support/scratch.ts'

/** A folder for log files, removed at the end. */
export async function logFolder(scope: Scope): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'greymx-replay-'))
  scope.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}

let files = 0

/** Writes a log file and returns its path. */
export async function logFile(dir: string, content: string | Buffer | readonly string[]): Promise<string> {
  files += 1
  const path = join(dir, `log-${files}`)
  const isLines = !(typeof content === 'string' || Buffer.isBuffer(content))
  await writeFile(path, isLines ? content.map((line) => `${line}\n`).join('') : content)
  return path
}
