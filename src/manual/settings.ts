// Writes the manual page milter.yaml(5) from the settings file milter.yaml, whose comments explain each setting. The
// schema says which settings have to be there.

import { parseConfig } from '../config/load.ts'
import { bold, entry, escaped, paragraph, section, title } from './roff.ts'

/** Settings of the file that follow each other, and the comment above them; without one, they have no paragraphs. */
interface Block {
  readonly paragraphs: readonly string[]
  readonly settings: readonly Shown[]
}

/** A line of the file that sets something, or begins a group. */
interface Shown {
  /** Its dotted name. */
  readonly name: string
  /** The default as the file has it; '' for a group. */
  readonly value: string
}

/** Returns the page in man(7)'s language. Throws an error that names settings which file or schema lacks. */
export function settingsManual(file: string, version: string): string {
  const [introduction, ...blocks] = blocksOf(file)
  expectSameSettings(file, blocks)
  return [
    title('MILTER.YAML', 5, version),
    section('NAME', 'milter.yaml \\- settings of greymx\n'),
    section('SYNOPSIS', '.I /etc/greymx/milter.yaml\n'),
    section('DESCRIPTION', ...(introduction?.paragraphs ?? []).map(paragraph)),
    section(
      'SETTINGS',
      paragraph('A dot in a name stands for a level of the file: greylist.delay is delay below greylist.'),
      ...blocks.map(({ paragraphs, settings }) =>
        entry(
          settings.map(({ name, value }) => `${bold(name)}${value === '' ? '' : `: ${escaped(value)}`}`),
          ...paragraphs,
        ),
      ),
    ),
    section('SEE ALSO', '.BR greymx (8)\n'),
  ].join('')
}

/** Returns the file in blocks, of which the first is the introduction, without settings. */
function blocksOf(file: string): Block[] {
  const blocks: { paragraphs: string[]; settings: Shown[] }[] = []
  let path: readonly string[] = []
  let previous: 'comment' | 'setting' | 'nothing' = 'nothing'
  for (const line of file.split('\n')) {
    const [, comment, indent = '', key, value = ''] = /^ *#(.*)$|^( *)(\w+):(?: (.*))?$/.exec(line) ?? []
    const kind = comment !== undefined ? 'comment' : key !== undefined ? 'setting' : 'nothing'
    if (previous === 'nothing' || (previous === 'setting' && kind === 'comment'))
      blocks.push({ paragraphs: [], settings: [] })
    previous = kind
    const { paragraphs = [], settings = [] } = blocks.at(-1) ?? {}
    if (comment !== undefined) {
      if (comment === '' || paragraphs.length === 0) paragraphs.push(comment.trim())
      else paragraphs.push(`${paragraphs.pop()} ${comment.trim()}`.trim())
    } else if (key !== undefined) {
      path = [...path.slice(0, indent.length / 2), key]
      settings.push({ name: path.join('.'), value })
    }
  }
  // A group that says nothing of itself, such as log, is told by the names of what is in it.
  return blocks.filter(({ paragraphs }) => paragraphs.length > 0)
}

function expectSameSettings(file: string, blocks: readonly Block[]): void {
  const loaded = parseConfig('milter.yaml', file)
  if (loaded.kind === 'faults') throw new Error(loaded.faults.join('\n'))
  const shown = new Set(blocks.flatMap(({ settings }) => settings.map(({ name }) => name)))
  const missing = loaded.settings.map(({ name }) => name).filter((name) => !shown.has(name))
  if (missing.length > 0)
    throw new Error(`milter.yaml explains no ${missing.join(', ')}: expected a comment above each setting`)
}
