// Work that waits only where it has to. It is written as a generator that yields each promise to be waited for, and so
// is done at once when every answer of DNS is cached: an async function would wait for each of them for a turn of the
// microtask queue, with a promise for each call.

/** Work that returns `T`; what is yielded is waited for. */
export type Steps<T> = Generator<Promise<unknown>, T, unknown>

/** Whether what a function has returned is work that is yet to be done. */
export function isSteps<T>(answer: object | Steps<T>): answer is Steps<T> {
  return 'next' in answer
}

/** The value, after waiting for it if it is a promise. */
export function* settled<T>(value: T | Promise<T>): Steps<T> {
  return value instanceof Promise ? ((yield value) as T) : value // `run` hands in what the promise resolves to
}

/** The result of `steps`, at once if they wait for nothing. Rejects when something that they wait for does. */
export function run<T>(steps: Steps<T>): T | Promise<T> {
  const step = steps.next()
  return step.done ? step.value : finish(steps, step.value)
}

async function finish<T>(steps: Steps<T>, first: Promise<unknown>): Promise<T> {
  for (let awaited = first; ; ) {
    const step = steps.next(await awaited)
    if (step.done) return step.value
    awaited = step.value
  }
}
