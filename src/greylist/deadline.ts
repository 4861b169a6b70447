// Deadlines of a decision: what the store has not answered by then is not waited for.

import { Chain, type Member, UNCHAINED } from '../chain.ts'

/**
 * Longest time for one decision, in milliseconds. It bounds all store operations together, as several answers may be
 * slow though none of them exceeds the store's own time-out.
 */
export const DECISION_TIMEOUT = 2000

/** A promise that is waited for until its deadline. */
interface Waiting extends Member<Waiting> {
  readonly deadline: number
  readonly giveUp: (error: Error) => void
}

const waiting = new Chain<Waiting>()
/** One timer for all that wait, at `firesAt`, the first deadline; a timer for each costs several times as much. */
let timer: NodeJS.Timeout | undefined
let firesAt = Number.POSITIVE_INFINITY

/** The value of `promise`, or a rejection at `deadline`, an instant of performance.now(). */
export function withDeadline<T>(promise: Promise<T>, deadline: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const wait: Waiting = { deadline, giveUp: reject, ...UNCHAINED }
    waiting.add(wait)
    if (deadline < firesAt) fireAt(deadline)
    promise.then(
      (value) => {
        endWaiting(wait)
        resolve(value)
      },
      (error) => {
        endWaiting(wait)
        reject(error)
      },
    )
  })
}

function endWaiting(wait: Waiting): void {
  waiting.delete(wait)
  if (waiting.size === 0) fireAt(Number.POSITIVE_INFINITY)
}

function fireAt(deadline: number): void {
  clearTimeout(timer)
  firesAt = deadline
  timer = deadline === Number.POSITIVE_INFINITY ? undefined : setTimeout(giveUp, deadline - performance.now())
}

/** Gives up what has waited until its deadline. */
function giveUp(): void {
  const due = Math.max(firesAt, performance.now())
  let next = Number.POSITIVE_INFINITY
  for (const wait of waiting.members()) {
    if (wait.deadline > due) {
      next = Math.min(next, wait.deadline)
      continue
    }
    if (!waiting.delete(wait)) continue
    wait.giveUp(new Error(`the store took too long: a decision takes ${DECISION_TIMEOUT}ms at most`))
  }
  fireAt(next)
}

/**
 * Waits until the writes of a decision are done, or until `deadline`. The decision stands either way. Never rejects.
 */
export async function untilWritten(
  writes: ReadonlyArray<Promise<void> | false>,
  deadline: number,
): Promise<void> {
  if (!writes.some(Boolean)) return
  await withDeadline(Promise.all(writes), deadline).catch(() => undefined)
}

/** Resolves when `work` has ended, which never rejects, or after so many milliseconds. */
export async function settledWithin(milliseconds: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const elapsed = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds)
  })
  await Promise.race([work, elapsed])
  clearTimeout(timer)
}
