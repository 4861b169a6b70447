// Figures of what became of a world's messages. A message that never passed is lost: it counts as later than any time, and
// is in no mean. Means and waits are in milliseconds, shares are parts of 1.

import type { Fate, RunResult } from './engine.ts'
import type { StateSize } from './redis-size.ts'
import type { Mail } from './world/mail.ts'
import type { MailClass, World } from './world/world.ts'

/** How late messages came. */
export interface Delays {
  readonly messages: number
  /** Part that was deferred at its first attempt. */
  readonly deferred: number
  /** The mean delay of those that passed. */
  readonly mean: number
  /** Delays that half of them, 9 of 10 and 99 of 100 do not exceed; Infinity where those are lost. */
  readonly p50: number
  readonly p90: number
  readonly p99: number
  /** The longest delay of those that passed. */
  readonly worst: number
  /** Part that came later, or never. */
  readonly laterThanHour: number
  readonly laterThanFourHours: number
  readonly laterThanDay: number
  /** Number that never passed. */
  readonly lost: number
}

/** How much of some messages passed. */
export interface Passing {
  readonly messages: number
  readonly passed: number
}

export interface Figures {
  readonly attempts: number
  /** Organisations that have sent anything. */
  readonly organisations: number
  /** The first message of each organisation. */
  readonly first: Delays
  readonly wanted: Delays
  /** Codes that came in time have passed. */
  readonly codes: Passing
  /** Messages of one organisation that had to wait. */
  readonly waits: { readonly mean: number; readonly p90: number; readonly worst: number }
  readonly callouts: Passing
  /** Wanted messages that were deferred again a day or more after their first attempt. */
  readonly loops: number
  readonly spam: Passing
  readonly stoppable: Passing
  readonly senders: readonly SenderFigures[]
  readonly bots: readonly BotFigures[]
  /** The largest state at the end of a day; absent if the judge does not say. */
  readonly state: StateSize | undefined
  /** Part of the wanted messages that came later than each of `DISTRIBUTION_TIMES`, or never. */
  readonly distribution: readonly number[]
}

export interface SenderFigures {
  readonly name: string
  readonly organisations: number
  readonly first: Delays
  readonly wanted: Delays
  readonly codes: Passing
  readonly loops: number
}

export interface BotFigures extends Passing {
  readonly name: string
  readonly isStoppable: boolean
}

const SECOND = 1000
const HOUR = 3_600_000
const DAY = 24 * HOUR

/** Times of the distribution: from 30 s to 5 days, eight in each doubling. */
export const DISTRIBUTION_TIMES: readonly number[] = Array.from(
  { length: 111 },
  (_, index) => 30 * SECOND * 2 ** (index / 8),
)

/** A message with what became of it. */
interface Told {
  readonly mail: Mail
  readonly fate: Fate
  readonly delay: number
}

export function figuresOf(
  world: World,
  { fates, attempts }: RunResult,
  state: StateSize | undefined,
): Figures {
  const byClass = world.classes.map((): Told[] => [])
  for (const [index, mail] of world.mails.entries()) {
    const fate = fates[index] as Fate // the engine has told each message's
    const delay = fate.passedAt === undefined ? Number.POSITIVE_INFINITY : fate.passedAt - mail.at
    byClass[mail.classIndex]?.push({ mail, fate, delay })
  }
  const of = (kind: MailClass['kind']) => byClass.filter((_, index) => world.classes[index]?.kind === kind)
  const wanted = of('wanted').flat()
  const firsts = firstOfEach(wanted)
  const [spam, callouts] = [of('spam').flat(), of('callout').flat()]
  const withClass = world.classes.map((mailClass, index) => ({ mailClass, told: byClass[index] ?? [] }))
  const stoppable = withClass.filter(({ mailClass }) => mailClass.isStoppable).flatMap(({ told }) => told)
  const codes = withClass.map(({ mailClass, told }) => codesIn(mailClass, told))
  return {
    attempts,
    organisations: firsts.length,
    first: delaysOf(firsts),
    wanted: delaysOf(wanted),
    codes: sum(codes),
    waits: waitsOf(wanted),
    callouts: passingOf(callouts),
    loops: wanted.filter(isLoop).length,
    spam: passingOf(spam),
    stoppable: passingOf(stoppable),
    senders: withClass
      .filter(({ mailClass }) => mailClass.kind === 'wanted')
      .map(({ mailClass, told }) => senderFigures(mailClass, told)),
    bots: withClass
      .filter(({ mailClass }) => mailClass.kind === 'spam')
      .map(({ mailClass: { name, isStoppable }, told }) => ({ name, isStoppable, ...passingOf(told) })),
    state,
    distribution: distributionOf(wanted),
  }
}

