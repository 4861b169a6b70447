// Finds the names that come most often among any number of names, in bounded memory. Strangers choose the names, so
// that most of them may come once and never again.
// Source: Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements in Data Streams (2005).
// Here half of the names make room at once, so that a new name does not cost a search for the rarest one.

interface Held {
  /** How often the name came, at most. */
  bound: number
  /** How often it came since it is held, less what was taken. */
  fresh: number
}

/** Counts names that come often. A name that makes up more than 1/`capacity` of all is held once it has come often. */
export class BusiestNames<Name extends string | number> {
  readonly #capacity: number
  readonly #held = new Map<Name, Held>()
  /** The bounds of all names, while room is made. */
  readonly #bounds: Float64Array
  /** No name that is not held came more often than this. */
  #missed = 0

  constructor(capacity: number) {
    this.#capacity = capacity
    this.#bounds = new Float64Array(2 * capacity)
  }

  /** Number of names that are held: twice the capacity at most. */
  get size(): number {
    return this.#held.size
  }

  count(name: Name): void {
    const held = this.#held.get(name)
    if (held) {
      held.bound += 1
      held.fresh += 1
      return
    }
    if (this.#held.size >= 2 * this.#capacity) this.#dropRarest()
    this.#held.set(name, { bound: this.#missed + 1, fresh: 1 })
  }

  /** The names that came most often since they were taken last, at most so many of them, with that number. */
  fresh(limit: number): Array<readonly [name: Name, count: number]> {
    const names: Array<readonly [Name, number]> = []
    for (const [name, { fresh }] of this.#held) if (fresh > 0) names.push([name, fresh])
    return names.sort(([, one], [, other]) => other - one).slice(0, limit)
  }

  /** As `fresh`; from now on, these names are counted from 0. */
  takeFresh(limit: number): Array<readonly [name: Name, count: number]> {
    const taken = this.fresh(limit)
    for (const [name] of taken) {
      const held = this.#held.get(name)
      if (held) held.fresh = 0
    }
    return taken
  }

  /** Forgets all names. */
  clear(): void {
    this.#held.clear()
    this.#missed = 0
  }

  /** Forgets what was counted and not taken, and goes on looking for the same names. */
  dropFresh(): void {
    for (const held of this.#held.values()) held.fresh = 0
  }

  #dropRarest(): void {
    let index = 0
    for (const { bound } of this.#held.values()) {
      this.#bounds[index] = bound
      index += 1
    }
    const most = this.#bounds.sort()[this.#capacity] ?? 0
    for (const [name, { bound }] of this.#held) {
      if (this.#held.size <= this.#capacity) break
      if (bound <= most) this.#held.delete(name)
    }
    this.#missed = Math.max(this.#missed, most)
  }
}
