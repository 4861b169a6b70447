// DNS as the machine's resolvers, or those of the settings, answer it. Answers are cached as long as they may be, and no
// mail waits for DNS twice in vain: neither for a name that was slow before, nor while nothing is answered at all, not
// even of the root.
//
// Most names that are asked for are chosen by strangers. What they can have asked is shared fairly: among client
// networks and sender domains for SPF, and among client networks for DNS lists, which have a table of their own.

import { Resolver } from 'node:dns/promises'
import { LRUCache } from 'lru-cache'
import { messageOf } from './message.ts'
import { OpenShares, RateShares, type Share } from './shares.ts'

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
  readonly expiresAt: number
}

/** On whose behalf questions are asked, and for what. */
export interface Asker {
  readonly purpose: 'spf' | 'list'
  /** The client's network, in which a stranger may have every address. */
  readonly network: string
  /** The domain that the owner of the sender's has registered; absent for lists, which are asked of clients alone. */
  readonly organisation?: string
  /** How many questions beyond the first were asked; counted here. */
  further: number
}

/** Longest wait for DNS, whatever is asked of it, in milliseconds: it leaves the store its share of a decision's time. */
export const DNS_TIMEOUT = 1500

/**
 * c-ares goes by the servers' usual speed rather than by this timeout: where they answer in a few milliseconds, it waits
 * 250 ms, then half as much to twice as much again each time, and each time takes no answer to the question before.
 * Four times are DNS_TIMEOUT at least; a resolver has the answer ready once it found it.
 */
const QUERY = { timeout: 500, tries: 4 }

/** A question that is unanswered for this long, in milliseconds, makes us find out whether DNS answers at all. */
const DOUBT_AFTER = 500

/** How long answers are used, in milliseconds: Node tells the TTL of addresses only. */
const MAX_TTL = 300_000
const MIN_TTL = 5_000
const UNKNOWN_TTL = 300_000
const NEGATIVE_TTL = 60_000
const FAILURE_TTL = 10_000

/** What was waited for in vain is not waited for again for so long, in milliseconds. */
const SLOW_TTL = 60_000

/** Time between two attempts to find servers that answer while DNS is silent, in milliseconds. */
const SILENCE_PROBE = 2_000

/** The size of the cache of answers, in characters; and how many subjects that were slow are remembered. */
const MAX_CACHE = 16 * 1024 * 1024
const MAX_SLOW = 10_000
/** What an answer takes in the cache beside its text, in characters. */
const ANSWER_OVERHEAD = 200

/** Questions that are open at once; each takes some 12 KB, and may be open for some seconds. */
const OPEN_QUESTIONS = {
  spf: { all: 4000, each: 200 },
  list: { all: 1000, each: 100 },
} as const

/**
 * Questions for SPF beyond the first of a message, which strangers can multiply: how many may be asked in a burst, and
 * how many a second. One question costs some 100 µs of CPU time. The first question of a message, for the sender's own
 * record, needs no such share, unless the answers of questions before were so long that they have to be paid for first.
 */
const FURTHER_QUESTIONS = {
  all: { most: 1000, perSecond: 300 },
  ofNetwork: { most: 120, perSecond: 30 },
  ofOrganisation: { most: 100, perSecond: 10 },
  // Of one network for one organisation, as many as one message may need: nobody uses up the share of another's domain.
  ofBoth: { most: 40, perSecond: 5 },
} as const

/** Characters of an answer that cost as much as one more question; longer ones come over TCP, too. */
const CHARACTERS_OF_A_QUESTION = 512

/**
 * Where the servers of one name are silent, a resolver is as silent on that name, for longer than anybody waits; but
 * every resolver has something to say of the root.
 */
const ROOT = '.'

/** Errors that mean no server has said anything. */
const UNANSWERED = new Set(['ETIMEOUT', 'ECONNREFUSED', 'ECANCELLED', 'EDESTRUCTION'])
/** The codes of "there is no such name", and of "not with records of that type". */
const NEGATIVES = new Set(['ENOTFOUND', 'ENODATA'])

