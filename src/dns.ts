// DNS questions to the machine's resolvers or to those of the settings: a cache, time-outs, a circuit breaker, and fair
// shares. SPF and DNS lists make the questions and read the answers.
//
// How long mail waits for DNS depends on how DNS is doing. When a question is slow, the root is asked, and asked again and
// again: while its answers are slow or lost as well, nobody waits for an answer that is slow, and
// what comes later is cached for the next attempt. So the owner of a slow zone shortens nobody's wait.
//
// No mail waits for DNS twice in vain. A subject that was slow is not waited for again for a while. A circuit breaker
// is open while DNS as a whole is silent, even about the root; it closes with the next answer to anything.
//
// Strangers choose most of the names, so they share what may be asked: for SPF, client networks and sender domains have
// shares; for DNS lists, client networks have shares of their own.

import { Resolver } from 'node:dns/promises'
import { LRUCache } from 'lru-cache'
import { messageOf } from './errors.ts'
import { OpenShares, RateShares, type Share } from './shares.ts'

export interface DnsSettings {
  /** `IP` or `IP:PORT` (`[IP]:PORT` for IPv6); none for the machine's own resolvers. */
  readonly servers: readonly string[]
}

/** Receives each change between DNS that answers and DNS that is silent. */
export interface DnsWatch {
  onSilent(problem: string): void
  onAnswering(): void
  /** Called for each question: how it ended, and after how many milliseconds; absent for one that was not asked. */
  onQuestion?(result: DnsResult, took?: number): void
}

/**
 * How a question ended: with records, with a server's word that there are none, with an error of a server, without an
 * answer, or not asked, as the asker had used up its share.
 */
export const DNS_RESULTS = ['found', 'none', 'failed', 'unanswered', 'not-asked'] as const
export type DnsResult = (typeof DNS_RESULTS)[number]

export interface DnsAnswer {
  /** The result of dns.promises.resolve, or the addresses as text for A and AAAA; absent after an error. */
  readonly value?: unknown
  /** Its code tells why: ENOTFOUND and ENODATA are answers of a server, too. */
  readonly error?: Error
  /** Expiry of the answer, by performance.now(). */
  readonly expiresAt: number
}

/** Names the message on whose behalf questions are asked, and their purpose. */
export interface Asker {
  readonly purpose: 'spf' | 'list'
  /** The client's network; a stranger may have every address in it. */
  readonly network: string
  /** The registered domain above the sender's; absent for lists, whose questions name only the client. */
  readonly organisation?: string
  /** Number of questions beyond the first that the network gets back, long answers included; counted by `Dns`. */
  extraQuestions: number
}

/** Longest wait for DNS, in milliseconds; it leaves the store its part of a decision's time. */
export const DNS_TIMEOUT = 1500

/**
 * Time after which an answer is slow, in milliseconds: the root is then asked for as well. It is also the longest wait
 * while DNS is in trouble, and below the 250 ms after which c-ares asks again, so that a lost answer is a slow one.
 */
const SLOW_ANSWER = 200

/** How long DNS counts as being in trouble after the root was slow, in milliseconds. */
const TROUBLE_WINDOW = 3000

/** Delay of the event loop up to which it does not matter to what is slow, in milliseconds. */
const MAX_LAG = 20

/** Time between questions about the root while DNS is in trouble, in milliseconds. */
const GAUGE_INTERVAL = 250

/**
 * c-ares derives its time-out from the servers' usual speed rather than from `timeout`. If they answer in milliseconds,
 * it waits 250 ms for each server, then half as much to twice as much again in each further round, and each retry drops
 * the answer to the question before. `tries` counts rounds: three with one server and two with several take a second at
 * least. A resolver that finds the answer later has it ready for the next attempt. More tries would only multiply the
 * packets that a stranger causes by naming silent servers.
 */
const RESOLVER_TIMEOUT = 500
const TRIES_OF_ONE_SERVER = 3
const TRIES_OF_SEVERAL_SERVERS = 2

/** Time without an answer after which the root is asked whether DNS answers at all, in milliseconds. */
const ROOT_PROBE_DELAY = 500

