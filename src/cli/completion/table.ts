// What shells can complete of the table of commands, in the form that the scripts for all shells are written from.

import { HELP, namesOf, VERSION } from '../args.ts'
import type { Row } from '../command.ts'
import { CONFIG, type Input } from '../input.ts'

/** The whole command line of greymx. */
export interface Completable {
  readonly commands: readonly CompletableCommand[]
  /** The options that are offered before the command. */
  readonly options: readonly CompletableOption[]
}

export interface CompletableCommand {
  readonly name: string
  readonly summary: string
  readonly options: readonly CompletableOption[]
  /** The values of its arguments, in their order; only the last may repeat. */
  readonly args: readonly CompletableValue[]
}

export interface CompletableOption {
  /** Its long form, such as `--config`. */
  readonly long: string
  /** Its short form, such as `-c`. */
  readonly short: string | undefined
  readonly meaning: string
  /** Absent for a flag. */
  readonly value: CompletableValue | undefined
}

export interface CompletableValue {
  readonly placeholder: string
  /** Words to choose from, or what else it names; `unknown` where only the operator knows. */
  readonly completion: readonly string[] | 'files' | 'directories' | 'unknown'
  readonly repeats: boolean
}

/** Loads all commands, and resolves to what of them can be completed. */
export async function completableOf(rows: readonly Row[]): Promise<Completable> {
  const names = namesOf(rows)
  const optionsOf = (options: Readonly<Record<string, Input<unknown>>>) =>
    Object.entries(options).map(([name, input]) => completableOption(name, input, names))
  const commands = rows.map(async ({ name, summary, load }) => {
    const { options, args } = (await load()).command
    return {
      name,
      summary,
      options: optionsOf({ ...options, help: HELP }),
      args: Object.values(args).map((input) => completableValue(input, names)),
    }
  })
  return {
    commands: await Promise.all(commands),
    options: optionsOf({ config: CONFIG, help: HELP, version: VERSION }),
  }
}

function completableOption(
  name: string,
  input: Input<unknown>,
  commands: readonly string[],
): CompletableOption {
  return {
    long: `--${name}`,
    short: input.short === undefined ? undefined : `-${input.short}`,
    meaning: input.meaning,
    value: input.placeholder === undefined ? undefined : completableValue(input, commands),
  }
}

function completableValue(input: Input<unknown>, commands: readonly string[]): CompletableValue {
  const { placeholder = '', choices, completion = 'unknown', repeats } = input
  return {
    placeholder,
    completion: choices ?? (completion === 'commands' ? commands : completion),
    repeats,
  }
}

/** Returns the forms of an option: the short one, if it has one, and the long one. */
export function formsOf({ short, long }: CompletableOption): string[] {
  return [...(short === undefined ? [] : [short]), long]
}
