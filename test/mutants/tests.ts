// Finds the compiled test files that import a module, directly or by others, and start no MTA and no Redis. A DNS server
// is no obstacle: it starts in a moment, and without it nothing would test how identities are found.

import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

const IMPORT = /\b(?:from|import\() ?['"]([^'"]+)['"]/g

/** Modules with which tests start processes. */
const PROCESS_MODULES = ['node:child_process', 'node:cluster']

export interface UnitTest {
  /** Path of the compiled test file, relative to the folder of the build. */
  readonly file: string
  /** The compiled files that it imports itself. */
  readonly direct: ReadonlySet<string>
  /** The compiled files that it imports directly or by others. */
  readonly all: ReadonlySet<string>
}

/** The test files below `build` that start no process but a DNS server. */
export function unitTests(build: string): UnitTest[] {
  const imports = new Map<string, readonly string[]>()
  const importsOf = (file: string): readonly string[] => {
    const known = imports.get(file)
    if (known) return known
    const text = readFileSync(join(build, file), 'utf8')
    const found = Array.from(text.matchAll(IMPORT), ([, name = '']) =>
      name.startsWith('.') ? normalize(join(dirname(file), name)) : name,
    )
    imports.set(file, found)
    return found
  }
  /** All that a file imports; imports of files that do not match `within` are not followed. */
  const closure = (file: string, within: RegExp): Set<string> => {
    const seen = new Set<string>()
    const visit = (name: string): void => {
      if (seen.has(name)) return
      seen.add(name)
      if (within.test(name)) for (const imported of importsOf(name)) visit(imported)
    }
    visit(file)
    return seen
  }
  // The code that is tested starts processes only where a test asks for it.
  const startsProcess = (file: string): boolean => {
    const helpers = closure(file, /^test\/(?!support\/dns\.js$)/)
    return PROCESS_MODULES.some((name) => helpers.has(name))
  }
  return readdirSync(join(build, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.js'))
    .map((name) => join('test', name))
    .sort()
    .filter((file) => !startsProcess(file))
    .map((file) => ({ file, direct: new Set(importsOf(file)), all: closure(file, /^(?:src|test)\//) }))
}
