// What is kept of a network that has used up its pending entries (`greylist.max_pending`). Each address of it, or
// each /56 of IPv6, has a few slots, and a slot holds one triplet for a while. A triplet whose slot is taken is deferred
// and not kept, so that a flood passes nobody, fills no store, and leaves the slots of other addresses alone. A sender
// that goes on retrying gets a slot once one is free.

import type { Address } from '../address.ts'
import type { IpAddress } from '../ip.ts'
import type { Store } from '../store/store.ts'
import { type Decision, decide, type Times } from './decide.ts'
import { slotKeys, tripletDigest } from './keys.ts'

/** Number of slots that one address has, or one /56 of IPv6. */
const SLOTS = 16

/** How much longer a holder is kept than its entry, in milliseconds. */
const HOLDER_MARGIN = 60_000

/** A triplet of a network without room. */
export interface Unkept {
  readonly address: IpAddress
  /** The sender form. */
  readonly form: string
  readonly recipient: Address | undefined
}

/** The decision on a triplet by its slot. It takes a free slot. `times` are those of the attempt. */
export async function decideBySlot(
  store: Store,
  { address, form, recipient }: Unkept,
  times: Times,
): Promise<Decision> {
  const digest = tripletDigest(form, recipient)
  const { holder, entry } = slotKeys(address, digest % SLOTS)
  const [[kept], [heldBy = 0]] = await Promise.all([store.find([entry]), store.counts([holder])])
  if (kept && heldBy === digest) return decide({ ...kept, added: false }, times)
  if (!kept && heldBy === 0) {
    // The holder is kept for longer than the entry, so that no other triplet ever takes an entry over.
    await Promise.all([
      store.add(entry, times.retryWindow),
      store.count(holder, times.retryWindow + HOLDER_MARGIN, digest),
    ])
  }
  return decide({ passed: false, age: 0, added: true }, times)
}
