// Runs one case after another until the time is over. The first cases are what real MTAs sent; later ones are mutations
// of cases that showed something new: a command in a state after another command, an end, or a verdict not seen before.

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type Case, Random, writeCase } from './case.ts'
import { freshCase, mutate, SEEDS } from './mutate.ts'
import { SETTINGS, Target } from './target.ts'

export interface Findings {
  readonly cases: number
  readonly connections: number
  /** The number of different things seen, and of the kept cases that showed one first. */
  readonly seen: number
  readonly kept: number
  /** Longest time that the MTA that behaves waited for an answer, in milliseconds. */
  readonly longestWait: number
  /** Bytes of the heap after garbage collection: after a fifth of the time, and at the end. Resident bytes likewise. */
  readonly heap: readonly [number, number]
  readonly resident: readonly [number, number]
  /** Number of timers, sockets and other handles, at the same two times. */
  readonly handles: readonly [number, number]
  readonly failure?: Failure
}

export interface Failure {
  readonly error: Error
  readonly input: Case
}

/** What is done between cases, at an interval in seconds. */
export interface Between {
  readonly every: number
  readonly run: () => Promise<void>
}

/** Limit of the kept cases; beyond it, a new one replaces another. */
const MAX_KEPT = 2000

export class Fuzzer {
  readonly #random: Random
  readonly #target = new Target()
  readonly #seen = new Set<string>()
  readonly #kept: Case[] = []
  #cases = 0
  #connections = 0
  #longestWait = 0

  constructor(seed: number) {
    this.#random = new Random(seed)
  }

  async run(seconds: number, between: Between): Promise<Findings> {
    const startedAt = performance.now()
    const warmUntil = startedAt + seconds * 200
    const until = startedAt + seconds * 1000
    let failure = await this.#runSeeds()
    failure ??= await this.#runUntil(warmUntil, between)
    const warm = measure()
    failure ??= await this.#runUntil(until, between)
    const end = measure()
    return {
      cases: this.#cases,
      connections: this.#connections,
      seen: this.#seen.size,
      kept: this.#kept.length,
      longestWait: this.#longestWait,
      heap: [warm.heap, end.heap],
      resident: [warm.resident, end.resident],
      handles: [warm.handles, end.handles],
      ...(failure ? { failure } : {}),
    }
  }

  /** A case for another target: mostly one that has shown something new. */
  next(): Case {
    if (this.#kept.length === 0 || this.#random.chance(0.1)) return freshCase(this.#random)
    return mutate(this.#random.pick(this.#kept), this.#random)
  }

  /** Runs what real MTAs sent, which has to be answered rightly with all settings. */
  async #runSeeds(): Promise<Failure | undefined> {
    for (const settings of SETTINGS.keys()) {
      for (const packets of SEEDS) {
        const failure = await this.#tryCase({ settings, lanes: [packets], schedule: this.#random.seed() })
        if (failure) return failure
      }
    }
    return undefined
  }

  async #runUntil(until: number, { every, run }: Between): Promise<Failure | undefined> {
    let next = performance.now() + every * 1000
    while (performance.now() < until) {
      if (performance.now() > next) {
        await run()
        next = performance.now() + every * 1000
      }
      const failure = await this.#tryCase(this.next())
      if (failure) return failure
    }
    return undefined
  }

  async #tryCase(input: Case): Promise<Failure | undefined> {
    try {
      await this.#runCase(input)
      return undefined
    } catch (thrown) {
      return smallest({ input, error: thrown instanceof Error ? thrown : new Error(String(thrown)) })
    }
  }

  async #runCase(input: Case): Promise<void> {
    const { trace, waited } = await this.#target.run(input)
    this.#cases += 1
    this.#connections += input.lanes.length
    this.#longestWait = Math.max(this.#longestWait, waited)
    const before = this.#seen.size
    for (const one of trace) this.#seen.add(one)
    if (this.#seen.size === before) return
    if (this.#kept.length < MAX_KEPT) this.#kept.push(input)
    else this.#kept[this.#random.below(MAX_KEPT)] = input
  }
}

/** Runs one case by itself, and returns the error that it throws, if any. */
export async function failureOf(input: Case): Promise<Error | undefined> {
  try {
    await new Target().run(input)
    return undefined
  } catch (thrown) {
    return thrown instanceof Error ? thrown : new Error(String(thrown))
  }
}

/** Makes a failing case smaller, as long as it still fails. */
async function smallest(failure: Failure): Promise<Failure> {
  let best = failure
  for (let shrank = true; shrank; ) {
    shrank = false
    for (const smaller of smallerOnes(best.input)) {
      const error = await failureOf(smaller)
      if (!error) continue
      best = { input: smaller, error }
      shrank = true
      break
    }
  }
  return best
}

function* smallerOnes(input: Case): Generator<Case> {
  const { lanes } = input
  for (const lane of lanes.keys()) if (lanes.length > 1) yield { ...input, lanes: lanes.toSpliced(lane, 1) }
  for (const [lane, packets] of lanes.entries()) {
    for (let count = packets.length >> 1; count > 0; count >>= 1) {
      for (let at = 0; at < packets.length; at += count) {
        yield { ...input, lanes: lanes.with(lane, packets.toSpliced(at, count)) }
      }
    }
  }
}

export function describeFailure({ error, input }: Failure, seed: number): string {
  return `${error.stack}\n\nseed ${seed}; keep what follows in a file for npm run fuzz -- --replay FILE\n\n${writeCase(input)}`
}

setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

function measure(): { heap: number; resident: number; handles: number } {
  collectGarbage()
  const { heapUsed, rss } = process.memoryUsage()
  return { heap: heapUsed, resident: rss, handles: process.getActiveResourcesInfo().length }
}

const MIB = 1024 * 1024
/** Largest growth of greymx's memory, in bytes, that is no fault. */
const MAX_GROWTH = { heap: 64 * MIB, resident: 256 * MIB }

/** The fault in the findings as a whole, if any. */
export function growthOf({ heap, resident, handles }: Findings): string | undefined {
  if (heap[1] - heap[0] > MAX_GROWTH.heap) return `the heap grew from ${mib(heap[0])} to ${mib(heap[1])}`
  if (resident[1] - resident[0] > MAX_GROWTH.resident) {
    return `memory grew from ${mib(resident[0])} to ${mib(resident[1])}`
  }
  if (handles[1] - handles[0] > 10) return `handles grew from ${handles[0]} to ${handles[1]}`
  return undefined
}

export function summaryOf(findings: Findings, seconds: number): string {
  const { cases, connections, seen, kept, longestWait, heap, resident } = findings
  return (
    `${cases} cases, ${connections} connections (${Math.round(connections / seconds)} a second); ` +
    `${seen} things seen, ${kept} cases kept; longest wait beside them ${longestWait.toFixed(1)} ms; ` +
    `heap ${mib(heap[0])} to ${mib(heap[1])}, resident ${mib(resident[0])} to ${mib(resident[1])}`
  )
}

export function mib(bytes: number): string {
  return `${Math.round(bytes / MIB)} MiB`
}
