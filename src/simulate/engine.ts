// Runs a world in virtual time against a judge: each message makes its attempts until one passes or its sender gives up.
// What happens to one message depends on the judge's verdicts on that message alone, so that all judges see the same
// world. figures.ts makes figures of the results.

import { type Address, parseAddress } from '../address.ts'
import { DAY } from './calendar.ts'
import { Heap } from './heap.ts'
import type { Judge } from './judge.ts'
import { randomOf, unitAt } from './random.ts'
import { nextRetry } from './schedule.ts'
import type { Mail } from './world/mail.ts'
import type { World } from './world/world.ts'

/** What became of one message. */
export interface Fate {
  /** Number of attempts. */
  readonly attempts: number
  /** Instant at which it passed; absent if it never did. */
  readonly passedAt: number | undefined
  /** Age of the message at its last deferral, in milliseconds; absent if it never was deferred. */
  readonly lastDeferredAfter: number | undefined
}

export interface RunResult {
  /** The fate of each message, in their order. */
  readonly fates: readonly Fate[]
  readonly attempts: number
}

export interface RunWatch {
  /** Called once in each day of virtual time, and at the end. */
  onDay?(): void
  /** Called now and then; `done` is the part of the messages whose first attempt was made. */
  onProgress?(done: number): Promise<void> | void
}

/** Attempts between two calls of `onProgress`. */
const PROGRESS_INTERVAL = 2000

/** The place, among what is drawn for a message, of the jitter of its first retry. */
const JITTER = 1_000_000

/** An attempt that is to be made. */
interface Due {
  readonly at: number
  /** Index of the message. */
  readonly index: number
  /** Number of attempts before. */
  readonly attempts: number
  /** The interval that the sender had planned before this attempt. */
  readonly interval: number
}

/** The fates of all messages of a world. Rejects if the judge does. */
export async function runWorld(world: World, judge: Judge, watch: RunWatch = {}): Promise<RunResult> {
  const { mails } = world
  const fates: Fate[] = new Array(mails.length)
  const retries = new Heap<Due>(
    (one, other) => one.at < other.at || (one.at === other.at && one.index < other.index),
  )
  let next = 0
  let attempts = 0
  let day = 0
  for (;;) {
    const due = takeNext()
    if (!due) break
    for (; due.at >= (day + 1) * DAY; day += 1) watch.onDay?.()
    attempts += 1
    if (attempts % PROGRESS_INTERVAL === 0) await watch.onProgress?.(next / mails.length)
    const mail = mails[due.index] as Mail // an index of the list
    await attempt(mail, due)
  }
  watch.onDay?.()
  return { fates, attempts }

  /** The next attempt in the order of time; at one instant, first attempts precede retries. */
  function takeNext(): Due | undefined {
    const fresh = mails[next]
    const retry = retries.peek()
    if (!fresh || (retry && retry.at < fresh.at)) return retries.pop()
    next += 1
    return { at: fresh.at, index: next - 1, attempts: 0, interval: 0 }
  }

  async function attempt(mail: Mail, due: Due): Promise<void> {
    const { at, index } = due
    const mailClass = world.classes[mail.classIndex]
    const sender = senderAt(mail, due.attempts, mailClass?.changesSender ?? false)
    const made = due.attempts + 1
    const isPassed =
      (mailClass?.kind === 'callout' && judge.judgesAtData(sender)) ||
      (await verdictOn(mail, sender, due)) === 'pass'
    const waited = at - mail.at
    if (isPassed) {
      fates[index] = { attempts: made, passedAt: at, lastDeferredAfter: fates[index]?.lastDeferredAfter }
      return
    }
    fates[index] = { attempts: made, passedAt: undefined, lastDeferredAfter: waited }
    const { schedule, phase } = mail.source
    const queued = { firstAt: mail.at, lastAt: at, attempts: made, interval: due.interval }
    const retry = nextRetry(schedule, queued, phase, unitAt(mail.seed, JITTER + made))
    if (retry) retries.push({ at: retry.at, index, attempts: made, interval: retry.interval })
  }

  function verdictOn({ source, seed, recipient }: Mail, sender: Address, { at, attempts }: Due) {
    const client = source.pool.clientAt(seed, attempts, source.machine)
    return judge.judge({ client, authenticated: false, sender, recipient }, at)
  }
}

/** The envelope sender of an attempt, 0 for the first. */
function senderAt({ sender, seed }: Mail, attempt: number, changes: boolean): Address {
  if (!changes || attempt === 0) return parseAddress(sender)
  const random = randomOf(seed + attempt)
  const letters = Array.from({ length: 8 }, () => String.fromCharCode(0x61 + Math.floor(random() * 26)))
  return parseAddress(`${letters.join('')}${sender.slice(sender.lastIndexOf('@'))}`)
}
