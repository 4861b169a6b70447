// DNS as the machine's resolvers, or those of the settings, answer it. Answers are remembered as long as they may be,
// and no mail waits for DNS twice in vain: neither for a name that was slow before, nor while nothing is answered at
// all, not even of the root.

import { Resolver } from 'node:dns/promises'
import { LRUCache } from 'lru-cache'
import { messageOf } from './message.ts'

export interface DnsSettings {
  /** `IP` or `IP:PORT` (`[IP]:PORT` for IPv6); none for the machine's own resolvers. */
  readonly servers: readonly string[]
}

/** Whether DNS answers; told only when that changes. */
export interface DnsWatch {
  onSilent(problem: string): void
  onAnswering(): void
}

export interface DnsAnswer {
  /** As dns.promises.resolve gives it; absent where there was an error. */
  readonly value?: unknown
  /** With a code: ENOTFOUND and ENODATA are answers too. */
  readonly error?: Error
  /** Until when it may be used, by performance.now(). */
  readonly endsAt: number
}

/** Longest wait for DNS, whatever is asked of it, in milliseconds: it leaves the store its share of a decision's time. */
export const PATIENCE = 1500

/**
 * c-ares goes by the servers' usual speed rather than by this timeout: where they answer in a few milliseconds, it waits
 * 250 ms, then half as much to twice as much again each time, and each time takes no answer to the question before.
 * Four times are PATIENCE at least; a resolver has the answer ready once it found it.
 */
const QUERY = { timeout: 500, tries: 4 }

/** A question unanswered for so long, in milliseconds, has it found out whether DNS answers at all. */
const DOUBT = 500

/** How long answers are used, in milliseconds: Node tells the TTL of addresses only. */
const LONGEST = 300_000
const SHORTEST = 5_000
const UNKNOWN_TTL = 300_000
const NEGATIVE = 60_000
const FAILED = 10_000

/** What was waited for in vain is not waited for again for so long, in milliseconds. */
const IMPATIENT = 60_000

/** How much is remembered: characters of answers, and subjects that were slow. */
const MOST_CHARACTERS = 16 * 1024 * 1024
const MOST_SUBJECTS = 10_000
/** Questions unanswered at once; each takes some 12 KB, and whoever sends MAIL can have several asked. */
const MOST_IN_FLIGHT = 5_000

/**
 * Where the servers of one name are silent, a resolver is as silent on that name, for longer than anybody waits; but
 * every resolver has something to say of the root.
 */
const ROOT = '.'

/** Errors that mean no server has said anything. */
const UNANSWERED = new Set(['ETIMEOUT', 'ECONNREFUSED', 'ECANCELLED', 'EDESTRUCTION'])
/** The codes of "there is no such name", and of "not with records of that type". */
const NEGATIVES = new Set(['ENOTFOUND', 'ENODATA'])

const NOT_ASKED: DnsAnswer = {
  error: Object.assign(new Error('not asked'), { code: 'ECANCELLED' }),
  endsAt: 0,
}

export class Dns {
  readonly #resolver = new Resolver(QUERY)
  readonly #watch: DnsWatch
  readonly #answers = new LRUCache<string, DnsAnswer>({ maxSize: MOST_CHARACTERS })
  readonly #inFlight = new Map<string, Promise<DnsAnswer>>()
  readonly #slow = new LRUCache<string, true>({ max: MOST_SUBJECTS, ttl: IMPATIENT })
  #lastAnswerAt = 0
  #isSilent = false
  #isInDoubt = false
  #isClosed = false

  constructor({ servers }: DnsSettings, watch: DnsWatch) {
    this.#watch = watch
    if (servers.length > 0) this.#resolver.setServers(servers)
  }

