// A priority queue: a binary heap in an array.

/** Returns items in the order of `isBefore`. Two items of which neither is before the other come out in any order. */
export class Heap<T> {
  readonly #items: T[] = []
  readonly #isBefore: (one: T, other: T) => boolean

  constructor(isBefore: (one: T, other: T) => boolean) {
    this.#isBefore = isBefore
  }

  get size(): number {
    return this.#items.length
  }

  /** The first item, which stays; `undefined` if there is none. */
  peek(): T | undefined {
    return this.#items[0]
  }

  push(item: T): void {
    let index = this.#items.length
    while (index > 0) {
      const above = (index - 1) >> 1
      const parent = this.#items[above] as T // above index, which is within or at the end of the array
      if (!this.#isBefore(item, parent)) break
      this.#items[index] = parent
      index = above
    }
    this.#items[index] = item
  }

  /** Removes and returns the first item; `undefined` if there is none. */
  pop(): T | undefined {
    const first = this.#items[0]
    const last = this.#items.pop()
    if (first === undefined || last === undefined || this.#items.length === 0) return first
    const { length } = this.#items
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= length) break
      const [left, right] = [this.#items[child] as T, this.#items[child + 1]]
      if (right !== undefined && this.#isBefore(right, left)) child += 1
      const next = this.#items[child] as T // the smaller of two that exist
      if (!this.#isBefore(next, last)) break
      this.#items[index] = next
      index = child
    }
    this.#items[index] = last
    return first
  }
}
