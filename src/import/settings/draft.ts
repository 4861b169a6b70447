// The text of a milter.yaml, as it is put together from a peer's settings: settings that come closest to theirs, and
// remarks on what has no counterpart. What a peer's settings mean is left to the files of the peers.

import { parseConfig } from '../../config/load.ts'
import { scalar } from '../../config/print.ts'

/** A text of a setting, or an item of a list, with a comment behind it. */
interface Text {
  readonly text: string
  readonly comment?: string
}

/** A setting's value: its text, or the items of a list. */
type Value = Text | Text[]

type Group = Map<string, Group | Value>

/** Longest comment, in characters. */
const MAX_COMMENT = 300

/** Items that are written into one line. */
const MAX_INLINE = 4

export class Draft {
  readonly #title: string
  readonly #settings = new Map<string, Value>()
  readonly #remarks: string[] = []

  /** `title` says what the settings are made of. */
  constructor(title: string) {
    this.#title = title
  }

  /** Sets a setting by its name, such as `greylist.delay`; an empty list turns off what is there by default. */
  set(name: string, value: string | readonly string[], comment?: string): void {
    const texts = typeof value === 'string' ? textOf(value, comment) : value.map((item) => textOf(item))
    this.#settings.set(name, texts)
  }

  /** Adds an item to a setting that is a list. */
  add(name: string, item: string, comment?: string): void {
    const known = this.#settings.get(name)
    const items = Array.isArray(known) ? known : []
    if (items.some(({ text }) => text === item)) return
    items.push(textOf(item, comment))
    this.#settings.set(name, items)
  }

  has(name: string): boolean {
    return this.#settings.has(name)
  }

  /** Says what has no counterpart, and where the peer has it. */
  remark(where: string, text: string): void {
    this.#remarks.push(`${where}: ${text}`)
  }

  /**
   * The text of the file, which greymx accepts: what it would refuse, such as a time beyond its bounds, becomes a remark.
   */
  text(): string {
    for (;;) {
      const { text, nameOf } = this.#print()
      const loaded = parseConfig('milter.yaml', text)
      if (loaded.kind === 'config') return text
      const refused = loaded.faults.map((fault) => {
        const [, line, problem = fault] = /^milter\.yaml:(\d+):\d+: (.*)$/s.exec(fault) ?? []
        return { name: nameOf.get(Number(line)) ?? '', problem }
      })
      if (!refused.some(({ name }) => this.#remove(name))) throw new Error(loaded.faults.join('\n'))
      for (const { name, problem } of refused) this.remark(nameOnly(name), problem)
    }
  }

  /** Removes a setting, or the item of a list that `name[INDEX]` names; tells whether there was one. */
  #remove(name: string): boolean {
    const [, list = '', index] = /^(.*)\[(\d+)\]$/.exec(name) ?? []
    const items = this.#settings.get(list)
    if (index === undefined || !Array.isArray(items)) return this.#settings.delete(name)
    return items.splice(Number(index), 1).length > 0
  }

  /** The text, and the name of the setting on each line. */
  #print(): { readonly text: string; readonly nameOf: ReadonlyMap<number, string> } {
    const lines: string[] = [comment(this.#title), comment('What is not here is at its default.'), '']
    const nameOf = new Map<number, string>()
    printGroup(groupsOf(this.#settings), '', '', (line, name) => {
      lines.push(line)
      nameOf.set(lines.length, name)
    })
    if (this.#remarks.length > 0) lines.push('', comment('Without a counterpart:'))
    for (const remark of this.#remarks) lines.push(comment(`- ${remark}`))
    return { text: `${lines.join('\n')}\n`, nameOf }
  }
}

function textOf(text: string, comment?: string): Text {
  return comment === undefined ? { text } : { text, comment }
}

function nameOnly(name: string): string {
  return name.replace(/\[\d+\]$/, '')
}

/** A line of a comment; whoever wrote the peer's settings cannot end it. */
function comment(text: string): string {
  const line = text.replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ').trim()
  return `# ${line.length > MAX_COMMENT ? `${line.slice(0, MAX_COMMENT)}…` : line}`
}

function groupsOf(settings: ReadonlyMap<string, Value>): Group {
  const root: Group = new Map()
  for (const [name, value] of settings) {
    const path = name.split('.')
    const last = path.pop() ?? ''
    let group = root
    for (const key of path) {
      const known = group.get(key)
      const next: Group = known instanceof Map ? known : new Map()
      group.set(key, next)
      group = next
    }
    group.set(last, value)
  }
  return root
}

function printGroup(
  group: Group,
  indent: string,
  path: string,
  print: (line: string, name: string) => void,
): void {
  for (const [key, value] of group) {
    const name = `${path}${key}`
    if (value instanceof Map) {
      print(`${indent}${key}:`, name)
      printGroup(value, `${indent}  `, `${name}.`, print)
    } else if (!Array.isArray(value)) {
      print(`${indent}${key}: ${withComment(value)}`, name)
    } else if (value.length <= MAX_INLINE && value.every((item) => item.comment === undefined)) {
      print(`${indent}${key}: [${value.map(({ text }) => scalar(text)).join(', ')}]`, name)
    } else {
      print(`${indent}${key}:`, name)
      for (const [index, item] of value.entries())
        print(`${indent}  - ${withComment(item)}`, `${name}[${index}]`)
    }
  }
}

function withComment({ text, comment: behind }: Text): string {
  return behind === undefined ? scalar(text) : `${scalar(text)} ${comment(behind)}`
}
