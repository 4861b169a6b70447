// Reads the list of mutants that no test can notice, since they do the same as the code.

import { parse } from 'yaml'
import type { Mutant } from './operators.ts'

/** A mutant that is known to do what the code does. */
export interface Equivalent {
  /** The TypeScript file. */
  readonly file: string
  readonly before: string
  readonly after: string
  readonly reason: string
}

/** The mutants in the text of `equivalent.yaml`. Throws for an entry without one of its four texts. */
export function readEquivalents(text: string): Equivalent[] {
  const entries: unknown = parse(text)
  if (!Array.isArray(entries)) throw new Error('Cannot read equivalent.yaml: expected a list')
  return entries.map((entry, index) => {
    for (const key of ['file', 'before', 'after', 'reason']) {
      if (typeof entry?.[key] !== 'string')
        throw new Error(`Cannot read entry ${index + 1} of equivalent.yaml: expected a text for ${key}`)
    }
    return entry
  })
}

/** The TypeScript file of a compiled one. */
export function sourceOf(file: string): string {
  return file.replace(/\.js$/, '.ts')
}

/** Whether the entry describes the mutant. */
export function describes({ file, before, after }: Equivalent, mutant: Mutant): boolean {
  return file === sourceOf(mutant.file) && before === mutant.before && after === mutant.after
}
