// What one connection of the load sends next, and what greymx has to answer: a seeded mix of new, early, retried and
// passed triplets, each connection with triplets of its own, so that what is right depends on nobody else.

import { mulberry32, type Random } from './random.ts'

export type Kind = 'new' | 'early' | 'retry' | 'known'

export interface Attempt {
  readonly kind: Kind
  readonly triplet: Triplet
}

export interface Triplet {
  readonly sender: string
  readonly recipient: string
  /** When the first attempt was sent and when it was answered, in milliseconds. */
  sentAt: number
  answeredAt: number
  passed: boolean
}

export type Expected = 'pass' | 'tempfail' | 'either'

/** Shares of a hundred attempts; a kind of which there is no triplet yet is a new one instead. */
const SHARES: ReadonlyArray<readonly [Kind, number]> = [
  ['known', 50],
  ['new', 25],
  ['retry', 15],
  ['early', 10],
]

/** Room for what the clocks of two processes and a busy machine may differ by, in milliseconds. */
const MARGIN = 50

/** As many known ones as tell enough; a run of hours would gather millions. */
const MOST_PASSED = 5000

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

  /** What has to be answered to an attempt sent at `sentAt` and answered at `answeredAt`. */
  expected({ kind, triplet }: Attempt, sentAt: number, answeredAt: number): Expected {
    if (triplet.passed) return 'pass'
    if (kind === 'new') return 'tempfail'
    const youngest = sentAt - triplet.answeredAt
    const oldest = answeredAt - triplet.sentAt
    if (youngest >= this.#delay + MARGIN) return 'pass'
    return oldest < this.#delay - MARGIN ? 'tempfail' : 'either'
  }

  answered({ kind, triplet }: Attempt, passed: boolean, answeredAt: number): void {
    if (kind === 'new') {
      triplet.answeredAt = answeredAt
      this.#waiting.push(triplet)
    } else if (passed && !triplet.passed) {
      triplet.passed = true
      if (this.#passed.length < MOST_PASSED) this.#passed.push(triplet)
      else this.#passed[Math.floor(this.#random() * MOST_PASSED)] = triplet
    }
  }

  /** Nothing is expected of a triplet any more of which nobody knows what the filter remembers. */
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
        if (!oldest || now - oldest.answeredAt < this.#delay + MARGIN) return undefined
        return this.#waiting.shift()
      }
    }
  }
}

/** One of the kinds, by their shares. */
export function anyKind(random: Random): Kind {
  let point = random() * 100
  for (const [kind, share] of SHARES) {
    point -= share
    if (point < 0) return kind
  }
  return 'new'
}
