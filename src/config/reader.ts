// A YAML file → values, one setting at a time, and every fault with its line and column. Which settings there are,
// schema.ts says by asking for them: a key that nobody asked for is unknown.

import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import { messageOf } from '../message.ts'

type Path = readonly string[]

/** As `process.env` has it. */
export type Environment = Readonly<Record<string, string | undefined>>

type Read<T> = { readonly value: T } | undefined

export class ConfigReader {
  /** The settings that were asked for, by their dotted names. */
  readonly asked: string[] = []
  readonly #unread = new Set<string>()
  readonly #fileName: string
  readonly #environment: Environment
  readonly #lines = new LineCounter()
  readonly #root: Node | undefined
  readonly #faults: Array<{ readonly position: number; readonly message: string }> = []

  /** `fileName` only stands in faults; `text` is the file's content. */
  constructor(fileName: string, text: string, environment: Environment = {}) {
    this.#fileName = fileName
    this.#environment = environment
    const document = parseDocument(text, { lineCounter: this.#lines, prettyErrors: false })
    for (const error of [...document.errors, ...document.warnings]) {
      this.#fault(error.pos[0], withoutSource(error.message))
    }
    const root = document.contents ?? undefined
    this.#root = this.#faults.length > 0 || isEmpty(root) ? undefined : root
    if (this.#root && !isMap(this.#root)) {
      this.#fault(offset(this.#root), `the file is ${describe(this.#root)}: expected settings like listen: …`)
    }
  }

  /** In the order of the file, each as it is shown: `milter.yaml:12:3: what, with which value, what is expected`. */
  get faults(): string[] {
    return this.#faults
      .toSorted((a, b) => a.position - b.position)
      .map(({ position, message }) => {
        const { line, col } = this.#lines.linePos(position)
        return `${this.#fileName}:${Math.max(line, 1)}:${Math.max(col, 1)}: ${message}`
      })
  }

  /** A setting of plain text, read by `parse`, which throws with what it expected; numbers and booleans are text too. */
  text<T>(name: string, fallback: string, parse: (text: string) => T): T {
    const node = this.#ask(name)
    const read = node && this.#scalar(name, node, parse)
    return read ? read.value : parse(fallback)
  }

  /** A list of plain texts, or a single one. */
  list<T>(name: string, fallback: readonly string[], parse: (text: string) => T): T[] {
    const node = this.#ask(name)
    if (!node) return fallback.map(parse)
    const items = isSeq(node) ? (node.items as Node[]) : [node] // parseDocument makes nodes of all items
    return items.flatMap((item) => {
      const read = this.#scalar(name, item, parse)
      return read ? [read.value] : []
    })
  }

  /** A plain text that no fault shows, `''` where there is none. */
  secret(name: string): string {
    const node = this.#ask(name)
    const text = node && scalarText(node)
    if (node && text === undefined) this.#fault(offset(node), `Cannot read ${name}: expected a single value`)
    return text ?? ''
  }

  /** What the environment has for a setting, to go before the file: GREYMX_REDIS_PASSWORD for redis.password. */
  override(name: string): string | undefined {
    return this.#environment[`GREYMX_${name.toUpperCase().replaceAll('.', '_')}`] || undefined
  }

  /** Whether the setting is written as a group of settings. */
  isGroup(name: string): boolean {
    return isMap(this.#find(name.split('.')))
  }

  /** Whether the file leaves the setting at its default. */
  isMissing(name: string): boolean {
    return this.#find(name.split('.')) === undefined
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

  integer(name: string, fallback: number, least: number, most: number): number {
    return this.text(name, String(fallback), (text) => {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
      if (!(value >= least && value <= most))
        throw new Error(`expected a whole number from ${least} to ${most}`)
      return value
    })
  }

  /** A fault of several settings together, shown at the first of `names` that the file has. */
  conflict(names: readonly string[], message: string): void {
    if (names.some((name) => this.#unread.has(name))) return // its value is a default now, and its fault is told
    const node = names.map((name) => this.#find(name.split('.'))).find((found) => found !== undefined)
    this.#fault(node ? offset(node) : 0, message)
  }

  /** Reports what nobody asked for; called last. */
  unknownKeys(): void {
    this.#visitUnknown(this.#root, [])
  }

  #ask(name: string): Node | undefined {
    this.asked.push(name)
    return this.#find(name.split('.'))
  }

  #find(path: Path): Node | undefined {
    let node = this.#root
    for (const key of path) {
      if (!isMap(node)) return undefined
      node = node.items.find((pair) => isScalar(pair.key) && String(pair.key.value) === key)?.value as
        | Node
        | undefined
    }
    return isEmpty(node) ? undefined : node
  }

  /** `undefined` when it could not be read, which is a fault by then. */
  #scalar<T>(name: string, node: Node, parse: (text: string) => T): Read<T> {
    const text = scalarText(node)
    try {
      if (isEmpty(node)) throw new Error('expected a value')
      if (text === undefined) throw new Error('expected a single value')
      return { value: parse(text) }
    } catch (error) {
      const expected = messageOf(error)
      this.#unread.add(name)
      this.#fault(offset(node), `Cannot read ${name} ${describe(node)}: ${expected}`)
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
        this.#fault(offset(key), `unknown setting ${name}: expected ${this.#siblings(path)}`)
      else if (isMap(value) || isEmpty(value)) this.#visitUnknown(value, inner)
      else if (value)
        this.#fault(offset(value), `Cannot read ${name} ${describe(value)}: expected settings below it`)
    }
  }

  #siblings(path: Path): string {
    const start = path.map((key) => `${key}.`).join('')
    const names = this.asked.filter((name) => name.startsWith(start)).map((name) => name.slice(start.length))
    return [...new Set(names.map((name) => name.split('.')[0]))].join(', ')
  }

  #fault(position: number, message: string): void {
    this.#faults.push({ position, message })
  }
}

/** `null` and nothing alike leave a setting at its default. */
function isEmpty(node: Node | null | undefined): boolean {
  return !node || (isScalar(node) && node.value === null)
}

function offset(node: Node): number {
  return node.range?.[0] ?? 0
}

/** The value as written where YAML's own reading of it, as a number, has another text, like 0660. */
function scalarText(node: Node): string | undefined {
  if (!isScalar(node)) return undefined
  return typeof node.value === 'number' ? (node.source ?? String(node.value)) : String(node.value)
}

/** YAML's own messages quote what they are about, which may be a password. The place of a fault says enough. */
function withoutSource(message: string): string {
  return message.replace(/(?<=\S): .*/s, '').replace(/ (?:the )?[!\\%]\S+/gi, '')
}

/**
 * Without user name and password of a URL, well-formed or not, and without what stands beside the word password where
 * that is no setting's name.
 */
function withoutSecrets(text: string): string {
  return text
    .replace(/\/\/.*@/s, '//***@')
    .replace(/\/\/[^/@]*:(?!\d+(?:[/?,]|$)).*/s, '//***')
    .replace(/(password\w*)[^\w].*/is, '$1 ***')
}

function describe(node: Node): string {
  const text = scalarText(node)
  if (text !== undefined) return JSON.stringify(withoutSecrets(text))
  if (isAlias(node)) return 'an alias'
  return isSeq(node) ? 'a list' : 'a group of settings'
}