  /** Never rejects. `type` is a record type like TXT. */
  ask(name: string, type: string): Promise<DnsAnswer> {
    const key = `${type} ${name.toLowerCase()}`
    const known = this.#answers.get(key)
    if (known && known.endsAt > performance.now()) return Promise.resolve(known)
    const asked = this.#inFlight.get(key)
    if (asked) return asked
    if (this.#isClosed || this.#inFlight.size >= MOST_IN_FLIGHT) return Promise.resolve(NOT_ASKED)
    const answer = this.#query(name, type).then((got) => {
      this.#inFlight.delete(key)
      this.#answers.set(key, got, { size: key.length + sizeOf(got.value) })
      return got
    })
    this.#inFlight.set(key, answer)
    return answer
  }

  /**
   * What `answer`, which is up to DNS, comes to; `undefined` when that takes longer than `PATIENCE`. `subject` names
   * whom it depends on: where that was slow, it is not waited for, and gets the chance to be there next time.
   */
  async within<T>(subject: string, answer: Promise<T>): Promise<T | undefined> {
    if (this.#isSilent || this.#slow.has(subject)) return Promise.race([answer, nextTurn()])
    const startedAt = performance.now()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => {
        this.#slow.set(subject, true)
        if (this.#lastAnswerAt < startedAt) this.#silent(`no answer within ${PATIENCE}ms`)
        resolve(undefined)
      }, PATIENCE)
    })
    try {
      return await Promise.race([answer, late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** What is asked has no answer any more, nor has what would be asked from now on. */
  close(): void {
    this.#isClosed = true
    this.#resolver.cancel()
  }

  async #query(name: string, type: string): Promise<DnsAnswer> {
    const startedAt = performance.now()
    const doubt = setTimeout(() => this.#doubt(startedAt), DOUBT)
    try {
      const { value, ttl } = await this.#resolve(name, type)
      this.#answered()
      return { value, endsAt: performance.now() + Math.min(Math.max(ttl, SHORTEST), LONGEST) }
    } catch (caught) {
      const error = caught instanceof Error ? caught : new Error(messageOf(caught))
      const code = 'code' in error ? String(error.code) : ''
      if (!UNANSWERED.has(code)) this.#answered()
      else if (name !== ROOT) this.#doubt(startedAt)
      else if (this.#lastAnswerAt < startedAt) this.#silent(messageOf(error))
      return { error, endsAt: performance.now() + (NEGATIVES.has(code) ? NEGATIVE : FAILED) }
    } finally {
      clearTimeout(doubt)
    }
  }

  async #resolve(name: string, type: string): Promise<{ value: unknown; ttl: number }> {
    if (type !== 'A' && type !== 'AAAA') {
      return { value: await this.#resolver.resolve(name, type), ttl: UNKNOWN_TTL }
    }
    const records =
      type === 'A'
        ? await this.#resolver.resolve4(name, { ttl: true })
        : await this.#resolver.resolve6(name, { ttl: true })
    return {
      value: records.map(({ address }) => address),
      ttl: Math.min(...records.map(({ ttl }) => ttl * 1000)),
    }
  }

  /** Has the root asked for where nothing was answered since then, before nobody waits for DNS any more. */
  #doubt(startedAt: number): void {
    if (this.#isInDoubt || this.#isSilent || this.#isClosed || this.#lastAnswerAt >= startedAt) return
    this.#isInDoubt = true
    void this.#query(ROOT, 'NS').then(() => {
      this.#isInDoubt = false
    })
  }

  #answered(): void {
    this.#lastAnswerAt = performance.now()
    if (!this.#isSilent) return
    this.#isSilent = false
    this.#watch.onAnswering()
  }

  #silent(problem: string): void {
    if (this.#isSilent || this.#isClosed) return
    this.#isSilent = true
    this.#watch.onSilent(problem)
  }
}

/** Roughly, in characters. */
function sizeOf(value: unknown): number {
  return value === undefined ? 0 : JSON.stringify(value).length
}

/** Leaves what is known already the time to be handed over. */
function nextTurn(): Promise<undefined> {
  return new Promise((resolve) => setImmediate(() => resolve(undefined)))
}
