// Answers of a domain's evaluations by what they compared clients' addresses with. Of two clients of one family, an
// evaluation knows nothing else, unless the record asks for more; so a client with which the same comparisons come out
// as with one before gets the same answer, without an evaluation. standing.ts keeps one of these for each domain.

import { haveSamePrefix } from '../../ip.ts'
import type { AddressBlock } from './record.ts'

/** A comparison of a client's address with a block, as an evaluation came to it. */
export interface Comparison {
  readonly block: AddressBlock
  readonly isInside: boolean
}

/** Where comparisons lead: on to the next one, or to an answer. */
type Node<T> = Branch<T> | { readonly block: undefined; readonly answer: T }

interface Branch<T> {
  readonly block: AddressBlock
  inside: Node<T> | undefined
  outside: Node<T> | undefined
}

export class Decided<T> {
  #first: Node<T> | undefined
  #size = 0

  /** Number of comparisons and answers that it keeps. */
  get size(): number {
    return this.#size
  }

  /** The answer for a client, of 4 or 16 bytes; `undefined` if no client like it has been evaluated. */
  find(client: readonly number[]): T | undefined {
    let node = this.#first
    while (node?.block) {
      const { bytes, prefix } = node.block
      node = haveSamePrefix(client, bytes, prefix) ? node.inside : node.outside
    }
    return node?.answer
  }

  /** Adds the answer to which `comparisons` led. What they contradict, as a record has changed, is forgotten. */
  add(comparisons: readonly Comparison[], answer: T): void {
    let at: Branch<T> | undefined
    let isInside = false
    const set = (node: Node<T>): void => {
      this.#size += 1
      if (!at) this.#first = node
      else if (isInside) at.inside = node
      else at.outside = node
    }
    for (const comparison of comparisons) {
      const known = at ? (isInside ? at.inside : at.outside) : this.#first
      const { block } = comparison
      const branch: Branch<T> =
        known?.block && isSameBlock(known.block, block)
          ? known
          : { block, inside: undefined, outside: undefined }
      if (branch !== known) set(branch)
      at = branch
      isInside = comparison.isInside
    }
    set({ block: undefined, answer })
  }
}

function isSameBlock(one: AddressBlock, other: AddressBlock): boolean {
  return one.prefix === other.prefix && haveSamePrefix(one.bytes, other.bytes, one.bytes.length * 8)
}
