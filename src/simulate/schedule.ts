// When a sending system tries again after a deferral. Each kind of schedule follows the code or the documentation of a
// mail server. Which server has which numbers is data of the world.
// Sources: Postfix qmgr_defer.c and postconf(5) "minimal_backoff_time"; Exim retry.c (retry_update) and the
// specification, chapter "Retry configuration"; qmail-send.c (nextretry).

/** A retry schedule; all times are milliseconds. After `until` since the first attempt, the sender gives up. */
export type Schedule =
  | PostfixSchedule
  | EximSchedule
  | RunSchedule
  | { readonly kind: 'qmail'; readonly until: number }
  | ListSchedule

/** A message waits as long as it is old, within bounds; what is due is tried at the next scan of the queue. */
export interface PostfixSchedule {
  readonly kind: 'postfix'
  readonly min: number
  readonly max: number
  readonly run: number
  readonly until: number
}

/** The first rule whose time is not over gives the interval; what is due is tried at the next run of the queue. */
export interface EximSchedule {
  readonly kind: 'exim'
  readonly rules: readonly EximRule[]
  readonly run: number
  readonly until: number
}

/** `F`: a fixed interval. `G`: an interval that grows by the factor with each attempt. */
export interface EximRule {
  readonly kind: 'F' | 'G'
  readonly until: number
  readonly interval: number
  readonly factor: number
}

/** Everything in the queue is tried at each run. */
export interface RunSchedule {
  readonly kind: 'run'
  readonly every: number
  readonly until: number
}

/** Attempts at these times after the first, which is at 0, and then one after each `every`. */
export interface ListSchedule {
  readonly kind: 'list'
  readonly at: readonly number[]
  /** 0 if there are no attempts beyond the list. */
  readonly every: number
  /** The part by which an interval may be longer or shorter. */
  readonly jitter: number
  readonly until: number
}

/** What a sender knows of a message that was deferred. */
export interface Queued {
  /** Instant of the first attempt. */
  readonly firstAt: number
  /** Instant of the last attempt. */
  readonly lastAt: number
  /** Number of attempts so far. */
  readonly attempts: number
  /** The interval that the sender had planned before the last attempt; 0 before the first. */
  readonly interval: number
}

export interface Retry {
  readonly at: number
  /** The interval that the sender plans, before its queue run decides on the instant. */
  readonly interval: number
}

/**
 * The next attempt; `undefined` if the sender gives up. `phase` is an instant at which the sender's queue runs, and
 * `chance` a number from 0 to below 1 for the jitter.
 */
export function nextRetry(
  schedule: Schedule,
  queued: Queued,
  phase: number,
  chance: number,
): Retry | undefined {
  const retry = plannedRetry(schedule, queued, phase, chance)
  return retry && retry.at - queued.firstAt <= schedule.until ? retry : undefined
}

function plannedRetry(schedule: Schedule, queued: Queued, phase: number, chance: number): Retry | undefined {
  const { firstAt, lastAt, attempts } = queued
  switch (schedule.kind) {
    case 'postfix': {
      const interval = Math.min(Math.max(lastAt - firstAt, schedule.min), schedule.max)
      return { at: runAfter(lastAt + interval, schedule.run, phase), interval }
    }
    case 'exim':
      return eximRetry(schedule, queued, phase)
    case 'run':
      return { at: runAfter(lastAt + 1, schedule.every, phase), interval: schedule.every }
    case 'qmail': {
      // Mail to other hosts has a chanskip of 20 s: the square root of its age grows by that with each attempt.
      const at = firstAt + 400_000 * attempts ** 2
      return { at, interval: at - lastAt }
    }
    case 'list':
      return listRetry(schedule, queued, chance)
  }
}

function eximRetry({ rules, run }: EximSchedule, queued: Queued, phase: number): Retry | undefined {
  const { firstAt, lastAt, interval: planned } = queued
  const rule = rules.find(({ until }) => lastAt - firstAt < until)
  if (!rule) return undefined
  const interval =
    rule.kind === 'F' || planned < rule.interval ? rule.interval : Math.round(planned * rule.factor)
  return { at: runAfter(lastAt + interval, run, phase), interval }
}

function listRetry(
  { at, every, jitter }: ListSchedule,
  { lastAt, attempts }: Queued,
  chance: number,
): Retry | undefined {
  const [before, next] = [at[attempts - 1], at[attempts]]
  const interval = before !== undefined && next !== undefined ? next - before : every
  if (interval <= 0) return undefined
  return { at: lastAt + Math.max(1, Math.round(interval * (1 + jitter * (2 * chance - 1)))), interval }
}

/** The first instant from `due` on at which a queue runs that runs at `phase` and each `every` before and after. */
function runAfter(due: number, every: number, phase: number): number {
  return phase + Math.ceil((due - phase) / every) * every
}
