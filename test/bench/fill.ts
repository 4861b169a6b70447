// Fills a store with passes of senders that the load does not use, through greymx's own stores.

import assert from 'node:assert/strict'
import { parseAddress } from '../../src/address.ts'
import { tripletKeys } from '../../src/greylist/keys.ts'
import { openStore, parseStoreSpec } from '../../src/store/open.ts'
import { waitFor } from '../support/scratch.ts'

/** Passes that are written at once. */
const BATCH = 2000
/** Lifetime of a pass, in milliseconds: 36 days. */
const LIFETIME = 36 * 86_400_000

/** Writes `count` passes to the store that the setting `store` names by `url`, which no daemon has open. */
export async function fill(url: string, count: number): Promise<void> {
  if (count === 0) return
  const spec = parseStoreSpec(url)
  assert.ok(spec, url)
  const store = await openStore(spec, { onWarning: console.warn, onMovedAside: console.warn })
  const isReady = () =>
    store.check('').then(
      () => true,
      () => false,
    )
  await waitFor('the store to be ready', isReady)
  for (let from = 0; from < count; from += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, count - from) }, (_, index) => passOf(from + index))
    await Promise.all(batch.map((key) => store.pass(key, LIFETIME)))
  }
  await store.close()
}

/** The key of a pass of a network, one of a sender's messages to one of many recipients. */
function passOf(index: number): string {
  const network = `network:100.${64 + (index % 64)}.${(index >> 6) % 256}.0/24`
  const recipient = parseAddress(`<person${index % 1009}@example.net>`)
  return tripletKeys(network, `sender${index}@filled.example`, recipient).key
}
