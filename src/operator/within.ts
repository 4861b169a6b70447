// Gives up waiting for a store that does not answer: no mail waits for these operations, and the circuit breaker is not
// around them.

/** Longest wait for one answer of the store, in milliseconds. */
export const ANSWER_TIMEOUT = 5_000

/** The value of `promise`, or a rejection after so many milliseconds; what it would have been is ignored then. */
export async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const elapsed = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`the store did not answer within ${milliseconds}ms`)),
      milliseconds,
    )
  })
  try {
    return await Promise.race([promise, elapsed])
  } finally {
    clearTimeout(timer)
  }
}
