// Writes the help of greymx and of its commands from their rows, for a terminal of 80 columns: 25 lines at most, to fit
// on a screen.

import { anyOf, HELP } from './args.ts'
import type { Command, Row } from './command.ts'
import type { Input } from './input.ts'

const MAX_COLUMNS = 80

/** Returns the usage of greymx, which names all commands. */
export function usageOf(rows: readonly Row[]): string {
  return text([
    'Usage: greymx COMMAND [OPTIONS]',
    '',
    ...columns(rows.map(({ name, summary }) => [name, summary])),
    'Options: --config FILE, --json, --help, --version; greymx help COMMAND has more.',
  ])
}

/** Returns the help of one command. */
export function helpOf(row: Row, command: Command): string {
  return text([
    `Usage: ${synopsisOf(row, command)}`,
    '',
    ...wrapped(command.about),
    '',
    ...columns(inputRows(command)),
    '',
    'Examples:',
    ...command.examples.map((example) => `  ${example}`),
  ])
}

/** Returns a command line with all that the command needs: `greymx probe --client IP [OPTIONS]`. */
export function synopsisOf({ name }: Row, { options, args }: Command): string {
  const all = Object.entries(options)
  const needed = all.filter(([, { isRequired }]) => isRequired)
  return [
    `greymx ${name}`,
    ...needed.map(([option, input]) => `--${option} ${placeholderOf(input)}`),
    ...(all.length > needed.length ? ['[OPTIONS]'] : []),
    ...Object.values(args).map((input) =>
      input.isRequired ? placeholderOf(input) : `[${placeholderOf(input)}]`,
    ),
  ].join(' ')
}

/** Returns each argument and each option of a command, with its meaning. */
export function inputRows({ options, args }: Command): (readonly [shown: string, meaning: string])[] {
  return [
    ...Object.values(args).map((input) => [placeholderOf(input), meaningOf(input)] as const),
    ...[...Object.entries(options), ['help', HELP] as const].map(
      ([option, input]) => [formsOf(option, input), meaningOf(input)] as const,
    ),
  ]
}

/** Returns the short form of an option, if it has one, and the long form with its value. */
function formsOf(name: string, input: Input<unknown>): string {
  const short = input.short === undefined ? '   ' : `-${input.short},`
  return `${short} --${name} ${placeholderOf(input)}`.trimEnd()
}

/** Returns the placeholder of a value; dots follow one that may be given several times. */
function placeholderOf({ placeholder = '', repeats }: Input<unknown>): string {
  return repeats ? `${placeholder}...` : placeholder
}

function meaningOf({ meaning, choices, isRequired }: Input<unknown>): string {
  return `${meaning}${choices ? `: ${anyOf(choices)}` : ''}${isRequired ? ' (required)' : ''}`
}

function columns(rows: ReadonlyArray<readonly [shown: string, meaning: string]>): string[] {
  const width = Math.max(...rows.map(([shown]) => shown.length)) + 2
  return rows.flatMap(([shown, meaning]) =>
    wrapped(meaning, MAX_COLUMNS - 2 - width).map(
      (line, index) => `  ${(index === 0 ? shown : '').padEnd(width)}${line}`,
    ),
  )
}

/** Returns `text` in lines that are no longer than `width`, unless a word is. */
function wrapped(text: string, width = MAX_COLUMNS): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const line = lines.at(-1)
    if (line === undefined || line.length + 1 + word.length > width) lines.push(word)
    else lines[lines.length - 1] = `${line} ${word}`
  }
  return lines
}

function text(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join('')
}
