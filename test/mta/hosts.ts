// A model of what two MX hosts that share a store know of each triplet, and so of what each has to answer. While both
// reach the store, each knows what either has seen; otherwise it knows what it has seen by itself and what the store
// told it before. While it is unknown whether a host reaches the store, the answer has to be right in one of the two
// cases.

/** The delay of greymx, in milliseconds. */
export const DELAY = 2000

export type Host = 0 | 1

/** Whether a host decides by the shared store, by what it knows alone, or by one of these, it is unknown which. */
export type Reach = 'shared' | 'alone' | 'unsure'

export type Verdict = 'pass' | 'tempfail'

/** Tolerance for instants, in milliseconds, as Postfix, greymx and a merge may be slow on a busy machine. */
export const TOLERANCE = 500

interface Known {
  readonly passed: boolean
  /** Bounds of the first attempt's instant, by performance.now(); infinite when there was none. */
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
  /** The host of its first attempt. */
  readonly home: Host
  /** What both hosts know together, and what each knows. */
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

/** The right verdict; `undefined` if both are right. */
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

/** Records the answer to an attempt. */
export function answered(triplet: Triplet, verdict: Verdict, { host, reach, ...times }: Attempt): void {
  triplet.everything = seen(triplet.everything, verdict, times)
  const own = seen(triplet.own[host], verdict, times)
  // The host copies what the store says; when it is unknown whether the store answered, either first attempt may count.
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
  if (passed || sentAt - seenBefore >= DELAY + TOLERANCE) return 'pass'
  return answeredAt - seenAfter < DELAY - TOLERANCE ? 'tempfail' : undefined
}

function seen(known: Known, verdict: Verdict, { sentAt, answeredAt }: Times): Known {
  return {
    passed: known.passed || verdict === 'pass',
    seenAfter: Math.min(known.seenAfter, sentAt),
    seenBefore: Math.min(known.seenBefore, answeredAt),
  }
}