/** The part of some messages that passed; 0 of none. */
export function shareOf({ messages, passed }: Passing): number {
  return messages === 0 ? 0 : passed / messages
}

function senderFigures(mailClass: MailClass, told: readonly Told[]): SenderFigures {
  const firsts = firstOfEach(told)
  return {
    name: mailClass.name,
    organisations: firsts.length,
    first: delaysOf(firsts),
    wanted: delaysOf(told),
    codes: codesIn(mailClass, told),
    loops: told.filter(isLoop).length,
  }
}

/** The first message of each organisation. */
function firstOfEach(told: readonly Told[]): Told[] {
  const firsts = new Map<number, Told>()
  for (const one of told) {
    const known = firsts.get(one.mail.organisation)
    if (!known || one.mail.at < known.mail.at) firsts.set(one.mail.organisation, one)
  }
  return [...firsts.values()]
}

function delaysOf(told: readonly Told[]): Delays {
  const delays = Float64Array.from(told, ({ delay }) => delay).sort()
  const passed = delays.filter(Number.isFinite)
  const laterThan = (time: number) => partOf(told, ({ delay }) => delay > time)
  return {
    messages: told.length,
    deferred: partOf(told, ({ fate }) => fate.lastDeferredAfter !== undefined),
    mean: passed.length === 0 ? 0 : passed.reduce((all, delay) => all + delay, 0) / passed.length,
    p50: quantile(delays, 0.5),
    p90: quantile(delays, 0.9),
    p99: quantile(delays, 0.99),
    worst: passed.at(-1) ?? 0,
    laterThanHour: laterThan(HOUR),
    laterThanFourHours: laterThan(4 * HOUR),
    laterThanDay: laterThan(DAY),
    lost: delays.length - passed.length,
  }
}

/** The least of ascending numbers that this part of them does not exceed; 0 of none. */
export function quantile(ascending: Float64Array, part: number): number {
  return ascending[Math.max(0, Math.ceil(part * ascending.length) - 1)] ?? 0
}

function partOf(told: readonly Told[], holds: (one: Told) => boolean): number {
  return told.length === 0 ? 0 : told.filter(holds).length / told.length
}

function passingOf(told: readonly Told[]): Passing {
  return { messages: told.length, passed: told.filter(({ delay }) => Number.isFinite(delay)).length }
}

function codesIn({ deadline }: MailClass, told: readonly Told[]): Passing {
  if (deadline === undefined) return { messages: 0, passed: 0 }
  return { messages: told.length, passed: told.filter(({ delay }) => delay <= deadline).length }
}

function sum(all: readonly Passing[]): Passing {
  return all.reduce(
    (one, other) => ({ messages: one.messages + other.messages, passed: one.passed + other.passed }),
    { messages: 0, passed: 0 },
  )
}

function waitsOf(told: readonly Told[]): Figures['waits'] {
  const waits = new Map<number, number>()
  for (const { mail, fate } of told) {
    const isWait = fate.lastDeferredAfter !== undefined ? 1 : 0
    waits.set(mail.organisation, (waits.get(mail.organisation) ?? 0) + isWait)
  }
  const numbers = Float64Array.from(waits.values()).sort()
  const mean = numbers.length === 0 ? 0 : numbers.reduce((all, one) => all + one, 0) / numbers.length
  return { mean, p90: quantile(numbers, 0.9), worst: numbers.at(-1) ?? 0 }
}

function isLoop({ fate }: Told): boolean {
  return (fate.lastDeferredAfter ?? 0) >= DAY
}

function distributionOf(told: readonly Told[]): number[] {
  const delays = Float64Array.from(told, ({ delay }) => delay).sort()
  let index = 0
  return DISTRIBUTION_TIMES.map((time) => {
    while (index < delays.length && (delays[index] ?? 0) <= time) index += 1
    return delays.length === 0 ? 0 : 1 - index / delays.length
  })
}
