// Prints the settings in effect as YAML that greymx can read back. A comment says where each one that is not left at
// its default comes from.

import type { Setting } from './reader.ts'

type Group = Map<string, Group | Setting>

/** Returns the settings as YAML, in groups, in their order. */
export function printSettings(settings: readonly Setting[]): string {
  const root: Group = new Map()
  for (const setting of settings) {
    const path = setting.name.split('.')
    const last = path.pop() ?? ''
    groupAt(root, path).set(last, setting)
  }
  return lines(root, '').join('')
}

function groupAt(root: Group, path: readonly string[]): Group {
  let group = root
  for (const key of path) {
    const known = group.get(key)
    const next: Group = known instanceof Map ? known : new Map()
    group.set(key, next)
    group = next
  }
  return group
}

function lines(group: Group, indent: string): string[] {
  return [...group].flatMap(([key, value]) => {
    if (value instanceof Map) return [`${indent}${key}:\n`, ...lines(value, `${indent}  `)]
    const origin = value.origin === undefined ? '' : ` # ${value.origin}`
    return [`${indent}${key}: ${text(value.value)}${origin}\n`]
  })
}

function text(value: string | readonly string[]): string {
  return typeof value === 'string' ? scalar(value) : `[${value.map(scalar).join(', ')}]`
}

/** Returns `value` plain where YAML reads the same text back, else quoted as in JSON, which YAML reads too. */
export function scalar(value: string): string {
  const isPlain = /^[A-Za-z0-9/][\w./@:+-]*$/.test(value) && !/^null$|:$|^0\d/i.test(value)
  return isPlain ? value : JSON.stringify(value)
}
