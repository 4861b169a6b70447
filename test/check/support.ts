// Helpers of the tests of greymx check: configurations, and the comparison of warnings.

import assert from 'node:assert/strict'
import { parseConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/schema.ts'

export function configOf(text: string): Config {
  const loaded = parseConfig('milter.yaml', text)
  assert.ok(loaded.kind === 'config', loaded.kind === 'faults' ? loaded.faults.join('\n') : '')
  return loaded.config
}

/** Asserts that each warning matches its pattern, and that there are no others. */
export function assertWarnings(name: string, warnings: readonly string[], expected: readonly RegExp[]): void {
  assert.equal(warnings.length, expected.length, `${name}\n${warnings.join('\n')}`)
  for (const [index, pattern] of expected.entries()) assert.match(warnings[index] ?? '', pattern, name)
}
