// Reads one setting at a time from a YAML file and the environment, which takes precedence, and collects every fault
// with its place: line and column, or the variable. schema.ts decides which settings exist by asking for them; a
// setting that was not asked for is reported as unknown. Source: YAML 1.2, as the package `yaml` reads it.

import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument, Scalar } from 'yaml'
import { messageOf } from '../errors.ts'
import { didYouMean, nearest } from '../suggestion.ts'
import { type Environment, overrides, VARIABLE_PREFIX, variableOf } from './environment.ts'

type Path = readonly string[]

type Read<T> = { readonly value: T } | undefined

/** A setting in its text, before its value is parsed. */
export interface Setting {
  readonly name: string
  readonly value: string | readonly string[]
  /** Where it is set: `milter.yaml:12` or a variable; `undefined` for the default. */
  readonly origin: string | undefined
}

/** Place of a fault: an offset in the file, or a variable. */
type Place = number | string

export class ConfigReader {
  /** Dotted names of all settings that were asked for. */
  readonly asked: string[] = []
  /** Settings in their text, without secrets, in the order in which they were asked for. */
  readonly settings: Setting[] = []
  /** Names of settings whose value is a fault; no conflict with others is reported for them. */
  readonly #unreadable = new Set<string>()
  readonly #environment: ReadonlyMap<string, string>
  /** Variables by the nodes that were made of them: such nodes have no place in the file. */
  readonly #variables = new Map<Node, string>()
  readonly #fileName: string
  readonly #lines = new LineCounter()
  readonly #root: Node | undefined
  readonly #faults: Array<{ readonly place: Place; readonly message: string }> = []

