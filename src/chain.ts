// A list of what is under way, in the order in which it began, from which any member is taken at once.
//
// A Map or Set would do, but not for objects that come and go by the thousand a second. V8 gives one that fills up with
// deleted members a new table, and keeps the old one until its next full collection of garbage; by then, what was in it
// has been copied twice, with all that it refers to. With the open connections in a Map, that was half of the time that
// V8 spent on young garbage.

/** The fields by which a chain links its members: the neighbours of one, which has none outside of a chain. */
export interface Member<T> {
  before: T | undefined
  after: T | undefined
  isInChain: boolean
}

/** The fields of an object that is in no chain. */
export const UNCHAINED: Member<never> = { before: undefined, after: undefined, isInChain: false }

/** The members, from the first to the last. An object is in one chain at most. */
export class Chain<T extends Member<T>> {
  #first: T | undefined
  #last: T | undefined
  #size = 0

  get size(): number {
    return this.#size
  }

  get first(): T | undefined {
    return this.#first
  }

  /** Adds a member behind all others. */
  add(member: T): void {
    member.isInChain = true
    member.before = this.#last
    if (this.#last) this.#last.after = member
    else this.#first = member
    this.#last = member
    this.#size += 1
  }

  /** Takes a member out; returns whether it was in the chain. */
  delete(member: T): boolean {
    if (!member.isInChain) return false
    const { before, after } = member
    if (before) before.after = after
    else this.#first = after
    if (after) after.before = before
    else this.#last = before
    member.isInChain = false
    member.before = undefined
    member.after = undefined
    this.#size -= 1
    return true
  }

  /** All members that are in the chain now. */
  members(): T[] {
    const members: T[] = []
    for (let member = this.#first; member; member = member.after) members.push(member)
    return members
  }
}
