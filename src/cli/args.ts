// Reads a command line: which command it names, and what is given for each of the command's options and arguments, or
// the first mistake in it. What values mean is left to the commands.

import { type ParseArgsConfig, parseArgs } from 'node:util'
import { didYouMean, nearest } from '../suggestion.ts'
import type { Command, Given, Misuse, Row } from './command.ts'
import { CONFIG, flag, type Input, JSON_OUTPUT } from './input.ts'

/** What a command line asks for. `help` without a row asks for the usage of greymx. */
export type Request =
  | { readonly kind: 'run'; readonly command: Command; readonly given: Given }
  | { readonly kind: 'help'; readonly of?: { readonly row: Row; readonly command: Command } }
  | { readonly kind: 'version' }
  | Misuse

/** Where one of these options is given, nothing else matters, mistakes included. */
export const HELP = flag('print this help', { short: 'h' })
export const VERSION = flag('print the version', { short: 'V' })
const UNIVERSAL = { help: HELP, version: VERSION }

/**
 * Every command takes `--config`, so that an alias of greymx may have it; a command that reads no configuration ignores
 * it.
 */
const EVERYWHERE = { config: CONFIG }

/** The options that commonly stand before the command. */
const LEADING = { ...EVERYWHERE, json: JSON_OUTPUT }

type Options = Readonly<Record<string, Input<unknown>>>

/** A piece of a command line. */
type Token = ArgumentToken | OptionToken

interface ArgumentToken {
  readonly kind: 'argument'
  readonly text: string
  /** Its place in the command line. */
  readonly index: number
}

interface OptionToken {
  readonly kind: 'option'
  readonly name: string
  /** The option as it was typed, without a value. */
  readonly typed: string
  readonly value: string | undefined
  /** Whether the value stands in the same word. */
  readonly isInline: boolean
}

/** Reads `argv`, which is without the program and its script, by the table of commands `rows`. */
export async function readCommandLine(argv: readonly string[], rows: readonly Row[]): Promise<Request> {
  const { leading, name, options } = await beginningOf(argv, rows)
  const asked = universal(leading)
  // `greymx --help check` asks for the help of check.
  if (asked && (asked.kind === 'version' || !name)) return asked
  const mistake = asked ? undefined : mistakeInOptions(leading, options)
  if (mistake) return mistake
  if (!name) return misuse('expected a command')
  const row = rows.find((other) => other.name === name.text)
  if (!row) return unknownCommand(name.text, rows)
  const { command } = await row.load()
  const tokens = tokensOf(argv.toSpliced(name.index, 1), { ...command.options, ...EVERYWHERE })
  return universal(tokens, { row, command }) ?? readInputs(tokens, row.name, command)
}

export function unknownCommand(name: string, rows: readonly Row[]): Misuse {
  return misuse(`unknown command ${quoted(name)}${insteadOf(name, namesOf(rows))}`)
}

export function namesOf(rows: readonly Row[]): string[] {
  return rows.map((row) => row.name)
}

interface Beginning {
  /** What stands before the command. */
  readonly leading: readonly Token[]
  /** The command. */
  readonly name: ArgumentToken | undefined
  /** The options by which the beginning was read. */
  readonly options: Options
}

/** Finds the command in a command line. */
async function beginningOf(argv: readonly string[], rows: readonly Row[]): Promise<Beginning> {
  const beginning = beginningBy(LEADING, argv)
  const isKnown = ({ name }: OptionToken) => Object.hasOwn({ ...LEADING, ...UNIVERSAL }, name)
  if (beginning.leading.every((token) => token.kind !== 'option' || isKnown(token))) return beginning
  // Only the commands know which of their options have values, and so which word is no value but the command.
  const commands = await Promise.all(rows.map(({ load }) => load()))
  return beginningBy(Object.assign({}, LEADING, ...commands.map(({ command }) => command.options)), argv)
}

function beginningBy(options: Options, argv: readonly string[]): Beginning {
  const tokens = tokensOf(argv, options)
  const place = tokens.findIndex(({ kind }) => kind === 'argument')
  const name = tokens[place]
  return {
    leading: place < 0 ? tokens : tokens.slice(0, place),
    name: name?.kind === 'argument' ? name : undefined,
    options,
  }
}

/** Returns the mistake that the value `text` of an option is not what was `expected`. */
export function unreadable(option: string, text: string, expected: string, command: string): Misuse {
  return misuse(`Cannot read ${option} ${quoted(text)}: expected ${expected}`, command)
}

/** Returns a mistake; `problem` names it, and `command` is the one whose help tells more. */
export function misuse(problem: string, command?: string): Misuse {
  return { kind: 'misuse', problem, ...(command === undefined ? {} : { command }) }
}

/** Returns the help or version that `tokens` ask for. */
function universal(tokens: readonly Token[], of?: { row: Row; command: Command }): Request | undefined {
  const names = tokens.map((token) => (token.kind === 'option' ? token.name : ''))
  if (names.includes('help')) return { kind: 'help', ...(of ? { of } : {}) }
  return names.includes('version') ? { kind: 'version' } : undefined
}