  /** `text` is the content of the file; `fileName` is only shown in faults. */
  constructor(fileName: string, text: string, environment: Environment = {}) {
    this.#fileName = fileName
    this.#environment = overrides(environment)
    const document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false })
    for (const error of [...document.errors, ...document.warnings]) {
      this.#fault(
        error.pos[0],
        `${withoutSource(error.message)}${quotingHint(error.code, text[error.pos[0]])}`,
      )
    }
    const root = document.contents ?? undefined
    this.#root = this.#faults.length > 0 || isEmpty(root) ? undefined : root
    if (this.#root && !isMap(this.#root)) {
      this.#fault(offset(this.#root), `the file is ${describe(this.#root)}: expected settings like listen: …`)
    }
  }

  /**
   * Faults as lines for the operator: `milter.yaml:12:3: what, with which value, what is expected`. Those of the file
   * come first, in its order; those of the environment follow, with the variable in place of file, line and column.
   */
  get faults(): string[] {
    return this.#faults
      .toSorted((a, b) => order(a.place) - order(b.place))
      .map(({ place, message }) => `${this.#describePlace(place)}: ${message}`)
  }

  /**
   * Returns a single value, read by `parse`, or `fallback` where none is set. `parse` gets numbers and booleans as text
   * too, and throws an error that says what it expected, which becomes a fault.
   */
  text<T>(name: string, fallback: string, parse: (text: string) => T): T {
    const node = this.#ask(name)
    this.#record(name, node, (node && scalarText(node)) ?? fallback)
    const read = node && this.#scalar(name, node, parse)
    return read ? read.value : parse(fallback)
  }

  /** Returns the values of a list, each read by `parse` as in `text`; a single value is a list of one. */
  list<T>(name: string, fallback: readonly string[], parse: (text: string) => T): T[] {
    const node = this.#ask(name)
    const items = node && this.#items(name, node)
    this.#record(name, node, items?.map((item) => scalarText(item) ?? '') ?? fallback)
    if (!items) return fallback.map(parse)
    return items.flatMap((item) => {
      const read = this.#scalar(name, item, parse)
      return read ? [read.value] : []
    })
  }

  /** Returns a text that appears neither in faults nor in `settings`; `''` where none is set. */
  secret(name: string): string {
    const node = this.#ask(name)
    const text = node && scalarText(node)
    if (node && text === undefined)
      this.#fault(this.#placeOf(node), `Cannot read ${name}: expected a single value`)
    return text ?? ''
  }

  /** Returns a setting's value in the environment, which takes precedence: GREYMX_REDIS_PASSWORD for redis.password. */
  override(name: string): string | undefined {
    return this.#environment.get(variableOf(name))
  }

  /** Tells whether the setting is a group of settings: in the file, or by variables for settings of that group. */
  isGroup(name: string): boolean {
    const node = this.#find(name.split('.'))
    if (node && this.#variables.has(node)) return false
    return isMap(node) || this.#isGroupInEnvironment(name)
  }

  /** Tells whether the setting is left at its default. */
  isMissing(name: string): boolean {
    return this.#find(name.split('.')) === undefined
  }

  /** Returns the names of the settings directly below a group, in the order of the file; none where it is no group. */
  keys(name: string): string[] {
    const node = this.#find(name.split('.'))
    // parseDocument makes nodes of all keys.
    return isMap(node) ? node.items.map((pair) => scalarText(pair.key as Node) ?? '') : []
  }

  boolean(name: string, fallback: boolean): boolean {
    return this.text(name, String(fallback), (text) => {
      if (text !== 'true' && text !== 'false') throw new Error('expected true or false')
      return text === 'true'
    })
  }

  choice<T extends string>(name: string, fallback: T, choices: readonly T[]): T {
    return this.text(name, fallback, (text) => {
      const found = choices.find((choice) => choice === text)
      if (found === undefined) throw new Error(`expected ${choices.join(' or ')}`)
      return found
    })
  }

  integer(name: string, fallback: number, min: number, max: number): number {
    return this.text(name, String(fallback), (text) => {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
      if (!(value >= min && value <= max)) throw new Error(`expected a whole number from ${min} to ${max}`)
      return value
    })
  }

  /** Reports a fault of several settings together, at the first of `names` that is set. */
  conflict(names: readonly string[], message: string): void {
    // The value of an unreadable setting is its default, and its own fault is reported already.
    if (names.some((name) => this.#unreadable.has(name))) return
    const node = names.map((name) => this.#find(name.split('.'))).find((found) => found !== undefined)
    this.#fault(node ? this.#placeOf(node) : 0, message)
  }

  /** Reports every setting that was not asked for; the caller calls it last. */
  unknownKeys(): void {
    this.#visitUnknown(this.#root, [])
    const known = new Set(this.asked.map(variableOf))
    for (const variable of this.#environment.keys()) {
      if (known.has(variable)) continue
      const other = [...known].find((name) => this.#environment.has(name) && variable.startsWith(`${name}_`))
      const expected = other
        ? `has no effect beside ${other}`
        : `names no setting${didYouMean(this.#meantByVariable(variable))}: expected the setting's name as in ${variableOf('greylist.delay')} for greylist.delay`
      this.#fault(variable, expected)
    }
  }

  #ask(name: string): Node | undefined {
    this.asked.push(name)
    return this.#find(name.split('.'))
  }

  #find(path: Path): Node | undefined {
    const variable = variableOf(path.join('.'))
    const text = this.#environment.get(variable)
    if (text !== undefined) return this.#nodeOf(variable, text)
    let node = this.#root
    for (const key of path) {
      if (!isMap(node)) return undefined
      node = node.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === key)?.value as
        | Node
        | undefined
    }
    return isEmpty(node) ? undefined : node
  }

  /** Returns a variable's value as a YAML text that needs no quotes or escapes. */
  #nodeOf(variable: string, text: string): Node {
    const node = new Scalar(text)
    this.#variables.set(node, variable)
    return node
  }

  /** Returns the items of a list: one in the environment is written `[a, b]`; anything else is a single item. */
  #items(name: string, node: Node): Node[] {
    const variable = this.#variables.get(node)
    // parseDocument makes nodes of all items.
    if (variable === undefined) return isSeq(node) ? (node.items as Node[]) : [node]
    const text = scalarText(node) ?? ''
    if (!text.startsWith('[')) return [node]
    const { contents, errors, warnings } = parseDocument(text, { prettyErrors: false })
    const [problem] = [...errors, ...warnings]
    if (problem || !isSeq(contents)) {
      this.#unreadable.add(name)
      this.#fault(
        variable,
        `Cannot read ${name} ${describe(node)}: ${problem ? withoutSource(problem.message) : 'expected a list'}`,
      )
      return []
    }
    const items = contents.items as Node[]
    for (const item of items) this.#variables.set(item, variable)
    return items
  }

  #record(name: string, node: Node | undefined, value: string | readonly string[]): void {
    const place = node && this.#placeOf(node)
    const origin =
      typeof place === 'number' ? `${this.#fileName}:${Math.max(this.#lines.linePos(place).line, 1)}` : place
    this.settings.push({ name, value, origin })
  }

  #isGroupInEnvironment(name: string): boolean {
    return [...this.#environment.keys()].some((variable) => variable.startsWith(`${variableOf(name)}_`))
  }

  /** Returns the parsed value; what cannot be read is reported as a fault and gives `undefined`. */
  #scalar<T>(name: string, node: Node, parse: (text: string) => T): Read<T> {
    const text = scalarText(node)
    try {
      if (isEmpty(node)) throw new Error('expected a value')
      if (text === undefined) throw new Error(`expected a single value${hintOf(node)}`)
      return { value: parse(text) }
    } catch (error) {
      const expected = messageOf(error)
      this.#unreadable.add(name)
      this.#fault(this.#placeOf(node), `Cannot read ${name} ${describe(node)}: ${expected}`)
      return undefined
    }
  }

  #visitUnknown(node: Node | undefined, path: Path): void {
    if (!isMap(node)) return
    for (const pair of node.items) {
      const key = pair.key as Node // parseDocument makes nodes of all keys
      const text = scalarText(key) ?? '?'
      const inner = [...path, text]
      const name = inner.map(withoutSecrets).join('.')
      const value = pair.value as Node | undefined
      // A key with a dot in it, such as greylist.delay, is not where #find looks for that setting.
      const isName = !text.includes('.')
      if (isName && this.asked.includes(name)) continue
      const below = isName ? this.asked.filter((other) => other.startsWith(`${name}.`)) : []
      if (below.length === 0)
        this.#fault(
          offset(key),
          `unknown setting ${name}${didYouMean(this.#meantByKey(path, withoutSecrets(text)))}: expected ${this.#siblings(path).join(', ')}`,
        )
      else if (isMap(value) || isEmpty(value)) this.#visitUnknown(value, inner)
      else if (value && !this.#isGroupInEnvironment(name))
        this.#fault(offset(value), `Cannot read ${name} ${describe(value)}: expected settings below it`)
    }
  }

  /** Returns the keys that are known below `path`. */
  #siblings(path: Path): string[] {
    const start = path.map((key) => `${key}.`).join('')
    const names = this.asked.filter((name) => name.startsWith(start)).map((name) => name.slice(start.length))
    return [...new Set(names.map((name) => name.split('.', 1).join()))]
  }

  /** Returns the settings that an unknown key may mean: mistyped in its place, or right but in the wrong place. */
  #meantByKey(path: Path, key: string): readonly string[] {
    const inPlace = nearest(key, this.#siblings(path)).map((sibling) => [...path, sibling].join('.'))
    if (inPlace.length > 0 || key.includes('.')) return inPlace
    const groups = this.asked.flatMap((name) =>
      [...name.matchAll(/\./g)].map(({ index }) => name.slice(0, index)),
    )
    return [...new Set([...this.asked, ...groups])].filter((name) => name.endsWith(`.${key}`))
  }

  #meantByVariable(variable: string): readonly string[] {
    const names = this.asked.map((name) => name.replaceAll('.', '_'))
    return nearest(variable.slice(VARIABLE_PREFIX.length), names).map(variableOf)
  }

  #fault(place: Place, message: string): void {
    this.#faults.push({ place, message })
  }

  #placeOf(node: Node): Place {
    return this.#variables.get(node) ?? offset(node)
  }

  #describePlace(place: Place): string {
    if (typeof place === 'string') return place
    const { line, col } = this.#lines.linePos(place)
    return `${this.#fileName}:${Math.max(line, 1)}:${Math.max(col, 1)}`
  }
}

