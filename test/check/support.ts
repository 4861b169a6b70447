// What the tests of the MTAs' lint begin from.

import assert from 'node:assert/strict'
import { parseConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'

export function configOf(text: string): Config {
  const loaded = parseConfig('milter.yaml', text)
  assert.ok(loaded.kind === 'config', loaded.kind === 'faults' ? loaded.faults.join('\n') : '')
  return loaded.config
}

/** Each warning matches its pattern, and there are no others. */
export function assertWarnings(name: string, warnings: readonly string[], expected: readonly RegExp[]): void {
  assert.equal(warnings.length, expected.length, `${name}\n${warnings.join('\n')}`)
  for (const [index, pattern] of expected.entries()) assert.match(warnings[index] ?? '', pattern, name)
}