function readInputs(tokens: readonly Token[], name: string, command: Command): Request {
  const options = { ...command.options, ...EVERYWHERE }
  const places = Object.entries(command.args)
  const given = new Map<string, string[]>()
  for (const token of tokens) {
    if (token.kind === 'option') {
      const mistake = mistakeInOption(token, options, name)
      if (mistake) return mistake
      add(given, token.name, token.value ?? '')
      continue
    }
    const [key, input] = places.find(([key, { repeats }]) => repeats || !given.has(key)) ?? []
    if (key === undefined || !input) return unexpectedArgument(token.text, name, command)
    const mistake = mistakeInValue(input.placeholder ?? '', token.text, input, name)
    if (mistake) return mistake
    add(given, key, token.text)
  }
  const isMissing = ([key, { isRequired }]: [string, Input<unknown>]) => isRequired && !given.has(key)
  const option = Object.entries(command.options).find(isMissing)
  if (option) return misuse(`${name} needs --${option[0]} ${option[1].placeholder}`, name)
  const argument = places.find(isMissing)
  if (argument) return misuse(`${name} needs ${nameOf(argument[1])}`, name)
  return { kind: 'run', command, given }
}

function add(given: Map<string, string[]>, key: string, text: string): void {
  given.set(key, [...(given.get(key) ?? []), text])
}

function nameOf({ placeholder = '', choices }: Input<unknown>): string {
  return choices ? `${placeholder}: expected ${anyOf(choices)}` : placeholder
}

function unexpectedArgument(text: string, name: string, { args }: Command): Misuse {
  const places = Object.values(args).map(({ placeholder = '' }) => placeholder)
  const expected = places.length === 0 ? 'takes none' : `takes ${places.join(' ')} only`
  return misuse(`unexpected argument ${quoted(text)}: ${name} ${expected}`, name)
}

function mistakeInOptions(tokens: readonly Token[], options: Options): Misuse | undefined {
  for (const token of tokens) {
    const mistake = token.kind === 'option' ? mistakeInOption(token, options) : undefined
    if (mistake) return mistake
  }
  return undefined
}

function mistakeInOption(
  { name, typed, value, isInline }: OptionToken,
  options: Options,
  command?: string,
): Misuse | undefined {
  const input = Object.hasOwn(options, name) ? options[name] : undefined
  if (!input) {
    const names = Object.keys({ ...options, ...UNIVERSAL })
    return misuse(`unknown option ${quoted(typed)}${insteadOf(name, names, '--')}`, command)
  }
  const { placeholder } = input
  if (placeholder === undefined) {
    return isInline ? misuse(`${typed} takes no value, but has ${quoted(value ?? '')}`, command) : undefined
  }
  const expected = `expected --${name} ${placeholder}`
  if (value === undefined) return misuse(`${typed} has no value: ${expected}`, command)
  if (!isInline && value.startsWith('-') && value !== '-') {
    const problem = `${typed} has no value before ${quoted(value)}: ${expected}, or --${name}=${placeholder} for a value with a dash in front`
    return misuse(problem, command)
  }
  return mistakeInValue(typed, value, input, command)
}

function mistakeInValue(
  name: string,
  text: string,
  { choices }: Input<unknown>,
  command?: string,
): Misuse | undefined {
  if (!choices || choices.includes(text)) return undefined
  const meant = didYouMean(nearest(text, choices))
  return misuse(`Cannot read ${name} ${quoted(text)}${meant}: expected ${anyOf(choices)}`, command)
}

function tokensOf(argv: readonly string[], options: Options): Token[] {
  const known = { ...options, ...UNIVERSAL }
  const config: ParseArgsConfig['options'] = Object.fromEntries(
    Object.entries<Input<unknown>>(known).map(([name, { placeholder, short }]) => [
      name,
      { type: placeholder === undefined ? 'boolean' : 'string', ...(short === undefined ? {} : { short }) },
    ]),
  )
  // Without `strict`, it cuts the command line into pieces and has no complaints of its own.
  const { tokens } = parseArgs({ args: [...argv], options: config, strict: false, tokens: true })
  return tokens.flatMap((token): Token[] => {
    if (token.kind === 'option-terminator') return []
    if (token.kind === 'positional') return [{ kind: 'argument', text: token.value, index: token.index }]
    const [word = ''] = (argv[token.index] ?? '').split('=', 1)
    // `-config` is a long option with a dash too few rather than `-c onfig`.
    const isLong = word.startsWith('--')
    const isShortened = !isLong && Object.hasOwn(known, word.slice(1))
    const typed = isLong || isShortened ? word : token.rawName
    const { value, inlineValue: isInline = false } = token
    return [{ kind: 'option', name: isShortened ? word : token.name, typed, value, isInline }]
  })
}

/** Returns what follows an unknown name in a message: the names that were probably meant, or else all. */
function insteadOf(typed: string, names: readonly string[], prefix = ''): string {
  const shown = (found: readonly string[]) => found.map((name) => `${prefix}${name}`)
  return didYouMean(shown(nearest(typed, names))) || `: expected ${anyOf(shown(names))}`
}

/** Returns `a, b or c`. */
export function anyOf(words: readonly string[]): string {
  return [words.slice(0, -1).join(', '), ...words.slice(-1)].filter((part) => part !== '').join(' or ')
}

/** Returns `text` in quotes, on one line and without characters that a terminal would act on. */
function quoted(text: string): string {
  const escaped = (found: string) => `\\u{${found.codePointAt(0)?.toString(16)}}`
  return JSON.stringify(text).replace(/\p{C}/gu, escaped)
}