function order(place: Place): number {
  return typeof place === 'number' ? place : Number.MAX_SAFE_INTEGER
}

/** Tells whether a setting is left at its default: by no value, or by `null`. */
function isEmpty(node: Node | null | undefined): boolean {
  return !node || (isScalar(node) && node.value === null)
}

function offset(node: Node): number {
  return node.range?.[0] ?? 0
}

/** Returns a scalar's text. A number is returned as written, since YAML's own reading of 0660 has another text. */
function scalarText(node: Node): string | undefined {
  if (!isScalar(node)) return undefined
  return typeof node.value === 'number' ? (node.source ?? String(node.value)) : String(node.value)
}

/**
 * Returns a message of YAML without what it quotes of the file, which may be a password; the fault's place says enough.
 */
function withoutSource(message: string): string {
  return message.replace(/(?<=\S): .*/s, '').replace(/ (?:the )?[!\\%]\S+/gi, '')
}

/**
 * Returns `text` without user name and password of a URL, well-formed or not, and without what follows the word
 * password where that is no setting's name.
 */
function withoutSecrets(text: string): string {
  return text
    .replace(/\/\/.*@/s, '//***@')
    .replace(/\/\/[^/@]*:(?!\d+(?:[/?,]|$)).*/s, '//***')
    .replace(/(password\w*)[^\w].*/is, '$1 ***')
}

const COLON_HINT = ': a value with a colon at its end, or before a space, needs quotes, as in "memory:"'

/** Returns what to do about a fault of YAML that a value without quotes has caused; `at` is the character there. */
function quotingHint(code: string, at = ''): string {
  if (code === 'BLOCK_AS_IMPLICIT_KEY') return COLON_HINT
  return SPECIAL.test(at) ? `: a value that begins with ${at} needs quotes` : ''
}

/** Matches what begins no plain value in YAML (section 5.3, indicators), except for brackets. */
const SPECIAL = /[*&@!%|>`]/

/** As `quotingHint`, for what YAML reads as something else than a value. */
function hintOf(node: Node): string {
  if (isAlias(node)) return ': a value that begins with * needs quotes'
  return isMap(node) && node.items.length === 1 && node.items.every(({ value }) => isEmpty(value as Node))
    ? COLON_HINT
    : ''
}

function describe(node: Node): string {
  const text = scalarText(node)
  if (text !== undefined) return JSON.stringify(withoutSecrets(text))
  if (isAlias(node)) return 'an alias'
  return isSeq(node) ? 'a list' : 'a group of settings'
}
