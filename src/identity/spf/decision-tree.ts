// A decision tree holds the answers of a domain's evaluations. An evaluation learns of a client only how its address
// compares with blocks, unless the record asks for more; so two clients for which the comparisons come out the same get
// the same answer. standing.ts keeps the trees.

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

/** The answers for clients of one family, each by the comparisons that led to it. */
export class DecisionTree<T> {
  #first: Node<T> | undefined
  #size = 0

  /** Number of comparisons and answers that were added, which is no less than it has. */
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

  /** Adds the answer to which `comparisons` led. Where the record has changed, they replace the old branch. */
  add(comparisons: readonly Comparison[], answer: T): void {
    let at: Branch<T> | undefined
    let isInside = false
    const next = () => (at ? (isInside ? at.inside : at.outside) : this.#first)
    const set = (node: Node<T>): void => {
      if (!at) this.#first = node
      else if (isInside) at.inside = node
      else at.outside = node
    }
    for (const comparison of comparisons) {
      const known = next()
      const { block } = comparison
      const branch: Branch<T> =
        known?.block && isSameBlock(known.block, block)
          ? known
          : { block, inside: undefined, outside: undefined }
      if (branch !== known) {
        set(branch)
        this.#size += 1
      }
      at = branch
      isInside = comparison.isInside
    }
    const known = next()
    if (!known || known.block) this.#size += 1
    set({ block: undefined, answer })
  }
}

function isSameBlock(one: AddressBlock, other: AddressBlock): boolean {
  return one.prefix === other.prefix && haveSamePrefix(one.bytes, other.bytes, one.bytes.length * 8)
}