/** Bounds and defaults for the life of cached answers, in milliseconds; Node tells the TTL of addresses only. */
const MAX_TTL = 300_000
const MIN_TTL = 5_000
const UNKNOWN_TTL = 300_000
const NEGATIVE_TTL = 60_000
const FAILURE_TTL = 3_000

/** How long a subject that timed out counts as slow, in milliseconds. */
const SLOW_TTL = 60_000

/** Time between two half-open probes while DNS is silent, in milliseconds. */
const OUTAGE_PROBE_INTERVAL = 2_000

/**
 * Questions that may be open while DNS is silent. On each garbled packet, c-ares sends all open questions anew, so that
 * many of them would take all CPU time.
 */
const MAX_OPEN_IN_SILENCE = 8

/** Size of the cache of answers, in characters. */
const MAX_CACHE_SIZE = 16 * 1024 * 1024
const MAX_SLOW_SUBJECTS = 10_000
/** Size in the cache of an answer without its text, in characters. */
const ANSWER_OVERHEAD = 200

/** Questions that may be open at once; each takes some 12 KB and may be open for some seconds. */
const OPEN_QUESTION_CAPACITY = {
  spf: { all: 4000, each: 200 },
  list: { all: 1000, each: 100 },
} as const

/**
 * Token buckets for SPF questions beyond the first of a message, which strangers can multiply; a question costs some
 * 100 µs of CPU time. The first question of a message, for the sender's own record, takes no token; it is refused only
 * while earlier answers were so long that their shares are in debt.
 */
const EXTRA_QUESTION_LIMITS = {
  all: { burst: 1000, perSecond: 300 },
  perNetwork: { burst: 120, perSecond: 30 },
  perOrganisation: { burst: 100, perSecond: 10 },
  // One network may ask for one organisation what one message needs, so nobody uses up the share of another's domain.
  perPair: { burst: 40, perSecond: 5 },
} as const

/** The characters of an answer that cost as much as one more question; longer answers also come over TCP. */
const CHARACTERS_PER_QUESTION = 512

/** How much of a long answer's cost is given back to a network: domains with many TXT records need as much. */
const MAX_REFUNDED_COST = 20

/**
 * The name that tells a silent resolver from a silent zone. If the servers of a zone are silent, the resolver is silent
 * on its names, too, for longer than anybody waits; but every resolver answers for the root.
 */
const ROOT = '.'

/** Error codes that mean that no server has answered; EBADRESP is for what is no answer, such as garbage. */
const UNANSWERED_CODES = new Set(['ETIMEOUT', 'ECONNREFUSED', 'ECANCELLED', 'EDESTRUCTION', 'EBADRESP'])
/** Error codes for a name that does not exist, and for one without records of the type. */
const NEGATIVE_CODES = new Set(['ENOTFOUND', 'ENODATA'])

/** The answer to a question that was not asked; nothing follows from it. */
export const NOT_ASKED: DnsAnswer = {
  error: Object.assign(new Error('not asked'), { code: 'ECANCELLED' }),
  expiresAt: 0,
}

/** Whether no server has answered, because the question was not asked or no server was reached. */
export function isUnanswered({ error }: DnsAnswer): boolean {
  return error !== undefined && 'code' in error && UNANSWERED_CODES.has(String(error.code))
}

function resultOf(answer: DnsAnswer): DnsResult {
  const { error } = answer
  if (error === undefined) return 'found'
  if (isUnanswered(answer)) return 'unanswered'
  return 'code' in error && NEGATIVE_CODES.has(String(error.code)) ? 'none' : 'failed'
}

/** A resolver with the number of its open questions. */
interface Channel {
  readonly resolver: Resolver
  open: number
}

