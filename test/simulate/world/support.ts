// Worlds for tests: the shipped one in small.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { WorldData } from '../../../src/simulate/world/data.ts'
import type { Size } from '../../../src/simulate/world/population.ts'
import { parseWorld } from '../../../src/simulate/world/read.ts'

const SHIPPED = { fileName: 'default.yaml', text: readFileSync('src/simulate/world/default.yaml', 'utf8') }

/** The shipped world with what `text` says in its place. */
export function worldData(text = ''): WorldData {
  const loaded = parseWorld({ fileName: 'test.yaml', text: `base: default\n${text}` }, SHIPPED)
  assert.ok(loaded.kind === 'world', loaded.kind === 'faults' ? loaded.faults.join('\n') : '')
  return loaded.data
}

export function sizeOf(size: Partial<Size> = {}): Size {
  return { seed: 1, recipients: 30, days: 4, scale: 1, ...size }
}
