// Deadlines of a decision: what the store has not answered by then is not waited for.

/**
 * Longest time for one decision, in milliseconds. It bounds all store operations together, as several answers may be
 * slow though none of them exceeds the store's own time-out.
 */
export const DECISION_TIMEOUT = 2000

/** The value of `promise`, or a rejection at `deadline`, an instant of performance.now(). */
export function withDeadline<T>(promise: Promise<T>, deadline: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`the store took too long: a decision takes ${DECISION_TIMEOUT}ms at most`)),
      deadline - performance.now(),
    )
    promise.then(resolve, reject).then(() => clearTimeout(timer))
  })
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
