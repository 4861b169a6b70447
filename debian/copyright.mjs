// Prints the stanzas of debian/copyright for the packages of npm in a folder node_modules, with the text of each
// licence. Usage: node copyright.mjs FOLDER. Source: the machine-readable copyright format of Debian, 1.0.

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const [root] = process.argv.slice(2)

/** Licences whose text every Debian system has. */
const COMMON = { 'Apache-2.0': '/usr/share/common-licenses/Apache-2.0' }

/** What the MIT licence says, for packages that name it and have no text of it. */
const MIT = readFileSync(new URL('../LICENSE', import.meta.url), 'utf8')
  .split('\n')
  .slice(4)
  .join('\n')

/** What lmdb's native code is made of beside its own sources, with the folder of each. */
const COMPILED_IN = [
  { folder: 'lmdb/dependencies/lmdb/libraries/liblmdb', license: 'OLDAP-2.8' },
  { folder: 'lmdb/dependencies/lz4/lib', license: 'BSD-2-clause' },
]

for (const folder of packages()) {
  const { name, author, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
  const text = textIn(folder) ?? (license === 'MIT' ? MIT : undefined)
  stanza(folder, license, text, `the authors of ${name}${author ? `, ${author.name ?? author}` : ''}`)
}
for (const { folder, license } of COMPILED_IN) stanza(folder, license, textIn(folder), 'its authors')

/** Returns the packages, as paths in the folder. */
function packages() {
  const inside = (folder) => readdirSync(join(root, folder)).filter((name) => !name.startsWith('.'))
  const found = inside('').flatMap((name) =>
    name.startsWith('@') ? inside(name).map((scoped) => `${name}/${scoped}`) : [name],
  )
  const nested = found.filter((folder) => existsSync(join(root, folder, 'node_modules')))
  if (nested.length > 0) throw new Error(`${nested} has packages of its own: expected none that is nested`)
  return found.filter((folder) => existsSync(join(root, folder, 'package.json'))).sort()
}

function textIn(folder) {
  const file = readdirSync(join(root, folder)).find((name) => /^(licen[cs]e|copying)(\.|$)/i.test(name))
  return file && readFileSync(join(root, folder, file), 'utf8').trim()
}

function stanza(folder, license, text, authors) {
  if (typeof license !== 'string' || !text)
    throw new Error(`${folder} has no licence: expected one with its text`)
  const holders = text.match(/^\W*(?:copyright|\(c\)).*\d{4}.*$/gim)?.map((line) => line.trim()) ?? [authors]
  const shown = COMMON[license] ? `The text of this licence is in ${COMMON[license]}.` : text
  const lines = shown.split('\n').map((line) => ` ${line.trimEnd() === '' ? '.' : line.trimEnd()}`)
  const copyright = COMMON[license] ? [authors] : [...new Set(holders)]
  console.log(`
Files: node_modules/${folder}/*
Copyright: ${copyright.join('\n           ')}
License: ${license}
${lines.join('\n')}`)
}
