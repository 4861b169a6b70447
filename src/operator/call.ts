// What an operator may ask of the running daemon: a table of calls, each with its parameters and its function. How a
// call arrives, and who may make it, is left to admin/.

import type { ZodType } from 'zod'

/** Who makes a call, as the log names it: `uid 1000 (anna)` or `token monitoring`. */
export interface Caller {
  readonly name: string
  /** Called once by a call that has changed something. */
  readonly onChange?: (change: Change) => void
  /** Called once a change is listed that can be taken back, with its id. */
  readonly onListed?: (id: string) => void
}

/** What a call has changed. */
export interface Change {
  /** Takes it back. Rejects when that cannot be done now; called again then, it takes back what is left. */
  readonly undo: () => Promise<void>
  /** How much is kept in memory for `undo`: the number of keys; 1 by default. */
  readonly weight?: number
}

/** A call as the table has it. */
export interface Call {
  /** Its name in the path, as in `POST /v1/explain`. */
  readonly name: string
  /** What it does, in one sentence without a full stop. */
  readonly summary: string
  /** Whether it changes anything. Such a call is logged, and is refused when it is repeated. */
  readonly changes: boolean
  /** Whether the log must not have the parameters, as they name somebody who wants to be forgotten. */
  readonly isConfidential?: boolean
  /** The parameters, an object; unknown ones are refused. */
  readonly params: ZodType
  /** What the answer looks like; each item of it, if it is a stream. */
  readonly result: ZodType
  /** Whether the answer is a stream of items. */
  readonly isStream: boolean
  /**
   * The answer, as `result` has it, or the stream of it. `params` has been read. Rejects with `Refusal` when what is
   * asked for cannot be done. Ends early when `signal` is aborted, because the operator no longer waits.
   */
  run(params: unknown, caller: Caller, signal: AbortSignal): Promise<unknown> | AsyncIterable<unknown>
}

/** A call whose answer is one object. */
export function defineCall<P, R>(
  call: Omit<Call, 'params' | 'result' | 'isStream' | 'run'> & {
    readonly params: ZodType<P>
    readonly result: ZodType<R>
    run(params: P, caller: Caller, signal: AbortSignal): Promise<R>
  },
): Call {
  return { ...call, isStream: false, run: (params, caller, signal) => call.run(params as P, caller, signal) }
}

/** A call whose answer is a stream of objects. */
export function defineStream<P, R>(
  call: Omit<Call, 'params' | 'result' | 'isStream' | 'run'> & {
    readonly params: ZodType<P>
    readonly result: ZodType<R>
    run(params: P, caller: Caller, signal: AbortSignal): AsyncIterable<R>
  },
): Call {
  return { ...call, isStream: true, run: (params, caller, signal) => call.run(params as P, caller, signal) }
}

/** Why a call cannot be done; the message is for the operator. */
export class Refusal extends Error {
  /** `unknown`: there is no such thing. `unsuited`: the parameters do not go together. `unavailable`: try again later. */
  readonly kind: 'unknown' | 'unsuited' | 'unavailable'

  constructor(kind: Refusal['kind'], message: string) {
    super(message)
    this.kind = kind
  }
}
