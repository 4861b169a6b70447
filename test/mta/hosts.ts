// What two MX hosts that share a store may know of each triplet, and so what each has to answer: everything that was seen
// at either, as long as both reach the store; else what the host has seen by itself, and what the store had told it
// before. While a host may be either way, the answer has to be right in one of them.

/** greymx's, in milliseconds. */
export const DELAY = 2000

export type Host = 0 | 1

/** Whether a host decides by the shared store, by what it knows alone, or nobody can tell which. */
export type Reach = 'shared' | 'alone' | 'unsure'

export type Verdict = 'pass' | 'tempfail'

/** Milliseconds by which sights may move on their way through Postfix, greymx and a merge on a busy machine. */
export const SLACK = 500

interface Known {
  readonly passed: boolean
  /** Bounds of the first sight, by performance.now(); infinite when there was none. */
  readonly seenAfter: number
  readonly seenBefore: number
}

const NOTHING: Known = {
  passed: false,
  seenAfter: Number.POSITIVE_INFINITY,
  seenBefore: Number.POSITIVE_INFINITY,
}

export interface Triplet {
  readonly sender: string
  /** Where it was seen first. */
  readonly home: Host
  /** Known to both together, and to each. */
  everything: Known
  readonly own: [Known, Known]
}

export interface Attempt {
  readonly host: Host
  readonly reach: Reach
  readonly sentAt: number
  readonly answeredAt: number
}

export function newTriplet(sender: string, home: Host): Triplet {
  return { sender, home, everything: NOTHING, own: [NOTHING, NOTHING] }
}

/** What has to be answered; `undefined` where either verdict is right. */
export function expected(triplet: Triplet, { host, reach, ...times }: Attempt): Verdict | undefined {
  const byAll = verdictOf(triplet.everything, times)
  const byOwn = verdictOf(triplet.own[host], times)
  switch (reach) {
    case 'shared':
      return byAll
    case 'alone':
      return byOwn
    case 'unsure':
      if (byOwn === 'pass') return 'pass'
      return byAll === 'tempfail' ? 'tempfail' : undefined
  }
}

/** Takes down what was answered. */
export function answered(triplet: Triplet, verdict: Verdict, { host, reach, ...times }: Attempt): void {
  triplet.everything = seen(triplet.everything, verdict, times)
  const own = seen(triplet.own[host], verdict, times)
  // What the store says is copied; where nobody can tell whether it did, the first sight is one or the other.
  if (reach === 'shared') triplet.own[host] = triplet.everything
  else triplet.own[host] = reach === 'alone' ? own : { ...own, seenAfter: triplet.everything.seenAfter }
}

interface Times {
  readonly sentAt: number
  readonly answeredAt: number
}

function verdictOf(
  { passed, seenAfter, seenBefore }: Known,
  { sentAt, answeredAt }: Times,
): Verdict | undefined {
  if (passed || sentAt - seenBefore >= DELAY + SLACK) return 'pass'
  return answeredAt - seenAfter < DELAY - SLACK ? 'tempfail' : undefined
}

function seen(known: Known, verdict: Verdict, { sentAt, answeredAt }: Times): Known {
  return {
    passed: known.passed || verdict === 'pass',
    seenAfter: Math.min(known.seenAfter, sentAt),
    seenBefore: Math.min(known.seenBefore, answeredAt),
  }
}