/** Stands for the answer to a question that was not asked: nothing follows from it. */
export const NOT_ASKED: DnsAnswer = {
  error: Object.assign(new Error('not asked'), { code: 'ECANCELLED' }),
  expiresAt: 0,
}

/** Whether no server has said anything, as the question was not asked, or none could be reached. */
export function isUnanswered({ error }: DnsAnswer): boolean {
  return error !== undefined && 'code' in error && UNANSWERED.has(String(error.code))
}

/** A resolver and how many of its questions are open. */
interface Channel {
  readonly resolver: Resolver
  open: number
}

export class Dns {
  readonly #servers: readonly string[]
  readonly #watch: DnsWatch
  /** The last one is asked; the others have answers to come. */
  readonly #channels: Channel[] = []
  readonly #answers = new LRUCache<string, DnsAnswer>({ maxSize: MAX_CACHE })
  readonly #open = new Map<string, Promise<DnsAnswer>>()
  readonly #openShares = {
    spf: new OpenShares(OPEN_QUESTIONS.spf),
    list: new OpenShares(OPEN_QUESTIONS.list),
  }
  readonly #further = new RateShares(FURTHER_QUESTIONS.all, () => performance.now())
  /** Subjects that were waited for in vain, and how often in a row. */
  readonly #slow = new LRUCache<string, number>({ max: MAX_SLOW, ttl: SLOW_TTL })
  #lastAnswerAt = 0
  #isSilent = false
  #isInDoubt = false
  #isClosed = false
  #silenceProbe: NodeJS.Timeout | undefined

  constructor({ servers }: DnsSettings, watch: DnsWatch) {
    this.#servers = servers
    this.#watch = watch
    this.reload()
  }

  /** Reads again which servers the machine has, unless the settings name them; open questions still get their answers. */
  reload(): void {
    const resolver = new Resolver(QUERY) // reads resolv.conf, once for its whole life
    if (this.#servers.length > 0) resolver.setServers(this.#servers)
    this.#channels.push({ resolver, open: 0 })
    this.#dropIdleChannels()
  }

  /**
   * `NOT_ASKED` where the asker has used up its share. `type` is a record type like TXT. `isFirst` says that it is the
   * first question on behalf of a message. Never rejects.
   */
  ask(name: string, type: string, asker: Asker, isFirst = false): Promise<DnsAnswer> {
    const key = `${type} ${name.toLowerCase()}`
    const known = this.#answers.get(key)
    if (known && known.expiresAt > performance.now()) return Promise.resolve(known)
    const open = this.#open.get(key)
    if (open) return open
    if (this.#isClosed || !this.#takeShare(asker, isFirst)) return Promise.resolve(NOT_ASKED)
    const answer = this.#query(name, type).then((got) => {
      this.#open.delete(key)
      this.#openShares[asker.purpose].giveBack(openKeysOf(asker))
      const size = sizeOf(got.value)
      this.#further.charge(furtherSharesOf(asker), Math.floor(size / CHARACTERS_OF_A_QUESTION))
      this.#answers.set(key, got, { size: ANSWER_OVERHEAD + key.length + size })
      return got
    })
    this.#open.set(key, answer)
    return answer
  }

  /** Gives back to its network what the questions of an asker cost: their answers have shown that it is no stranger. */
  forgive(asker: Asker): void {
    this.#further.forgive(networkShareOf(asker), asker.further)
  }

  /** Whether nothing at all is answered, not even of the root. */
  get isSilent(): boolean {
    return this.#isSilent
  }

  /**
   * What `answer`, which is up to DNS, comes to; `undefined` when that takes longer than `DNS_TIMEOUT`. `subject` names
   * whom it depends on: where that was slow more often in a row than `tolerated`, it is not waited for, and gets the chance
   * to be there next time.
   */
  async within<T>(subject: string, answer: Promise<T>, tolerated = 0): Promise<T | undefined> {
    const timesSlow = this.#slow.get(subject) ?? 0
    if (this.#isSilent || timesSlow > tolerated) return Promise.race([answer, nextTurn()])
    const startedAt = performance.now()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<undefined>((resolve) => {
      timer = setTimeout(() => {
        this.#slow.set(subject, (this.#slow.get(subject) ?? 0) + 1)
        if (this.#lastAnswerAt < startedAt) this.#silent(`no answer within ${DNS_TIMEOUT}ms`)
        resolve(undefined)
      }, DNS_TIMEOUT)
    })
    try {
      const inTime = await Promise.race([answer, late])
      if (timesSlow > 0 && inTime !== undefined) this.#slow.delete(subject)
      return inTime
    } finally {
      clearTimeout(timer)
    }
  }

  /** What is asked has no answer any more, nor has what would be asked from now on. */
  close(): void {
    this.#isClosed = true
    clearInterval(this.#silenceProbe)
    for (const { resolver } of this.#channels) resolver.cancel()
  }

  #takeShare(asker: Asker, isFirst: boolean): boolean {
    if (asker.purpose === 'spf') {
      const shares = furtherSharesOf(asker)
      if (isFirst ? this.#further.isInDebt(shares) : !this.#further.take(shares)) return false
      if (!isFirst) asker.further += 1
    }
    return this.#openShares[asker.purpose].take(openKeysOf(asker))
  }

  async #query(name: string, type: string): Promise<DnsAnswer> {
    const startedAt = performance.now()
    const doubt = setTimeout(() => this.#doubt(startedAt), DOUBT_AFTER)
    try {
      const { value, ttl } = await this.#resolve(name, type)
      this.#answered()
      return { value, expiresAt: performance.now() + Math.min(Math.max(ttl, MIN_TTL), MAX_TTL) }
    } catch (caught) {
      const error = caught instanceof Error ? caught : new Error(messageOf(caught))
      const code = 'code' in error ? String(error.code) : ''
      if (!UNANSWERED.has(code)) this.#answered()
      else if (name !== ROOT) this.#doubt(startedAt)
      else if (this.#lastAnswerAt < startedAt) this.#silent(messageOf(error))
      return { error, expiresAt: performance.now() + (NEGATIVES.has(code) ? NEGATIVE_TTL : FAILURE_TTL) }
    } finally {
      clearTimeout(doubt)
    }
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
    clearInterval(this.#silenceProbe)
    this.#watch.onAnswering()
  }

  #silent(problem: string): void {
    if (this.#isSilent || this.#isClosed) return
    this.#isSilent = true
    this.#silenceProbe = setInterval(() => this.#probe(), SILENCE_PROBE).unref()
    this.#watch.onSilent(problem)
  }

  /** The machine may have other servers by now, as after a change of network. */
  #probe(): void {
    this.reload()
    void this.#query(ROOT, 'NS')
  }
}

function openKeysOf({ network, organisation }: Asker): string[] {
  return organisation === undefined ? [network] : [network, organisation]
}

function networkShareOf({ network }: Asker): Share {
  return { key: network, limit: FURTHER_QUESTIONS.ofNetwork }
}

/** None for lists, of which clients can have but one question asked for each of their addresses. */
function furtherSharesOf(asker: Asker): Share[] {
  const { network, organisation } = asker
  if (organisation === undefined) return []
  return [
    networkShareOf(asker),
    { key: organisation, limit: FURTHER_QUESTIONS.ofOrganisation },
    { key: `${network} ${organisation}`, limit: FURTHER_QUESTIONS.ofBoth },
  ]
}

/** What an item of an answer takes beside its characters. */
const ITEM_OVERHEAD = 4

/** Roughly, in characters. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return value.length + ITEM_OVERHEAD
  if (!Array.isArray(value)) return typeof value === 'object' ? sizeOf(JSON.stringify(value)) : ITEM_OVERHEAD
  let size = ITEM_OVERHEAD
  for (const item of value) size += sizeOf(item)
  return size
}

/** Leaves what is known already the time to be handed over. */
function nextTurn(): Promise<undefined> {
  return new Promise((resolve) => setImmediate(() => resolve(undefined)))
}
