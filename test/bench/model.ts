// Decides what a connection of the load sends next and what greymx has to answer: a seeded mix of new, early, retried
// and passed triplets. Each connection has triplets of its own, so that the right answer depends on no other
// connection.

import { mulberry32, type Random } from './random.ts'

export type Kind = 'new' | 'early' | 'retry' | 'known'

export interface Attempt {
  readonly kind: Kind
  readonly triplet: Triplet
}

export interface Triplet {
  readonly sender: string
  readonly recipient: string
  /** Instants at which the first attempt was sent and answered, in milliseconds. */
  sentAt: number
  answeredAt: number
  passed: boolean
}

export type Expected = 'pass' | 'tempfail' | 'either'

/** Kinds of attempts, in percent; while a kind has no triplet, a new triplet takes its place. */
const SHARES: ReadonlyArray<readonly [Kind, number]> = [
  ['known', 50],
  ['new', 25],
  ['retry', 15],
  ['early', 10],
]

/** Tolerance for the clocks of two processes and for a busy machine, in milliseconds. */
const TOLERANCE = 50

/** Limit of the passed triplets that are kept; a run of hours would gather millions. */
const MAX_PASSED = 5000

export class Model {
  readonly #random: Random
  readonly #delay: number
  readonly #name: string
  readonly #waiting: Triplet[] = []
  readonly #passed: Triplet[] = []
  #made = 0

  /** `name` is part of every sender; `delay` in milliseconds is greymx's. */
  constructor(name: string, seed: number, delay: number) {
    this.#name = name
    this.#random = mulberry32(seed)
    this.#delay = delay
  }

  next(now: number): Attempt {
    const kind = anyKind(this.#random)
    const triplet = this.#existing(kind, now)
    if (triplet) return { kind, triplet }
    this.#made += 1
    const sender = `${this.#name}-${this.#made}@${this.#made % 997}.example.org`
    const recipient = `${this.#name}-${this.#made}@example.com`
    return {
      kind: 'new',
      triplet: { sender, recipient, sentAt: now, answeredAt: now, passed: false },
    }
  }

  /** The right answer to an attempt that was sent at `sentAt` and answered at `answeredAt`. */
  expected({ kind, triplet }: Attempt, sentAt: number, answeredAt: number): Expected {
    if (triplet.passed) return 'pass'
    if (kind === 'new') return 'tempfail'
    const youngest = sentAt - triplet.answeredAt
    const oldest = answeredAt - triplet.sentAt
    if (youngest >= this.#delay + TOLERANCE) return 'pass'
    return oldest < this.#delay - TOLERANCE ? 'tempfail' : 'either'
  }

  answered({ kind, triplet }: Attempt, passed: boolean, answeredAt: number): void {
    if (kind === 'new') {
      triplet.answeredAt = answeredAt
      this.#waiting.push(triplet)
    } else if (passed && !triplet.passed) {
      triplet.passed = true
      if (this.#passed.length < MAX_PASSED) this.#passed.push(triplet)
      else this.#passed[Math.floor(this.#random() * MAX_PASSED)] = triplet
    }
  }

  /** Drops a triplet, when it is unknown what the filter remembers of it. */
  forget({ triplet }: Attempt): void {
    for (const list of [this.#waiting, this.#passed]) {
      const index = list.indexOf(triplet)
      if (index !== -1) list.splice(index, 1)
    }
  }

  #existing(kind: Kind, now: number): Triplet | undefined {
    switch (kind) {
      case 'new':
        return undefined
      case 'known':
        return this.#passed[Math.floor(this.#random() * this.#passed.length)]
      case 'early':
        return this.#waiting.at(-1)
      case 'retry': {
        const oldest = this.#waiting[0]
        if (!oldest || now - oldest.answeredAt < this.#delay + TOLERANCE) return undefined
        return this.#waiting.shift()
      }
    }
  }
}

/** A random kind, by the shares. */
export function anyKind(random: Random): Kind {
  let point = random() * 100
  for (const [kind, share] of SHARES) {
    point -= share
    if (point < 0) return kind
  }
  return 'new'
}
