// How views get what they show: by the calls of operators. Answers that cost the store something are kept for some
// seconds, so that many open pages ask no more than one.

import type { Caller } from '../../operator/call.ts'
import type { PageCall, Result } from '../calls.ts'

/** How long an answer is shown again, in milliseconds. */
const KEPT_FOR = 5000

/** How long a failure is told again, in milliseconds: each one that is made is logged. */
const FAILURE_KEPT_FOR = 1000

/** Most answers that are kept. */
const MAX_KEPT = 16

/** Makes a call, as `CallDesk.ask` does. */
export type AskDesk = <T>(call: PageCall, use: (result: Result) => Promise<T>) => Promise<T>

interface Kept {
  until: number
  readonly answer: Promise<unknown>
}

/** Nobody in particular: views read for whoever may read them. */
const READER: Caller = { name: 'page' }

/** Never aborted: an answer is for all who read it. */
const UNENDING = new AbortController().signal

export class Asker {
  readonly #desk: AskDesk
  readonly #now: () => number
  readonly #kept = new Map<string, Kept>()

  constructor(desk: AskDesk, now: () => number) {
    this.#desk = desk
    this.#now = now
  }

  /** The answer to a call that changes nothing; one of the last seconds if there is one. Rejects as the call does. */
  read<T>(name: string, params: object = {}): Promise<T> {
    const key = `${name} ${JSON.stringify(params)}`
    const now = this.#now()
    const kept = this.#kept.get(key)
    if (kept && kept.until > now) return kept.answer as Promise<T>
    for (const [other, { until }] of this.#kept)
      if (until <= now || this.#kept.size >= MAX_KEPT) this.#kept.delete(other)
    const answer = this.#desk({ name, params, caller: READER, signal: UNENDING }, answerOf)
    const made = { until: now + KEPT_FOR, answer }
    this.#kept.set(key, made)
    answer.catch(() => {
      made.until = Math.min(made.until, this.#now() + FAILURE_KEPT_FOR)
    })
    return answer as Promise<T>
  }

  /** Calls `take` with each item of a stream, until it returns false or `signal` is aborted. */
  async stream<T>(
    name: string,
    params: object,
    signal: AbortSignal,
    take: (item: T) => Promise<boolean>,
  ): Promise<void> {
    const ended = new AbortController()
    const both = AbortSignal.any([signal, ended.signal])
    try {
      await this.#desk({ name, params, caller: READER, signal: both }, async (result) => {
        for await (const item of result as AsyncIterable<T>) if (!(await take(item))) return
      })
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      ended.abort()
    }
  }

  /** Makes a change for `caller`, and forgets the answers of before. Rejects as the call does. */
  async change<T>(name: string, params: object, caller: Caller): Promise<T> {
    try {
      return (await this.#desk({ name, params, caller, signal: UNENDING }, answerOf)) as T
    } finally {
      this.#kept.clear()
    }
  }
}

function answerOf(result: Result): Promise<unknown> {
  return result as Promise<unknown>
}
