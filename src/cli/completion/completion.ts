// greymx completion: prints the script that makes a shell complete greymx. How each shell has it is left to the files
// of the shells.

import type { Row } from '../command.ts'
import { bashCompletion } from './bash.ts'
import { fishCompletion } from './fish.ts'
import { completableOf } from './table.ts'
import { zshCompletion } from './zsh.ts'

const WRITERS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion }

export type Shell = keyof typeof WRITERS

/** Resolves to the script for a shell. */
export async function completionFor(shell: Shell, rows: readonly Row[]): Promise<string> {
  return WRITERS[shell](await completableOf(rows))
}