export class Dns {
  readonly #servers: readonly string[]
  readonly #watch: DnsWatch
  /** New questions go to the last one; the others stay until their answers have come. */
  readonly #channels: Channel[] = []
  readonly #answers = new LRUCache<string, DnsAnswer>({ maxSize: MAX_CACHE_SIZE })
  readonly #open = new Map<string, Promise<DnsAnswer>>()
  readonly #openShares = {
    spf: new OpenShares(OPEN_QUESTION_CAPACITY.spf),
    list: new OpenShares(OPEN_QUESTION_CAPACITY.list),
  }
  readonly #extraShares = new RateShares(EXTRA_QUESTION_LIMITS.all, () => performance.now())
  /** Number of time-outs in a row, by subject. */
  readonly #slow = new LRUCache<string, number>({ max: MAX_SLOW_SUBJECTS, ttl: SLOW_TTL })
  #lastAnswerAt = 0
  /** Until when mail waits less, as the root was slow, by performance.now(). */
  #troubledUntil = 0
  #gaugeTimer: NodeJS.Timeout | undefined
  #isGauging = false
  #isSilent = false
  #isProbingRoot = false
  #isClosed = false
  #outageProbe: NodeJS.Timeout | undefined

  constructor({ servers }: DnsSettings, watch: DnsWatch) {
    this.#servers = servers
    this.#watch = watch
    this.reload()
  }

  /** Reads the machine's servers again, unless the settings name servers; open questions still get their answers. */
  reload(): void {
    // A resolver reads resolv.conf when it is made, and never again.
    const isNamed = this.#servers.length > 0
    const { length } = isNamed ? this.#servers : new Resolver().getServers()
    const tries = length > 1 ? TRIES_OF_SEVERAL_SERVERS : TRIES_OF_ONE_SERVER
    const resolver = new Resolver({ timeout: RESOLVER_TIMEOUT, tries })
    if (isNamed) resolver.setServers(this.#servers)
    this.#channels.push({ resolver, open: 0 })
    this.#dropIdleChannels()
  }

  /**
   * The answer from the cache or from DNS, or `NOT_ASKED` if the asker has used up its share, `Dns` is closed, or
   * DNS is silent and questions enough are open; at once, unless DNS has to be waited for. `type`
   * is a record type like TXT; `isFirst` marks the first question on behalf of a message. Never rejects.
   */
  ask(name: string, type: string, asker: Asker, isFirst = false): DnsAnswer | Promise<DnsAnswer> {
    const key = `${type} ${name.toLowerCase()}`
    const known = this.#answers.get(key)
    if (known && known.expiresAt > performance.now()) return known
    const open = this.#open.get(key)
    if (open) return open
    const isVain = this.#isClosed || (this.#isSilent && this.#open.size >= MAX_OPEN_IN_SILENCE)
    if (isVain || !this.#takeShare(asker, isFirst)) {
      this.#watch.onQuestion?.('not-asked')
      return NOT_ASKED
    }
    const startedAt = performance.now()
    const answer = this.#query(name, type).then((got) => {
      this.#open.delete(key)
      this.#watch.onQuestion?.(resultOf(got), performance.now() - startedAt)
      this.#openShares[asker.purpose].giveBack(openKeysOf(asker))
      const size = sizeOf(got.value)
      const cost = Math.floor(size / CHARACTERS_PER_QUESTION)
      this.#extraShares.charge(extraSharesOf(asker), cost)
      asker.extraQuestions += Math.min(cost, MAX_REFUNDED_COST)
      this.#answers.set(key, got, { size: ANSWER_OVERHEAD + key.length + size })
      return got
    })
    this.#open.set(key, answer)
    return answer
  }

  /** Gives an asker's extra questions back to its network, since their answers show that it is no stranger. */
  refund(asker: Asker): void {
    if (asker.extraQuestions > 0) this.#extraShares.refund(networkShareOf(asker), asker.extraQuestions)
  }

  /** Whether the circuit breaker is open: DNS answers nothing, not even about the root. */
  get isSilent(): boolean {
    return this.#isSilent
  }

  /**
   * The value of `answer`, which depends on DNS, or `undefined` after `DNS_TIMEOUT` milliseconds, `SLOW_ANSWER` while DNS
   * is in trouble. `subject` names the parties it depends on. While DNS is silent, or if the subject timed out more often
   * in a row than `tolerated`, only a value that is there already is returned; a later one is cached for the next
   * attempt. An answer that is no promise was not waited for, and tells nothing of how slow the subject is.
   */
  async withTimeout<T>(subject: string, answer: T | Promise<T>, tolerated = 0): Promise<T | undefined> {
    if (!(answer instanceof Promise)) return answer
    const timesSlow = this.#slow.get(subject) ?? 0
    if (this.#isSilent || timesSlow > tolerated) return Promise.race([answer, nextTurn()])
    const startedAt = performance.now()
    const isTroubled = this.#isTroubled
    let timer: NodeJS.Timeout | undefined
    const timedOut = new Promise<undefined>((resolve) => {
      timer = setTimeout(
        () => {
          if (isTroubled) return resolve(undefined)
          this.#slow.set(subject, (this.#slow.get(subject) ?? 0) + 1)
          if (this.#lastAnswerAt < startedAt) this.#noteSilence(`no answer within ${DNS_TIMEOUT}ms`)
          resolve(undefined)
        },
        isTroubled ? SLOW_ANSWER : DNS_TIMEOUT,
      )
    })
    try {
      const inTime = await Promise.race([answer, timedOut])
      if (timesSlow > 0 && inTime !== undefined) this.#slow.delete(subject)
      return inTime
    } finally {
      clearTimeout(timer)
    }
  }

  /** Cancels all open questions; later ones are not asked. */
  close(): void {
    this.#isClosed = true
    clearInterval(this.#outageProbe)
    clearTimeout(this.#gaugeTimer)
    for (const { resolver } of this.#channels) resolver.cancel()
  }

  #takeShare(asker: Asker, isFirst: boolean): boolean {
    if (asker.purpose === 'spf') {
      const shares = extraSharesOf(asker)
      if (isFirst ? this.#extraShares.isInDebt(shares) : !this.#extraShares.take(shares)) return false
      if (!isFirst) asker.extraQuestions += 1
    }
    return this.#openShares[asker.purpose].take(openKeysOf(asker))
  }

  async #query(name: string, type: string): Promise<DnsAnswer> {
    const startedAt = performance.now()
    const probe = setTimeout(() => this.#probeRoot(startedAt), ROOT_PROBE_DELAY)
    const gauge = setTimeout(() => void this.#gauge(), SLOW_ANSWER)
    try {
      const { value, ttl } = await this.#resolve(name, type)
      this.#noteAnswer()
      return { value, expiresAt: performance.now() + Math.min(Math.max(ttl, MIN_TTL), MAX_TTL) }
    } catch (caught) {
      const error = caught instanceof Error ? caught : new Error(messageOf(caught))
      const code = 'code' in error ? String(error.code) : ''
      if (!UNANSWERED_CODES.has(code)) this.#noteAnswer()
      else if (name !== ROOT) this.#probeRoot(startedAt)
      else if (this.#lastAnswerAt < startedAt) this.#noteSilence(messageOf(error))
      return { error, expiresAt: performance.now() + (NEGATIVE_CODES.has(code) ? NEGATIVE_TTL : FAILURE_TTL) }
    } finally {
      clearTimeout(probe)
      clearTimeout(gauge)
    }
  }

  get #isTroubled(): boolean {
    return performance.now() < this.#troubledUntil
  }

  /** Asks for the root to tell DNS that is slow from a slow zone; again and again while it is slow. Never rejects. */
  async #gauge(): Promise<void> {
    if (this.#isGauging || this.#isSilent || this.#isClosed) return
    this.#isGauging = true
    const startedAt = performance.now()
    let isOpen = true
    // A timer that is late says that this process was held up, and an answer may be there by now: neither is slow DNS.
    const slow = setTimeout(() => {
      setImmediate(() => {
        const now = performance.now()
        if (isOpen && now - startedAt < SLOW_ANSWER + MAX_LAG) this.#troubledUntil = now + TROUBLE_WINDOW
      })
    }, SLOW_ANSWER)
    await this.#resolve(ROOT, 'NS').then(
      () => this.#noteAnswer(),
      () => undefined,
    )
    isOpen = false
    clearTimeout(slow)
    this.#isGauging = false
    if (this.#troubledUntil === 0 || this.#isClosed) return
    if (this.#isTroubled) this.#gaugeTimer = setTimeout(() => void this.#gauge(), GAUGE_INTERVAL).unref()
    else this.#recover()
  }

  /** Forgets who was slow and what was not answered while DNS was in trouble. */
  #recover(): void {
    this.#troubledUntil = 0
    this.#slow.clear()
    for (const [key, answer] of this.#answers) if (isUnanswered(answer)) this.#answers.delete(key)
  }

  async #resolve(name: string, type: string): Promise<{ value: unknown; ttl: number }> {
    const channel = this.#channels.at(-1) as Channel // the constructor makes the first
    const { resolver } = channel
    channel.open += 1
    try {
      if (type !== 'A' && type !== 'AAAA')
        return { value: await resolver.resolve(name, type), ttl: UNKNOWN_TTL }
      const records = await (type === 'A'
        ? resolver.resolve4(name, { ttl: true })
        : resolver.resolve6(name, { ttl: true }))
      const ttl = records.reduce((shortest, record) => Math.min(shortest, record.ttl), MAX_TTL / 1000)
      return { value: records.map(({ address }) => address), ttl: ttl * 1000 }
    } finally {
      channel.open -= 1
      if (channel.open === 0) this.#dropIdleChannels()
    }
  }

  #dropIdleChannels(): void {
    for (let index = this.#channels.length - 2; index >= 0; index -= 1) {
      if (this.#channels[index]?.open === 0) this.#channels.splice(index, 1)
    }
  }

  /** Asks for the root if nothing was answered since `startedAt`; only its silence opens the circuit breaker. */
  #probeRoot(startedAt: number): void {
    if (this.#isProbingRoot || this.#isSilent || this.#isClosed || this.#lastAnswerAt >= startedAt) return
    this.#isProbingRoot = true
    void this.#query(ROOT, 'NS').then(() => {
      this.#isProbingRoot = false
    })
  }

  #noteAnswer(): void {
    this.#lastAnswerAt = performance.now()
    if (!this.#isSilent) return
    this.#isSilent = false
    clearInterval(this.#outageProbe)
    this.#recover()
    this.#watch.onAnswering()
  }

  #noteSilence(problem: string): void {
    if (this.#isSilent || this.#isClosed) return
    this.#isSilent = true
    this.#outageProbe = setInterval(() => this.#probeOutage(), OUTAGE_PROBE_INTERVAL).unref()
    this.#watch.onSilent(problem)
  }

  /** Half-open probe. It reads the machine's servers again, as they may be others after a change of network. */
  #probeOutage(): void {
    this.reload()
    void this.#query(ROOT, 'NS')
  }
}

function openKeysOf({ network, organisation }: Asker): string[] {
  return organisation === undefined ? [network] : [network, organisation]
}

function networkShareOf({ network }: Asker): Share {
  return { key: network, limit: EXTRA_QUESTION_LIMITS.perNetwork }
}

/** The token buckets of an asker; lists have none, as a client causes only one question a list for each address. */
function extraSharesOf(asker: Asker): Share[] {
  const { network, organisation } = asker
  if (organisation === undefined) return []
  return [
    networkShareOf(asker),
    { key: organisation, limit: EXTRA_QUESTION_LIMITS.perOrganisation },
    { key: `${network} ${organisation}`, limit: EXTRA_QUESTION_LIMITS.perPair },
  ]
}

/** Size of an item of an answer without its text, in characters: V8 needs as many bytes for each string. */
const ITEM_OVERHEAD = 20

/** Approximate size of an answer, in characters. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length + ITEM_OVERHEAD
  if (!Array.isArray(value)) return typeof value === 'object' ? sizeOf(JSON.stringify(value)) : ITEM_OVERHEAD
  let size = ITEM_OVERHEAD
  for (const item of value) size += sizeOf(item)
  return size
}

/** Resolves after settled promises have delivered their values. */
function nextTurn(): Promise<undefined> {
  return new Promise((resolve) => setImmediate(() => resolve(undefined)))
}
