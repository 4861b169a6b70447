// When something last happened to each of many names, as far as there is room: a table of fixed size in this process,
// for what may be forgotten. A name has one slot, and takes it over from any other. Which names share a slot, each
// process draws by itself, so that nobody can choose them.

import { randomFillSync } from 'node:crypto'

/** Number of slots, a power of two. They take 2 MiB. */
const SLOTS = 2 ** 17
/** The tag of an empty slot, which no name has. */
const EMPTY = 0

/** Where a name is in the table, and the tag that it has there. */
interface Place {
  /** Index of the slot's tag. */
  readonly slot: number
  readonly tag: number
}

/** A direct-mapped table of names. */
export class RecentNames {
  readonly #now: () => number
  readonly #window: number
  /** The tag and the instant of each slot, side by side, as what is far apart is slow to get at. */
  readonly #slots = new Float64Array(2 * SLOTS)
  /** Start values and odd factors of two hashes. */
  readonly #seeds: Uint32Array

  /**
   * `now` returns milliseconds from any origin and never goes back; a name is kept for `window` of them. `seeds` are
   * four large numbers, random by default, and the same for whoever has to come to the same decisions again.
   */
  constructor(now: () => number, window: number, seeds: Uint32Array = randomFillSync(new Uint32Array(4))) {
    this.#now = now
    this.#window = window
    this.#seeds = seeds.map((seed, index) => (index < 2 ? seed : seed | 1))
  }

  /** Milliseconds since `name` was noted; `undefined` if it was not, or not within the window. */
  ageOf(name: string): number | undefined {
    return this.#ageAt(this.#placeOf(name))
  }

  note(name: string): void {
    const { slot, tag } = this.#placeOf(name)
    this.#slots[slot] = tag
    this.#slots[slot + 1] = this.#now()
  }

  /** Removes `name`, and returns its age as `ageOf` does. */
  take(name: string): number | undefined {
    const place = this.#placeOf(name)
    const age = this.#ageAt(place)
    if (age !== undefined) this.#slots[place.slot] = EMPTY
    return age
  }

  #ageAt({ slot, tag }: Place): number | undefined {
    if (this.#slots[slot] !== tag) return undefined
    const age = this.#now() - (this.#slots[slot + 1] ?? 0)
    return age < this.#window ? age : undefined
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
    return { slot: 2 * ((slot ^ (slot >>> 16)) & (SLOTS - 1)), tag: tag >>> 0 || 1 }
  }
}
