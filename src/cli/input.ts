// The rows that describe what a command can be given: its options, which have names, and its arguments, which have
// places. From the rows of a command follow the types of the values that it runs with. Finding the values in a command
// line is left to args.ts, and showing the rows to usage.ts and completion/.

/** An option or an argument; `T` is the type of its value. */
export interface Input<T> {
  /** What it is for, in one sentence of help without a full stop. */
  readonly meaning: string
  /** Stands for the value in help. Absent for a flag. */
  readonly placeholder?: string
  /** The letter of an option's short form. */
  readonly short?: string
  /** All possible values, where these are few. */
  readonly choices?: readonly string[]
  /** What shells complete the value with, besides `choices`. */
  readonly completion?: 'files' | 'directories' | 'commands'
  readonly isRequired: boolean
  readonly repeats: boolean
  /** Returns the value from the texts that were given, in their order; a flag has one text for each time. */
  readonly read: (texts: readonly string[]) => T
}

/** The inputs of a command by their names: an option's is its long form, without dashes. */
export type Inputs<T> = { readonly [Name in keyof T]: Input<T[Name]> }

/** What only some inputs have. */
type Extras = Pick<Input<unknown>, 'short' | 'choices' | 'completion'>

/** An option without a value; it is true when it is given. */
export function flag(meaning: string, extras: Pick<Extras, 'short'> = {}): Input<boolean> {
  return { meaning, isRequired: false, repeats: false, ...extras, read: ({ length }) => length > 0 }
}

/** An input that may be left out. If it is given several times, the last counts. */
export function optional(
  placeholder: string,
  meaning: string,
  extras: Extras = {},
): Input<string | undefined> {
  const read = (texts: readonly string[]) => texts.at(-1)
  return { placeholder, meaning, isRequired: false, repeats: false, ...extras, read }
}

/** An input that must be given. If it is given several times, the last counts. */
export function required(placeholder: string, meaning: string, extras: Extras = {}): Input<string> {
  const read = (texts: readonly string[]) => texts.at(-1) ?? ''
  return { placeholder, meaning, isRequired: true, repeats: false, ...extras, read }
}

/** An input that must be given, and is one of `choices`. */
export function oneOf<const Choice extends string>(
  placeholder: string,
  meaning: string,
  choices: readonly Choice[],
): Input<Choice> {
  // A command does not run with a text that is none of the choices.
  const read = (texts: readonly string[]) => texts.at(-1) as Choice
  return { placeholder, meaning, choices, isRequired: true, repeats: false, read }
}

/** An input that may be left out, and may be given several times. */
export function zeroOrMore(
  placeholder: string,
  meaning: string,
  extras: Extras = {},
): Input<readonly string[]> {
  return { placeholder, meaning, isRequired: false, repeats: true, ...extras, read: (texts) => texts }
}

/** An input that must be given, and may be given several times. */
export function oneOrMore(
  placeholder: string,
  meaning: string,
  extras: Extras = {},
): Input<readonly string[]> {
  return { ...zeroOrMore(placeholder, meaning, extras), isRequired: true }
}

/** The option of all commands that read the configuration. */
export const CONFIG = optional('FILE', 'configuration; default ./milter.yaml, then /etc/greymx/milter.yaml', {
  short: 'c',
  completion: 'files',
})

/** The option of all commands that print data. */
export const JSON_OUTPUT = flag('print JSON')
