// Tests that hosts learn of keys that only an import makes, and of those alone.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseAddress } from '../../src/address.ts'
import { tripletKey, whitelistKeys } from '../../src/greylist/keys.ts'
import type { Found } from '../../src/import/piece.ts'
import { emptySummary, importAll } from '../../src/import/write.ts'
import { Imports } from '../../src/operator/imports.ts'
import { MemoryStore } from '../../src/store/memory.ts'

const DAY = 86_400_000
const NETWORK = 'network:192.0.2.0/24'

function passed(key: string, left: number): Found {
  return { kind: 'key', key, learnt: { passed: true, ttl: left, left } }
}

/** Imports into a store; returns whether a host has learnt of keys of imports, and still does so after some days. */
async function hasImports(found: readonly Found[], ...days: readonly number[]): Promise<boolean[]> {
  const store = new MemoryStore(Date.now)
  const watch = { onNotTaken: () => assert.fail(), onPiece: () => undefined, onProgress: () => undefined }
  async function* source() {
    yield* found
  }
  await importAll(source(), store, emptySummary(), watch, new AbortController().signal)
  let now = Date.now()
  const imports = new Imports({ records: () => store, now: () => now, onProblem: assert.fail })
  await imports.start()
  const begun = now
  const seen = days.map((day) => {
    now = begun + day * DAY
    return imports.hasAny()
  })
  imports.close()
  return seen
}

test('hosts look up keys of an import for as long as the longest of them is kept', async () => {
  const forAll = tripletKey(NETWORK, 'a@example.org', undefined)
  const ofDomain = whitelistKeys(`domain:example.org+${NETWORK}`).listed
  assert.deepEqual(await hasImports([passed(forAll, 10 * DAY)], 0, 10, 12), [true, true, false])
  assert.deepEqual(await hasImports([passed(ofDomain, 10 * DAY)], 0, 10, 12), [true, true, false])
  const many = Array.from({ length: 1500 }, (_, index) =>
    passed(tripletKey(NETWORK, `s${index}@example.org`, undefined), (1 + (index % 30)) * DAY),
  )
  assert.deepEqual(await hasImports([passed(forAll, 40 * DAY), ...many], 39, 43), [true, false])
})

test('an import of keys that greymx makes itself costs no decision anything', async () => {
  const own = tripletKey(NETWORK, 'a@example.org', parseAddress('<b@example.com>'))
  assert.deepEqual(await hasImports([passed(own, DAY), passed(whitelistKeys(NETWORK).listed, DAY)], 0), [
    false,
  ])
  assert.deepEqual(await hasImports([], 0), [false])
})
