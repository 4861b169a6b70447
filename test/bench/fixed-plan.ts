// What a connection of `npm run bench` sends: attempts of one kind, each with a triplet that nothing else has touched, or
// triplets that have passed. load.c has the same plan.

import type { Plan } from './load.ts'
import type { Attempt, Expected } from './model.ts'

/** `learn` and `retry` go through the known triplets once; `mix` is seven known ones to three new ones. */
export const KINDS = ['new', 'known', 'mix', 'learn', 'retry'] as const
export type LoadKind = (typeof KINDS)[number]

/** Number of senders' domains. */
const DOMAINS = 997

export class FixedPlan implements Plan {
  readonly #kind: LoadKind
  readonly #first: number
  readonly #count: number
  /** Number of attempts so far. */
  taken = 0
  #sessions = 0

  /** `first` is the number of the first new triplet, and `count` the number of known ones. */
  constructor(kind: LoadKind, first: number, count: number) {
    this.#kind = kind
    this.#first = first
    this.#count = count
  }

  next(now: number): Attempt | undefined {
    const n = this.taken
    this.taken += 1
    if (this.#kind === 'learn' || this.#kind === 'retry')
      return n < this.#count ? attemptOf('k', n, this.#kind === 'retry', now) : undefined
    const isKnown = this.#kind === 'known' || (this.#kind === 'mix' && n % 10 < 7)
    return isKnown ? attemptOf('k', n % this.#count, true, now) : attemptOf('n', this.#first + n, false, now)
  }

  /** Each session has a host of its own, so that no host's first passes speak for others. */
  hostName(): string {
    this.#sessions += 1
    return `mail.${this.#kind.charAt(0)}${this.#first + this.#sessions}.example`
  }

  expected({ triplet }: Attempt): Expected {
    return triplet.passed ? 'pass' : 'tempfail'
  }

  answered(): void {}

  forget(): void {}
}

function attemptOf(set: 'k' | 'n', n: number, passed: boolean, now: number): Attempt {
  const triplet = {
    sender: `user${n}@${set}${n % DOMAINS}.example`,
    recipient: `person${n}@example.com`,
    sentAt: now,
    answeredAt: now,
    passed,
  }
  return { kind: passed ? 'known' : 'new', triplet }
}
