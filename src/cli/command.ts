// What a command is: its options, its arguments, its help, and the function that runs it. Which commands there are is
// left to commands.ts.

import type { ExitStatus } from './exit.ts'
import type { Input, Inputs } from './input.ts'

/** A row of the table of commands. */
export interface Row {
  readonly name: string
  /** What the command does, in one line of `greymx --help`. */
  readonly summary: string
  /**
   * Imports the command's file. Help, completion and mistakes in a command line need it too, so the file imports what
   * is slow to load only when it runs.
   */
  readonly load: () => Promise<{ readonly command: Command }>
}

/** A command as its file states it; `O` and `A` are the types of the values of its options and arguments. */
export interface Definition<O, A> {
  /** Sentences of help that say what the summary does not. */
  readonly about: string
  /** Command lines, each of which works as it stands. */
  readonly examples: readonly [string, string, ...string[]]
  readonly options: Inputs<O>
  /** The arguments in their order; only the last may repeat. */
  readonly args: Inputs<A>
  /** Returns the exit status, or a mistake in the values. `rows` is the table of commands. */
  readonly run: (values: O & A, rows: readonly Row[]) => Promise<ExitStatus | Misuse>
}

/** A command as the table has it, without the types of its values. */
export interface Command {
  readonly about: string
  readonly examples: readonly string[]
  readonly options: Readonly<Record<string, Input<unknown>>>
  readonly args: Readonly<Record<string, Input<unknown>>>
  readonly run: (given: Given, rows: readonly Row[]) => Promise<ExitStatus | Misuse>
}

/** The texts that a command line has for each option and argument, by its name. */
export type Given = ReadonlyMap<string, readonly string[]>

/** A mistake in a command line. */
export interface Misuse {
  readonly kind: 'misuse'
  /** Names what is wrong, and what was expected. */
  readonly problem: string
  /** The command whose help tells more; absent for the help of greymx. */
  readonly command?: string
}

export function defineCommand<O, A>({ options, args, run, ...help }: Definition<O, A>): Command {
  return {
    ...help,
    options,
    args,
    run: (given, rows) => run({ ...valuesOf(options, given), ...valuesOf(args, given) }, rows),
  }
}

function valuesOf<T>(inputs: Inputs<T>, given: Given): T {
  const rows = Object.entries<Input<unknown>>(inputs)
  // Object.fromEntries loses which name has a value of which type.
  return Object.fromEntries(rows.map(([name, { read }]) => [name, read(given.get(name) ?? [])])) as T
}
