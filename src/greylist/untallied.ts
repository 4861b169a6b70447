// The names of clients that had one deferral of late, which no tally has yet (evidence.ts). Most names never have a
// second one, and a counter for each of them would take more of the store than the triplet itself. So the first deferral
// under a name is noted in this process only, and the second one writes both.
//
// With several MX hosts or several processes on one, and after a restart or reload, a tally may lack one deferral for
// each process. So it may for a name whose slot another name has taken. If the retry passes at another one, the tally
// may have one too many for two days. A stranger gains nothing by it: where four wait in a crowd, where two may stay
// away and where 10,000 are kept, there may be one more for each process. Which names share a slot, each process draws
// by itself. Credit (first-mail.ts) is withheld for one deferral, and therefore does without this table.

import { randomFillSync } from 'node:crypto'
import { TALLY_WINDOW } from './evidence.ts'

/** Number of slots, a power of two. They take 1.5 MiB. */
const SLOTS = 2 ** 17
/** The tag of an empty slot, which no name has. */
const EMPTY = 0

/** Where a name is in the table, and the tag that it has there. */
interface Place {
  readonly slot: number
  readonly tag: number
}

/** A direct-mapped table: a name has one slot, and takes it over from any other. */
export class UntalliedNames {
  readonly #now: () => number
  readonly #tags = new Uint32Array(SLOTS)
  readonly #deferredAt = new Float64Array(SLOTS)
  /** Start values and odd factors of two hashes. */
  readonly #seeds: Uint32Array

  /**
   * `now` returns milliseconds from any origin and never goes back. `seeds` are four large numbers, random by default,
   * and the same for whoever has to come to the same decisions again.
   */
  constructor(now: () => number, seeds: Uint32Array = randomFillSync(new Uint32Array(4))) {
    this.#now = now
    this.#seeds = seeds.map((seed, index) => (index < 2 ? seed : seed | 1))
  }

  /** Milliseconds since the deferral under `name`; `undefined` if there is none, or not within TALLY_WINDOW. */
  ageOf(name: string): number | undefined {
    return this.#ageAt(this.#placeOf(name))
  }

  /** Notes a deferral under `name`. */
  note(name: string): void {
    const { slot, tag } = this.#placeOf(name)
    this.#tags[slot] = tag
    this.#deferredAt[slot] = this.#now()
  }

  /** Removes the deferral under `name`, and returns its age as `ageOf` does. */
  take(name: string): number | undefined {
    const place = this.#placeOf(name)
    const age = this.#ageAt(place)
    if (age !== undefined) this.#tags[place.slot] = EMPTY
    return age
  }

  #ageAt({ slot, tag }: Place): number | undefined {
    if (this.#tags[slot] !== tag) return undefined
    const age = this.#now() - (this.#deferredAt[slot] ?? 0)
    return age < TALLY_WINDOW ? age : undefined
  }

  /** The place by two hashes that nobody can compute without the seeds. */
  #placeOf(name: string): Place {
    const [slotSeed = 0, tagSeed = 0, slotFactor = 0, tagFactor = 0] = this.#seeds
    let slot = slotSeed
    let tag = tagSeed
    for (let index = 0; index < name.length; index += 1) {
      const code = name.charCodeAt(index)
      slot = Math.imul(slot ^ code, slotFactor)
      slot ^= slot >>> 15
      tag = Math.imul(tag ^ code, tagFactor)
      tag ^= tag >>> 13
    }
    return { slot: (slot ^ (slot >>> 16)) & (SLOTS - 1), tag: tag >>> 0 || 1 }
  }
}
